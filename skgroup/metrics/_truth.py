"""True labels, and answers of a fitted estimator, in the forms that estimators of tables have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor

from skgroup._compat import BaseSearchCV
from skgroup._estimators import steps_of
from skgroup.metrics._proba import _of_classes, _probabilities
from skgroup.tasks import (
    AUTO,
    CLASSES,
    REGRESSION,
    UNKNOWN,
    TaskTable,
    as_columns,
    check_tasks,
    classes_met,
    match_names,
    positive_codes,
    types_of_columns,
)


def predictor_of(estimator: Any) -> Any:
    """What predicts: the last step of a pipeline, the best candidate of a search."""
    last = steps_of(estimator)[-1]
    if isinstance(last, BaseSearchCV):
        return predictor_of(getattr(last, "best_estimator_", last.estimator))
    return last


def true_table(estimator: Any, Y: Any, pos_label: Any = None) -> TaskTable:
    """The true labels of the tasks that a fitted estimator knows.

    A label that it has not met in `fit` is a class of its own, behind the others.

    Parameters
    ----------
    estimator : object
        What `predictor_of` gives: of this package, or one of scikit-learn's, of one or several
        outputs, whose tasks are those of `Y`, all with classes or all numbers.
    Y : array-like of shape (n_samples, n_tasks) or (n_samples,)
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, before what the estimator says.

    Raises
    ------
    ValueError
        If a task of `fit` is missing or one is new, or `pos_label` fits no task.
    """
    if hasattr(estimator, "table_to_score"):
        table = estimator.table_to_score(Y)
    else:
        columns, names, _ = as_columns(Y)
        kind = REGRESSION.name if is_regressor(estimator) else AUTO
        types = types_of_columns(columns, CLASSES if is_classifier(estimator) else kind, names)
        classes = classes_of(estimator, len(columns)) or [
            np.array(()) if name == REGRESSION.name else classes_met(column)
            for column, name in zip(columns, types, strict=True)
        ]
        table = check_tasks(Y, classes=classes, add_classes=True, task_types=types)
    if pos_label is None:
        return table
    positive = positive_codes(
        table.classes, table.names, pos_label, table.ordered, task_types=table.task_types
    )
    return replace(table, positive=np.where(positive == UNKNOWN, table.positive, positive))


def classes_of(estimator: Any, n_tasks: int) -> list[NDArray] | None:
    """The classes of each task, in the order of its probabilities; None where an estimator does
    not say, as scikit-learn's of multilabel indicators do not."""
    known = getattr(estimator, "task_classes_", None)
    if known is None:
        known = getattr(estimator, "classes_", None)
        if isinstance(known, np.ndarray):
            known = [known] if n_tasks == 1 else None
    # By way of lists, objects get the type of what they are.
    return None if known is None else [np.array([] if c is None else c.tolist()) for c in known]


def probabilities_of(estimator: Any, answer: Any, table: TaskTable) -> list[NDArray[np.float64]]:
    """Probabilities (n_samples, n_classes) of the classes of a `true_table`, a task each; 0 of a
    class that the estimator has not met, and none of a regression task."""
    known = classes_of(estimator, table.n_tasks) or table.classes
    scores = _probabilities(replace(table, classes=known), answer)
    aligned = []
    for classes, met, score in zip(table.classes, known, scores, strict=True):
        of_met = _of_classes(score)[:, : len(met)]
        of_all = np.zeros((len(of_met), len(classes)))
        place = np.flatnonzero(np.isin(classes, met))
        order = [met.tolist().index(label) for label in classes[place].tolist()]
        of_all[:, place] = of_met[:, order]
        aligned.append(of_all)
    return aligned


def weight_of(sample_weight: Any, Y: Any, table: TaskTable) -> Any:
    """Weights a label in the order of the tasks of a `true_table` of `Y`."""
    if np.ndim(sample_weight) != 2 or hasattr(sample_weight, "columns"):
        return sample_weight
    _, names, _ = as_columns(Y)
    order = None if names is None else match_names(names, table.names, "The columns of Y")
    return sample_weight if order is None else np.asarray(sample_weight)[:, order]
