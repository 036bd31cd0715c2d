"""Newton's method for logistic regressions of many groups of populations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from skgroup.populations._rows import Populations

#: Steps of Newton's method: an error below the tolerance is squared by the step that finds it.
STEPS, HALVINGS, TOLERANCE = 50, 20, 1e-4


def fit_levels(
    log_odds: NDArray[np.float64], rows: Populations, price: float
) -> NDArray[np.float64]:
    """What is to be added (n_tasks, n_models) to log odds (n_samples, n_models) of each
    population's rows, at a price of half its square."""
    out = np.zeros((rows.n_tasks, log_odds.shape[1]))
    weight, y = rows.weight[:, None], rows.y[:, None]
    for _ in range(STEPS):
        p = expit(log_odds + out[rows.codes])
        slope = rows.sums(weight * (p - y)) + price * out
        curvature = rows.sums(weight * p * (1 - p)) + price
        step = slope / np.maximum(curvature, 1e-300)  # of rows of one class, and none at all
        out -= np.clip(step, -2, 2)
        if np.abs(step).max() < TOLERANCE:
            break
    return out


class Newton:
    """Newton's method for the groups of one layer, whose rows are put side by side.

    Parameters
    ----------
    rows : Populations
        Of two classes.
    columns : ndarray of shape (n_features + 1, n_samples)
        Their features and ones.
    groups, share : ndarray of shape (n_tasks,)
    penalties : ndarray of shape (n_groups, n_features + 1)
    learns : ndarray of bool of shape (n_groups,)
        The others' coefficients stay as they are.
    intercept_penalty : float or None
        Of the squared intercept of each population; None where there are none.
    """

    def __init__(
        self,
        rows: Populations,
        columns: NDArray[np.float64],
        groups: NDArray[np.intp],
        share: NDArray[np.float64],
        penalties: NDArray[np.float64],
        learns: NDArray[np.bool_],
        intercept_penalty: float | None,
    ) -> None:
        there = np.flatnonzero((share > 0) & learns[groups] & (rows.sizes > 0))
        self.tasks = there[np.argsort(groups[there], kind="stable")]
        self.groups, sizes = groups[self.tasks], rows.sizes[self.tasks]
        ends = np.cumsum(sizes)
        self.starts = ends - sizes
        taken = np.arange(sizes.sum()) + np.repeat(rows.starts[self.tasks] - self.starts, sizes)
        self.Z, self.y = columns.take(taken, axis=1), rows.y[taken]
        self.weight = rows.weight[taken] * np.repeat(share[self.tasks], sizes)
        self.of_rows = np.repeat(np.arange(len(self.tasks)), sizes)
        #: The rows, and the populations, of each group that learns.
        self.learning = np.unique(self.groups)
        first = np.searchsorted(self.groups, self.learning)
        self.task_parts = _slices(first, len(self.tasks))
        self.parts = _slices(self.starts[first], len(self.y))
        self.penalties = penalties[self.learning]
        self.intercept_penalty = intercept_penalty

    def run(self, coef: NDArray[np.float64], own: NDArray[np.float64], n_steps: int) -> None:
        """Change coefficients (n_groups, n_features + 1) and intercepts (n_tasks,) in place."""
        if not len(self.tasks):
            return
        u, v = coef[self.learning], own[self.tasks]
        scores = self._along(u, v)
        now = self._objective(scores, u, v)
        for _ in range(n_steps):
            step, own_step = self._step(scores, u, v)
            along = self._along(step, own_step)
            size = np.ones(len(u))
            for _ in range(HALVINGS):  # as long as a step does not lower the loss
                of_tasks = np.repeat(size, [p.stop - p.start for p in self.task_parts])
                next_u, next_v = u - size[:, None] * step, v - of_tasks * own_step
                next_scores = scores - of_tasks[self.of_rows] * along
                then = self._objective(next_scores, next_u, next_v)
                worse = then > now + 1e-12 * np.abs(now)
                if not worse.any():
                    break
                size[worse] /= 2
            moved = max(np.abs(u - next_u).max(), np.abs(v - next_v).max())
            u, v, scores, now = next_u, next_v, next_scores, then
            if moved < TOLERANCE:
                break
        coef[self.learning], own[self.tasks] = u, v

    def _along(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.concatenate([c @ self.Z[:, p] for p, c in zip(self.parts, u, strict=True)])
        return out if self.intercept_penalty is None else out + v[self.of_rows]

    def _objective(
        self, scores: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        loss = np.log1p(np.exp(-np.abs(scores))) + np.maximum(scores, 0) - self.y * scores
        starts = [part.start for part in self.parts]
        total: NDArray[Any] = np.add.reduceat(self.weight * loss, starts)
        total += (self.penalties * u**2).sum(axis=1) / 2
        if self.intercept_penalty is not None:
            firsts = [part.start for part in self.task_parts]
            total += self.intercept_penalty * np.add.reduceat(v**2, firsts) / 2
        return total

    def _step(
        self, scores: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        Z, d = self.Z, len(self.Z)
        p = expit(scores)
        residual, curved = self.weight * (p - self.y), (self.weight * p * (1 - p)) * Z
        H, gradient = np.empty((len(u), d, d)), np.empty((len(u), d))
        for g, part in enumerate(self.parts):
            np.matmul(Z[:, part], curved[:, part].T, out=H[g])
            np.matmul(Z[:, part], residual[part], out=gradient[g])
        gradient += self.penalties * u
        H += self.penalties[..., None] * np.eye(d)
        H[:, -1, -1] += 1e-12
        if self.intercept_penalty is None:
            alone: NDArray[Any] = np.linalg.solve(H, gradient[..., None])[..., 0]
            return alone, v
        # An intercept meets those of no other population: put in terms of the coefficients.
        of_own = np.add.reduceat(residual, self.starts) + self.intercept_penalty * v
        with_own = np.add.reduceat(curved, self.starts, axis=1).T
        curvature = with_own[:, -1] + self.intercept_penalty
        for g, part in enumerate(self.task_parts):
            through = with_own[part] / curvature[part, None]
            H[g] -= through.T @ with_own[part]
            gradient[g] -= of_own[part] @ through
        step: NDArray[Any] = np.linalg.solve(H, gradient[..., None])[..., 0]
        of_groups = np.repeat(step, [p.stop - p.start for p in self.task_parts], axis=0)
        return step, (of_own - (with_own * of_groups).sum(axis=1)) / curvature


def _slices(starts: NDArray[np.intp], end: int) -> list[slice]:
    return [slice(a, b) for a, b in itertools.pairwise([*starts, end])]
