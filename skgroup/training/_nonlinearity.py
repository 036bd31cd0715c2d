"""What a nonlinearity of the user's makes of outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet


def try_nonlinearity(net: MultiTaskNet, output: Tensor) -> Tensor:
    """What a `predict_nonlinearity` of the user's gives; ValueError if it is not right."""
    if net.predict_nonlinearity in ("auto", None):
        return output
    try:
        proba = net.predict_nonlinearity(output)
    except Exception as error:  # whatever a callable of the user's may raise
        raise ValueError(
            "The 'predict_nonlinearity' parameter must take a tensor of the shape (batch, "
            f"n_outputs) = {tuple(output.shape)}. Got {net.predict_nonlinearity!r}, which "
            f"raises {type(error).__name__}: {error}"
        ) from error
    if not isinstance(proba, Tensor) or proba.shape != output.shape:
        raise ValueError(
            "The 'predict_nonlinearity' parameter must return a tensor of the shape "
            f"(batch, n_outputs) = {tuple(output.shape)} that it is given. Got "
            f"{tuple(proba.shape) if isinstance(proba, Tensor) else type(proba).__name__}."
        )
    return proba
