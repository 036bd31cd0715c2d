"""Files of `save_params`: beside the weights, what a net has learned of its data.

By that a new net, which was never fitted, is built for them. A file of torch's stays the weights
alone to whoever reads it: what was learned is JSON in the metadata of the state dict. Files of
safetensors, as skorch writes them, hold tensors alone; there it is the bytes of that text.
"""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError

from skgroup._random import local_seed
from skgroup.tasks import TargetScaling
from skgroup.training._scaling import RobustScaling

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet

_KEY = "skgroup.learned"
#: The attributes that `fit` learns of the data, where it does.
_LEARNED = (
    "n_features_in_",
    "feature_names_in_",
    "input_shape_",
    "seed_",
    "n_tasks_",
    "task_names_in_",
    "task_classes_",
    "task_types_",
    "task_outputs_",
    "positive_codes_",
    "constant_codes_",
    "learnable_",
    "single_output_",
    "selected_",
    "scaling_",
    "target_scaling_",
    "learned_",
    "loss_weights_",
    "batch_size_",
)
#: Those of which weights of other data are warned, and what a user calls them.
_TOLD = {
    "feature_names_in_": "features",
    "task_names_in_": "tasks",
    "task_classes_": "classes",
    "scaling_": "scales of features",
    "target_scaling_": "scales of numbers",
}
_SCALINGS = {cls.__name__: cls for cls in (TargetScaling, RobustScaling)}


class ModuleFile:
    """The module of a net as skorch saves and loads it: a state dict, and what was learned."""

    def __init__(self, net: MultiTaskNet, *, tensors_alone: bool) -> None:
        self.net, self.tensors_alone = net, tensors_alone

    def state_dict(self) -> Any:
        """The weights, and what was learned."""
        weights = self.net.module_.state_dict()
        state: Any = OrderedDict(weights)
        state._metadata = OrderedDict(getattr(weights, "_metadata", {}))
        known = {name: vars(self.net)[name] for name in _LEARNED if name in vars(self.net)}
        try:
            text = json.dumps(_plain(known))
        except (TypeError, ValueError):  # labels that JSON has no word for
            return state
        if self.tensors_alone:
            state[_KEY] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        else:
            state._metadata[_KEY] = text
        return state

    def load_state_dict(self, state: Any) -> None:
        """Take the weights; a net that was not fitted is built for them before."""
        text = getattr(state, "_metadata", {}).get(_KEY)
        if _KEY in state:
            text = bytes(state.pop(_KEY).numpy(force=True)).decode()
        net = self.net
        if "module_" not in vars(net):
            if text is None:
                raise NotFittedError(
                    f"This {type(net).__name__} is not fitted yet, and f_params does not say what "
                    "its weights were trained on, as files do that 'save_params' wrote: call 'fit' "
                    "before 'load_params'."
                )
            net.__dict__.update(_restored(json.loads(text)))
            net.initialized_ = False
            with local_seed(net.seed_):
                net.initialize()
            text = None
        net.module_.load_state_dict(state)
        if text is not None:
            self._say_what_differs(json.loads(text))

    def _say_what_differs(self, saved: Any) -> None:
        """Warn of weights that were learned of other data than the net has learned of."""
        known = {name: vars(self.net)[name] for name in _TOLD if name in vars(self.net)}
        ours, theirs = json.loads(json.dumps(_plain(known), default=str))["dict"], saved["dict"]
        names = [_TOLD[k] for k in _TOLD if k in theirs and ours.get(k) != theirs[k]]
        if names:
            warnings.warn(
                f"The weights that were loaded were trained on other {', '.join(names)} than this "
                f"{type(self.net).__name__} was fitted on, and keeps. To get the net that was "
                "saved, load them into one that is not fitted.",
                UserWarning,
                stacklevel=2,
            )


def _plain(value: Any) -> Any:
    """As JSON has it; other types are dicts of one key, their name."""
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {key: _plain(item) for key, item in value.items()}}
    if isinstance(value, np.ndarray):
        dtype = "object" if value.dtype == object else value.dtype.str
        return {"array": [dtype, list(value.shape), _plain(value.ravel().tolist())]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor):
        return {"tensor": _plain(value.numpy(force=True))}
    if type(value) in _SCALINGS.values():
        return {type(value).__name__: _plain(vars(value))}
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, of),) = value.items()
    if kind == "dict":
        return {key: _restored(item) for key, item in of.items()}
    if kind == "array":
        dtype, shape, items = of
        found = np.empty(len(items), dtype=dtype)
        found[:] = _restored(items)
        return found.reshape(shape)
    of = _restored(of)
    if kind == "tuple":
        return tuple(of)
    return torch.from_numpy(of) if kind == "tensor" else _SCALINGS[kind](**of)
