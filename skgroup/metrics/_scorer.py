"""Ready scorers of tables of tasks, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from typing import Any

from skgroup._compat import _BaseScorer, answers_kept
from skgroup.metrics._named import NAMED, sign_of
from skgroup.metrics._truth import predictor_of, probabilities_of, true_table, weight_of


def get_scorer_names() -> list[str]:
    """The names that `get_scorer` takes.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from skgroup.metrics import get_scorer_names
    >>> get_scorer_names()[:4]
    ['accuracy', 'average_precision', 'balanced_accuracy', 'f1']
    """
    return sorted(NAMED)


def get_scorer(scoring: str, *, pos_label: Any = None, average: str | None = "macro") -> Any:
    """A scorer of all tasks, for `cross_validate`, `GridSearchCV` and wherever a scorer is taken.

    Of the metrics of this module: labels may be missing and tasks be of several kinds, of which
    those of the metric's kind count. Scorers know classes that a test part lacks from the fitted
    estimator, and match columns of DataFrames by its names. Estimators of this package are scored,
    and those of scikit-learn for one or several outputs, pipelines and searches included.

    Parameters
    ----------
    scoring : str
        One of `get_scorer_names()`; scikit-learn's names, a mean over tasks each. Higher is better,
        so that losses and errors are negative.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, for "f1" and "average_precision". None is what the
        estimator's `pos_label` says, else as in `multitask_f1_score`.
    average : {"macro", None}, default="macro"
        The mean over tasks; or the score of each task, as a dict by name (by position where tasks
        have none), which scikit-learn shows as one score each.

    Returns
    -------
    scorer : callable
        Called with a fitted estimator, `X`, `Y` and `sample_weight`, (n_samples,) or
        (n_samples, n_tasks), which scikit-learn routes by `set_score_request`. A task whose score
        is not defined on the samples is left out of the mean, with an UndefinedMetricWarning, and
        NaN alone.

    Raises
    ------
    ValueError
        If there is no scorer of this name, or the metric has no positive class.

    See Also
    --------
    skgroup.metrics.MultiTaskKFold : Folds in which every label has its share.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.model_selection import cross_validate
    >>> from skgroup.metrics import get_scorer
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 1])
    >>> scoring = {name: get_scorer(name) for name in ("roc_auc", "neg_log_loss")}
    >>> scores = cross_validate(RandomForestClassifier(random_state=0), X, Y, scoring=scoring)
    >>> bool(scores["test_roc_auc"].mean() > 0.95)
    True
    """
    if scoring not in get_scorer_names():
        raise ValueError(
            f"The 'scoring' parameter must be one of {get_scorer_names()}. Got {scoring!r}."
        )
    if average not in ("macro", None):
        raise ValueError(f"The 'average' parameter must be 'macro' or None. Got {average!r}.")
    named = NAMED[scoring]
    if pos_label is not None and not named.takes_sides:
        raise ValueError(
            f"The 'pos_label' parameter must be None for {scoring!r}, which treats all classes "
            f"alike. Got {pos_label!r}."
        )
    options = {} if pos_label is None else {"pos_label": pos_label}
    return TaskScorer(scoring, {**options, "average": average})


class TaskScorer(_BaseScorer):
    """A metric of all tasks as a scorer of scikit-learn; `get_scorer` makes it."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        super().__init__(NAMED[name].metric, sign_of(name), options, NAMED[name].response)
        self._name = self.__name__ = name

    def __getstate__(self) -> dict[str, Any]:
        # All else follows from the name, and a file could say anything of it.
        follows = ("_score_func", "_sign", "_response_method")
        return {key: value for key, value in vars(self).items() if key not in follows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        TaskScorer.__init__(self, state["_name"], state["_kwargs"])
        request = state.get("_metadata_request")
        if request is not None:
            self._metadata_request = request

    def __repr__(self) -> str:
        given = [f"{k}={v!r}" for k, v in self._kwargs.items() if (k, v) != ("average", "macro")]
        return f"get_scorer({', '.join([repr(self._name), *given])})"

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, Y: Any, sample_weight: Any = None
    ) -> Any:
        answer = _answer(estimator, self._response_method, X, answers_kept(method_caller))
        predictor = predictor_of(estimator)
        table = true_table(predictor, Y, self._kwargs.get("pos_label"))
        if self._response_method != "predict":
            answer = probabilities_of(predictor, answer, table)
        weight = weight_of(sample_weight, Y, table)
        average = self._kwargs["average"]
        scores = self._score_func(table, answer, average=average, sample_weight=weight)
        if average is not None:
            return self._sign * scores
        of_numbers = NAMED[self._name].of_numbers
        keys = range(table.n_tasks) if table.names is None else table.names
        return {
            key: self._sign * score
            for key, score, has_classes in zip(
                keys, scores.tolist(), table.has_classes, strict=True
            )
            if has_classes != of_numbers
        }


def _answer(estimator: Any, methods: Any, X: Any, kept: dict[Any, Any] | None) -> Any:
    """What an estimator answers, asked once by several scorers."""
    methods = [methods] if isinstance(methods, str) else methods
    method = next((name for name in methods if hasattr(estimator, name)), methods[0])
    key = (TaskScorer, method)
    if kept is not None and key in kept:
        return kept[key]
    answer = getattr(estimator, method)(X)
    if kept is not None:
        kept[key] = answer
    return answer
