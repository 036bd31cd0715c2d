"""The engine: checks data for nets, builds nets, trains many at once and predicts with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from skorch.callbacks import Callback
from skorch.utils import to_tensor
from torch import Tensor
from tqdm.auto import tqdm

from skgroup._estimators import parts_of
from skgroup._fit_parts import UNHEARD, FitPart, part_of_fit, without_handed
from skgroup.store import NOT_KEPT, RunningFit
from skgroup.training._net import MultiTaskNet
from skgroup.training._own_callbacks import check_callbacks_travel
from skgroup.training._parameters import task_weights
from skgroup.training.data import TaskDataset
from skgroup.training.data_map import DataMapRecorder
from skgroup.training.processes import goes_elsewhere, in_parallel
from skgroup.training.progress import EpochProgress
from skgroup.training.stack import (
    Stack,
    predict_stacked,
    prediction_stack,
    stack_or_reason,
    train_stacked,
    training_pays,
)
from skgroup.training.training_data import TrainingData

__all__ = [
    "STRATEGIES",
    "build_net",
    "check_callbacks_travel",
    "check_data",
    "fit_many",
    "nets_in",
    "predict_in_pieces",
    "predict_many",
    "task_weights",
    "train_net",
    "training_batch",
]

STRATEGIES = ("auto", "stacked", "sequential")


def check_data(net: MultiTaskNet, X: Any, y: Any = None, sample_weight: Any = None) -> TrainingData:
    """Check the parameters of a net and the data that it is to be trained on, once a fit.

    Parameters
    ----------
    net : MultiTaskNet
        Unfitted.
    X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes, or TrainingData
        What another estimator has checked is not looked at again.
    y : array-like of shape (n_samples, n_tasks) or (n_samples,)
        The task table `Y`; ignored beside TrainingData.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
        Beside TrainingData: those in it count if this is not None.

    Returns
    -------
    data : TrainingData
        Of the tasks that there is something to learn of.

    Raises
    ------
    ValueError
        If a parameter or the data are not right.
    """
    if isinstance(X, TrainingData):
        return net._take_data(X, weighted=sample_weight is not None)
    return net._check_data(X, y, sample_weight)


def build_net(net: MultiTaskNet, data: TrainingData, seed: int) -> MultiTaskNet:
    """Build the module, criterion and optimizer of a net, and try them on a batch."""
    net._prepare(data, seed=seed)
    return net


def train_net(
    net: MultiTaskNet,
    data: TrainingData,
    callbacks: Sequence[Callback] = (),
    checkpoint: RunningFit = NOT_KEPT,
    part: FitPart = UNHEARD,
) -> None:
    """Train a net that was built, or go on with what an earlier run has kept of it; as a part of
    another fit, if there is one."""
    with part.handed_to(net), part.running():
        net._train(data, extra_callbacks=callbacks, checkpoint=checkpoint)


def nets_in(estimator: Any) -> list[MultiTaskNet]:
    """The nets among an estimator and its parameters, unfitted."""
    return [part for part in parts_of(estimator) if isinstance(part, MultiTaskNet)]


def training_batch(net: MultiTaskNet, batch: Any) -> tuple[Any, Any]:
    """A batch (x, target) on the device of a net, whose module is set to training."""
    net._set_training(True)
    x, target = (to_tensor(part, net._device()) for part in batch)
    return x, target


def fit_many(
    nets: Sequence[MultiTaskNet],
    data: Sequence[TrainingData],
    seeds: Sequence[int],
    *,
    start: Callable[[MultiTaskNet, TrainingData], None] | None = None,
    make_recorder: Callable[[bool], DataMapRecorder] | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
    verbose: int = 0,
    description: str = "nets",
    checkpoint: RunningFit = NOT_KEPT,
    names: Sequence[str] = (),
    part: FitPart = UNHEARD,
) -> tuple[list[MultiTaskNet], list[DataMapRecorder]]:
    """Train each net on its data; every net is built and tried before any is trained.

    Parameters
    ----------
    nets : sequence of MultiTaskNet
        Unfitted clones that differ in their tasks and weights alone.
    data : sequence of TrainingData, one a net
    seeds : sequence of int, one a net
    start : callable, default=None
        Called with each net, built, and its data; may give it other first weights.
    make_recorder : callable, default=None
        Makes a recorder of data maps; told whether it records all nets.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        "stacked" trains all nets as one with stacked parameters, "sequential" one after
        another; "auto" stacks where it can be done and was measured to be faster. What is
        learned is the same to rounding.
    n_jobs : int, default=None
        Processes (joblib), or workers of a cluster, each training some of the nets; None (1 unless
        in a `joblib.parallel_config` context) or 1 trains in this one.
    verbose : int, default=0
        1 shows a progress bar over the epochs of all nets.
    description : str
        What the progress bar calls the nets.
    checkpoint : RunningFit, default=NOT_KEPT
        What is to keep the nets that are finished, and the state of those that train; a part of
        that of the fit, for these nets alone.
    names : sequence of str, one a net, default=()
        What callbacks are told that the nets are called, behind the names of the parts of the fit
        that this is in: "net 0", ... if there are none. They must differ where there are several
        nets, as files of callbacks go to folders of these names.
    part : FitPart, default=UNHEARD
        What the training of the nets is to scikit-learn's callbacks; its parts are the nets.

    Returns
    -------
    nets : list of MultiTaskNet
        The fitted nets; with `n_jobs`, copies that come back from the processes.
    recorders : list of DataMapRecorder
        One a net, in this order; or a single one of the tasks of all nets, in this order.

    Raises
    ------
    ValueError
        Before training, if "stacked" is asked for and cannot be, or if callbacks would keep files
        that nets cannot have each for itself.
    """
    names = list(names) or [f"net {j}" for j in range(len(nets))]
    for net, of_net, seed, name in zip(nets, data, seeds, names, strict=True):
        with part_of_fit(name):
            build_net(net, of_net, seed)
        if start is not None:
            start(net, of_net)
    in_processes = len(nets) > 1 and goes_elsewhere(n_jobs)
    if in_processes:
        check_callbacks_travel(nets, n_jobs)
    parts = [part.part(name, number=j) for j, name in enumerate(names)]
    own = [vars(net).get("_skl_callbacks") for net in nets]
    with ExitStack() as handed:
        for net, own_part in zip(nets, parts, strict=True):
            handed.enter_context(own_part.handed_to(net))
        trained, recorders = _train_many(
            nets,
            data,
            parts,
            make_recorder=make_recorder,
            strategy=strategy,
            in_processes=in_processes,
            n_jobs=n_jobs,
            verbose=verbose,
            description=description,
            checkpoint=checkpoint,
        )
    for net, callbacks in zip(trained, own, strict=True):
        without_handed(net, callbacks)  # of copies that came from processes
    return trained, recorders


def _train_many(
    nets: Sequence[MultiTaskNet],
    data: Sequence[TrainingData],
    parts: Sequence[FitPart],
    *,
    make_recorder: Callable[[bool], DataMapRecorder] | None,
    strategy: str,
    in_processes: bool,
    n_jobs: int | None,
    verbose: int,
    description: str,
    checkpoint: RunningFit,
) -> tuple[list[MultiTaskNet], list[DataMapRecorder]]:
    """Train nets that are built; see `fit_many`."""
    stack: Stack | str = ""
    if strategy == "stacked" or (
        strategy == "auto" and not in_processes and training_pays(nets, len(data[0].table.codes))
    ):
        stack = stack_or_reason(nets, data)
        if isinstance(stack, str) and strategy == "stacked":
            raise ValueError(f"These nets cannot be trained as a stack: {stack}.")
    total = sum(net.max_epochs for net in nets)
    with tqdm(total=total, desc=description, unit="epoch", disable=not verbose) as bar:
        progress = [EpochProgress(bar)] if verbose else []
        if isinstance(stack, Stack):
            recorders = [] if make_recorder is None else [make_recorder(True)]
            for part in parts:
                part.begin()
            train_stacked(
                stack,
                nets,
                data,
                recorder=next(iter(recorders), None),
                progress=progress,
                checkpoint=checkpoint,
            )
            for part in parts:
                part.end()
            return list(nets), recorders
        kept = [checkpoint.child(f"net{j}") for j in range(len(nets))]
        recorders = [] if make_recorder is None else [make_recorder(len(nets) == 1) for _ in nets]
        callbacks_of: list[list[Callback]] = [[r] for r in recorders] or [[] for _ in nets]
        if not in_processes:
            jobs = zip(parts, nets, data, callbacks_of, kept, strict=True)
            for part, net, of_net, callbacks, of_run in jobs:
                with part.running():
                    _train(net, of_net, [*callbacks, *progress], of_run)
                bar.total -= net.max_epochs - len(net.history_)  # early stopping
            return list(nets), recorders

        def calls() -> Iterator[Any]:
            for part, *job in zip(parts, nets, data, callbacks_of, kept, strict=True):
                part.begin()
                yield delayed(_train)(*job)

        done = []
        for part, (net, callbacks) in zip(parts, in_parallel(calls(), n_jobs), strict=True):
            part.end()
            bar.update(net.max_epochs)
            done.append((net, callbacks))
        return [net for net, _ in done], [r for _, callbacks in done for r in callbacks]


def predict_in_pieces(
    nets: Sequence[MultiTaskNet], dataset: TaskDataset, *, logits: bool = False
) -> Iterator[tuple[int, slice, NDArray[np.float32]]]:
    """Probabilities of each net, some rows at a time, so that they need never be held together.

    With `logits`, those that give these probabilities; numbers are the same either way.

    Yields
    ------
    net : int
        Position in `nets`.
    rows : slice
    proba : ndarray of shape (n_rows, n_outputs)
    """
    stack = prediction_stack(nets, dataset)
    # Nets with as many outputs may be of one shape where all together are not.
    groups = {0: list(range(len(nets)))}
    if stack is None:
        groups = {}
        for i, net in enumerate(nets):
            groups.setdefault(sum(net.task_outputs_), []).append(i)
    for members in groups.values():
        of_members = [nets[i] for i in members]
        if len(groups) > 1:
            stack = prediction_stack(of_members, dataset)
        if stack is not None:
            for rows, parts in _pieces(predict_stacked(stack, of_members, dataset, logits=logits)):
                yield from zip(members, [rows] * len(members), parts, strict=True)
            continue
        for i in members:
            batches = nets[i]._iter_proba(dataset, logits=logits)
            for rows, parts in _pieces([of_batch] for of_batch in batches):
                yield i, rows, parts[0]


def predict_many(nets: Sequence[MultiTaskNet], dataset: TaskDataset) -> list[NDArray[np.float32]]:
    """Probabilities (n_samples, n_outputs) of each net, by one batched pass where that pays."""
    proba = [np.empty((len(dataset), sum(net.task_outputs_)), dtype=np.float32) for net in nets]
    for i, rows, part in predict_in_pieces(nets, dataset):
        proba[i][rows] = part
    return proba


#: Numbers in a piece of predictions, of all nets that are predicted at once.
_PIECE = 2**20


def _pieces(batches: Iterable[list[Tensor]]) -> Iterator[tuple[slice, list[NDArray[np.float32]]]]:
    """Batches of several nets, put together to pieces, with the rows that these are."""
    start = stop = 0
    piece: list[NDArray[np.float32]] = []
    for batch in batches:
        n_rows = len(batch[0])
        if not piece:
            # One block for each net: many small ones would keep apart what was freed between them.
            width = max(1, sum(proba.shape[1] for proba in batch))
            most = max(n_rows, _PIECE // width)
            piece = [np.empty((most, proba.shape[1]), dtype=np.float32) for proba in batch]
        elif stop - start + n_rows > len(piece[0]):
            yield slice(start, stop), [rows[: stop - start] for rows in piece]
            start = stop
            most = max(n_rows, len(piece[0]))
            piece = [np.empty((most, rows.shape[1]), dtype=np.float32) for rows in piece]
        for rows, proba in zip(piece, batch, strict=True):
            # By NumPy: torch's threads, awake after the last batch, would wait for each other.
            rows[stop - start : stop - start + n_rows] = proba.numpy(force=True)
        stop += n_rows
    if piece:
        yield slice(start, stop), [rows[: stop - start] for rows in piece]


def _train(
    net: MultiTaskNet,
    data: TrainingData,
    callbacks: list[Callback],
    checkpoint: RunningFit,
) -> tuple[MultiTaskNet, list[Callback]]:
    train_net(net, data, callbacks, checkpoint)
    return net, callbacks
