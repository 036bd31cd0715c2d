"""What the scores of candidates say: means, paired differences, costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._groupings import Groupings
from skgroup.comparison.intervals import UNKNOWN, Paired, paired_interval


class Measure(NamedTuple):
    """What scores are, and the scores (n_candidates, n_splits, n_tasks)."""

    scoring: str | dict[str, str]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Figures:
    """Scores of candidates on the same splits, and what is computed of them; for the attributes
    see `Comparison`."""

    candidates: list[str]
    baselines: list[str]
    kinds: list[str]
    tasks: list[str]
    scoring: str | dict[str, str]
    seeds: NDArray[np.intp]
    folds: NDArray[np.intp]
    split_ids: NDArray[np.intp]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nets: NDArray[np.float64]
    test_to_train: float
    interval: str = "corrected"
    errors: dict[tuple[str, int, int], str] = field(default_factory=dict)
    interrupted: bool = False
    task_kinds: list[str] | None = None
    remarks: list[str] = field(default_factory=list)
    scoring_name: str = "score"
    others: dict[str, Measure] = field(default_factory=dict)
    groupings: dict[str, Groupings] = field(default_factory=dict)
    unscored: dict[str, dict[tuple[str, int, int], str]] = field(default_factory=dict)
    of_populations: bool = False

    @property
    def scorings(self) -> list[str]:
        """The names of all scorings, that which `values` and all figures are of first."""
        return [self.scoring_name, *self.others]

    def by_scoring(self, name: str) -> Self:
        """The same by another of the `scorings`.

        Parameters
        ----------
        name : str
            As in the `scoring` that `compare` was given.

        Returns
        -------
        comparison : Comparison
            Whose `values`, `frame`, `best_baseline` and `verdict` are of this scoring.

        Raises
        ------
        ValueError
            If there is no such scoring.
        """
        measures = {self.scoring_name: Measure(self.scoring, self.values), **self.others}
        if name not in measures:
            raise ValueError(f"name must be one of the scorings {self.scorings}. Got {name!r}.")
        first = measures.pop(name)
        return replace(
            self, scoring_name=name, scoring=first.scoring, values=first.values, others=measures
        )

    @property
    def is_mixed(self) -> bool:
        """Whether scores are of several kinds, so that they have no mean."""
        return isinstance(self.scoring, dict)

    @cached_property
    def tasks_by_score(self) -> list[tuple[str, NDArray[np.intp]]]:
        """The name of each score, and the tasks that have it."""
        if not isinstance(self.scoring, dict):
            return [(self.scoring, np.arange(len(self.tasks)))]
        kinds = np.array(self.task_kinds)
        return [(name, np.flatnonzero(kinds == kind)) for kind, name in self.scoring.items()]

    @cached_property
    def overall(self) -> NDArray[np.float64]:
        """Mean over tasks, (n_candidates, n_splits); where scores are of several kinds, of
        standardised scores: those of each task less their mean, divided by `spread`.

        A task counts in a split where all candidates that finished have a score of it.
        """
        if not self.is_mixed:
            return _mean_over_tasks(self.values)
        known = np.isfinite(self.values)
        total = np.where(known, self.values, 0.0).sum(axis=(0, 1))
        center = total / np.maximum(known.sum(axis=(0, 1)), 1)
        return _mean_over_tasks((self.values - center) / self.spread)

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """What differences of each task are divided by where they are standardised, (n_tasks,):
        the standard deviation of its score over splits, the median of those of the candidates; over
        candidates where there is a single split, or nothing varies over splits."""
        of_candidates = _sd(self.values)
        spread = _sd(self.values.reshape(1, -1, len(self.tasks)))[0]
        for t, of_task in enumerate(of_candidates.T):  # one that diverges changes no median
            known = of_task[np.isfinite(of_task)]
            # Of equal scores, rounding leaves a spread of almost 0.
            if len(known) and np.median(known) > 1e-9 * spread[t]:
                spread[t] = np.median(known)
        return np.where(spread > 0, spread, 1.0)

    def mean_over(self, tasks: NDArray[np.intp]) -> NDArray[np.float64]:
        """Mean over some tasks, of one score, (n_candidates, n_splits); see `overall`."""
        return _mean_over_tasks(self.values[:, :, tasks])

    def better(self, candidate: str, other: str) -> NDArray[np.float64]:
        """Of each task, (n_tasks,), 1 where a candidate scores more than another by the mean over
        the splits that both have, 0 where it does not; NaN where there are none."""
        ours, theirs = (self.values[self.candidates.index(name)] for name in (candidate, other))
        known = np.isfinite(ours - theirs)
        difference = np.where(known, ours - theirs, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), difference > 0, np.nan)

    @cached_property
    def best_baseline(self) -> str | None:
        """The baseline of the highest mean over tasks, on the splits that all have finished."""
        scores = {name: self.overall[self.candidates.index(name)] for name in self.baselines}
        scores = {name: s for name, s in scores.items() if np.isfinite(s).any()}
        if not scores:
            return None
        common = np.isfinite(list(scores.values())).all(axis=0)
        common = common if common.any() else np.ones_like(common)
        return max(scores, key=lambda name: mean_of_known(scores[name][common]))

    @property
    def grouped(self) -> list[str]:
        """Those of the candidates that group the tasks."""
        return [c for c, kind in zip(self.candidates, self.kinds, strict=True) if kind == "grouped"]

    @property
    def lacking(self) -> list[str]:
        """What a grouping or balancing should be set beside and is not, or has not finished a fit:
        single-task nets; an ensemble of as many multi-task nets (within a tenth), or such nets
        without balancing."""
        balanced = "balanced" in self.kinds
        if self.of_populations or len(self.tasks) == 1 or not (self.grouped or balanced):
            return []
        nets: defaultdict[str, list[float]] = defaultdict(list)
        for i, kind in enumerate(self.kinds):
            if np.isfinite(self.overall[i]).any():
                nets[kind].append(mean_of_known(self.nets[i]))
        kinds = set(self.task_kinds or ["classes"])
        of_one = {"classes": "GroupedMTLClassifier", "regression": "GroupedMTLRegressor"}
        name = of_one[kinds.pop()] if len(kinds) == 1 else "GroupedMTLEstimator"
        lacking = [] if nets["STL"] else [f"single-task nets ({name}.stl)"]
        known = [n for n in nets["grouped"] if np.isfinite(n)]
        if balanced and not nets["MTL"]:
            lacking.append(f"multi-task nets without balancing ({name}.mtl)")
        # Where the number of nets of an ensemble is not known, it may be as many.
        elif self.grouped and not any(
            np.isnan(n) or n >= 0.9 * max(known, default=2) for n in nets["MTL"]
        ):
            lacking.append(f"an ensemble of as many multi-task nets ({name}.mtl_ensemble)")
        return lacking

    def paired(
        self, candidate: str, other: str, tasks: int | NDArray[np.intp] | None = None
    ) -> Paired:
        """How much better a candidate is than another, over the splits that both have finished.

        Parameters
        ----------
        candidate, other : str
        tasks : int or ndarray of int, default=None
            Position of a task, or those of tasks of one score, whose mean counts; `overall` if
            None.

        Returns
        -------
        paired : Paired
            With `difference`, its standard `error`, `low` and `high`.
        """
        scores = self._scores_of(tasks)
        ours, theirs = (scores[self.candidates.index(name)] for name in (candidate, other))
        return paired_interval(ours - theirs, self.units, self.test_to_train, self.interval)

    def _scores_of(self, tasks: int | NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Scores (n_candidates, n_splits), see `paired`."""
        return self.overall if tasks is None else self.mean_over(np.atleast_1d(tasks))

    def form(self, tasks: int | NDArray[np.intp] | None = None) -> str:
        """How scores of some tasks are written, see `paired`: with three decimals, or as many
        digits where errors are in very large or small units; standardised ones with two decimals.
        """
        if tasks is None and self.is_mixed:
            return ".2f"
        scores = self._scores_of(tasks)
        largest = np.abs(scores[np.isfinite(scores)]).max(initial=0.0)
        return ".3f" if largest == 0 or 0.01 <= largest < 1e5 else ".3g"

    @property
    def same_splits(self) -> bool:
        """Whether seeds share splits."""
        return len(np.unique(self.split_ids)) < len(self.split_ids)

    @property
    def units(self) -> NDArray[np.intp]:
        """What each split counts to in intervals: its seed, or the distinct split that it is."""
        return self.seeds if self.interval == "seeds" else self.split_ids

    @property
    def n_finished(self) -> int:
        """Fits that finished."""
        return int(np.isfinite(self.seconds).sum())

    @property
    def scoring_errors(self) -> dict[tuple[str, int, int], str]:
        """Why the scoring has no score of fits that finished."""
        return self.unscored.get(self.scoring_name, {})

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which fits, (n_candidates, n_splits), finished and were scored."""
        scored: NDArray[np.bool_] = np.isfinite(self.seconds)
        for candidate, seed, fold in self.scoring_errors:
            split = (self.seeds == seed) & (self.folds == fold)
            scored[self.candidates.index(candidate), split] = False
        return scored

    @property
    def failed(self) -> set[str]:
        """The candidates of which a fit failed, or its scoring."""
        return {candidate for candidate, _, _ in [*self.errors, *self.scoring_errors]}

    def seconds_of(self, candidate: str) -> float:
        """The median time of a candidate's fits, NaN if none has finished."""
        # Of all fits the first takes longest, and not because of its candidate.
        seconds = self.seconds[self.candidates.index(candidate)]
        finished = seconds[np.isfinite(seconds)]
        return float(np.median(finished)) if len(finished) else float("nan")

    def nets_of(self, candidate: str) -> float:
        """The mean number of nets of a candidate's fits, NaN if it is not known."""
        return mean_of_known(self.nets[self.candidates.index(candidate)])

    def summary(
        self, candidate: str, tasks: int | NDArray[np.intp] | None = None
    ) -> dict[str, Any]:
        """The row of a candidate and some tasks in `frame`; see `paired`."""
        scores = self._scores_of(tasks)[self.candidates.index(candidate)]
        scores = scores[np.isfinite(scores)]
        best = self.best_baseline
        paired = UNKNOWN if best is None else self.paired(candidate, best, tasks)
        better = np.full(len(self.tasks), np.nan)
        if best not in (None, candidate):
            better = self.better(candidate, str(best))
        seconds = self.seconds_of(candidate)
        return {
            "mean": mean_of_known(scores),
            "sd": float(scores.std(ddof=1)) if len(scores) > 1 else np.nan,
            "n_splits": len(scores),
            "difference": paired.difference,
            "low": paired.low,
            "high": paired.high,
            "nets": self.nets_of(candidate),
            "seconds": seconds,
            "time_ratio": seconds / self.seconds_of(self.baselines[0]),
            "better": mean_of_known(better if tasks is None else better[np.atleast_1d(tasks)]),
        }


def _mean_over_tasks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of (n_candidates, n_splits, n_tasks), of what counts."""
    scored = np.isfinite(values)
    finished = scored.any(axis=2, keepdims=True)
    counted = (scored | ~finished).all(axis=0) & finished
    total = np.where(counted, values, 0.0).sum(axis=2)
    number = counted.sum(axis=2)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _sd(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the second axis of (n_candidates, n_splits, n_tasks), of what is
    known; NaN of less than two."""
    known = np.isfinite(values)
    n = known.sum(axis=1)
    mean = np.where(known, values, 0.0).sum(axis=1) / np.maximum(n, 1)
    squared = np.where(known, values - mean[:, None], 0.0) ** 2
    return np.where(n > 1, np.sqrt(squared.sum(axis=1) / np.maximum(n - 1, 1)), np.nan)


def mean_of_known(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN if there is nothing."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
