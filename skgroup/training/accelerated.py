"""One net that several processes, or GPUs, train together, by the package accelerate."""

from __future__ import annotations

from typing import Any

import torch
from skorch.hf import AccelerateMixin
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skgroup.nn import TabM
from skgroup.training._net import MultiTaskNet
from skgroup.training.data import BatchLoader

__all__ = ["AcceleratedNet"]


class AcceleratedNet(AccelerateMixin, MultiTaskNet):
    """A `MultiTaskNet` that several processes train together, each on a part of every batch.

    It stands wherever a `MultiTaskNet` does (`TaskGrouper`, `GroupedMTLClassifier`, ...). The
    script is started once a process or GPU, e.g. by `torchrun`, and each process
    is given the same `X` and `Y`; after `fit` all have the same weights, history, data maps and
    predictions. `random_state` must be an int, so that all draw the same.

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
        As of `MultiTaskNet`; `balancing` is not taken.

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
        return print, self.accelerator.print
