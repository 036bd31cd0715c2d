"""Scores after every epoch, of classifiers that serve with one net or with many."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from skorch.callbacks import Callback
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._estimators import parts_of, pos_label_of, steps_of
from skgroup._fit_parts import part_of_fit
from skgroup._random import open_seed
from skgroup.comparison._candidates import check_n_samples, seeded, try_candidate
from skgroup.comparison._kinds import name_default_nets, of_kinds, task_types_of
from skgroup.comparison._splits import SeededSplit, check_seeds, draw_splits
from skgroup.comparison._task_scores import TaskScores
from skgroup.ensemble import GroupedMTLEstimator
from skgroup.tasks import check_tasks, single_classes_said
from skgroup.training import MultiTaskNet
from skgroup.training.data import labels_of, take_samples

__all__ = ["epoch_scores"]

_KEEPER = "kept for epoch_scores"


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
        Means over tasks, of one kind; NaN at epochs that are not those of the estimator, and where
        a fit failed or did not run. Rows of a split whose training ended before that of others go
        on as they ended.
    epochs : ndarray of shape (n_kept_epochs,)
    name : str
        Of the score.
    """
    Y = labels_of(X) if Y is None and isinstance(X, Dataset) else Y
    table = check_tasks(Y, pos_label=pos_label_of(estimators), task_types=task_types_of(estimators))
    check_n_samples(X, table)
    scorer = TaskScores(scoring, table, owner, one_kind=True)
    splits = draw_splits(cv, table, check_seeds(seeds, owner), owner)
    keeping = {
        name: of_kinds(name, _keep_states(name, e, n_epochs, owner), table, owner)
        for name, e in estimators.items()
    }
    training_data = take_samples(X, splits[0].train), take_samples(Y, splits[0].train)
    for name, estimator in keeping.items():
        try_candidate(name, estimator, training_data, scorer, owner)
    curves: dict[str, dict[int, _Curve]] = {}
    last_error: Exception | None = None
    with tqdm(total=len(splits) * len(keeping), unit="fit", disable=not verbose) as bar:
        for row, split in enumerate(splits):
            parts = {"train": split.train, "test": split.test}
            if score_type != "both":
                parts = {score_type: parts[score_type]}
            for name, estimator in keeping.items():
                bar.set_postfix_str(name)
                try:
                    with part_of_fit(f"{name}, seed {split.seed}, fold {split.fold}"):
                        of_parts = _fit_and_score(estimator, split, X, Y, parts, scorer)
                except Exception as error:
                    last_error = error
                    warnings.warn(
                        f"{name!r} failed with seed {split.seed}, which is left out of its curve, "
                        f"with {type(error).__name__}: {error}",
                        FitFailedWarning,
                        stacklevel=3,
                    )
                else:
                    for part, curve in of_parts.items():
                        key = f"{name} ({part})" if score_type == "both" else name
                        curves.setdefault(key, {})[row] = curve
                bar.update()
    if not curves:
        raise ValueError(f"All fits of {owner} failed.") from last_error
    return *_as_arrays(curves, len(splits)), str(scorer.name)


@dataclass
class _Curve:
    """Scores of a fit: of every so many epochs, and of the last one."""

    stride: int
    scores: dict[int, float]


def _as_arrays(
    curves: dict[str, dict[int, _Curve]], n_splits: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.intp]]:
    """Scores (n_splits, n_epochs) by name, at the epochs of any of the curves, and the epochs."""
    grids = {name: _grid([*of_name.values()]) for name, of_name in curves.items()}
    epochs = np.unique(np.concatenate([*grids.values()]))
    arrays = {}
    for name, of_name in curves.items():
        on_grid = np.isin(epochs, grids[name])
        arrays[name] = np.full((n_splits, len(epochs)), np.nan)
        for row, curve in of_name.items():
            end = max(curve.scores)
            arrays[name][row, on_grid] = [curve.scores[min(e, end)] for e in epochs[on_grid]]
    return arrays, epochs


class _States(Callback):
    """Keeps what a net has learned after every epoch, then every second, fourth, ... one, so that
    there are never more than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.stride = 1
        self.states: dict[int, dict[str, Any]] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        epoch = len(net.history_)
        if epoch % self.stride == 0:
            self.states[epoch] = _state(net)
        while len(self.states) > self.most:
            self.stride *= 2
            self.states = {e: s for e, s in self.states.items() if e % self.stride == 0}


def _state(net: Any) -> dict[str, Any]:
    return {
        name: value.detach().cpu().clone() if torch.is_tensor(value) else copy.deepcopy(value)
        for name, value in net.module_.state_dict().items()
    }


def _keep_states(name: str, estimator: Any, most: int, owner: str) -> Any:
    """A clone whose nets keep their states."""
    cloned, last = None, None
    if not isinstance(estimator, type) and hasattr(estimator, "get_params"):
        cloned = clone(estimator)
        last = steps_of(cloned)[-1]
    if not isinstance(last, MultiTaskNet | GroupedMTLEstimator):
        raise ValueError(
            f"The estimators of {owner} must be MultiTaskNet, GroupedMTLClassifier, "
            "GroupedMTLRegressor, GroupedMTLEstimator or pipelines that end in one, as others have "
            f"no epochs. Got {estimator!r} as {name!r}."
        )
    name_default_nets(cloned)
    for part in parts_of(cloned):
        if part.get_params(deep=False).get("strategy") == "stacked":
            part.set_params(strategy="auto")  # the results are the same; a stack keeps no states
    for net in parts_of(cloned):
        if isinstance(net, MultiTaskNet):
            # Not by set_params, which would build the net's other callbacks without its data.
            if isinstance(net.callbacks, str):  # "disable"
                net.callbacks, net.callbacks__print_log = [], None
            net.callbacks = [*(net.callbacks or []), (_KEEPER, _States(most))]
    return cloned


def _fit_and_score(
    estimator: Any,
    split: SeededSplit,
    X: Any,
    Y: Any,
    parts: dict[str, NDArray[np.intp]],
    scorer: TaskScores,
) -> dict[str, _Curve]:
    """Of each part of the samples, the scores after the epochs that were kept."""
    fitted = seeded(estimator, split.seed)
    with single_classes_said(scorer.table), open_seed(split.seed):
        fitted.fit(take_samples(X, split.train), take_samples(Y, split.train))
    last = steps_of(fitted)[-1]
    nets = [last] if isinstance(last, MultiTaskNet) else last.specialists_
    ends = [_state(net) for net in nets]
    keepers = [dict(net.callbacks_)[_KEEPER] for net in nets]
    n_epochs = max(len(net.history_) for net in nets)
    stride = max(keeper.stride for keeper in keepers)
    inputs = {part: take_samples(X, samples) for part, samples in parts.items()}
    curves = {part: _Curve(stride, {}) for part in parts}
    for epoch in [*range(stride, n_epochs, stride), n_epochs]:
        for net, end, keeper in zip(nets, ends, keepers, strict=True):
            trains_on = epoch < len(net.history_)
            net.module_.load_state_dict(keeper.states[epoch] if trains_on else end)
        for part, samples in parts.items():
            with open_seed(split.seed):  # modules may draw random numbers
                scores = scorer(fitted, inputs[part], samples)
            curves[part].scores[epoch] = float(np.nanmean(scores))
    return curves


def _grid(curves: list[_Curve]) -> list[int]:
    """The epochs that all fits have scores at or have ended before, and the last of all."""
    stride = max(curve.stride for curve in curves)
    end = max(max(curve.scores) for curve in curves)
    return [*range(stride, end, stride), end]
