"""Models of groups of populations, of whatever estimator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from skgroup._compat import BaseSearchCV, _routing_enabled, _safe_indexing
from skgroup._estimators import weight_parameter
from skgroup._fit_parts import part_of_fit
from skgroup.metrics.splits import Split
from skgroup.populations._newton import fit_levels
from skgroup.populations._rows import Populations, without_column

__all__ = [
    "FLOOR",
    "Deviations",
    "FittedModel",
    "Models",
    "losses_of",
    "own_share",
    "takes_weights",
    "warn_of_failures",
]

#: How near to 0 a probability may come in a loss: one sure error must not outweigh all the rest.
FLOOR = 1e-4


def losses_of(outputs: NDArray[np.float64], rows: Populations) -> NDArray[np.float64]:
    """Losses (n_samples, ...) of outputs (n_samples, ..., n_outputs): log losses, or squared
    errors."""
    y = rows.y.reshape(-1, *[1] * (outputs.ndim - 2))
    if not rows.n_classes:
        squared: NDArray[np.float64] = (outputs[..., 0] - y) ** 2
        return squared
    index = np.broadcast_to(y[..., None], (*outputs.shape[:-1], 1))
    p = np.take_along_axis(outputs, index, -1)[..., 0]
    return -np.log(np.clip(p, FLOOR, 1))


def _log_odds(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the second of two classes, of probabilities (..., 2)."""
    odds: NDArray[np.float64] = logit(np.clip(outputs[..., 1], 1e-12, 1 - 1e-12))
    return odds


def own_share(shrinkage: float, sizes: NDArray[np.intp]) -> NDArray[np.float64]:
    """How much the own model of populations of these sizes counts beside that of the group."""
    if np.isinf(shrinkage):
        return np.zeros(len(sizes))
    return np.where(sizes > 0, sizes / np.maximum(sizes + shrinkage, 1e-300), 0.0)


def takes_weights(estimator: Any) -> bool:
    """Whether `fit` takes weights of samples; where metadata are routed, the parts of a pipeline or
    of a search must have asked for them."""
    if weight_parameter(estimator) is None:
        return False
    if not _routing_enabled() or not isinstance(estimator, Pipeline | BaseSearchCV):
        return True
    is_pipeline = isinstance(estimator, Pipeline)
    name, last = estimator.steps[-1] if is_pipeline else ("estimator", estimator.estimator)
    try:
        routed = process_routing(estimator, "fit", sample_weight=np.ones(1))
    except (TypeError, ValueError):  # nothing has asked for them, or something has not said
        return False
    return "sample_weight" in routed[name].fit and takes_weights(last)


@dataclass(frozen=True)
class Deviations:
    """What each population adds to the linear model of its group: to numbers, and then its own
    model counts no more; or to log odds, before they are mixed with those of its own.

    Attributes
    ----------
    column : int or None
        That of `X` which is no feature.
    center, scale : ndarray of shape (n_features,)
        By which features are standardised.
    coef : ndarray of shape (n_tasks, n_features + 1)
        Of standardised features, and the intercept.
    of_classes : bool
        Whether they are added to log odds of the second of two classes.
    prices : ndarray of shape (n_features + 1,)
        Of the squares of coefficients (of half of them, among log odds); those of infinite price
        are 0.
    """

    column: int | None
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    coef: NDArray[np.float64]
    of_classes: bool
    prices: NDArray[np.float64]

    def of_rows(self, X: Any, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is added (n_samples,) for rows of populations of these coefficients, one a row."""
        z = self._standardised(X)
        added: NDArray[np.float64] = np.einsum("nd,nd->n", z, coef)
        return added

    def _standardised(self, X: Any) -> NDArray[np.float64]:
        """Features of rows, and ones."""
        if self.column is not None:
            X = without_column(X, self.column)
        if sparse.issparse(X):
            X = X.toarray()
        z = (np.asarray(X, dtype=np.float64) - self.center) / self.scale
        return np.column_stack([z, np.ones(len(z))])

    def add(self, outputs: NDArray[np.float64], added: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (n_samples, n_outputs) with what is added (n_samples,)."""
        if not self.of_classes:
            return outputs + added[:, None]
        p = expit(_log_odds(outputs) + added)
        return np.column_stack([1 - p, p])

    def of_later(
        self, rows: Populations, outputs: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What populations that come later add to models, learned from their own rows.

        Parameters
        ----------
        rows : Populations
        outputs : ndarray of shape (n_samples, n_models, n_outputs)

        Returns
        -------
        coef : ndarray of shape (n_tasks, n_models, n_features + 1)
        gain : ndarray of shape (n_tasks, n_models)
            By how much the loss of each population's rows, with the price, is lower.
        """
        n_models = outputs.shape[1]
        coef = np.zeros((rows.n_tasks, n_models, len(self.prices)))
        if self.of_classes:
            log_odds = _log_odds(outputs)
            levels = fit_levels(log_odds, rows, self.prices[-1])
            p = expit(log_odds + levels[rows.codes])
            before, after = (
                rows.sums(losses_of(of_rows, rows))
                for of_rows in (outputs, np.stack([1 - p, p], axis=-1))
            )
            coef[..., -1] = levels
            return coef, before - after - self.prices[-1] / 2 * levels**2
        z, left = self._standardised(rows.X), rows.y[:, None] - outputs[..., 0]
        gain = np.zeros((rows.n_tasks, n_models))
        for t, (first, size) in enumerate(zip(rows.starts, rows.sizes, strict=True)):
            part = slice(first, first + size)
            with_left = z[part].T @ left[part]
            solved = np.linalg.solve(z[part].T @ z[part] + np.diag(self.prices), with_left)
            coef[t], gain[t] = solved.T, (with_left * solved).sum(axis=0)
        return coef, gain


class Models:
    """Fits an estimator to the rows of groups of populations, as often as a search asks for it.

    Parameters
    ----------
    estimator : estimator
        Unfitted, seeded.
    rows : Populations
    classes : ndarray of shape (n_classes,), default=None
        The labels that the estimator is to see; those of `rows` if None.
    """

    #: Random groupings that a search begins with.
    n_restarts = 3

    def __init__(
        self, estimator: Any, rows: Populations, classes: NDArray[Any] | None = None
    ) -> None:
        self.estimator, self.rows, self.classes = estimator, rows, classes
        self._known: dict[Any, NDArray[np.float64]] = {}
        self._of_all: dict[Any, FittedModel] = {}
        self._own: tuple[Split, NDArray[np.float64]] | None = None  # of the split asked for last

    def cross_losses(
        self, groups: NDArray[np.intp], n_groups: int, splits: Sequence[Split]
    ) -> NDArray[np.float64]:
        """How well the model of each group serves each population, on rows that it has not seen.

        Parameters
        ----------
        groups : ndarray of int of shape (n_layers, n_tasks)
            Groupings: the group of each population.
        n_groups : int
        splits : sequence of (train, test)

        Returns
        -------
        losses : ndarray of shape (n_layers, n_tasks, n_groups)
            Weighted sums over the test rows of all splits.
        """
        losses = np.zeros((len(groups), self.rows.n_tasks, n_groups))
        for k, split in enumerate(splits):
            held = self.rows.take(split[1])
            for layer, of_layer in enumerate(groups):
                for g in range(n_groups):
                    tasks = np.flatnonzero(of_layer == g)
                    key = k, len(split[0]), tasks.tobytes()
                    if key not in self._known:
                        weight = (of_layer == g).astype(np.float64)
                        name = f"search {len(self._known)}"
                        outputs = self.fit(weight, name, split[0]).outputs(held.X)
                        loss = losses_of(outputs, held) * held.weight
                        self._known[key] = held.sums(loss)
                    losses[layer, :, g] += self._known[key]
        return losses

    def settle(
        self, groups: NDArray[np.intp], n_groups: int, splits: Sequence[Split]
    ) -> NDArray[np.intp]:
        """Groupings (n_layers, n_tasks) to go on with, brought nearer to where none moves by
        rounds that are cheaper than those of `cross_losses`, if there are any."""
        return groups

    def outputs(self, membership: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
        """Outputs (n_test, n_groups, n_outputs) for test rows of the models of all groups, whose
        training rows weigh as much as their populations belong to the group."""
        held = _safe_indexing(self.rows.X, split[1])
        n_groups = membership.shape[1]
        each = []
        for g, of_group in enumerate(membership.T):
            name = "for all" if n_groups == 1 else f"group {g} of {n_groups}"
            each.append(self.fit(of_group, name, split[0]).outputs(held))
        return np.stack(each, axis=1)

    def own_outputs(self, split: Split) -> NDArray[np.float64]:
        """Outputs (n_test, n_outputs) for test rows of the model of their own population."""
        if self._own is None or self._own[0] is not split:
            self._own = split, self._outputs_of_own(split)
        return self._own[1]

    def _outputs_of_own(self, split: Split) -> NDArray[np.float64]:
        codes = self.rows.codes[split[1]]
        out = np.empty((len(codes), max(self.rows.n_classes, 1)))
        for t in np.unique(codes):
            here = codes == t
            model = self.fit(np.eye(self.rows.n_tasks)[t], f"population {t}", split[0])
            out[here] = model.outputs(_safe_indexing(self.rows.X, split[1][here]))
        return out

    def shrunk(
        self,
        membership: NDArray[np.float64],
        outputs: NDArray[np.float64],
        shrinkage: float,
        split: Split,
    ) -> NDArray[np.float64]:
        """Outputs (n_test, n_outputs) of the own model of each test row's population, shrunk
        towards those of its group.

        Parameters
        ----------
        membership : ndarray of shape (n_tasks, n_groups)
        outputs : ndarray of shape (n_test, n_groups, n_outputs)
            Of the models of the groups.
        shrinkage : float
            Rows that a population must have for its own model to count as much; see `own_share`.
        split : (train, test)
        """
        codes = self.rows.codes[split[1]]
        of_group = np.einsum("nk,nko->no", membership[codes], outputs)
        if np.isinf(shrinkage):
            return of_group
        return self._mixed(of_group, shrinkage, split)

    def _mixed(
        self, of_group: NDArray[np.float64], shrinkage: float, split: Split
    ) -> NDArray[np.float64]:
        sizes = np.bincount(self.rows.codes[split[0]], minlength=self.rows.n_tasks)
        share = own_share(shrinkage, sizes)[self.rows.codes[split[1]], None]
        mixed: NDArray[np.float64] = (1 - share) * of_group + share * self.own_outputs(split)
        return mixed

    def deviations(self, membership: NDArray[np.float64], shrinkage: float) -> Deviations | None:
        """What each population adds to the model of its group, where there are linear models; None
        where models are mixed alone."""
        return None

    def fit(
        self, of_tasks: NDArray[np.float64], name: str, train: NDArray[np.intp] | None = None
    ) -> FittedModel:
        """The model of rows that weigh as much as their populations do, (n_tasks,); callbacks of
        nets hear it by this name.

        Where an estimator that can be fitted to all rows cannot be fitted to these (few rows, or
        none with some feature), it is that of all, and its `failure` says why.
        """
        weight = of_tasks[self.rows.codes]
        kept = np.flatnonzero(weight > 0) if train is None else train[weight[train] > 0]
        rows = self.rows.take(kept)
        soft = bool((np.unique(of_tasks[of_tasks > 0]) != 1).any())
        given = None
        if soft or rows.sample_weight is not None:
            given = rows.weight * weight[kept]
        everything = np.arange(self.rows.n_samples) if train is None else train
        y, of_all = self.rows.y[everything], self.rows.weight[everything]
        with part_of_fit(name):
            try:
                return FittedModel.of(self.estimator, rows, given, self.classes, y, of_all)
            except (ValueError, ArithmeticError) as error:
                if len(kept) == len(everything):
                    raise
                failure = f"{type(error).__name__}: {error}"
        key = None if train is None else (len(train), hash(train.tobytes()))
        if key not in self._of_all:
            self._of_all[key] = self.fit(np.ones(self.rows.n_tasks), "for all", train)
        instead = copy(self._of_all[key])
        instead.failure = failure
        return instead


class FittedModel:
    """An estimator fitted to some rows, or what serves where there is too little to fit it to.

    Parameters
    ----------
    estimator : fitted estimator or None
    constant : ndarray of shape (n_outputs,) or None
        Outputs of all rows, where there is no estimator.
    columns : ndarray of int
        Which of the classes the estimator has met.
    n_outputs : int
    """

    def __init__(
        self,
        estimator: Any,
        constant: NDArray[np.float64] | None,
        columns: NDArray[np.intp],
        n_outputs: int,
    ) -> None:
        self.estimator, self.constant = estimator, constant
        self.columns, self.n_outputs = columns, n_outputs
        #: Why it is the model for all rather than that of its rows.
        self.failure: str | None = None

    @classmethod
    def of(
        cls,
        estimator: Any,
        rows: Populations,
        weight: NDArray[np.float64] | None,
        classes: NDArray[Any] | None,
        y_of_all: NDArray[Any],
        weight_of_all: NDArray[np.float64],
    ) -> FittedModel:
        """Fit a clone of an estimator.

        Rows of a single class, or none, are served by shares of classes: those of the rows, and
        those of all rows as if these were one more. No rows of numbers are served by their mean.
        """
        n_outputs = max(rows.n_classes, 1)
        met = np.unique(rows.y) if rows.n_classes else np.arange(1)
        if rows.n_samples == 0 or (rows.n_classes and len(met) < 2):
            constant = _shares(rows, weight, y_of_all, weight_of_all)
            return cls(None, constant, met, n_outputs)
        y = rows.y
        if rows.n_classes and classes is not None:
            y = classes[y]
        params = {}
        if weight is not None:
            name = weight_parameter(estimator)
            if _routing_enabled() and isinstance(estimator, Pipeline | BaseSearchCV):
                name = "sample_weight"  # for the steps that have asked for it
            if name is None:
                raise ValueError(
                    "The 'estimator' parameter must take 'sample_weight', as memberships in groups "
                    f"weigh rows. Got {estimator!r}."
                )
            params[name] = weight
        return cls(clone(estimator).fit(rows.X, y, **params), None, met, n_outputs)

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Numbers, or probabilities of all classes, (n_samples, n_outputs)."""
        n_samples = X.shape[0]
        if self.estimator is None:
            assert self.constant is not None
            return np.tile(self.constant, (n_samples, 1))
        if not n_samples:
            return np.empty((0, self.n_outputs))
        if not hasattr(self.estimator, "predict_proba"):
            numbers = np.asarray(self.estimator.predict(X), dtype=np.float64)
            return numbers.reshape(n_samples, 1)
        proba = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        if proba.ndim == 1 or proba.shape[1] == 1:  # of a net of one binary task
            proba = np.column_stack([1 - proba.ravel(), proba.ravel()])
        if len(self.columns) == self.n_outputs:
            return proba
        out = np.zeros((n_samples, self.n_outputs))
        out[:, self.columns] = proba
        return out


def _shares(
    rows: Populations,
    weight: NDArray[np.float64] | None,
    y_of_all: NDArray[Any],
    weight_of_all: NDArray[np.float64],
) -> NDArray[np.float64]:
    if not rows.n_classes:
        return np.array([np.average(y_of_all, weights=weight_of_all)])
    of_all = np.bincount(y_of_all, weight_of_all, minlength=rows.n_classes)
    counts = np.bincount(rows.y, weight, minlength=rows.n_classes)
    return (counts + of_all / of_all.sum()) / (counts.sum() + 1)


def warn_of_failures(
    fitted: Sequence[FittedModel], asked: Sequence[tuple[Any, str]], names: Any, owner: str
) -> None:
    """Warn of what the estimator could not be fitted to, in one warning."""
    failed = [i for i, model in enumerate(fitted) if model.failure is not None]
    if not failed:
        return
    of_tasks, what = asked[failed[0]]
    here = np.flatnonzero(of_tasks)
    shown = f"population {names[here[0]]!r}" if len(here) == 1 else what
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    warnings.warn(
        f"The 'estimator' of {owner} could not be fitted to {shown}{more}, which the model for all "
        f"serves instead. {fitted[failed[0]].failure}",
        FitFailedWarning,
        stacklevel=4,
    )
