"""Training many nets on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joblib import Parallel, delayed
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from skgroup.training._net import MultiTaskNet, TrainingData
from skgroup.training._progress import EpochProgress

__all__ = ["fit_many"]


def fit_many(
    nets: Sequence[MultiTaskNet],
    data: Sequence[TrainingData],
    seeds: Sequence[int],
    *,
    recorders: Sequence[Any] = (),
    n_jobs: int | None = None,
    verbose: int = 0,
    description: str = "nets",
) -> tuple[list[MultiTaskNet], list[Any]]:
    """Train each net on its data; every net is built and tried before any is trained.

    Parameters
    ----------
    nets : sequence of MultiTaskNet
        Unfitted nets.
    data : sequence of TrainingData, one a net
    seeds : sequence of int, one a net
    recorders : sequence of Callback, one a net, default=()
        A further callback of each net.
    n_jobs : int, default=None
        Processes (joblib); None or 1 trains in this one.
    verbose : int, default=0
        1 shows a progress bar over the epochs of all nets.
    description : str
        What the progress bar calls the nets.

    Returns
    -------
    nets : list of MultiTaskNet
        The fitted nets; with `n_jobs`, copies that come back from the processes.
    recorders : list of Callback
        Likewise.
    """
    for net, of_net, seed in zip(nets, data, seeds, strict=True):
        net.seed_ = seed
        net._prepare(of_net)
    callbacks: list[list[Callback]] = [[r] for r in recorders] or [[] for _ in nets]
    if n_jobs not in (None, 1) and len(nets) > 1:
        done = Parallel(n_jobs=n_jobs, verbose=10 * verbose)(
            delayed(_train)(net, of_net, own)
            for net, of_net, own in zip(nets, data, callbacks, strict=True)
        )
        return [net for net, _ in done], [r for _, own in done for r in own]
    total = sum(net.max_epochs for net in nets)
    with tqdm(total=total, desc=description, unit="epoch", disable=not verbose) as bar:
        for net, of_net, own in zip(nets, data, callbacks, strict=True):
            _train(net, of_net, [*own, EpochProgress(bar)] if verbose else own)
            bar.total -= net.max_epochs - len(net.history_)  # early stopping
    return list(nets), list(recorders)


def _train(
    net: MultiTaskNet, data: TrainingData, callbacks: list[Callback]
) -> tuple[MultiTaskNet, list[Callback]]:
    net._train(data, extra_callbacks=callbacks)
    return net, callbacks
