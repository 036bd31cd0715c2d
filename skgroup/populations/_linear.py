"""Ridge and logistic regressions of many groups of populations, all at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skgroup.metrics.splits import Split
from skgroup.populations._models import FLOOR, Models
from skgroup.populations._rows import Populations

#: Features up to which products of all pairs of a row's features are made.
_MOST_FEATURES = 64
#: Numbers in the largest array that is made at once.
_AT_ONCE = 2**22
_STEPS, _HALVINGS, _TOLERANCE = 50, 20, 1e-6
#: Parameters that do not change what is learned (but for how exactly).
_FREE = {"copy_X", "copy", "max_iter", "n_jobs", "random_state", "solver", "tol", "verbose"}


def linear_models(estimator: Any, rows: Populations) -> Models | None:
    """Models that are fitted at once, where an estimator is a ridge or a logistic regression of
    two classes with an L2 penalty, behind a `StandardScaler` or not; else None."""
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    scaled = len(steps) == 2 and _is_plain(steps[0], StandardScaler, ())
    if len(steps) != 1 + scaled or sparse.issparse(rows.X):
        return None
    last: Any = steps[-1]
    kind: type[_LinearModels]
    if rows.n_classes == 2 and _is_plain(last, LogisticRegression, ("C",)):
        if last.solver in ("liblinear", "sag", "saga"):  # penalises intercepts, or comes near only
            return None
        penalty, kind = 1 / last.C, _LogisticModels
    elif not rows.n_classes and _is_plain(last, Ridge, ("alpha",)) and np.ndim(last.alpha) == 0:
        penalty, kind = float(last.alpha), _RidgeModels
    else:
        return None
    try:
        X = np.asarray(rows.X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if X.ndim != 2 or X.shape[1] > _MOST_FEATURES or not np.isfinite(X).all() or penalty <= 0:
        return None
    return kind(estimator, rows, X, penalty, scaled=scaled)


def _is_plain(estimator: Any, kind: Any, free: Sequence[str]) -> bool:
    """Whether an estimator is of a class itself, with its defaults but for some parameters."""
    if type(estimator) is not kind:
        return False
    defaults = kind().get_params()
    given = estimator.get_params()
    return all(
        given[k] is defaults[k] or given[k] == defaults[k]
        for k in given
        if k not in free and k not in _FREE
    )


class _LinearModels(Models):
    """What ridge and logistic regressions share.

    Parameters
    ----------
    estimator : estimator
    rows : Populations
    X : ndarray of shape (n_samples, n_features)
    penalty : float
    scaled : bool
        Whether each group's features are standardised, by the rows that its model is fitted to.
    """

    def __init__(
        self, estimator: Any, rows: Populations, X: NDArray[Any], penalty: float, *, scaled: bool
    ) -> None:
        super().__init__(estimator, rows)
        self.penalty, self.scaled = penalty, scaled
        self.scale = X.std(axis=0)
        self.scale[self.scale < 1e-12 * np.abs(X).max(axis=0, initial=1)] = 1
        ones = np.ones((len(X), 1))
        self.Z = np.hstack([(X - X.mean(axis=0)) / self.scale, ones])
        self._parts: dict[int, tuple[NDArray[np.intp], Any]] = {}

    def cross_losses(
        self, groups: NDArray[np.intp], n_groups: int, splits: Sequence[Split]
    ) -> NDArray[np.float64]:
        losses = np.zeros((len(groups), self.rows.n_tasks, n_groups))
        widest = self.Z.size + self.rows.n_samples * n_groups
        step = max(1, _AT_ONCE // widest)
        for train, test in splits:
            held, trained = self._of_rows(test), self._of_rows(train)
            for first in range(0, len(groups), step):
                some = groups[first : first + step]
                coef = trained._fit(_one_hot(some, n_groups))
                losses[first : first + step] += held._losses(coef)
        return losses

    def outputs(self, membership: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
        trained, held = self._of_rows(split[0]), self._of_rows(split[1])
        hard = (membership == membership.max(axis=1, keepdims=True)).sum() == len(membership)
        if hard and ((membership == 0) | (membership == 1)).all():
            coef = trained._fit(membership[None])[0]
        else:  # a group at a time, whose rows weigh as much as their populations belong to it
            coef = np.stack([trained._fit(m[None, :, None])[0, 0] for m in membership.T])
        return self._read(np.einsum("nd,kd->nk", held.Z, coef))

    def own_outputs(self, split: Split) -> NDArray[np.float64]:
        trained, held = self._of_rows(split[0]), self._of_rows(split[1])
        coef = trained._fit(np.eye(self.rows.n_tasks)[None])[0]
        return self._read(np.einsum("nd,nd->n", held.Z, coef[held.rows.codes])[:, None])[:, 0]

    def _of_rows(self, rows: NDArray[np.intp]) -> Any:
        """The same of some rows; a search comes back to the same splits, so that their arrays, and
        with these their ids, are kept."""
        if id(rows) not in self._parts:
            part = copy.copy(self)
            part.__dict__.update(rows=self.rows.take(rows), Z=self.Z[rows], _parts={})
            part.__dict__.pop("_products", None)
            self._parts[id(rows)] = rows, part
        return self._parts[id(rows)][1]

    def _penalties(self, there: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of the squared coefficients of each group (n_layers, n_groups), by whether populations
        are there, (n_layers, n_groups, n_tasks): scales are those of rows, whatever they weigh."""
        d = self.Z.shape[1]
        out = np.zeros((*there.shape[:2], d))
        if self.scaled:
            z = self.Z[:, :-1]
            moments = there @ self.rows.sums(np.column_stack([np.ones(len(z)), z, z**2]))
            count = np.maximum(moments[..., :1], 1)
            mean, square = moments[..., 1:d] / count, moments[..., d:] / count
            variance = np.maximum(square - mean**2, 0)
            # A constant feature has a scale of 1, and no effect.
            variance = np.where(variance <= 1e-14 * np.maximum(square, 1), 1, variance)
            out[..., :-1] = self.penalty * variance
        else:
            out[..., :-1] = self.penalty / self.scale**2
        return out

    def _fit(self, membership: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients (n_layers, n_groups, n_features + 1) of memberships (n_layers, n_tasks,
        n_groups), of which each population has one that is not 0 in a layer at most."""
        raise NotImplementedError

    def _losses(self, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums (n_layers, n_tasks, n_groups) of the losses of each population's rows."""
        raise NotImplementedError

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (n_samples, n_groups, n_outputs) of linear scores."""
        raise NotImplementedError


class _RidgeModels(_LinearModels):
    """Ridge regressions, from the sums of products of each population alone."""

    @cached_property
    def _products(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """ZᵀZ, Zᵀy and yᵀy of each population."""
        weight, d = self.rows.weight, self.Z.shape[1]
        with_y = np.column_stack([self.Z, self.rows.y])
        pairs = np.zeros((self.rows.n_tasks, d + 1, d + 1))
        for t, first in enumerate(self.rows.starts):
            part = slice(first, first + self.rows.sizes[t])
            pairs[t] = with_y[part].T @ (weight[part, None] * with_y[part])
        return pairs[:, :d, :d], pairs[:, :d, d], pairs[:, d, d]

    def _fit(self, membership: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs, with_y, _ = self._products
        d = self.Z.shape[1]
        to_groups = membership.transpose(0, 2, 1)
        H = (to_groups @ pairs.reshape(len(pairs), -1)).reshape(*to_groups.shape[:2], d, d)
        b = to_groups @ with_y
        H = H + self._penalties(to_groups > 0)[..., None] * np.eye(d)
        empty = H[..., -1, -1] == 0  # served by the mean of all rows
        H[..., -1, -1] += empty
        b[..., -1] += empty * with_y[:, -1].sum() / max(pairs[:, -1, -1].sum(), 1e-300)
        coef: NDArray[Any] = np.linalg.solve(H, b[..., None])[..., 0]
        return coef

    def _losses(self, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs, with_y, square = self._products
        d = self.Z.shape[1]
        products = (coef[..., :, None] * coef[..., None, :]).reshape(*coef.shape[:2], d * d)
        quadratic = pairs.reshape(len(pairs), -1) @ products.transpose(0, 2, 1)
        losses: NDArray[Any] = quadratic - 2 * with_y @ coef.transpose(0, 2, 1) + square[:, None]
        return losses

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores[..., None]


class _LogisticModels(_LinearModels):
    """Logistic regressions of two classes, by Newton's method."""

    @cached_property
    def _products(self) -> NDArray[np.float64]:
        """Of all pairs of each row's features, (n_samples, n_pairs)."""
        upper = np.triu_indices(self.Z.shape[1])
        products: NDArray[np.float64] = self.Z[:, upper[0]] * self.Z[:, upper[1]]
        return products

    def _fit(self, membership: NDArray[np.float64]) -> NDArray[np.float64]:
        penalties = self._penalties(membership.transpose(0, 2, 1) > 0)
        coef, constant = self._constants(membership)
        left = np.flatnonzero(~constant.all(axis=1))
        for _ in range(_STEPS):
            if not len(left):
                break
            step, ended = self._step(membership[left], coef[left], penalties[left], constant[left])
            coef[left] -= step
            left = left[~ended]
        return coef

    def _constants(
        self, membership: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """First coefficients, and which groups have rows of a single class, or none: these are
        served by shares of classes, as if a row had those of all rows."""
        rows = self.rows
        both = np.column_stack([np.ones(len(self.Z)), rows.y])
        met = (membership > 0).transpose(0, 2, 1) @ rows.sums(both)
        constant = (met[..., 1] == 0) | (met[..., 1] == met[..., 0])
        of_tasks = rows.sums(rows.weight[:, None] * both)
        counts, counts_of_all = membership.transpose(0, 2, 1) @ of_tasks, of_tasks.sum(axis=0)
        share = counts_of_all[1] / counts_of_all[0]
        p = (counts[..., 1] + share) / (counts[..., 0] + 1)
        coef = np.zeros((*constant.shape, self.Z.shape[1]))
        coef[..., -1] = np.where(constant, logit(p), 0)
        return coef, constant

    def _step(
        self,
        membership: NDArray[np.float64],
        coef: NDArray[np.float64],
        penalties: NDArray[np.float64],
        constant: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A step of Newton's method for each group, as long as lowers its loss, and which layers
        need no more."""
        rows, Z, y = self.rows, self.Z, self.rows.y
        d, layer = Z.shape[1], np.arange(len(coef))[:, None]
        weight = rows.weight * membership.sum(axis=2)[:, rows.codes]
        group = membership.argmax(axis=2)[:, rows.codes]
        there = (membership > 0).transpose(0, 2, 1).astype(np.float64)

        def objective(
            scores: NDArray[np.float64], coef: NDArray[np.float64]
        ) -> NDArray[np.float64]:
            loss = weight * (np.logaddexp(0, scores) - y * scores)
            of_groups = (there @ rows.sums(loss.T).T[..., None])[..., 0]
            total: NDArray[np.float64] = of_groups + (penalties * coef**2).sum(-1) / 2
            return total

        scores = np.einsum("nd,lnd->ln", Z, coef[layer, group])
        p = expit(scores)
        residual, curvature = weight * (p - y), weight * p * (1 - p)
        gradient = there @ np.stack([rows.sums(r[:, None] * Z) for r in residual])
        gradient += penalties * coef
        pairs = there @ np.stack([rows.sums(c[:, None] * self._products) for c in curvature])
        H = np.empty((*coef.shape, d))
        upper = np.triu_indices(d)
        H[..., upper[0], upper[1]] = H[..., upper[1], upper[0]] = pairs
        H += penalties[..., None] * np.eye(d)
        H[..., -1, -1] += 1e-12
        step: NDArray[Any] = np.linalg.solve(H, gradient[..., None])[..., 0]
        step[constant] = 0
        now = objective(scores, coef)
        along = np.einsum("nd,lnd->ln", Z, step[layer, group])
        size = np.ones(coef.shape[:2])
        for _ in range(_HALVINGS):
            of_rows = size[layer, group]
            then = objective(scores - of_rows * along, coef - size[..., None] * step)
            worse = then > now + 1e-12 * np.abs(now)
            if not worse.any():
                break
            size[worse] /= 2
        step = step * size[..., None]
        return step, np.abs(step).max(axis=(1, 2)) < _TOLERANCE

    def _losses(self, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self.rows
        out = []
        for of_layer in coef:
            scores = self.Z @ of_layer.T
            loss = np.logaddexp(0, np.where(rows.y[:, None] > 0, -scores, scores))
            loss = np.minimum(loss, -np.log(FLOOR))
            out.append(rows.sums(rows.weight[:, None] * loss))
        return np.stack(out)

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        p = expit(scores)
        return np.stack([1 - p, p], axis=-1)


def _one_hot(groups: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    return np.eye(n_groups)[groups]
