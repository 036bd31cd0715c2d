"""Populations that come after `fit`: which groups serve them, and what of their own they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.populations._alternation import probable_groups
from skgroup.populations._models import Deviations, losses_of
from skgroup.populations._rows import Populations, find_names

__all__ = ["Later"]


@dataclass(frozen=True)
class Later:
    """Populations that `fit` has not seen, and what serves them.

    Attributes
    ----------
    names : list
    membership : ndarray of shape (n_later, n_groups)
    added : ndarray of shape (n_later, n_coefficients)
        What each adds to the mixed linear models of its groups; without coefficients where there
        are none.
    n_known : int
        How many of the first have groups that are given: rows do not change these.
    """

    names: list[Any]
    membership: NDArray[np.float64]
    added: NDArray[np.float64]
    n_known: int

    @classmethod
    def of_given(
        cls,
        groups: dict[Any, int],
        labels: NDArray[np.intp],
        membership: NDArray[np.float64],
        deviations: Deviations | None,
    ) -> Later:
        """Populations whose groups are given are served as those of their group are, in the mean.

        Parameters
        ----------
        groups : dict of population to int
        labels, membership : ndarrays of shape (n_tasks,) and (n_tasks, n_groups)
            The given groups of the populations of `fit`, and what serves these.
        deviations : Deviations or None
        """
        means = [membership[labels == g].mean(axis=0) for g in groups.values()]
        n_added = 0 if deviations is None else deviations.coef.shape[1]
        shape = len(groups), membership.shape[1]
        added = np.zeros((len(groups), n_added))
        return cls(list(groups), np.reshape(means, shape), added, len(groups))

    def find(self, ids: NDArray[Any]) -> NDArray[np.intp]:
        """The position of the population of each row, -1 of those that are not here."""
        return find_names(ids, _as_array(self.names))

    def learn(
        self,
        rows: Populations,
        outputs: NDArray[np.float64],
        share: NDArray[np.float64],
        error: float | None,
        deviations: Deviations | None,
        owner: str,
    ) -> Later:
        """These and those of some rows, whose earlier rows, if any, count no more.

        Parameters
        ----------
        rows : Populations
        outputs : ndarray of shape (n_samples, n_groups, n_outputs)
            Of the models of the groups.
        share : ndarray of shape (n_groups,)
            How probable groups are before any row.
        error : float or None
            See `probable_groups`.
        deviations : Deviations or None
        owner : str
            Whose `assign` this is, for messages.

        Raises
        ------
        ValueError
            If no model's loss is finite.
        """
        prior = np.tile(share, (rows.n_tasks, 1))
        place = self.find(rows.names)
        given = (place >= 0) & (place < self.n_known)
        prior[given] = self.membership[place[given]]
        with np.errstate(over="ignore"):
            losses = rows.sums(losses_of(outputs, rows))
        lost = ~np.isfinite(losses).any(axis=1)
        if lost.any():
            raise ValueError(
                f"The rows that assign of {owner} is given must be near enough to what some "
                "group's model predicts for a finite loss. Got NaN, or too large ones, for "
                f"population {rows.names[lost].tolist()[0]!r}."
            )
        if deviations is not None:
            losses = losses - deviations.of_later(rows, outputs)[1]
        losses[~np.isfinite(losses)] = np.inf
        membership = probable_groups(losses, prior, error)
        added = np.zeros((rows.n_tasks, self.added.shape[1]))
        if deviations is not None:
            mixed = np.einsum("nk,nko->no", membership[rows.codes], outputs)
            added = deviations.of_later(rows, mixed[:, None])[0][:, 0]
        names, all_memberships, all_added = list(self.names), [*self.membership], [*self.added]
        for t, name in enumerate(rows.names.tolist()):
            if place[t] < 0:
                names.append(name)
                all_memberships.append(membership[t])
                all_added.append(added[t])
            else:
                all_memberships[place[t]], all_added[place[t]] = membership[t], added[t]
        return Later(names, np.array(all_memberships), np.array(all_added), self.n_known)


def _as_array(names: list[Any]) -> NDArray[Any]:
    """Numbers as numbers if all are, else strings."""
    return np.array(names if len({*map(type, names)}) < 2 else [*map(str, names)])
