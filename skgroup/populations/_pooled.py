"""One model for all populations, one each, or one a group: estimators that find out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import check_cv
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted
from tqdm.auto import tqdm

from skgroup._compat import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    _safe_indexing,
    forget_fit,
)
from skgroup._estimators import weight_parameter
from skgroup._random import draw_seeds, open_seed
from skgroup.metrics.splits import Split
from skgroup.populations._alternation import alternate
from skgroup.populations._linear import linear_models
from skgroup.populations._models import FittedModel, Models, losses_of
from skgroup.populations._path import (
    Path,
    Way,
    held_out_losses,
    numbers_of_groups,
    ways_to_try,
)
from skgroup.populations._rows import (
    Populations,
    features_and_ids,
    read_populations,
    within_folds,
)
from skgroup.populations._verdict import write_verdict
from skgroup.training.processes import in_parallel

#: Folds by which groups are found, and random groupings to begin with: of models that are fitted
#: at once, and of others.
_INNER, _RESTARTS = 3, {True: 10, False: 3}


class _PooledTasks(BaseEstimator):
    """What `PooledTasksClassifier` and `PooledTasksRegressor` share."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "task": [str, Integral],
        "grouper": [HasMethods(["fit"]), None],
        "n_groups": [StrOptions({"cv"}), Interval(Integral, 1, None, closed="left"), "array-like"],
        "shrinkage": [StrOptions({"cv"}), Interval(Real, 0, None, closed="both")],
        "task_as_feature": ["boolean"],
        "unseen": [StrOptions({"all", "error"})],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        task: Any,
        grouper: Any = None,
        n_groups: Any = "cv",
        shrinkage: Any = "cv",
        task_as_feature: bool = False,
        unseen: str = "all",
        cv: Any = 5,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.task = task
        self.grouper = grouper
        self.n_groups = n_groups
        self.shrinkage = shrinkage
        self.task_as_feature = task_as_feature
        self.unseen = unseen
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting -------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find out how many models serve the populations best, and fit them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features + 1)
            With the column `task`.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            Given to the estimator, and in held-out losses.

        Returns
        -------
        self : the estimator

        Raises
        ------
        TypeError, ValueError
            Before any model is fitted, if a parameter or the data are not right: no such column,
            one population, more groups than populations, `y` of two dimensions.
        """
        owner = type(self).__name__
        y, classes = self._read_y(y)
        n_classes = 0 if classes is None else len(classes)
        rows, order, column = read_populations(X, y, sample_weight, self.task, n_classes, owner)
        numbers = self._numbers(rows.n_tasks)
        if self.task_as_feature:
            rows = rows.with_features(_safe_indexing(X, order))
        estimator_seed, path_seed, groups_seed = draw_seeds(self.random_state, 3)
        estimator = self._made_estimator(column, estimator_seed, weighted=sample_weight is not None)
        grouper = self._checked_grouper(numbers, rows)
        splits = self._splits(rows, path_seed)
        find = partial(_find, estimator, classes, grouper)

        forget_fit(self)
        ways = ways_to_try(numbers, self.shrinkage, rows.sizes)
        path = self._walk(find, rows, ways, splits, path_seed)
        way = path.ways[path.simplest]
        models, membership = find(rows, way.n_groups, groups_seed)
        self._fit_models(Models(estimator, rows, classes), way, membership)
        self._path, self._way = path, way
        if classes is not None:
            self.classes_ = classes
        self._column, self._sizes = column, rows.sizes
        self.tasks_ = rows.names
        self.membership_ = membership[:, (membership > 0).any(axis=0)]
        self.labels_ = self.membership_.argmax(axis=1)
        self.n_groups_ = self.membership_.shape[1]
        self.shrinkage_ = way.shrinkage
        self.assigned_: dict[Any, int] = {}
        self.n_features_in_ = X.shape[1] if hasattr(X, "shape") else len(X[0])
        if hasattr(X, "columns") and all(isinstance(name, str) for name in X.columns):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.verdict_ = write_verdict(path, path.simplest, self.labels_, rows.names)
        return self

    def _read_y(self, y: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Numbers, or positions of classes and these."""
        raise NotImplementedError

    def _check_y(self, y: Any) -> NDArray[Any]:
        owner = type(self).__name__
        if y is None:
            raise ValueError(f"{owner} requires y to be passed, but the target y is None.")
        if np.ndim(y) != 1:
            sort = "Regressor" if isinstance(self, RegressorMixin) else "Classifier"
            raise ValueError(
                f"The y of {owner} must be 1-D, a label of each row, as its tasks are populations "
                f"of rows. Got {np.ndim(y)} dimensions: tables of tasks, a column a task, are "
                f"learned by GroupedMTL{sort}."
            )
        y = column_or_1d(y)
        missing = [v is None or v != v for v in y.tolist()]
        if any(missing):
            raise ValueError(
                f"The y of {owner} must have no missing label. It is missing in {sum(missing)} of "
                f"{len(y)} rows."
            )
        return y

    def _numbers(self, n_tasks: int) -> list[int]:
        """The numbers of groups that are tried."""
        if isinstance(self.n_groups, str):
            return numbers_of_groups(n_tasks)
        owner = type(self).__name__
        rule = f"The 'n_groups' parameter of {owner} must be 'cv', an int or several"
        given = [self.n_groups] if np.ndim(self.n_groups) == 0 else list(self.n_groups)
        if not given or any(isinstance(k, bool) or not isinstance(k, Integral) for k in given):
            raise ValueError(f"{rule}. Got {self.n_groups!r}.")
        if min(given) < 1 or max(given) > n_tasks:
            raise ValueError(
                f"{rule}, from 1 to the number of populations, {n_tasks}. Got {self.n_groups!r}."
            )
        return sorted({int(k) for k in given})

    def _made_estimator(self, column: Any, seed: int, *, weighted: bool) -> Any:
        """A clone of the estimator, or of the default, whose randomness is seeded."""
        made = self._default(column) if self.estimator is None else clone(self.estimator)
        owner = type(self).__name__
        if isinstance(self, ClassifierMixin) and not hasattr(made, "predict_proba"):
            raise ValueError(
                f"The 'estimator' parameter of {owner} must have 'predict_proba', for probabilities "
                f"are mixed. Got {made!r}."
            )
        needs = weighted or self.grouper is not None
        if weighted and weight_parameter(made) is None:
            raise ValueError(
                f"The 'estimator' parameter of {owner} must take 'sample_weight' where weights are "
                f"given. Got {made!r}."
            )
        del needs
        params = made.get_params(deep=True)
        unset = sorted(
            key
            for key, value in params.items()
            if value is None and (key == "random_state" or key.endswith("__random_state"))
        )
        return made.set_params(**dict(zip(unset, draw_seeds(seed, len(unset)), strict=True)))

    def _default(self, column: Any) -> Any:
        last = self._default_last()
        if not self.task_as_feature:
            return make_pipeline(StandardScaler(), last)
        encoder = OneHotEncoder(handle_unknown="ignore")
        return make_pipeline(
            make_column_transformer((encoder, [column]), remainder=StandardScaler()), last
        )

    def _default_last(self) -> Any:
        raise NotImplementedError

    def _checked_grouper(self, numbers: list[int], rows: Populations) -> Any:
        if self.grouper is None:
            return None
        return clone(self.grouper)

    def _splits(self, rows: Populations, seed: int) -> list[Split]:
        """Folds of the path, drawn within populations unless 'cv' is a splitter."""
        if isinstance(self.cv, Integral) or self.cv is None:
            n_folds = 5 if self.cv is None else int(self.cv)
            if n_folds < 2 or n_folds > rows.n_samples:
                raise ValueError(
                    f"The 'cv' parameter of {type(self).__name__} must be at least 2, and at most "
                    f"the number of rows, {rows.n_samples}. Got {self.cv!r}."
                )
            return within_folds(rows, n_folds, seed)
        splitter = check_cv(self.cv)
        made = splitter.split(np.empty((rows.n_samples, 0)), rows.y, rows.codes)
        return [(np.sort(train), np.sort(test)) for train, test in made]

    def _walk(
        self, find: Any, rows: Populations, ways: list[Way], splits: Iterable[Split], seed: int
    ) -> Path:
        """Held-out losses of all ways, on each split."""
        splits = list(splits)
        seeds = draw_seeds(seed, len(splits))
        calls = (
            delayed(_walk_split)(find, rows, ways, split, s)
            for split, s in zip(splits, seeds, strict=True)
        )
        losses = np.zeros((len(ways), rows.n_tasks))
        weights = np.zeros(rows.n_tasks)
        groups: dict[int, list[NDArray[np.intp]]] = {}
        done = in_parallel(calls, self.n_jobs)
        bar = tqdm(done, total=len(splits), desc="splits", unit="split", disable=not self.verbose)
        for of_split, of_weights, found in bar:
            losses += of_split
            weights += of_weights
            for k, labels in found.items():
                groups.setdefault(k, []).append(labels)
        return Path(ways, losses, weights, rows.sizes, groups)

    def _fit_models(self, models: Models, way: Way, membership: NDArray[np.float64]) -> None:
        """The models that serve: of all rows, of each group, and of each population."""
        everyone = np.ones(models.rows.n_tasks)
        used = membership[:, (membership > 0).any(axis=0)].T
        asked: list[NDArray[np.float64]] = [everyone]
        if way.n_groups not in (1, models.rows.n_tasks):
            asked += list(used)
        if not np.isinf(way.shrinkage):
            asked += list(np.eye(models.rows.n_tasks))
        fitted = list(in_parallel((delayed(_fit_one)(models, w) for w in asked), self.n_jobs))
        self.model_for_all_ = fitted[0].estimator
        self._for_all = fitted[0]
        n_groups = len(used)
        if way.n_groups == 1:
            self._of_groups, left = fitted[:1], fitted[1:]
        elif way.n_groups == models.rows.n_tasks:
            self._of_groups, left = fitted[1:], []
        else:
            self._of_groups, left = fitted[1 : 1 + n_groups], fitted[1 + n_groups :]
        self._own = left
        self.models_ = [one.estimator for one in self._of_groups]

    # -- predicting ----------------------------------------------------------------------------

    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """Numbers, or probabilities of all classes, (n_samples, n_outputs)."""
        check_is_fitted(self)
        features, ids, _ = features_and_ids(X, self._same_column(X), type(self).__name__)
        if self.task_as_feature:
            features = X
        codes, known = self._codes(ids)
        assigned = np.array([self.assigned_.get(v, -1) for v in ids.tolist()])
        unknown = np.flatnonzero(~known & (assigned < 0))
        if len(unknown) and self.unseen == "error":
            names = sorted({str(ids[i]) for i in unknown})
            raise ValueError(
                f"X has populations that fit has not seen: {', '.join(names[:5])}"
                f"{f' and {len(names) - 5} more' if len(names) > 5 else ''}. 'unseen' of "
                f"{type(self).__name__} is 'error'; assign(X, y) gives them groups."
            )
        share = np.zeros((len(ids), len(self._of_groups)))
        share[known] = self.membership_[codes[known]]
        here = assigned >= 0
        share[here, assigned[here]] = 1
        out = np.zeros((len(ids), self._for_all.n_outputs))
        for g, model in enumerate(self._of_groups):
            self._add(out, model, features, share[:, g])
        if self._own:
            own = np.zeros(len(ids))
            own[known] = self._way.own_share(self._sizes)[codes[known]]
            out *= (1 - own)[:, None]
            for t in np.unique(codes[known]):
                self._add(out, self._own[t], features, np.where(known & (codes == t), own, 0))
        self._add(out, self._for_all, features, np.where(~known & ~here, 1.0, 0.0))
        return out

    @staticmethod
    def _add(
        out: NDArray[np.float64], model: FittedModel, features: Any, share: NDArray[np.float64]
    ) -> None:
        rows = np.flatnonzero(share > 0)
        if len(rows):
            out[rows] += share[rows, None] * model.outputs(_safe_indexing(features, rows))

    def _same_column(self, X: Any) -> Any:
        """The column of the populations, by its name where X has names."""
        return self._column if hasattr(X, "columns") else self.task

    def _codes(self, ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Positions of populations among those of `fit`, and whether they are there."""
        position = {name: i for i, name in enumerate(self.tasks_.tolist())}
        codes = np.array([position.get(v, -1) for v in ids.tolist()], dtype=np.intp)
        return codes, codes >= 0

    def assign(self, X: Any, y: Any) -> Self:
        """Give populations that `fit` has not seen a group, from a few labelled rows.

        Each gets the group whose model has the lowest loss on its rows; models stay as they are.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features + 1)
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : the estimator
            `assigned_` says the group of each such population.

        Raises
        ------
        ValueError
            If a population was there in `fit`, or a label was not.
        """
        check_is_fitted(self)
        y = self._known_y(y)
        features, ids, _ = features_and_ids(X, self._same_column(X), type(self).__name__)
        _, known = self._codes(ids)
        if known.any():
            raise ValueError(
                "The populations that assign is given must be new. Got "
                f"{ids[np.flatnonzero(known)[0]]!r}, which fit has seen: fit again with its rows."
            )
        names, codes = np.unique(ids, return_inverse=True)
        rows = Populations(features, y, codes, names, len(getattr(self, "classes_", ())))
        each = [losses_of(model.outputs(features), rows) for model in self._of_groups]
        of_groups = np.stack([np.bincount(codes, loss) for loss in each], axis=1)
        found = dict(zip(names.tolist(), of_groups.argmin(axis=1).tolist(), strict=True))
        self.assigned_ = {**self.assigned_, **found}
        return self

    def _known_y(self, y: Any) -> NDArray[Any]:
        raise NotImplementedError

    # -- answers -------------------------------------------------------------------------------

    @property
    def path_(self) -> Any:
        """DataFrame: held-out loss by number of groups and shrinkage, a row a way; the difference
        to the best with its standard error, and which is `best` and `chosen`."""
        import pandas as pd

        check_is_fitted(self)
        path = self._path
        to_best = [path.difference(i, path.best) for i in range(len(path.ways))]
        ranks = np.arange(len(path.ways))
        return pd.DataFrame(
            {
                "n_groups": [way.n_groups for way in path.ways],
                "shrinkage": [way.shrinkage for way in path.ways],
                "loss": path.means,
                "difference": [d.mean for d in to_best],
                "error": [d.error for d in to_best],
                "low": [d.low for d in to_best],
                "high": [d.high for d in to_best],
                "best": ranks == path.best,
                "chosen": ranks == path.simplest,
            }
        )

    @property
    def groups_(self) -> Any:
        """DataFrame: a row a population, its `group`, number of `rows`, and how `stable` it is, the
        share of the other populations that stay with it, or away from it, on the splits."""
        import pandas as pd

        check_is_fitted(self)
        stable = self._path.stability(self.labels_, self._way.n_groups)
        index = pd.Index(self.tasks_, name="population")
        columns = {"group": self.labels_, "rows": self._sizes, "stable": stable}
        return pd.DataFrame(columns, index=index)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = True
        tags.input_tags.sparse = True
        return tags


class PooledTasksClassifier(ClassifierMixin, _PooledTasks):
    def _read_y(self, y: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        y = self._check_y(y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"The y of {type(self).__name__} must have at least two classes. Got one: "
                f"{classes.tolist()[0]!r}."
            )
        return codes, classes

    def _default_last(self) -> Any:
        return LogisticRegression(max_iter=1000)

    def _known_y(self, y: Any) -> NDArray[Any]:
        y = self._check_y(y)
        position = {label: i for i, label in enumerate(self.classes_.tolist())}
        new = [label for label in y.tolist() if label not in position]
        if new:
            raise ValueError(f"y must hold the classes {self.classes_.tolist()}. Got {new[0]!r}.")
        return np.array([position[label] for label in y.tolist()])

    def predict(self, X: Any) -> NDArray[Any]:
        labels: NDArray[Any] = self.classes_[self._outputs(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return self._outputs(X)


class PooledTasksRegressor(RegressorMixin, _PooledTasks):
    def _read_y(self, y: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        y = self._check_y(y)
        try:
            numbers = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The y of {type(self).__name__} must hold numbers: {error}") from error
        if not np.isfinite(numbers).all():
            raise ValueError(f"The y of {type(self).__name__} must hold finite numbers.")
        return numbers, None

    def _default_last(self) -> Any:
        return Ridge()

    def _known_y(self, y: Any) -> NDArray[Any]:
        return self._read_y(y)[0]

    def predict(self, X: Any) -> NDArray[np.float64]:
        return self._outputs(X)[:, 0]


def _make_models(estimator: Any, rows: Populations, classes: Any) -> tuple[Models, bool]:
    """Models of rows, and whether they are fitted at once."""
    at_once = linear_models(estimator, rows)
    return (Models(estimator, rows, classes), False) if at_once is None else (at_once, True)


def _find(
    estimator: Any, classes: Any, grouper: Any, rows: Populations, n_groups: int, seed: int
) -> tuple[Models, NDArray[np.float64]]:
    """Models of the rows, and memberships (n_tasks, n_groups) of the populations in groups."""
    models, at_once = _make_models(estimator, rows, classes)
    splits = within_folds(rows, _INNER, seed)
    rng = np.random.default_rng(seed)
    labels = alternate(models, n_groups, splits, _RESTARTS[at_once], rng)
    return models, np.eye(n_groups)[labels]


def _walk_split(
    find: Any, rows: Populations, ways: list[Way], split: Split, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, NDArray[np.intp]]]:
    """Losses of all ways on one split, weights of its rows, and the groups that were found."""
    estimator, classes, _ = find.args
    models, _ = _make_models(estimator, rows, classes)
    n_tasks = rows.n_tasks
    trained = rows.take(split[0])
    of_groups, found = {}, {}
    for_all = models.outputs(np.ones((n_tasks, 1)), split)
    for k in sorted({way.n_groups for way in ways} - {n_tasks}):
        if k == 1:
            of_groups[k] = np.ones((n_tasks, 1)), for_all
            continue
        _, membership = find(trained, k, seed + k)
        of_groups[k] = membership, models.outputs(membership, split)
        found[k] = membership.argmax(axis=1)
    needs_own = any(not np.isinf(way.shrinkage) for way in ways)
    own = models.own_outputs(split) if needs_own else for_all[:, 0]
    losses, weights = held_out_losses(rows, ways, split, of_groups, own, for_all[:, 0])
    return losses, weights, found


def _fit_one(models: Models, of_tasks: NDArray[np.float64]) -> FittedModel:
    return models.fit(of_tasks)
