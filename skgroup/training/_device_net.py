"""What `MultiTaskNet` does otherwise than a skorch net, whatever it is trained on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from skorch.history import History
from skorch.setter import optimizer_setter
from skorch.utils import get_map_location, to_device
from torch import nn

from skgroup._compat import unchanged_on_error
from skgroup._random import local_seed
from skgroup._state import restored, stored
from skgroup.training._arguments import named_in_errors
from skgroup.training._going_on import check_param_groups
from skgroup.training._params_file import ModuleFile

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet

#: Samples of a batch in prediction, where `batch_size` is "auto".
PREDICTED_AT_A_TIME = 256


class DeviceNet(NeuralNet):
    """A skorch net that finds its device, names what it cannot build, and changes nothing of an
    earlier fit while it is built."""

    prefixes_: ClassVar[list[str]] = [*NeuralNet.prefixes_, "balancing"]
    device: Any
    batch_size: Any
    initialized_: bool
    #: Samples of a training batch, -1 for all; learned in `fit` where `batch_size` is "auto".
    batch_size_: int

    # -- building ------------------------------------------------------------------------------

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Build the optimizer of all parameters that are trained."""
        check_param_groups(self)
        with named_in_errors("optimizer", self.optimizer, self.get_params_for("optimizer")):
            super().initialize_optimizer(*args, **kwargs)
        if not callable(getattr(self.optimizer_, "step", None)):
            raise ValueError(
                "The 'optimizer' parameter must be a class of torch.optim.Optimizer. Got "
                f"{self.optimizer!r}, which gives {self.optimizer_!r}."
            )
        return self

    def initialize_history(self) -> Any:
        """Begin a new history; that of an earlier fit stays as it is, should this one fail."""
        self.history_ = History()
        return self

    # -- parameters ----------------------------------------------------------------------------

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of a fitted net too; see `skorch.NeuralNet.set_params`.

        `callbacks`, the module and the balancing are built by the next `fit`.
        """
        if "callbacks" in params:  # skorch would build those from before
            self.callbacks = params.pop("callbacks")
            # What was set of others goes with them.
            default = {f"callbacks__{name}" for name, _ in self._default_callbacks}
            for key in list(vars(self)):
                if key.startswith("callbacks__") and "__".join(key.split("__")[:2]) not in default:
                    delattr(self, key)
        # Of a fitted net, skorch expects each parameter with a prefix to rebuild something. Its
        # module stays: a new one, untrained, would predict at random. The next `fit` builds it.
        prefixes: tuple[str, ...] = ("iterator_train__", "iterator_valid__")
        if self.initialized_:
            prefixes += ("module__", "balancing__", "compile__", "train_split__", "dataset__")
        kept = {
            key: value
            for key, value in params.items()
            if key.startswith(prefixes)
            or (key in ("module", "balancing", "optimizer", "compile") and self.initialized_)
        }
        with local_seed(0):  # what is rebuilt must not draw from the caller's state
            super().set_params(**{k: v for k, v in params.items() if k not in kept})
        # skorch sets options of a fitted net in its optimizer alone, where the next `fit` has none.
        kept |= {key: value for key, value in params.items() if key.startswith("optimizer__")}
        for key, value in kept.items():
            setattr(self, key, value)
        return self

    def _get_param_names(self) -> list[str]:
        # Notes of skorch's and scikit-learn's are no parameters.
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    def _initialize_module(self, *args: Any, **kwargs: Any) -> Any:
        with nullcontext() if self.device is None else self._device_resolved():
            return super()._initialize_module(*args, **kwargs)

    def _register_balancing(self, balancing: nn.Module | None) -> None:
        """Have the parameters of a balancing trained and kept as those of the module are."""
        if balancing is not None:
            if "balancing" not in self._modules:
                self._register_attribute("balancing_", balancing, prefixes=False)
            self.balancing_ = balancing
        elif "balancing" in self._modules:
            self._unregister_attribute("balancing_", prefixes=False)
            del self.__dict__["balancing_"]

    def torch_compile(self, module: Any, name: str) -> Any:
        return module if name == "balancing" else super().torch_compile(module, name)

    def _initialize_criterion(self, *args: Any, **kwargs: Any) -> Any:
        with self._device_resolved():
            return super()._initialize_criterion(*args, **kwargs)

    @contextmanager
    def _device_resolved(self) -> Iterator[None]:
        device = self.device
        self.device = self._device()
        try:
            yield
        finally:
            self.device = device

    def _device(self) -> Any:
        if isinstance(self.device, str) and self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if self.device is None:  # the module stays where it was made
            module = self.__dict__.get("module_")
            first = next(module.parameters(), None) if isinstance(module, nn.Module) else None
            return torch.device("cpu") if first is None else first.device
        return self.device

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Parameters by prefix, as in skorch; training batches are shuffled unless told not to."""
        kwargs = super().get_params_for(prefix)
        if prefix == "iterator_valid":
            # torch's DataLoader draws a number at each pass, which must not be the caller's.
            kwargs.setdefault("generator", torch.Generator())
        if prefix == "iterator_train" and not kwargs.keys() & {"sampler", "batch_sampler"}:
            kwargs.setdefault("shuffle", True)
        return kwargs

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a dataset, as in skorch."""
        given = self.batch_size
        self.batch_size = self.batch_size_ if training else self.prediction_batch_size
        try:
            return super().get_iterator(dataset, training=training)
        finally:
            self.batch_size = given

    @property
    def prediction_batch_size(self) -> int:
        """Samples of a batch in prediction and validation, -1 for all."""
        return PREDICTED_AT_A_TIME if isinstance(self.batch_size, str) else self.batch_size

    def _autocast(self) -> torch.autocast:
        device = torch.device(self._device()).type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")

    # -- storing -------------------------------------------------------------------------------

    def _register_virtual_param(self, param_patterns: Any, fn: Any) -> None:
        # skorch has a function with arguments of its own here, a state names its class.
        if isinstance(fn, partial) and fn.func is optimizer_setter:
            fn = OptimizerSetter(**fn.keywords)
        super()._register_virtual_param(param_patterns, fn)

    def save_params(
        self,
        f_params: Any = None,
        f_optimizer: Any = None,
        f_criterion: Any = None,
        f_history: Any = None,
        use_safetensors: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write weights, optimizer or history to files; see `skorch.NeuralNet.save_params`.

        Beside the weights, the file of `f_params` says what was learned of the data (classes,
        names, scaling, sizes), by which `load_params` builds a net that was not fitted. To torch,
        it is a state dict like others.
        """
        files = {"f_params": f_params, "f_optimizer": f_optimizer, "f_criterion": f_criterion}
        self.__dict__["_tensors_alone"] = use_safetensors
        try:
            super().save_params(
                **files, f_history=f_history, use_safetensors=use_safetensors, **kwargs
            )
        finally:
            del self.__dict__["_tensors_alone"]

    def load_params(
        self,
        f_params: Any = None,
        f_optimizer: Any = None,
        f_criterion: Any = None,
        f_history: Any = None,
        checkpoint: Any = None,
        use_safetensors: bool = False,
        **kwargs: Any,
    ) -> None:
        """Load weights, optimizer or history from files; see `skorch.NeuralNet.load_params`.

        A net that was not fitted is built as the one that was saved, whose parameters it must
        have; then it predicts, and `partial_fit` goes on. A fitted net takes the weights alone, and
        keeps what it has learned of its data; where the net that was saved has learned other names,
        classes or scales, a warning says so.

        Raises
        ------
        NotFittedError
            If the net was not fitted, and no file of `f_params` says on what.
        RuntimeError
            If the weights are not those of such a module; a note names the files.
        ValueError
            If a file holds something else. After any error the net is as it was before.

        Examples
        --------
        >>> import io
        >>> import numpy as np
        >>> from skgroup import MultiTaskNet
        >>> X = np.random.default_rng(0).normal(size=(50, 4))
        >>> Y = np.where(X[:, :2] > 0, "yes", "no")
        >>> net, file = MultiTaskNet(max_epochs=5, random_state=0).fit(X, Y), io.BytesIO()
        >>> net.save_params(f_params=file)
        >>> _ = file.seek(0)
        >>> other = MultiTaskNet(max_epochs=5).initialize()
        >>> other.load_params(f_params=file)
        >>> bool((other.predict(X) == net.predict(X)).all())
        True
        """
        files = {"f_optimizer": f_optimizer, "f_criterion": f_criterion, "f_history": f_history}
        files |= {"f_params": f_params, **kwargs}
        with self._device_resolved(), unchanged_on_error(self), self._untrained_on_error():
            try:
                self._load_files(files, checkpoint, use_safetensors=use_safetensors)
            except Exception as error:
                named = ", ".join(f"{k}={v!r}" for k, v in files.items() if v is not None)
                named = named or f"checkpoint={checkpoint!r}"
                if not isinstance(error, RuntimeError | OSError | NotFittedError):
                    raise ValueError(
                        "The files that load_params is given must be such as 'save_params' writes. "
                        f"Got {named}, which {type(self).__name__} cannot read."
                    ) from error
                error.add_note(f"load_params was given {named}.")
                raise

    def _load_files(self, files: dict[str, Any], checkpoint: Any, *, use_safetensors: bool) -> None:
        """Load files, into a net that is built for them if it was not fitted."""
        if not self.initialized_:
            of_module = files["f_params"] or files.get("f_module")
            if of_module is None and checkpoint is not None:
                if checkpoint.f_history is not None:  # which names of files may speak of
                    self.history_ = History.from_file(checkpoint.f_history_)
                of_module = checkpoint.get_formatted_files(self).get("f_params")
            if of_module is not None:
                self.initialized_ = True  # while it is
                super().load_params(f_params=of_module, use_safetensors=use_safetensors)
                files = {**files, "f_params": None, "f_module": None}
                if checkpoint is None and not any(files.values()):
                    return
        super().load_params(**files, checkpoint=checkpoint, use_safetensors=use_safetensors)

    def _trained_parts(self) -> list[Any]:
        """Modules, criteria and optimizers that are built, as far as they have a state."""
        names = [*self._modules, *self._criteria, *self._optimizers]
        parts = [self.__dict__.get(f"{name}_") for name in names]
        return [part for part in parts if hasattr(part, "state_dict")]

    @contextmanager
    def _untrained_on_error(self) -> Iterator[None]:
        """Give module, criterion and optimizer, which are changed in place, the state back that
        they had, and the history its epochs, if the block raises."""
        parts = self._trained_parts()
        before = [copy.deepcopy(part.state_dict()) for part in parts]
        history = self.__dict__.get("history_")
        history = [] if history is None else history  # of one that was not fitted
        n_epochs = len(history)
        try:
            yield
        except BaseException:
            for part, state in zip(parts, before, strict=True):
                part.load_state_dict(state)
            del history[n_epochs:]
            raise

    def _get_module(self, name: str, msg: str) -> Any:
        # What skorch writes to files, and reads.
        if name == "module_":
            tensors_alone = self.__dict__.get("_tensors_alone", False)
            return ModuleFile(cast("MultiTaskNet", self), tensors_alone=tensors_alone)
        return super()._get_module(name, msg)

    def __getstate__(self) -> dict[str, Any]:
        return stored(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Not by skorch, which would unpickle what a state of its own holds as bytes.
        self.__dict__.update(restored(state))
        if self.device == "auto":
            self._move_to(self._device())
        elif self.device is not None:
            self.device = self._check_device(self.device, get_map_location(self.device))

    def _move_to(self, device: str) -> None:
        if device == "cpu":  # where all comes back that has no device of its own
            return
        for name in [*self._modules, *self._criteria]:
            part = self.__dict__.get(f"{name}_")
            if isinstance(part, nn.Module):
                to_device(part, device)
        for name in self._optimizers:
            optimizer = self.__dict__.get(f"{name}_")
            if isinstance(optimizer, torch.optim.Optimizer):  # its state follows the parameters
                optimizer.load_state_dict(optimizer.state_dict())

    def __copy__(self) -> Any:
        # Of the same module, which a state would copy.
        twin = type(self).__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin


@dataclass(frozen=True)
class OptimizerSetter:
    """What sets an option of a fitted net's optimizer, as a class that a state can name."""

    optimizer_attr: str
    optimizer_name: str

    def __call__(self, net: Any, param: str, value: Any) -> None:
        optimizer_setter(net, param, value, self.optimizer_attr, self.optimizer_name)
