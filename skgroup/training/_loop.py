"""The loop over epochs and batches: skorch's, with less to do in each batch."""

from __future__ import annotations

import dis
import functools
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback, EpochScoring, PrintLog
from skorch.dataset import get_len, unpack_data
from skorch.utils import to_numpy, to_tensor
from torch import Tensor

from skgroup.tasks import TargetScaling
from skgroup.training._balanced_step import BalancedStep
from skgroup.training._device_net import DeviceNet
from skgroup.training.classifier import decode
from skgroup.training.data import BatchLoader, TaskDataset
from skgroup.training.data_map import DataMapRecorder

# Optimizers of which torch has a fused step on every device.
_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


class TrainingLoop(DeviceNet):
    """A skorch net whose epochs cost little more than a loop written by hand."""

    plain_step_ = False
    balancing: Any

    def of_all_processes(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """What is known of the samples of a batch, of the parts of all processes that train it."""
        return tensors

    def mean_of_processes(self, value: Tensor) -> Tensor:
        """A number's mean over all processes, so that they note, and stop by, the same."""
        return value

    def _screens(self) -> tuple[Any, ...]:
        """Where the table of epochs goes if nobody has said where."""
        return (print,)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Tell the callbacks; see `skorch.NeuralNet.notify`."""
        callbacks = [callback for _, callback in self.callbacks_]
        if method_name == "on_epoch_end" and not self.verbose:
            # It would lay out a table that nobody sees.
            quiet = self._screens()
            callbacks = [c for c in callbacks if type(c) is not PrintLog or c.sink not in quiet]
        self._tell([self, *callbacks], method_name, **kwargs)

    def _tell(self, listeners: Iterable[Any], hook: str, **kwargs: Any) -> None:
        """Call a hook of each; all hear of it, even if one wants to stop.

        skorch's EarlyStopping raises what Ctrl-C raises. Told apart here, one net that stops
        early does not end the training of others, and an interruption is not taken for an end.
        """
        stop = False
        for listener in listeners:
            try:
                with labels_at_hand(listener):
                    getattr(listener, hook)(self, **kwargs)
            except KeyboardInterrupt as error:
                # Recorders of ours run modules, which are none to end a training.
                ours = type(listener).__module__.startswith("skgroup.")
                if ours or not _raised_by_code(error):
                    raise
                stop = True
        if stop:
            raise StopTraining

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """One pass over the batches; see `skorch.NeuralNet.run_single_epoch`.

        Only those callbacks are called that listen to batches, and where none does, losses are
        read once a pass, so that a GPU need not be waited for.
        """
        if iterator is None:
            return
        begin, end = self._listeners("on_batch_begin"), self._listeners("on_batch_end")
        closure = signature(self.optimizer_.step).parameters.get("closure")
        # Whether a step is: gradients to zero, forward, backward, update.
        self.plain_step_ = (
            len(self._optimizers) == 1
            and (closure is None or closure.default is not Parameter.empty)
            and not self._listeners("on_grad_computed")
        )
        wait = any(not isinstance(listener, DataMapRecorder) for listener in begin + end)
        batches, losses, sizes = iterator, [], []
        resuming = self.__dict__.get("resuming_") if training else None
        if resuming is not None:
            batches, losses, sizes = resuming.begin_epoch(iterator)
        for batch in batches:
            if wait and self not in begin:  # of which skorch's hook does so
                self.history.new_batch()
            self._tell(begin, "on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(self.mean_of_processes(step["loss"].detach()))
            sizes.append(get_len(batch[0]))
            if wait:
                self._record_batch(prefix, losses[-1].item(), sizes[-1])
            self._tell(end, "on_batch_end", batch=batch, training=training, **step)
            if resuming is not None:
                resuming.after_batch(losses, sizes)
        if training and not losses:
            raise ValueError(
                "The 'iterator_train' parameter must give at least one batch an epoch. Got none."
            )
        values = torch.stack(losses).tolist() if losses else []
        if wait:
            self._end_batches(prefix, values)
        else:
            self._record_batches(prefix, values, sizes)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a dataset, as in skorch."""
        iterator = super().get_iterator(dataset, training=training)
        resuming = self.__dict__.get("resuming_")
        if resuming is not None and not resuming.begun:
            resuming.sources.append(iterator)
        return iterator

    def _record_batches(self, prefix: str, losses: list[float], sizes: list[int]) -> None:
        for loss, size in zip(losses, sizes, strict=True):
            self.history.new_batch()
            self._record_batch(prefix, loss, size)
        self._end_batches(prefix, losses)

    def _end_batches(self, prefix: str, losses: list[float]) -> None:
        self.history.record(f"{prefix}_batch_count", len(losses))
        if prefix == "train" and not np.isfinite(losses).all():
            raise ValueError(
                f"The training loss of epoch {len(self.history)} is not finite: training has "
                f"diverged, or the samples of a Dataset hold NaN. A lower 'lr' than {self.lr} may "
                "help, or X scaled (sklearn.preprocessing.StandardScaler)."
            )

    def _record_batch(self, prefix: str, loss: float, size: int) -> None:
        self.history.record_batch(f"{prefix}_loss", loss)
        self.history.record_batch(f"{prefix}_batch_size", size)

    def _listeners(self, hook: str) -> list[Any]:
        """The callbacks (and the net, if it is of a subclass) that define a hook."""
        of_net = [self] if getattr(type(self), hook) is not getattr(DeviceNet, hook) else []
        return of_net + [
            callback
            for _, callback in self.callbacks_
            if getattr(type(callback), hook, None) is not getattr(Callback, hook)
        ]

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """One optimisation step; see `skorch.NeuralNet.train_step`."""
        if not self.plain_step_:
            return super().train_step(batch, **fit_params)
        self.optimizer_.zero_grad()
        step = self.train_step_single(batch, **fit_params)
        self.optimizer_.step()
        return step

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        """Loss and gradients of a batch; see `skorch.NeuralNet.train_step_single`."""
        if self.balancing is None:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        x, target = unpack_data(batch)
        y_pred = self.infer(x, **fit_params)
        net: Any = self
        step = self.__dict__.get("balanced_step_") or BalancedStep.of_net(net)
        loss = step.backward(y_pred, to_tensor(target, self._device()))
        # Detached, as several passes went back: the graph still holds what they need.
        return {"loss": loss, "y_pred": y_pred.detach()}

    def _set_training(self, training: bool = True) -> None:
        parts = (self.module_, self.criterion_)
        if any(getattr(part, "training", training) != training for part in parts):
            super()._set_training(training)

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Parameters of the optimizer, as in skorch; torch's fused step where there is one."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        alternatives = {"fused", "foreach", "capturable", "differentiable"}
        sparse = any(getattr(part, "sparse", False) for part in self.module_.modules())
        if getattr(self, prefix) in _FUSED and not alternatives & kwargs.keys() and not sparse:
            kwargs["fused"] = True
        return args, kwargs


@contextmanager
def labels_at_hand(callback: Any) -> Iterator[None]:
    """Let an EpochScoring find labels where it has cached none."""
    if not isinstance(getattr(callback, "target_extractor", None), BatchLabels):
        yield
        return
    callback.get_test_data = functools.partial(_test_data, callback)
    try:
        yield
    finally:
        del callback.get_test_data


def _test_data(
    callback: EpochScoring, train: Any, valid: Any, use_caching: bool
) -> tuple[Any, Any, list[Tensor]]:
    """What an EpochScoring scores; with labels where it has cached none."""
    X, y, y_pred = EpochScoring.get_test_data(callback, train, valid, use_caching)
    if not use_caching and X is not None:
        samples = BatchLoader(X)
        if isinstance(samples.base, TaskDataset):
            y = callback.target_extractor(samples.all_targets())
    return X, y, y_pred


class StopTraining(Exception):
    """A callback wants no further epoch."""


def _raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` of a callback made it, rather than a signal that came in meanwhile."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    handler = signal.getsignal(signal.SIGINT)
    code = trace.tb_frame.f_code
    if code is getattr(handler, "__code__", None):
        return False
    return dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


class BatchLabels:
    """Turns the target of a batch into labels, for skorch's scoring callbacks."""

    #: What a callback had before, and is known by.
    in_place_of = staticmethod(to_numpy)

    def __init__(
        self,
        classes: list[NDArray],
        single: bool,
        constant: NDArray[np.intp],
        scaling: TargetScaling,
    ) -> None:
        self.classes = classes
        self.single = single
        self.constant = constant
        self.scaling = scaling

    def __call__(self, target: dict[str, Tensor]) -> NDArray:
        learned: NDArray = target["codes"].numpy(force=True)
        # Of tasks of a single class, batches hold nothing.
        codes = np.tile(self.constant, (len(learned), 1))
        codes[:, self.constant < 0] = learned
        numbers = None
        if "values" in target:
            numbers = np.zeros(codes.shape)
            numbers[:, self.constant < 0] = target["values"].numpy(force=True)
            numbers = self.scaling.numbers(numbers)
        labels = decode(np.maximum(codes, 0), self.classes, numbers)
        if (codes < 0).any():
            missing = np.nan if labels.dtype.kind == "f" else None
            labels = labels if labels.dtype.kind == "f" else labels.astype(object)
            labels[codes < 0] = missing
        return labels[:, 0] if self.single else labels
