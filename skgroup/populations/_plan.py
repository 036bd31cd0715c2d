"""What is to be fitted, and how groups of populations are found and judged."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup._estimators import set_random_state, steps_of
from skgroup._fit_parts import part_of_fit
from skgroup.cluster.memberships import one_hot
from skgroup.metrics.splits import Split
from skgroup.populations._alternation import alternate, losses_of_groups, probable_groups
from skgroup.populations._given import GivenGroups
from skgroup.populations._models import Models, losses_of, takes_weights
from skgroup.populations._path import Way
from skgroup.populations._relations import CrossLosses, PopulationRelation, make_models
from skgroup.populations._rows import Populations
from skgroup.populations._splits import within_folds

#: Folds by which groups are found.
_INNER = 3
#: Probability of a group below which a population's rows need not be learned by its model.
_LEAST = 0.01


@dataclass(frozen=True)
class Plan:
    """What `fit` has made of its parameters and rows before anything is fitted.

    Attributes
    ----------
    rows : Populations
    classes : ndarray of shape (n_classes,) or None
    ways : list of Way
        To choose from.
    estimator, grouper : estimator
        Seeded clones; None for the alternation, and where groups are given.
    given : GivenGroups or None
    splits : list of (train, test)
    seeds : tuple of int
        Of the path, and of the groups that serve.
    columns : list or None
        The names of those of `X`.
    position : int
        That of the column of the populations.
    n_columns : int
    """

    rows: Populations
    classes: NDArray[Any] | None
    ways: list[Way]
    estimator: Any
    grouper: Any
    given: GivenGroups | None
    splits: list[Split]
    seeds: tuple[int, int]
    columns: list[Any] | None
    position: int
    n_columns: int

    def models(self, rows: Populations) -> Models:
        return make_models(self.estimator, rows, self.classes)

    def find(
        self, rows: Populations, numbers: Sequence[int], seed: int
    ) -> dict[int, NDArray[np.float64]]:
        """Memberships (n_tasks, n_groups) of the populations, for some numbers of groups."""
        found = {1: np.ones((rows.n_tasks, 1)), rows.n_tasks: np.eye(rows.n_tasks)}
        if self.given is not None:
            found.setdefault(self.given.n_groups, one_hot(self.given.labels))
        asked = [k for k in numbers if k not in found]
        if asked:
            models, splits = self.models(rows), within_folds(rows, _INNER, seed)
            if self.grouper is not None:
                found |= self._clustered(models, splits, asked, seed)
            else:
                found |= {k: self._alternated(models, splits, k, seed) for k in asked}
        return {k: found[k] for k in numbers}  # some group may be empty

    def _alternated(
        self, models: Models, splits: list[Split], k: int, seed: int
    ) -> NDArray[np.float64]:
        """How probable k groups that were found are for each population; where the estimator takes
        no weights, the group alone."""
        groups, losses = alternate(models, k, splits, np.random.default_rng(seed))
        if not takes_weights(self.estimator):
            return np.eye(k)[groups]
        rows = models.rows
        losses *= rows.n_samples / rows.weight.sum()
        error = None
        if not rows.n_classes:
            error = losses_of_groups(losses[None], groups[None])[0] / rows.n_samples
        there = rows.sizes > 0  # others have been put in some group
        share = np.bincount(groups[there], minlength=k) / there.sum()
        probable = probable_groups(losses, share, error)
        # Of many groups, none may be as probable as that.
        probable[probable < np.minimum(_LEAST, probable.max(axis=1, keepdims=True))] = 0
        return probable / probable.sum(axis=1, keepdims=True)

    def _clustered(
        self, models: Models, splits: list[Split], numbers: list[int], seed: int
    ) -> dict[int, NDArray[np.float64]]:
        """Memberships by the grouper, whose relation is one for all numbers of groups."""
        steps = working_steps(set_random_state(clone(self.grouper), seed))
        relation: PopulationRelation = CrossLosses()
        if isinstance(steps[0], PopulationRelation):
            relation = steps.pop(0)
        with part_of_fit("relation"):
            table = relation.of_populations(models, splits)
        for step in steps[:-1]:
            table = step.fit_transform(table)
        found, name = {}, str(number_parameter(steps[-1]))
        for k in numbers:
            last = clone(steps[-1]).set_params(**{name: k}).fit(table)
            membership = getattr(last, "membership_", None)
            found[k] = np.asarray(one_hot(last.labels_) if membership is None else membership)
        return found


def walk_split(
    plan: Plan, split: Split, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, NDArray[np.intp]]]:
    """Losses of all ways on one split, weights of its rows, and the groups that were found."""
    rows, ways = plan.rows, plan.ways
    models, n_tasks, trained = plan.models(rows), rows.n_tasks, rows.take(split[0])
    for_all = models.outputs(np.ones((n_tasks, 1)), split)
    found = plan.find(trained, sorted({way.n_groups for way in ways} - {n_tasks}), seed)
    of_groups = {k: for_all if k == 1 else models.outputs(m, split) for k, m in found.items()}
    held = rows.take(split[1])
    alone = (trained.sizes == 0)[held.codes, None]  # a population whose rows are all held out
    losses = np.empty((len(ways), n_tasks))
    for i, way in enumerate(ways):
        k = way.n_groups
        if k == n_tasks:
            served = models.own_outputs(split)
        else:
            served = models.shrunk(found[k], of_groups[k], way.shrinkage, split)
        served = np.where(alone, for_all[:, 0], served)
        losses[i] = held.sums(losses_of(served, held) * held.weight)
    groups = {k: membership.argmax(axis=1) for k, membership in found.items()}
    return losses, held.sums(held.weight), groups


def in_order(membership: NDArray[np.float64]) -> NDArray[np.float64]:
    """Memberships in groups that have some, in the order of the first population of each."""
    membership = membership[:, (membership > 0).any(axis=0)]
    hard = membership.argmax(axis=1)
    first = [np.flatnonzero(hard == g) for g in range(membership.shape[1])]
    order = np.argsort([f[0] if len(f) else len(hard) for f in first], kind="stable")
    return membership[:, order]


def is_soft(clusterer: Any, n_rows: int) -> bool:
    """Whether a clusterer gives rows shares in several clusters: a table without any shows it."""
    table = np.random.default_rng(0).normal(size=(n_rows, 2))
    tried = set_random_state(clone(clusterer), 0).set_params(
        **{str(number_parameter(clusterer)): 2}
    )
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # told of by the real fit
        warnings.simplefilter("ignore")
        membership = np.asarray(tried.fit(table).membership_)
        return bool(((membership > 0) & (membership < 1)).any())
    return False


def working_steps(grouper: Any) -> list[Any]:
    """Steps of a grouper, but those that pass on what they get."""
    return [step for step in steps_of(grouper) if step is not None and step != "passthrough"]


def number_parameter(clusterer: Any) -> str | None:
    """The parameter by which a clusterer is told how many groups to find; None if none does."""
    params = clusterer.get_params(deep=False) if hasattr(clusterer, "get_params") else {}
    return next((name for name in ("n_clusters", "n_groups") if name in params), None)
