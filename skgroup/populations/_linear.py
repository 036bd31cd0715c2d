"""Ridge and logistic regressions of many groups of populations, all at once."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skgroup.metrics.splits import Split
from skgroup.populations._alternation import losses_of_groups
from skgroup.populations._models import FLOOR, Deviations, Models
from skgroup.populations._newton import STEPS, Newton, fit_levels
from skgroup.populations._rows import Populations

#: Features up to which products of all pairs of a row's features are made.
_MOST_FEATURES = 64
#: Penalty, in units of standardised features, from which equations of few rows can be solved.
_LEAST_PENALTY = 1e-10
#: Numbers in the largest array that is made at once.
_AT_ONCE = 2**22
#: Rounds in which groups settle, and the share of populations that may move where they have.
_SETTLING, _FEW = 15, 0.02
#: Parameters that do not change what is learned (but for how exactly).
_FREE = {"copy_X", "copy", "max_iter", "n_jobs", "random_state", "solver", "tol", "verbose"}
#: And of an encoder: how its columns are stored.
_STORED = {"sparse_output", "dtype", "feature_name_combiner"}

#: Coefficients (n_layers, n_groups, n_features + 1), and what each population's own intercept adds
#: in its group (n_layers, n_tasks).
_Coefficients = tuple[NDArray[np.float64], NDArray[np.float64]]


def linear_models(estimator: Any, rows: Populations) -> Models | None:
    """Models that are fitted at once, where an estimator is a ridge or a logistic regression of
    two classes with an L2 penalty, behind a `StandardScaler` or not, or behind one of all columns
    but that of the populations, which is encoded one-hot; else None."""
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    if sparse.issparse(rows.X) or len(steps) > 2:
        return None
    encoded = len(steps) == 2 and _standardises_beside(steps[0], rows.column)
    scaled = encoded or (len(steps) == 2 and _is_plain(steps[0], StandardScaler, ()))
    if len(steps) != 1 + scaled:
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
        X = np.asarray(rows.plain_features if encoded else rows.X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if X.ndim != 2 or X.shape[1] > _MOST_FEATURES or not np.isfinite(X).all():
        return None
    made = kind(estimator, rows, X, penalty, scaled=scaled, intercepts=encoded)
    least = penalty if scaled else penalty / made.scale.max() ** 2
    return made if least >= _LEAST_PENALTY else None


def _standardises_beside(step: Any, column: int | None) -> bool:
    """Whether a transformer encodes one-hot the column of the populations, standardises all others,
    and does no more."""
    if type(step) is not ColumnTransformer or len(step.transformers) != 1:
        return False
    _, encoder, columns = step.transformers[0]
    given, defaults = step.get_params(deep=False), ColumnTransformer([]).get_params(deep=False)
    free = {"transformers", "remainder", "sparse_threshold", "verbose_feature_names_out"}
    return (
        columns == [column]
        and _is_plain(encoder, OneHotEncoder, ("handle_unknown", *_STORED))
        and encoder.handle_unknown == "ignore"
        and _is_plain(step.remainder, StandardScaler, ())
        and all(given[k] == defaults[k] for k in given if k not in free | _FREE)
    )


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

    Layers are groupings that are looked at side by side. `groups` (n_layers, n_tasks) says the
    group of each population, `share` (n_layers, n_tasks) how much its rows weigh there.

    Parameters
    ----------
    estimator : estimator
    rows : Populations
    X : ndarray of shape (n_samples, n_features)
    penalty : float
    scaled : bool
        Whether each group's features are standardised, by the rows that its model is fitted to.
    intercepts : bool
        Whether each population has an intercept beside that of its group, and penalised as
        coefficients are.
    """

    n_restarts = 10
    #: Rows of a population that cross losses are made of at most, in the stead of all its rows.
    _most_rows: int | None = None

    def __init__(
        self,
        estimator: Any,
        rows: Populations,
        X: NDArray[Any],
        penalty: float,
        *,
        scaled: bool,
        intercepts: bool,
    ) -> None:
        super().__init__(estimator, rows)
        self.penalty, self.scaled, self.intercepts = penalty, scaled, intercepts
        self.center, self.scale = X.mean(axis=0), X.std(axis=0)
        self.scale[self.scale < 1e-12 * np.abs(X).max(axis=0, initial=1)] = 1
        ones = np.ones((len(X), 1))
        self.Z = np.hstack([(X - self.center) / self.scale, ones])
        self._moments = _moments(rows, self.Z)
        self._parts: dict[Any, tuple[NDArray[np.intp], Any]] = {}

    def cross_losses(
        self,
        groups: NDArray[np.intp],
        n_groups: int,
        splits: Sequence[Split],
        **how: Any,
    ) -> NDArray[np.float64]:
        losses = np.zeros((len(groups), self.rows.n_tasks, n_groups))
        everyone = np.ones(groups.shape)
        for train, test in splits:
            held, trained = (self._of_rows(part, self._most_rows) for part in (test, train))
            losses += held._losses(*trained._fit(groups, everyone, n_groups, **how), groups)
        return losses

    def outputs(self, membership: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
        trained, held = self._of_rows(split[0]), self._of_rows(split[1])
        layers = zip(*trained._fit_groups(membership), strict=True)
        return self._read(np.hstack([held._scores(*layer) for layer in layers]))

    def _fit_groups(
        self, membership: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Coefficients, own intercepts, and the grouping of each layer: there is one of groups, or
        one for each group whose rows weigh as much as their populations belong to it."""
        groups, n_groups = membership.argmax(axis=1)[None], membership.shape[1]
        if (membership == np.eye(n_groups)[groups[0]]).all():
            return *self._fit(groups, np.ones(groups.shape), n_groups), groups
        groups = np.zeros((n_groups, len(membership)), dtype=np.intp)
        return *self._fit(groups, membership.T, 1), groups

    def _outputs_of_own(self, split: Split) -> NDArray[np.float64]:
        trained, held = self._of_rows(split[0]), self._of_rows(split[1])
        codes, each = held.rows.codes, np.arange(self.rows.n_tasks)[None]
        coef, own = trained._fit(each, np.ones(each.shape), each.size)
        scores = np.einsum("nd,nd->n", held.Z, coef[0, codes]) + own[0, codes]
        return self._read(scores[:, None])[:, 0]

    def shrunk(
        self,
        membership: NDArray[np.float64],
        outputs: NDArray[np.float64],
        shrinkage: float,
        split: Split,
    ) -> NDArray[np.float64]:
        trained, held = self._of_rows(split[0]), self._of_rows(split[1])
        found = trained.deviations(membership, shrinkage)
        if found is None:
            return super().shrunk(membership, outputs, shrinkage, split)
        codes = held.rows.codes
        of_group = np.einsum("nk,nko->no", membership[codes], outputs)
        moved = found.add(of_group, np.einsum("nd,nd->n", held.Z, found.coef[codes]))
        return self._mixed(moved, shrinkage, split) if found.of_classes else moved

    def deviations(self, membership: NDArray[np.float64], shrinkage: float) -> Deviations | None:
        between = 0 < shrinkage < np.inf
        coef = self._deviating(membership, shrinkage) if between else None
        if coef is None:
            return None
        column = self.rows.column if self.intercepts else None
        of_classes, prices = self.rows.n_classes > 0, self._prices(shrinkage)
        return Deviations(column, self.center, self.scale, coef, of_classes, prices)

    def _deviating(
        self, membership: NDArray[np.float64], shrinkage: float
    ) -> NDArray[np.float64] | None:
        """What each population's coefficients (n_tasks, n_features + 1) differ by from those of its
        group."""
        raise NotImplementedError

    def _prices(self, shrinkage: float) -> NDArray[np.float64]:
        """What the squares of these differences cost (n_features + 1,), in units of the loss."""
        raise NotImplementedError

    def _of_rows(self, rows: NDArray[np.intp], most: int | None = None) -> Any:
        """The same of some rows, at most so many a population; a search comes back to the same
        splits, so that their arrays, and with these their ids, are kept."""
        key = id(rows), most
        if key not in self._parts:
            taken, Z = self.rows.take(rows), self.Z[rows]
            part = copy.copy(self)
            for name in ("_products", "_eliminated", "_columns", "_for_all", "_last"):
                part.__dict__.pop(name, None)
            moments = _moments(taken, Z)  # of all rows
            if most is not None and taken.sizes.max() > most:
                taken, kept = _fewer_rows(taken, most)
                Z = Z[kept]
            part.__dict__.update(rows=taken, Z=Z, _moments=moments, _parts={})
            self._parts[key] = rows, part
        return self._parts[key][1]

    def _scores(
        self, coef: NDArray[np.float64], own: NDArray[np.float64], groups: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Linear scores (n_samples, n_groups) of the groups of one layer; a population whose group
        is none of them has no intercept."""
        scores: NDArray[np.float64] = self.Z @ coef.T
        if self.intercepts:
            there = (groups >= 0) & (groups < len(coef))
            rows = np.flatnonzero(there[self.rows.codes])
            codes = self.rows.codes[rows]
            scores[rows, groups[codes]] += own[codes]
        return scores

    def _penalties(
        self, groups: NDArray[np.intp], share: NDArray[np.float64], n_groups: int
    ) -> NDArray[np.float64]:
        """Of the squared coefficients of each group (n_layers, n_groups, n_features + 1)."""
        d = self.Z.shape[1]
        out = np.zeros((len(groups), n_groups, d))
        if self.scaled:
            moments = _sums_of_groups(self._moments, groups, share > 0, n_groups)
            count = np.maximum(moments[..., :1], 1)
            mean, square = moments[..., 1:d] / count, moments[..., d:] / count
            variance = np.maximum(square - mean**2, 0)
            # A constant feature has a scale of 1, and no effect.
            variance = np.where(variance <= 1e-14 * np.maximum(square, 1), 1, variance)
            out[..., :-1] = self.penalty * variance
        else:
            out[..., :-1] = self.penalty / self.scale**2
        return out

    def _fit(
        self, groups: NDArray[np.intp], share: NDArray[np.float64], n_groups: int
    ) -> _Coefficients:
        """Coefficients of all groups of all layers."""
        raise NotImplementedError

    def _losses(
        self, coef: NDArray[np.float64], own: NDArray[np.float64], groups: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Sums (n_layers, n_tasks, n_groups) of the losses of each population's rows."""
        raise NotImplementedError

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (n_samples, n_groups, n_outputs) of linear scores."""
        raise NotImplementedError


class _RidgeModels(_LinearModels):
    """Ridge regressions, from the sums of products of each population alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: From which labels are counted: their squares would else hide what they differ by.
        self.level = self.rows.y.mean()

    @cached_property
    def _products(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """ZᵀZ, Zᵀy and yᵀy of each population."""
        weight, d = self.rows.weight, self.Z.shape[1]
        with_y = np.column_stack([self.Z, self.rows.y - self.level])
        weighted = weight[:, None] * with_y
        pairs = np.zeros((self.rows.n_tasks, d + 1, d + 1))
        for t, (first, size) in enumerate(zip(self.rows.starts, self.rows.sizes, strict=True)):
            part = slice(first, first + size)
            np.matmul(with_y[part].T, weighted[part], out=pairs[t])
        return pairs[:, :d, :d].copy(), pairs[:, :d, d].copy(), pairs[:, d, d].copy()

    @cached_property
    def _eliminated(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._without_intercepts(np.ones(self.rows.n_tasks))

    def _without_intercepts(
        self, share: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ZᵀZ and Zᵀy of each population once its intercept, which no other one shares, is put in
        terms of the coefficients of its group."""
        pairs, with_y, _ = self._products
        of_one = pairs[:, -1] * (share / (share * pairs[:, -1, -1] + self.penalty))[:, None]
        left = pairs - of_one[:, :, None] * pairs[:, -1, None, :]
        return left, with_y - of_one * with_y[:, -1:]

    def _fit(
        self, groups: NDArray[np.intp], share: NDArray[np.float64], n_groups: int
    ) -> _Coefficients:
        pairs, with_y, _ = self._products
        n_layers, d = len(groups), self.Z.shape[1]
        left = pairs, with_y
        if self.intercepts and ((share == 0) | (share == 1)).all():
            left = self._eliminated
        elif self.intercepts and n_layers > 1:
            each = [self._fit(groups[i, None], share[i, None], n_groups) for i in range(n_layers)]
            return np.concatenate([c for c, _ in each]), np.concatenate([o for _, o in each])
        elif self.intercepts:
            left = self._without_intercepts(share[0])
        flat = np.hstack([left[0].reshape(len(pairs), -1), left[1]])
        of_groups = _sums_of_groups(flat, groups, share, n_groups)
        H = of_groups[..., : d * d].reshape(n_layers, n_groups, d, d)
        b = of_groups[..., d * d :].copy()
        H = H + self._penalties(groups, share, n_groups)[..., None] * np.eye(d)
        empty = H[..., -1, -1] == 0  # served by the mean of all rows
        H[..., -1, -1] += empty
        b[..., -1] += empty * with_y[:, -1].sum() / max(pairs[:, -1, -1].sum(), 1e-300)
        coef: NDArray[Any] = np.linalg.solve(H, b[..., None])[..., 0]
        own = np.zeros(groups.shape)
        if self.intercepts:
            of_tasks = coef[np.arange(n_layers)[:, None], groups]
            residual = with_y[:, -1] - np.einsum("td,ltd->lt", pairs[:, -1], of_tasks)
            own = share * residual / (share * pairs[:, -1, -1] + self.penalty)
        return coef, own

    def _losses(
        self, coef: NDArray[np.float64], own: NDArray[np.float64], groups: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        pairs, with_y, square = self._products
        d = self.Z.shape[1]
        products = (coef[..., :, None] * coef[..., None, :]).reshape(*coef.shape[:2], d * d)
        quadratic = pairs.reshape(len(pairs), -1) @ products.transpose(0, 2, 1)
        losses: NDArray[Any] = quadratic - 2 * with_y @ coef.transpose(0, 2, 1) + square[:, None]
        if self.intercepts:
            layer, task = np.ogrid[: len(groups), : len(pairs)]
            residual = with_y[:, -1] - np.einsum("td,ltd->lt", pairs[:, -1], coef[layer, groups])
            losses[layer, task, groups] += own * (own * pairs[:, -1, -1] - 2 * residual)
        return losses

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores[..., None] + self.level

    def _deviating(self, membership: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
        """At a price of `shrinkage` a square, and of its n_features-th part for the intercept:
        populations are expected to differ in level as much as in all else together."""
        coef, own, groups = self._fit_groups(membership)
        share = np.ones(groups.shape) if len(groups) == 1 else membership.T
        layer = np.arange(len(groups))[:, None]
        of_tasks = (share[..., None] * coef[layer, groups]).sum(axis=0)
        of_tasks[:, -1] += (share * own).sum(axis=0)
        pairs, with_y, _ = self._products
        residual = with_y - (pairs @ of_tasks[..., None])[..., 0]
        # Squares are those of features that are standardised by these rows.
        scale = self.Z.std(axis=0)
        scale[scale < 1e-12] = 1
        to_own = np.diag(1 / scale)
        to_own[:-1, -1] = -(self.Z.mean(axis=0) / scale)[:-1]
        H = to_own @ pairs @ to_own.T + np.diag(self._prices(shrinkage))
        b = residual @ to_own.T
        deviating: NDArray[np.float64] = np.linalg.solve(H, b[..., None])[..., 0] @ to_own
        return deviating

    def _prices(self, shrinkage: float) -> NDArray[np.float64]:
        prices = np.full(self.Z.shape[1], max(shrinkage, _LEAST_PENALTY))
        prices[-1] /= max(len(prices) - 1, 1)
        return prices


class _LogisticModels(_LinearModels):
    """Logistic regressions of two classes, by Newton's method."""

    n_restarts = 15  # of which few are followed to their end
    _most_rows = 4000

    #: What was fitted last: groups and coefficients.
    _last: tuple[NDArray[np.intp], _Coefficients] | None = None

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        """Rows side by side, (n_features + 1, n_samples)."""
        return np.ascontiguousarray(self.Z.T)

    @cached_property
    def _for_all(self) -> _Coefficients:
        """Of one group of all populations."""
        one = np.zeros((1, self.rows.n_tasks), dtype=np.intp)
        share = np.ones(one.shape)
        coef, constant = self._constants(one, share, 1)
        own = np.zeros(one.shape)
        fit = self._newton(one[0], share[0], self._penalties(one, share, 1)[0], ~constant[0])
        fit.run(coef[0], own[0], STEPS)
        return coef[0, 0], own[0]

    def _newton(
        self,
        groups: NDArray[np.intp],
        share: NDArray[np.float64],
        penalties: NDArray[np.float64],
        learns: NDArray[np.bool_],
    ) -> Newton:
        of_intercepts = self.penalty if self.intercepts else None
        return Newton(self.rows, self._columns, groups, share, penalties, learns, of_intercepts)

    def _fit(
        self,
        groups: NDArray[np.intp],
        share: NDArray[np.float64],
        n_groups: int,
        *,
        n_steps: int = STEPS,
    ) -> _Coefficients:
        penalties = self._penalties(groups, share, n_groups)
        coef, own = self._begin(groups, n_groups)
        of_shares, constant = self._constants(groups, share, n_groups)
        coef = np.where(constant[..., None], of_shares, coef)
        own = np.where(np.take_along_axis(constant, groups, 1) | (share == 0), 0, own)
        for i in range(len(groups)):
            fit = self._newton(groups[i], share[i], penalties[i], ~constant[i])
            fit.run(coef[i], own[i], n_steps)
        self._last = groups.copy(), (coef, own)
        return coef, own

    def _deviating(
        self, membership: NDArray[np.float64], shrinkage: float
    ) -> NDArray[np.float64] | None:
        """In the intercept alone, at the price that it has among numbers, in units of the variance
        of the labels; None where populations have intercepts already."""
        if self.intercepts:
            return None
        rows = self.rows
        layers = zip(*self._fit_groups(membership), strict=True)
        of_groups = expit(np.hstack([self._scores(*layer) for layer in layers]))
        of_rows = np.clip((membership[rows.codes] * of_groups).sum(axis=1), 1e-12, 1 - 1e-12)
        out = np.zeros((rows.n_tasks, self.Z.shape[1]))
        out[:, -1:] = fit_levels(logit(of_rows)[:, None], rows, self._prices(shrinkage)[-1])
        return out

    def _prices(self, shrinkage: float) -> NDArray[np.float64]:
        share = np.average(self.rows.y, weights=self.rows.weight)
        prices = np.full(self.Z.shape[1], np.inf)
        prices[-1] = shrinkage * share * (1 - share) / max(len(prices) - 1, 1)
        return prices

    def settle(
        self, groups: NDArray[np.intp], n_groups: int, splits: Sequence[Split]
    ) -> NDArray[np.intp]:
        """Rounds of one step of Newton's method each; the worse half of the groupings is given up
        every few rounds."""
        for i in range(_SETTLING):
            losses = self.cross_losses(groups, n_groups, splits, n_steps=1)
            moved = losses.argmin(axis=2)
            few = (moved != groups).mean(axis=1).max() < _FEW
            if i % 3 == 2 or few:
                order = losses_of_groups(losses, groups).argsort(kind="stable")
                moved = moved[order[: max(3, -(-len(order) // 2))]]
            groups = np.unique(moved, axis=0)
            if few:
                break
        return groups

    def _begin(self, groups: NDArray[np.intp], n_groups: int) -> _Coefficients:
        """Coefficients to begin with: those of the grouping most like this that was fitted last,
        if most populations are where they were, else of one group of all."""
        coef = np.tile(self._for_all[0], (len(groups), n_groups, 1))
        own = np.tile(self._for_all[1], (len(groups), 1))
        if self._last is not None and self._last[1][0].shape[1] == n_groups:
            last_groups, (last_coef, last_own) = self._last
            same = (groups[:, None] == last_groups).mean(axis=2)
            like, from_last = same.argmax(axis=1), same.max(axis=1) > 0.5
            coef[from_last] = last_coef[like[from_last]]
            own[from_last] = last_own[like[from_last]]
        return coef, own

    def _constants(
        self, groups: NDArray[np.intp], share: NDArray[np.float64], n_groups: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """First coefficients, and which groups have rows of a single class, or none: these are
        served by shares of classes, as if a row had those of all rows."""
        rows = self.rows
        both = np.column_stack([np.ones(len(self.Z)), rows.y])
        met = _sums_of_groups(rows.sums(both), groups, share > 0, n_groups)
        constant = (met[..., 1] == 0) | (met[..., 1] == met[..., 0])
        of_tasks = rows.sums(rows.weight[:, None] * both)
        counts = _sums_of_groups(of_tasks, groups, share, n_groups)
        counts_of_all = of_tasks.sum(axis=0)
        p = (counts[..., 1] + counts_of_all[1] / counts_of_all[0]) / (counts[..., 0] + 1)
        coef = np.zeros((*constant.shape, self.Z.shape[1]))
        coef[..., -1] = np.where(constant, logit(p), 0)
        return coef, constant

    def _losses(
        self, coef: NDArray[np.float64], own: NDArray[np.float64], groups: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        rows = self.rows
        out = np.empty((len(coef), rows.n_tasks, coef.shape[1]))
        sign = np.where(rows.y > 0, -1.0, 1.0)[:, None]
        step = max(1, _AT_ONCE // max(len(sign), 1))
        for i, k in itertools.product(range(len(coef)), range(0, coef.shape[1], step)):
            some = slice(k, k + step)
            loss = self._scores(coef[i, some], own[i], groups[i] - k)
            loss *= sign
            with np.errstate(over="ignore"):
                np.exp(loss, out=loss)
            loss += 1
            np.log(np.minimum(loss, 1 / FLOOR, out=loss), out=loss)
            if rows.sample_weight is not None:
                loss *= rows.sample_weight[:, None]
            out[i, :, some] = rows.sums(loss)
        return out

    def _read(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        p = expit(scores)
        return np.stack([1 - p, p], axis=-1)


def _moments(rows: Populations, Z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Number, sums and sums of squares of each population's rows, whatever they weigh."""
    z = Z[:, :-1]
    return rows.sums(np.column_stack([np.ones(len(z)), z, z**2]))


def _fewer_rows(rows: Populations, most: int) -> tuple[Populations, NDArray[np.intp]]:
    """At most so many rows of each population, half of them of each class where there are as many,
    and which: they weigh as much as all of its class."""
    rng = np.random.default_rng(0)
    kept, weight = np.ones(rows.n_samples, dtype=bool), rows.weight.copy()
    for t in np.flatnonzero(rows.sizes > most):
        here = np.arange(rows.starts[t], rows.starts[t] + rows.sizes[t])
        ones = int(rows.y[here].sum())
        fewest = min(ones, len(here) - ones, most // 2)
        for label, n in enumerate((len(here) - ones, ones)):
            of_class = here[rows.y[here] == label]
            n_kept = fewest if n <= most // 2 else most - fewest
            left = rng.choice(of_class, min(n, n_kept), replace=False)
            kept[of_class] = False
            kept[left] = True
            weight[left] *= weight[of_class].sum() / max(weight[left].sum(), 1e-300)
    index = np.flatnonzero(kept)
    return replace(rows.take(index), sample_weight=weight[index]), index


def _sums_of_groups(
    values: NDArray[np.float64], groups: NDArray[np.intp], share: NDArray[Any], n_groups: int
) -> NDArray[np.float64]:
    """Sums (n_layers, n_groups, n_values) over the populations of each group, of values
    (n_tasks, n_values) that count by their share."""
    n_layers, n_tasks = groups.shape
    place = (groups + n_groups * np.arange(n_layers)[:, None]).ravel()
    order = np.argsort(place, kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(place, minlength=n_layers * n_groups)))
    weights = share.ravel()[order].astype(np.float64)
    to_groups = sparse.csr_array(
        (weights, order % n_tasks, ends), shape=(n_layers * n_groups, n_tasks)
    )
    sums: NDArray[np.float64] = (to_groups @ values).reshape(n_layers, n_groups, -1)
    return sums
