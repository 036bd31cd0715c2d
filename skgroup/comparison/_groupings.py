"""The groups that candidates find, and how sure these are over the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skgroup._estimators import steps_of
from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.stability import agreement, agreement_by_chance, hard_labels, places_of
from skgroup.comparison._of_rows import OfRows
from skgroup.ensemble import GroupedMTLEstimator
from skgroup.relations.relation import RelationMixin
from skgroup.selection import GroupStability

_N_CHANCE = 200
#: Enough to tell with four numbers of groups, in half of the time of the estimator's default.
_N_REFERENCES = 99


@dataclass(frozen=True)
class Groupings:
    """What one candidate found on each split.

    Attributes
    ----------
    memberships : list of ndarray of shape (n_tasks, n_groups)
        None where a fit failed or did not run.
    places : list of ndarray of shape (n_tasks, d), or None
        Where the tasks lay that were clustered.
    clusterer : estimator or None
        What clustered them.
    """

    memberships: list[NDArray[np.float64] | None]
    places: list[NDArray[np.float64]] | None
    clusterer: Any

    @property
    def found(self) -> list[NDArray[np.float64]]:
        return [m for m in self.memberships if m is not None]

    @property
    def can_be_judged(self) -> bool:
        """Whether there are two groupings, of three tasks that are in some group."""
        return len(self.found) > 1 and bool(self._learned().sum() > 2)

    @property
    def is_one_answer(self) -> bool:
        """Whether tasks are all together, or all apart, on every split: no groups to be sure of."""
        return all(m.shape[1] in (1, len(m)) for m in self.found)

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """Each number of groups that was found, and on how many splits, the most first."""
        return Counter(m.shape[1] for m in self.found).most_common()

    def _learned(self) -> NDArray[np.bool_]:
        return np.any([m.any(axis=1) for m in self.found], axis=0)

    def agreement(self) -> tuple[float, float]:
        """Mean adjusted Rand index between splits, and its 95 % quantile by chance."""
        learned = self._learned()
        labels = np.stack([hard_labels(m[learned]) for m in self.found])
        by_chance = agreement_by_chance(labels, _N_CHANCE, np.random.default_rng(0))
        return agreement(labels), float(np.quantile(by_chance, 0.95))

    def judge(self, task_names: list[str], train_size: float) -> GroupStability:
        """As far as groups and places tell, each found on a share of the samples."""
        places: dict[str, Any] = {}
        if self.places is not None and self.clusterer is not None:
            places = {"relations": self.places, "clusterer": self.clusterer}
        return GroupStability.from_memberships(
            self.found,
            train_size=train_size,
            task_names=task_names,
            n_references=_N_REFERENCES,
            random_state=0,
            **places,
        )


def groups_of(fitted: Any) -> dict[str, Any] | None:
    """What a fitted candidate found, as lists that a file can hold; None if it looks for no groups.

    Places are those of the relation that was clustered, on a scale of their own.
    """
    if isinstance(fitted, OfRows):
        of_rows = fitted.membership_
        return None if of_rows is None else {"membership": of_rows.tolist(), "places": None}
    last = _last(fitted)
    if not isinstance(last, GroupedMTLEstimator) or last.grouper_ is None:
        return None
    membership, grouper = last.membership_, last.grouper_
    places = None
    if isinstance(grouper, Pipeline) and isinstance(steps_of(grouper)[0], RelationMixin):
        # A relation looks at no sample again.
        rows = np.asarray(Pipeline(grouper.steps[:-1]).transform(None), dtype=np.float64)
        learned = membership.any(axis=1)
        if len(rows) == learned.sum() > 2:
            points = np.zeros((len(membership), len(rows) - 1))
            points[learned] = places_of(rows)
            places = (points / (np.abs(points).max() or 1.0)).round(6).tolist()
    return {"membership": membership.tolist(), "places": places}


def groupings_of(estimator: Any, of_splits: Mapping[int, Any], n_splits: int) -> Groupings:
    """Of a candidate, from what `groups_of` gave of each split that was fitted."""
    last = steps_of(estimator)[-1]
    clusterer = None  # of a search it is not known
    if isinstance(last, GroupedMTLEstimator):
        clusterer = FuzzyKMeans() if last.grouper is None else steps_of(last.grouper)[-1]
    given = [of_splits.get(s) for s in range(n_splits)]
    places = [g["places"] for g in given if g is not None]
    return Groupings(
        [None if g is None else np.array(g["membership"], dtype=np.float64) for g in given],
        None if None in places else [np.array(p, dtype=np.float64) for p in places],
        clusterer,
    )


def are_groups(value: Any) -> bool:
    """Whether something read from a file is what `groups_of` gives."""
    if value is None:
        return True
    if not isinstance(value, dict) or not {"membership", "places"} <= set(value):
        return False
    return _is_table(value["membership"]) and (
        value["places"] is None
        or (_is_table(value["places"]) and len(value["places"]) == len(value["membership"]))
    )


def _is_table(value: Any) -> bool:
    try:
        table = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return table.ndim == 2 and bool(np.isfinite(table).all())


def _last(estimator: Any) -> Any:
    last = steps_of(estimator)[-1]
    return steps_of(last.best_estimator_)[-1] if hasattr(last, "best_estimator_") else last
