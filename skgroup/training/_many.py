"""Training many nets on the same samples: stacked, one after another, or in processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from skgroup.training._data import TaskDataset
from skgroup.training._data_map import DataMapRecorder
from skgroup.training._net import MultiTaskNet
from skgroup.training._progress import EpochProgress
from skgroup.training._stack import (
    Stack,
    predict_stacked,
    stack_or_reason,
    stack_pays,
    train_stacked,
)
from skgroup.training._training_data import TrainingData

__all__ = ["STRATEGIES", "fit_many", "predict_many"]

STRATEGIES = ("auto", "stacked", "sequential")


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
        Processes (joblib), each training some of the nets; None or 1 trains in this one.
    verbose : int, default=0
        1 shows a progress bar over the epochs of all nets.
    description : str
        What the progress bar calls the nets.

    Returns
    -------
    nets : list of MultiTaskNet
        The fitted nets; with `n_jobs`, copies that come back from the processes.
    recorders : list of DataMapRecorder
        One a net, in this order; or a single one of the tasks of all nets, in this order.

    Raises
    ------
    ValueError
        Before training, if "stacked" is asked for and cannot be.
    """
    for net, of_net, seed in zip(nets, data, seeds, strict=True):
        net._prepare(of_net, seed=seed)
        if start is not None:
            start(net, of_net)
    in_processes = n_jobs not in (None, 1) and len(nets) > 1
    stack: Stack | str = ""
    if strategy == "stacked" or (
        strategy == "auto" and not in_processes and stack_pays(nets, len(data[0].table.codes))
    ):
        stack = stack_or_reason(nets, data)
        if isinstance(stack, str) and strategy == "stacked":
            raise ValueError(f"These nets cannot be trained as a stack: {stack}.")
    total = sum(net.max_epochs for net in nets)
    with tqdm(total=total, desc=description, unit="epoch", disable=not verbose) as bar:
        progress = [EpochProgress(bar)] if verbose else []
        if isinstance(stack, Stack):
            recorders = [] if make_recorder is None else [make_recorder(True)]
            train_stacked(
                stack, nets, data, recorder=next(iter(recorders), None), progress=progress
            )
            return list(nets), recorders
        recorders = [] if make_recorder is None else [make_recorder(len(nets) == 1) for _ in nets]
        own: list[list[Callback]] = [[r] for r in recorders] or [[] for _ in nets]
        if not in_processes:
            for net, of_net, callbacks in zip(nets, data, own, strict=True):
                _train(net, of_net, [*callbacks, *progress])
                bar.total -= net.max_epochs - len(net.history_)  # early stopping
            return list(nets), recorders
        jobs = (delayed(_train)(*job) for job in zip(nets, data, own, strict=True))
        done = []
        for net, callbacks in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
            bar.update(net.max_epochs)
            done.append((net, callbacks))
        return [net for net, _ in done], [r for _, callbacks in done for r in callbacks]


def predict_many(nets: Sequence[MultiTaskNet], dataset: TaskDataset) -> list[NDArray[np.float32]]:
    """Probabilities (n_samples, n_outputs) of each net, by one batched pass where that pays."""
    together = predict_stacked(nets, dataset)
    if together is not None:
        return together
    proba: dict[int, NDArray[np.float32]] = {}
    # Nets with as many outputs may be of one shape where all together are not.
    for n_outputs in sorted({sum(net.task_outputs_) for net in nets}):
        members = [i for i, net in enumerate(nets) if sum(net.task_outputs_) == n_outputs]
        of_members = [nets[i] for i in members]
        stacked = predict_stacked(of_members, dataset)
        if stacked is None:
            stacked = [net._flat_proba(dataset) for net in of_members]
        proba.update(zip(members, stacked, strict=True))
    return [proba[i] for i in range(len(nets))]


def _train(
    net: MultiTaskNet, data: TrainingData, callbacks: list[Callback]
) -> tuple[MultiTaskNet, list[Callback]]:
    net._train(data, extra_callbacks=callbacks)
    return net, callbacks
