"""Scores after every epoch, of classifiers that serve with one net or with many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from skorch.callbacks import Callback
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._validation import check_tasks
from skgroup.ensemble._compare import (
    _check_estimator,
    _check_seeds,
    _interruptions_raised,
    _seeded,
    _splits,
)
from skgroup.ensemble._grouped import GroupedMTLClassifier
from skgroup.ensemble._groupers import steps_of
from skgroup.ensemble._task_scores import TaskScores
from skgroup.training import MultiTaskNet
from skgroup.training._data import labels_of, take_samples
from skgroup.training._random import local_seed

__all__ = ["epoch_scores"]

_KEPT = "kept for epoch_scores"


def epoch_scores(
    estimators: Mapping[str, Any],
    X: Any,
    Y: Any,
    *,
    cv: Any,
    seeds: int | Sequence[int],
    scoring: Any,
    score_type: str,
    n_epochs: int,
    verbose: int,
    owner: str,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.intp], str]:
    """Fit clones of the estimators on the same splits; score them as they were after some epochs.

    Returns
    -------
    scores : dict of str to ndarray of shape (n_splits, n_kept_epochs)
        Means over tasks; NaN at epochs that an estimator has not trained for.
    epochs : ndarray of shape (n_kept_epochs,)
    name : str
        Of the score.
    """
    Y = labels_of(X) if Y is None and isinstance(X, Dataset) else Y
    table = check_tasks(Y)
    scorer = TaskScores(scoring, table, owner)
    splits = [
        (seed, *split)
        for seed in _check_seeds(seeds, owner)
        for split in _splits(cv, table, seed, owner)
    ]
    longest = max(_longest(name, estimator, owner) for name, estimator in estimators.items())
    at = np.unique(np.linspace(1, longest, min(n_epochs, longest)).round().astype(int)).tolist()
    kept = {name: _keep_states(estimator, at) for name, estimator in estimators.items()}
    for name, estimator in kept.items():
        _check_estimator(name, estimator, X, Y, table, splits[0][1], scorer, owner)
    found: dict[str, list[dict[int, float]]] = {}
    bar = tqdm(total=len(splits) * len(kept), unit="fit", disable=not verbose)
    with bar:
        for seed, train, test in splits:
            parts = {"train": train, "test": test}
            shown = parts if score_type == "both" else [score_type]
            of_part = {p: (take_samples(X, parts[p]), take_samples(Y, parts[p])) for p in shown}
            for name, estimator in kept.items():
                bar.set_postfix_str(name)
                fitted = _seeded(estimator, seed)
                with local_seed(seed), _interruptions_raised():
                    fitted.fit(take_samples(X, train), take_samples(Y, train))
                scores = _score(fitted, at, of_part, scorer)
                for part, of_epoch in scores.items():
                    key = f"{name} ({part})" if score_type == "both" else name
                    found.setdefault(key, []).append(of_epoch)
                bar.update()
    epochs = sorted({epoch for rows in found.values() for row in rows for epoch in row})
    arrays = {
        name: np.array([[row.get(epoch, np.nan) for epoch in epochs] for row in rows])
        for name, rows in found.items()
    }
    return arrays, np.array(epochs), scorer.name


class _States(Callback):
    """Keeps what a net has learned after some of its epochs."""

    def __init__(self, at: Sequence[int]) -> None:
        self.at = at

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.states: dict[int, dict[str, torch.Tensor]] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history_) in self.at:
            self.states[len(net.history_)] = _state(net)


def _state(net: Any) -> dict[str, torch.Tensor]:
    return {name: t.detach().cpu().clone() for name, t in net.module_.state_dict().items()}


def _longest(name: str, estimator: Any, owner: str) -> int:
    """The most epochs that a net of an estimator trains for, by its parameters."""
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        last = None
    else:
        last = steps_of(estimator)[-1]
    if not isinstance(last, MultiTaskNet | GroupedMTLClassifier):
        raise ValueError(
            f"The estimators of {owner} must be MultiTaskNet, GroupedMTLClassifier or pipelines "
            f"that end in one, as others have no epochs. Got {estimator!r} as {name!r}."
        )
    net = getattr(last, "estimator", None) if isinstance(last, GroupedMTLClassifier) else last
    own = (MultiTaskNet() if net is None else net).max_epochs
    return int(max(own, getattr(last, "specialist_epochs", None) or 0))


def _keep_states(estimator: Any, at: list[int]) -> Any:
    """A clone whose nets keep their states."""
    estimator = clone(estimator)
    last = steps_of(estimator)[-1]
    if isinstance(last, GroupedMTLClassifier) and last.estimator is None:
        last.set_params(estimator=MultiTaskNet())
    for net in [estimator, *estimator.get_params(deep=True).values()]:
        if isinstance(net, MultiTaskNet):
            own = net.callbacks if isinstance(net.callbacks, list | tuple) else []
            net.set_params(callbacks=[*own, (_KEPT, _States(at))])
    return estimator


def _score(
    estimator: Any, at: list[int], of_part: dict[str, tuple[Any, Any]], scorer: TaskScores
) -> dict[str, dict[int, float]]:
    """Of each part, the score after each epoch: at the last, that of the estimator as it is."""
    last = steps_of(estimator)[-1]
    nets = [last] if isinstance(last, MultiTaskNet) else last.candidates_
    ends = [_state(net) for net in nets]
    n_epochs = max(len(net.history_) for net in nets)
    found: dict[str, dict[int, float]] = {part: {} for part in of_part}
    for epoch in [*(e for e in at if e < n_epochs), n_epochs]:
        for net, end in zip(nets, ends, strict=True):
            trains_on = epoch < len(net.history_)
            states = dict(net.callbacks_)[_KEPT].states
            net.module_.load_state_dict(states[epoch] if trains_on else end)
        for part, (X, Y) in of_part.items():
            found[part][epoch] = float(np.nanmean(scorer(estimator, X, Y)))
    return found
