"""What the scores of candidates say: means, paired differences, costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison.intervals import UNKNOWN, Paired, paired_interval


@dataclass(frozen=True, eq=False, repr=False)
class Figures:
    """Scores of candidates on the same splits, and what is computed of them; for the attributes
    see `Comparison`."""

    candidates: list[str]
    baselines: list[str]
    kinds: list[str]
    tasks: list[str]
    scoring: str
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

    @cached_property
    def overall(self) -> NDArray[np.float64]:
        """Mean over tasks, (n_candidates, n_splits).

        A task counts in a split where all candidates that finished have a score of it.
        """
        scored = np.isfinite(self.values)
        finished = scored.any(axis=2, keepdims=True)
        counted = (scored | ~finished).all(axis=0) & finished
        total = np.where(counted, self.values, 0.0).sum(axis=2)
        number = counted.sum(axis=2)
        return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)

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
        """What a grouping should be set beside and is not, or has not finished a fit: single-task
        nets, an ensemble of as many multi-task nets (within a tenth)."""
        if len(self.tasks) == 1 or not self.grouped:
            return []
        nets: defaultdict[str, list[float]] = defaultdict(list)
        for i, kind in enumerate(self.kinds):
            if np.isfinite(self.overall[i]).any():
                nets[kind].append(mean_of_known(self.nets[i]))
        lacking = [] if nets["STL"] else ["single-task nets (GroupedMTLClassifier.stl)"]
        known = [n for n in nets["grouped"] if np.isfinite(n)]
        # Where the number of nets of an ensemble is not known, it may be as many.
        if not any(np.isnan(n) or n >= 0.9 * max(known, default=2) for n in nets["MTL"]):
            lacking.append(
                "an ensemble of as many multi-task nets (GroupedMTLClassifier.mtl_ensemble)"
            )
        return lacking

    def paired(self, candidate: str, other: str, task: int | None = None) -> Paired:
        """How much better a candidate is than another, over the splits that both have finished.

        Parameters
        ----------
        candidate, other : str
        task : int, default=None
            Position of a task; the mean over tasks if None.

        Returns
        -------
        paired : Paired
            With `difference`, its standard `error`, `low` and `high`.
        """
        scores = self.overall if task is None else self.values[:, :, task]
        ours, theirs = (scores[self.candidates.index(name)] for name in (candidate, other))
        return paired_interval(ours - theirs, self.units, self.test_to_train, self.interval)

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
    def failed(self) -> set[str]:
        """The candidates of which a fit failed."""
        return {candidate for candidate, _, _ in self.errors}

    def seconds_of(self, candidate: str) -> float:
        """The median time of a candidate's fits, NaN if none has finished."""
        # Of all fits the first takes longest, and not because of its candidate.
        seconds = self.seconds[self.candidates.index(candidate)]
        finished = seconds[np.isfinite(seconds)]
        return float(np.median(finished)) if len(finished) else float("nan")

    def nets_of(self, candidate: str) -> float:
        """The mean number of nets of a candidate's fits, NaN if it is not known."""
        return mean_of_known(self.nets[self.candidates.index(candidate)])

    def summary(self, candidate: str, task: int | None = None) -> dict[str, Any]:
        """The row of a candidate and task in `frame`; of the mean over tasks if `task` is None."""
        i = self.candidates.index(candidate)
        scores = self.overall[i] if task is None else self.values[i, :, task]
        scores = scores[np.isfinite(scores)]
        best = self.best_baseline
        paired = UNKNOWN if best is None else self.paired(candidate, best, task)
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
        }


def mean_of_known(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN if there is nothing."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
