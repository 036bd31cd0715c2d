"""Populations that come after `fit`: which groups serve them, and what of their own they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.cluster.memberships import one_hot
from skgroup.populations._alternation import probable_groups
from skgroup.populations._given import GivenGroups
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
        given: GivenGroups | None,
        membership: NDArray[np.float64],
        deviations: Deviations | None,
    ) -> Later:
        """Populations whose groups are given are served as those of their group are, in the mean.

        Parameters
        ----------
        given : GivenGroups or None
        membership : ndarray of shape (n_tasks, n_groups)
            What serves the populations of `fit`.
        deviations : Deviations or None
        """
        n_added = 0 if deviations is None else deviations.coef.shape[1]
        if given is None:
            return cls([], membership[:0], np.zeros((0, n_added)), 0)
        there = one_hot(given.labels).T
        means = there @ membership / there.sum(axis=1, keepdims=True)
        names, groups = list(given.absent), np.array([*given.absent.values()], dtype=np.intp)
        return cls(names, means[groups], np.zeros((len(names), n_added)), len(names))

    def find(self, ids: NDArray[Any]) -> NDArray[np.intp]:
        """The position of the population of each row, -1 of those that are not here."""
        return find_names(ids, np.array(self.names, dtype=object))

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
        # Those that come once more stand where they were.
        new = place < 0
        place[new] = len(self.names) + np.arange(new.sum())
        names = [*self.names, *rows.names[new].tolist()]
        return Later(
            names,
            _placed(self.membership, place, membership),
            _placed(self.added, place, added),
            self.n_known,
        )


def _placed(
    old: NDArray[np.float64], place: NDArray[np.intp], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows, of which some are replaced and some are added."""
    out = np.zeros((max(len(old), place.max() + 1), values.shape[1]))
    out[: len(old)], out[place] = old, values
    return out
