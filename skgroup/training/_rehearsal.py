"""A step of training, tried on few samples before training begins: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from skorch.utils import to_tensor
from torch import Tensor
from torch.utils.data import Subset

from skgroup.training._balanced_step import try_balancing
from skgroup.training._loop import TrainingLoop
from skgroup.training._nonlinearity import try_nonlinearity
from skgroup.training.data import BatchLoader

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet


def trial_batch(dataset: Any, largest: int = 0, n_samples: int = 2) -> Any:
    """A batch of the first samples and that with the largest number, whose products may be
    beyond float32."""
    n_samples = min(n_samples, len(dataset))
    samples = sorted({*range(n_samples - 1), largest or n_samples - 1})
    return next(iter(BatchLoader(Subset(dataset, samples), len(samples))))


def try_step(net: MultiTaskNet, dataset: Any, batch: Any, **fit_params: Any) -> None:
    """Try the criterion, its gradient and the nonlinearity of a built net on a batch.

    A criterion that fails on so few samples is given a batch of the size of training.

    Raises
    ------
    ValueError
        If an output is not finite, or the criterion gives no loss that can be trained on.
    """
    output = net.infer(batch[0], **fit_params)
    _check_finite(net, batch[0], output)
    try_nonlinearity(net, output.detach())
    if type(net).train_step_single is not TrainingLoop.train_step_single:
        return  # of a subclass, which may take its loss from elsewhere
    try:
        _try_loss(net, batch, output)
    except ValueError:
        size = len(dataset) if net.batch_size_ == -1 else min(net.batch_size_, len(dataset))
        if size <= len(output):
            raise
        batch = trial_batch(dataset, n_samples=size)
        _try_loss(net, batch, net.infer(batch[0], **fit_params))
    if net.balancing is not None:
        output = net.infer(batch[0], **fit_params)
        try_balancing(net, output, to_tensor(batch[1], net._device()))


def _check_finite(net: MultiTaskNet, x: Any, output: Tensor) -> None:
    if bool(output.isfinite().all()):
        return
    parts = list(x.values()) if isinstance(x, Mapping) else [x]
    sizes = [float(part.abs().max()) for part in parts if isinstance(part, Tensor) and part.numel()]
    reach = f" of X, whose values reach {max(sizes):.3g}" if sizes else " of X"
    raise ValueError(
        f"The module {type(net.module_).__name__} must give finite logits from its first weights "
        f"on. Got NaN or infinity for samples{reach}: X may need scaling "
        "(sklearn.preprocessing.StandardScaler)."
    )


def _try_loss(net: MultiTaskNet, batch: Any, output: Tensor) -> None:
    rule = (
        "The 'criterion' parameter must give a loss that is called with logits (batch, n_outputs) "
        "and the target, a dict with 'codes' (batch, n_tasks), and returns a tensor of one finite "
        f"number that depends on the logits. Got {net.criterion!r}"
    )
    x, target = batch
    try:
        loss = net.get_loss(output, target, X=x, training=True)
    except Exception as error:  # whatever a criterion of the user's may raise
        raise ValueError(f"{rule}, which raises {type(error).__name__}: {error}") from error
    if not isinstance(loss, Tensor) or loss.dim():
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
        raise ValueError(f"{rule}, which returns a {type(loss).__name__}{shape}.")
    if not bool(loss.isfinite()):
        raise ValueError(f"{rule}, which returns {loss.item()} for some samples of X and Y.")
    params = [p for p in net.module_.parameters() if p.requires_grad]
    try:
        grads_of = torch.autograd.grad(loss, params, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(f"{rule}, whose loss has no gradient: {error}") from error
    grads = [g.coalesce().values() if g.is_sparse else g for g in grads_of if g is not None]
    if not grads:
        raise ValueError(f"{rule}, whose loss does not depend on the parameters of the module.")
    # Optimizers square gradients.
    if not all(bool(g.float().square().isfinite().all()) for g in grads):
        raise ValueError(
            "The gradient of the loss must be within the range of float32. It is not for some "
            "samples of X and Y, before any training: X may need scaling "
            "(sklearn.preprocessing.StandardScaler), or the weights of tasks and classes."
        )
