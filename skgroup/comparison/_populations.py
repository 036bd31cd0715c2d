"""Candidates that learn populations, sets of rows, as the tasks of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skgroup._estimators import check_parameters, parts_of, pos_label_of, steps_of
from skgroup.comparison._baselines import are_vectors, with_last
from skgroup.comparison._candidates import RULE, Candidates, check_candidate
from skgroup.comparison._of_rows import OfRows, Pooled, is_one, looks_for_groups, pooled_in
from skgroup.comparison._scorings import Scorings
from skgroup.comparison._task_scores import check_proba
from skgroup.ensemble import GroupedMTLEstimator, PortfolioEstimator
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations.baselines import baseline_like
from skgroup.populations.rows import as_table, check_labels, features_and_ids
from skgroup.populations.trial import try_pooled
from skgroup.tasks import AUTO, MISSING, REGRESSION, TaskTable, check_tasks

#: Of more, histogram boosting takes their numbers for an order.
_MOST_CATEGORIES = 255


def are_of_populations(candidates: Any) -> bool:
    """Whether some candidate learns populations."""
    given = candidates.values() if isinstance(candidates, Mapping) else [candidates]
    return any(pooled_in(estimator) is not None for estimator in given)


def populations_of(X: Any, y: Any, candidates: Any) -> TaskTable:
    """A table with a task a population: the labels of its rows, and of no others.

    Raises
    ------
    ValueError
        If candidates learn different things, or other tasks; if the data are not theirs.
    """
    by_name = _by_name(candidates)
    pooled = {}
    for name, estimator in by_name.items():
        if isinstance(estimator, Mapping) or any(
            isinstance(part, GroupedMTLEstimator | PortfolioEstimator)
            for part in (parts_of(estimator) if hasattr(estimator, "get_params") else [])
        ):
            raise ValueError(
                f"{RULE} that all learn populations of rows, or all tables of tasks. Got {name!r}, "
                "which learns a table of tasks, beside a PooledTasks estimator."
            )
        part = pooled_in(estimator)
        if part is not None:
            pooled[name] = part
    of_numbers = isinstance(next(iter(pooled.values())), PooledTasksRegressor)
    for name, estimator in by_name.items():
        if (is_classifier if of_numbers else is_regressor)(estimator):
            what = ("numbers", "classes") if of_numbers else ("classes", "numbers")
            raise ValueError(
                f"{RULE} that all learn {what[0]}, as {next(iter(pooled))!r} does. Got {name!r}, a "
                f"{type(steps_of(estimator)[-1]).__name__}, which learns {what[1]}."
            )
    check_labels(y, not of_numbers, "compare")
    columns = {}
    for name, part in pooled.items():
        _, ids, column = features_and_ids(as_table(X), part.task, f"candidate {name!r} of compare")
        columns[name] = column
    if len(set(columns.values())) > 1:
        raise ValueError(
            f"{RULE} of the same populations: one column 'task' for all PooledTasks estimators. "
            f"Got {columns}."
        )
    labels = check_tasks(
        y, pos_label=pos_label_of(candidates), task_types=REGRESSION.name if of_numbers else AUTO
    )
    if len(ids) != len(labels.codes):
        raise ValueError(
            f"X and Y must have the same number of samples. Got X with {len(ids)} and Y with "
            f"{len(labels.codes)}."
        )
    return _a_task_each(labels, ids, next(iter(columns.values())))


def _a_task_each(labels: TaskTable, ids: NDArray[Any], column: Any) -> TaskTable:
    names, codes = np.unique(ids, return_inverse=True)
    n_tasks = len(names)
    if n_tasks < 2:
        raise ValueError(
            f"The column {column!r} of X must hold at least two populations for compare. Got one, "
            f"{names.tolist()[0]!r}."
        )
    here = codes[:, None] == np.arange(n_tasks)
    return TaskTable(
        np.where(here, labels.codes, labels.codes.dtype.type(MISSING)),
        labels.classes * n_tasks,
        np.array([str(name) for name in names.tolist()], dtype=object),
        False,
        np.repeat(labels.positive, n_tasks),
        np.repeat(labels.constant, n_tasks),
        labels.ordered * n_tasks,
        labels.task_types * n_tasks,
        None if labels.values is None else np.where(here, labels.values, np.nan),
    )


def candidates_of_populations(
    candidates: Any, baselines: Any, X: Any, table: TaskTable
) -> Candidates:
    """Clones of the candidates with baselines, as of tables of tasks."""
    clones = {name: check_candidate(name, e) for name, e in _by_name(candidates).items()}
    found = Candidates.with_baselines(
        clones,
        baselines,
        lambda: _make_baselines(clones, X, table.n_tasks),
        lambda e: "grouped" if looks_for_groups(e, table.n_tasks) else "other",
    )
    return replace(
        found,
        estimators={name: OfRows(e, table.n_tasks) for name, e in found.estimators.items()},
    )


def scoring_of_populations(scoring: Any, table: TaskTable) -> Any:
    """What is scored: losses where nothing is said, as few rows leave little else."""
    if scoring is not None:
        return scoring
    return "neg_log_loss" if table.has_classes.all() else "neg_mean_squared_error"


def check_for_populations(threshold: Any, params: Any) -> None:
    """Refuse what is for tables of tasks alone."""
    for name, value, only in (("threshold", threshold, "default"), ("params", params, None)):
        if not (value is None or (isinstance(value, str) and value == only)):
            raise ValueError(
                f"The {name!r} parameter of compare must be {only!r} where candidates learn "
                f"populations. Got {value!r}."
            )


def try_of_rows(
    name: str, estimator: OfRows, training_data: tuple[Any, Any], scores: Scorings
) -> None:
    """Raise what can be seen to go wrong before any candidate trains."""
    inner = estimator.estimator
    try:
        check_parameters(inner)
        if isinstance(inner, Pooled):
            try_pooled(inner, *training_data)
        check_proba(inner, scores.names_of_proba)
    except Exception as error:
        raise ValueError(f"Candidate {name!r} of compare cannot be fitted: {error}") from error


def _by_name(candidates: Any) -> Mapping[Any, Any]:
    if isinstance(candidates, Mapping):
        return candidates
    pooled = pooled_in(candidates)
    groups = pooled is not None and not is_one(pooled.n_groups)
    return {"grouped" if groups else type(candidates).__name__: candidates}


def _make_baselines(
    candidates: Mapping[str, Any], X: Any, n_tasks: int
) -> tuple[dict[str, Any], list[str]]:
    """Baselines by name, with the estimator of the first candidate that groups (else of the first
    that learns populations), behind the same steps; and what is to be said of those that lack."""
    pooled = {name: e for name, e in candidates.items() if pooled_in(e) is not None}
    grouping = [e for e in pooled.values() if looks_for_groups(e, n_tasks)]
    whole = [*grouping, *pooled.values()][0]
    template = pooled_in(whole)
    assert template is not None
    steps = steps_of(whole)
    ends_it = steps[-1] is template

    def behind(last: Any) -> Any:
        return with_last(whole, last) if ends_it else last

    def like(kind: str, **params: Any) -> Any:
        if kind in ("for all", "each"):  # what has no effect need not tell fits apart
            params = {"n_groups": 1, "shrinkage": np.inf, "grouper": None, "cv": 2, **params}
        return behind(baseline_like(kind, clone(template), **params))

    made, said = {}, []
    if template.task_as_feature:
        made["one for all, with the population"] = like("for all")
    else:
        made["one for all"] = like("for all")
        made["one for all, with the population"] = like(
            "for all", estimator=_encoding(template), task_as_feature=True
        )
    made["one each"] = like("each")
    made["shrunk"] = like("pooled", n_groups=1, shrinkage="cv", grouper=None)
    if grouping:
        made["random groups"] = like("random")
    boosting = HistGradientBoostingClassifier | HistGradientBoostingRegressor
    others = [e for name, e in candidates.items() if name not in pooled]
    if not any(isinstance(part, boosting) for e in others for part in parts_of(e)):
        prepared = not template.task_as_feature and len(_steps_before(template.estimator)) > 0
        if prepared or len(steps) > 1 or _are_numbers(X, template.task):
            made["boosting, with the population"] = like(
                "for all", estimator=_boosting(template, n_tasks), task_as_feature=True
            )
        else:
            said.append("No boosting is made a baseline, as X does not hold vectors of numbers.")
    return made, said


def _steps_before(estimator: Any) -> list[Any]:
    return [] if estimator is None else steps_of(estimator)[:-1]


def _prepared(template: Pooled) -> Any:
    """What the other columns go through before the last step of the estimator."""
    before = [] if template.task_as_feature else _steps_before(template.estimator)
    return make_pipeline(*map(clone, before)) if before else "passthrough"


def _encoding(template: Pooled) -> Any:
    """The estimator with the population in a column for each; that of defaults does so itself."""
    if template.estimator is None:
        return None
    encoder = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    columns = ColumnTransformer(
        [("population", encoder, [template.task])], remainder=_prepared(template)
    )
    return make_pipeline(columns, clone(steps_of(template.estimator)[-1]))


def _boosting(template: Pooled, n_tasks: int) -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("population", encoder, [template.task])],
        remainder=_prepared(template),
        sparse_threshold=0,
    )
    made = (
        HistGradientBoostingClassifier
        if isinstance(template, PooledTasksClassifier)
        else HistGradientBoostingRegressor
    )
    return make_pipeline(
        columns, made(categorical_features=[0] if n_tasks <= _MOST_CATEGORIES else None)
    )


def _are_numbers(X: Any, task: Any) -> bool:
    features, _, _ = features_and_ids(as_table(X), task, "compare")
    return are_vectors(features, of_numbers=True)
