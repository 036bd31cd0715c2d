"""One net that several processes, or GPUs, train together, by the package accelerate."""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from skorch.callbacks import LRScheduler
from skorch.hf import AccelerateMixin
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skgroup.nn import TabM
from skgroup.training._net import MultiTaskNet
from skgroup.training.data import BatchLoader

__all__ = ["AcceleratedNet"]


class AcceleratedNet(AccelerateMixin, MultiTaskNet):
    """A `MultiTaskNet` that several processes train together, each on a part of every batch.

    It stands where a `MultiTaskNet` does (`TaskGrouper`, `GroupedMTLClassifier`, ...), but for
    `GroupGains` and for `n_jobs`, as the processes are those of the accelerator, and `checkpoint`
    is refused. The script is started once a process or GPU, e.g. by `torchrun`, and each process
    is given the same `X` and `Y`; after `fit` all have the same weights, history, data maps and
    predictions. `random_state` must be an int (of the estimator around the net, too), so that all
    draw the same. Samples come in another order than in a `MultiTaskNet` of this `random_state`.

    Stored (`pickle`), it leaves its accelerator behind: loaded, it predicts in a single process,
    and trains once `set_params` has given it one.

    Parameters
    ----------
    module
        As of `MultiTaskNet`.
    accelerator : accelerate.Accelerator
        With `DataLoaderConfiguration(split_batches=True)`, `batch_size` is that of all processes
        together, and without, of each. Split, they learn what one process learns from batches of
        the same samples, to rounding, if `batch_size` divides the number of samples (accelerate
        fills up the last batch with the first samples) and no label is missing (each process takes
        the mean over the labels of its part).
    device : None
        The accelerator decides.
    iterator_train, iterator_valid : type, default=torch.utils.data.DataLoader
        Only batches of torch's DataLoader are dealt out to the processes.
    unwrap_after_train : bool, default=True
        As in `skorch.hf.AccelerateMixin`.
    **kwargs
        As of `MultiTaskNet`; `balancing` and `checkpoint` are not taken.

    See Also
    --------
    skorch.hf.AccelerateMixin : What trains the net.

    Examples
    --------
    >>> from accelerate import Accelerator  # doctest: +SKIP
    >>> from skgroup.training.accelerated import AcceleratedNet
    >>> AcceleratedNet(accelerator=Accelerator(), random_state=0).fit(X, Y)  # doctest: +SKIP
    """

    _criteria: Any
    callbacks__print_log__sink: Any

    def __init__(
        self,
        module: Any = TabM,
        *,
        accelerator: Any,
        iterator_train: Any = DataLoader,
        iterator_valid: Any = DataLoader,
        **kwargs: Any,
    ) -> None:
        iterators = {"iterator_train": iterator_train, "iterator_valid": iterator_valid}
        super().__init__(module, accelerator=accelerator, **iterators, **kwargs)

    def _validate_params(self) -> None:
        self._check_accelerator()
        if self.accelerator.device_placement and self.device is not None:
            raise ValueError(
                f"The 'device' parameter of {type(self).__name__} must be None: the accelerator "
                f"decides. Got {self.device!r}."
            )
        for name in ("iterator_train", "iterator_valid"):
            iterator = getattr(self, name)
            if isinstance(iterator, type) and issubclass(iterator, BatchLoader):
                raise ValueError(
                    f"The '{name}' parameter of {type(self).__name__} must be torch's DataLoader, "
                    f"or derived from it, whose batches processes share. Got {iterator!r}."
                )
        if self.balancing is not None:
            raise ValueError(
                f"The 'balancing' parameter of {type(self).__name__} must be None: the accelerator "
                f"takes the training steps. Got {self.balancing!r}."
            )
        super()._validate_params()

    def __identity__(self) -> Any:
        """Nothing that is kept by this name would be of all processes."""
        raise TypeError(
            f"{type(self).__name__} is trained by several processes, and each would keep its own"
        )

    def _check_accelerator(self) -> None:
        if not isinstance(self.accelerator, Accelerator):
            raise ValueError(
                f"The 'accelerator' parameter of {type(self).__name__} must be an "
                f"accelerate.Accelerator. Got {self.accelerator!r}; a net that was loaded from a "
                "file, or that 'n_jobs' has sent to another process, has none."
            )

    def initialize(self) -> Any:
        """As of `MultiTaskNet`; what was built is given to the accelerator while it trains."""
        return MultiTaskNet.initialize(self)

    def _train(self, data: Any, **kwargs: Any) -> None:
        self._check_accelerator()
        seed = torch.tensor([self.seed_], device=self.accelerator.device)
        if len(self.accelerator.gather(seed).unique()) > 1:
            raise ValueError(
                f"The 'random_state' parameter of {type(self).__name__}, or of the estimator that "
                "trains it, must be an int, so that all processes draw the same. They have drawn "
                f"different seeds. Got {self.random_state!r}."
            )
        self._initialize_accelerator()
        try:
            super()._train(data, **kwargs)
        finally:
            if self.unwrap_after_train:  # after errors, too
                self._unwrap_accelerator()

    def _initialize_accelerator(self) -> Any:
        """As in skorch; the loss, which has nothing to train, is only moved."""
        criteria = self._criteria
        if isinstance(self.criterion_, nn.Module) and not list(self.criterion_.parameters()):
            self.criterion_.to(self.accelerator.device)
            self._criteria = []
        try:
            return super()._initialize_accelerator()
        finally:
            self._criteria = criteria

    def _unwrap_accelerator(self) -> None:
        """As in skorch, and the optimizer, which could not be stored."""
        super()._unwrap_accelerator()
        for name in self._optimizers:
            optimizer = getattr(self, f"{name}_")
            inner = getattr(optimizer, "optimizer", optimizer)
            setattr(self, f"{name}_", inner)
            for _, callback in self.callbacks_:
                schedule: Any = getattr(callback, "lr_scheduler_", None)
                if isinstance(callback, LRScheduler) and schedule is not None:
                    schedule.optimizer = inner

    def _initialize_callbacks(self) -> Any:
        if self.callbacks__print_log__sink == "auto":
            self.callbacks__print_log__sink = print_once
        return super()._initialize_callbacks()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "accelerator": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> AcceleratedNet:
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        twin.accelerator = self.accelerator
        return twin

    # Without an accelerator, a net that was loaded is a MultiTaskNet.

    def _of_accelerator(self) -> Any:
        return super() if self.accelerator is not None else super(AccelerateMixin, self)

    def get_iterator(self, *args: Any, **kwargs: Any) -> Any:
        """Batches of a dataset, dealt out to the processes."""
        return self._of_accelerator().get_iterator(*args, **kwargs)

    def evaluation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs for a batch, those of all processes."""
        return self._of_accelerator().evaluation_step(*args, **kwargs)

    def save_params(self, *args: Any, **kwargs: Any) -> None:
        """As of `MultiTaskNet`; one process writes."""
        self._of_accelerator().save_params(*args, **kwargs)

    def load_params(self, *args: Any, **kwargs: Any) -> None:
        """As of `MultiTaskNet`."""
        self._of_accelerator().load_params(*args, **kwargs)

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Parameters by prefix; the order of samples does not depend on how many processes there
        are."""
        kwargs = super().get_params_for(prefix)
        if prefix == "iterator_train" and hasattr(self, "seed_"):
            generator = torch.Generator().manual_seed(self.seed_ + 1 + len(self.history_))
            kwargs.setdefault("generator", generator)
        return kwargs

    def of_all_processes(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.accelerator.gather(tensor.contiguous()) for tensor in tensors)

    def mean_of_processes(self, value: Tensor) -> Tensor:
        mean: Tensor = self.accelerator.reduce(value, "mean")
        return mean

    def _screens(self) -> tuple[Any, ...]:
        return print, print_once


def print_once(*args: Any, **kwargs: Any) -> None:
    """Print, in one of the processes that train together."""
    PartialState().print(*args, **kwargs)
