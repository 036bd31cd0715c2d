"""Scores of regression tasks, and of tables that hold them beside tasks with classes."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error, r2_score

from skgroup.metrics import (
    multitask_f1_score,
    multitask_mean_absolute_error,
    multitask_mean_squared_error,
    multitask_normalized_entropy,
    multitask_r2_score,
    multitask_roc_auc_score,
)

ERRORS = [
    (multitask_r2_score, r2_score),
    (multitask_mean_squared_error, mean_squared_error),
    (multitask_mean_absolute_error, mean_absolute_error),
]


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 3)) * [1, 100, 1e-3] + [0, 5, 0]
    return true, true + rng.normal(size=(40, 3)) * [0.5, 90, 1e-4], rng.integers(0, 3, size=40)


@pytest.fixture
def mixed():
    """True and predicted labels of "churn" (0 and 1), "spend" (numbers) and "plan" (strings)."""
    rng = np.random.default_rng(1)
    true = pd.DataFrame(
        {
            "churn": rng.integers(0, 2, size=30),
            "spend": rng.normal(size=30),
            "plan": rng.choice(["a", "b", "c"], size=30),
        }
    )
    predicted = true.sample(frac=1, random_state=0).reset_index(drop=True)
    proba = {"churn": rng.dirichlet([1, 1], size=30), "plan": rng.dirichlet([1, 1, 1], size=30)}
    return true, predicted, proba


@pytest.mark.parametrize(("metric", "reference"), ERRORS)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_task_is_scored_as_scikit_learn_does(numbers, metric, reference, weighted):
    true, predicted, weight = numbers
    kwargs = {"sample_weight": weight} if weighted else {}
    expected = reference(true, predicted, multioutput="raw_values", **kwargs)
    np.testing.assert_allclose(metric(true, predicted, average=None, **kwargs), expected)
    assert metric(true, predicted, **kwargs) == pytest.approx(expected.mean())


@pytest.mark.parametrize(("metric", "reference"), ERRORS)
def test_predictions_of_missing_numbers_do_not_count(numbers, metric, reference):
    true, predicted, weight = numbers
    missing = np.random.default_rng(2).random(true.shape) < 0.4
    expected = [
        reference(
            true[~missing[:, t], t],
            predicted[~missing[:, t], t],
            sample_weight=weight[~missing[:, t]],
        )
        for t in range(3)
    ]
    for gone in (np.nan, 1e9):
        answers = np.where(missing, gone, predicted)
        scores = metric(
            np.where(missing, np.nan, true), answers, average=None, sample_weight=weight
        )
        np.testing.assert_allclose(scores, expected)
    masked = np.ma.masked_array(true, missing)
    np.testing.assert_allclose(
        metric(masked, predicted, average=None, sample_weight=weight), expected
    )


@pytest.mark.parametrize(("metric", "reference"), ERRORS)
def test_weights_are_repeats_and_samples_without_weight_do_not_count(numbers, metric, reference):
    true, predicted, weight = numbers
    repeated = metric(np.repeat(true, weight, axis=0), np.repeat(predicted, weight, axis=0))
    assert metric(true, predicted, sample_weight=weight) == pytest.approx(repeated)
    alone = np.where(weight[:, None] == 0, true, np.nan)  # of the first task, no weight is left
    of_first = np.column_stack([alone[:, 0], true[:, 1]])
    scores = metric(of_first, predicted[:, :2], average=None, sample_weight=weight)
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_numbers_are_matched_by_name(numbers, frame):
    true, predicted, _ = numbers
    columns = ["a", "b", "c"]
    of_true = frame(dict(zip(columns, true.T, strict=True)))
    of_answers = frame({c: predicted[:, columns.index(c)] for c in "cab"})
    np.testing.assert_allclose(
        multitask_r2_score(of_true, of_answers, average=None),
        multitask_r2_score(true, predicted, average=None),
    )
    with pytest.raises(ValueError, match=r"The columns of Y_pred .* Missing: c\. New: d\."):
        multitask_r2_score(of_true, frame({c: predicted[:, 0] for c in "abd"}))


def test_whole_numbers_are_numbers_unless_said_otherwise():
    true, predicted = [[1, 0], [2, 1], [3, 0]], [[1, 0], [2, 1], [2, 0]]
    np.testing.assert_allclose(multitask_r2_score(true, predicted, average=None), [0.5, 1])
    of_first = multitask_r2_score(true, predicted, average=None, task_types=["regression", "auto"])
    np.testing.assert_allclose(of_first, [0.5, np.nan])
    assert multitask_mean_squared_error([1, 2, 3], [1, 2, 4]) == pytest.approx(1 / 3)


def test_r2_of_equal_numbers_is_not_defined_and_said_so():
    true, predicted = [[1.5, 2.0], [1.5, 3.0]], [[1.0, 2.0], [2.0, 3.0]]
    np.testing.assert_array_equal(multitask_r2_score(true, predicted, average=None), [np.nan, 1])
    with pytest.warns(UndefinedMetricWarning, match="R² is not defined, .* for task 0: numbers"):
        assert multitask_r2_score(true, predicted) == 1
    assert multitask_mean_absolute_error(true, predicted) == 0.25


def test_each_score_leaves_tasks_of_other_kinds_out(mixed):
    true, predicted, proba = mixed
    f1 = multitask_f1_score(true, predicted, average=None)
    f1_alone = [multitask_f1_score(true[c], predicted[c]) for c in ("churn", "plan")]
    np.testing.assert_allclose(f1, [f1_alone[0], np.nan, f1_alone[1]])
    assert multitask_f1_score(true, predicted) == pytest.approx(np.mean(f1_alone))
    for metric in (multitask_roc_auc_score, multitask_normalized_entropy):
        alone = [metric(true[c], proba[c]) for c in ("churn", "plan")]
        scores = metric(true, proba, average=None)
        np.testing.assert_allclose(scores, [alone[0], np.nan, alone[1]])
        assert metric(true, proba) == pytest.approx(np.mean(alone))
    for metric, reference in ERRORS:
        scores = metric(true, predicted, average=None, task_types="auto")
        expected = reference(true["spend"], predicted["spend"])
        np.testing.assert_allclose(scores, [np.nan, expected, np.nan])
        assert metric(true, predicted, task_types="auto") == pytest.approx(expected)


def test_probabilities_of_tasks_without_names_are_by_position(mixed):
    true, _, proba = mixed
    by_position = {0: proba["churn"], 2: proba["plan"]}
    assert multitask_roc_auc_score(true.to_numpy(), by_position) == pytest.approx(
        multitask_roc_auc_score(true, proba)
    )
    with pytest.raises(ValueError, match=r"Got none of 'plan', but of \['churn'\];"):
        multitask_roc_auc_score(true, {"churn": proba["churn"]})


def test_probabilities_of_the_second_class_may_stand_in_a_dict(mixed):
    true, _, proba = mixed
    second = {**proba, "churn": proba["churn"][:, 1]}
    for metric in (multitask_roc_auc_score, multitask_normalized_entropy):
        expected = metric(true, proba, average=None)
        np.testing.assert_allclose(metric(true, second, average=None), expected)
    with pytest.raises(ValueError, match="same number of samples and tasks"):
        multitask_roc_auc_score(true, {**second, "churn": second["churn"][1:]})


def test_what_a_task_is_can_be_said():
    true = [[1, 0], [2, 1], [4, 0]]
    types = {0: "regression"}
    scores = multitask_f1_score(true, [[1, 0], [3, 1], [4, 1]], average=None, task_types=types)
    np.testing.assert_allclose(scores, [np.nan, 2 / 3])
    auc = multitask_roc_auc_score(true, {1: [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]}, task_types=types)
    assert auc == 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_normalised_entropy_equals_its_formula(dtype, weighted):
    rng = np.random.default_rng(3)
    labels, proba = rng.integers(0, 3, size=50), rng.dirichlet([1, 1, 1], size=50).astype(dtype)
    weight = rng.integers(0, 3, size=50) if weighted else np.ones(50, dtype=int)
    p = np.array([weight[labels == k].sum() for k in range(3)]) / weight.sum()
    of_base_rate = -(p * np.log(p)).sum()
    cross = -(weight * np.log(proba[np.arange(50), labels])).sum() / weight.sum()
    given = {"sample_weight": weight} if weighted else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = multitask_normalized_entropy(labels[:, None], [proba], **given)
    assert score == pytest.approx(cross / of_base_rate, rel=1e-6)
    shares = np.tile(p, (50, 1))
    assert multitask_normalized_entropy(labels[:, None], [shares], **given) == pytest.approx(1)


def test_normalised_entropy_of_binary_tasks_with_missing_labels():
    rng = np.random.default_rng(4)
    Y, proba = rng.integers(0, 2, size=(60, 2)).astype(float), rng.random((60, 2))
    Y[rng.random(Y.shape) < 0.3] = np.nan
    expected = []
    for t in range(2):
        seen = ~np.isnan(Y[:, t])
        base = np.full(seen.sum(), Y[seen, t].mean())
        expected.append(log_loss(Y[seen, t], proba[seen, t]) / log_loss(Y[seen, t], base))
    scores = multitask_normalized_entropy(Y, proba, average=None)
    np.testing.assert_allclose(scores, expected)


def test_normalised_entropy_of_a_single_class_is_not_defined():
    Y, proba = [[1, 0], [1, 1]], [[0.5, 0.2], [0.5, 0.9]]
    classes = [np.array([0, 1])] * 2
    assert np.isnan(multitask_normalized_entropy(Y, proba, classes=classes, average=None)[0])
    with pytest.warns(UndefinedMetricWarning, match="Normalised entropy is not .* for task 0"):
        multitask_normalized_entropy(Y, proba, classes=classes)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            lambda: multitask_r2_score([[0, 1], [1, 0]], [[0, 1], [1, 0]], task_types="auto"),
            "R² is a score of regression tasks, but task 0 of Y_true, as all others, has classes: "
            "see the 'task_types' parameter ('regression').",
        ),
        (
            lambda: multitask_f1_score([0.5, 1], [0.5, 1]),
            "F1 is a score of tasks with classes, but task 0 of Y_true, as all others, is a "
            "regression task: score it by R², mean squared or mean absolute error "
            "(skgroup.metrics), or set 'task_types'.",
        ),
        (
            lambda: multitask_mean_squared_error([[1.0], [2.0]], [[1.0], [np.inf]]),
            "Y_pred is refused: task 0 of Y is a regression task, which must hold finite numbers, "
            "NaN where one is missing. It holds infinity.",
        ),
        (
            lambda: multitask_mean_squared_error(
                pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": [1, 2]})
            ),
            "task 0 ('a') of Y is a regression task, which must hold numbers. Got 'x', a str.",
        ),
        (
            lambda: multitask_r2_score([[1.0], [2.0]], [[1.0], [np.nan]]),
            "Y_pred must hold a label or number wherever Y_true does. Got none for sample 1 of "
            "task 0.",
        ),
        (
            lambda: multitask_normalized_entropy([[0], [1]], [[-1.0], [3.0]]),
            "Y_score of task 0 must hold probabilities, in [0, 1]. Got -1 to 3.",
        ),
        (
            lambda: multitask_r2_score([1.0, 2.0], [1.0, 2.0], average="micro"),
            "The 'average' parameter must be 'macro' or None. Got 'micro'.",
        ),
    ],
)
def test_errors_name_the_argument_the_task_and_its_kind(score, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        score()
