"""Scores over tasks, against scikit-learn's task by task."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score, roc_auc_score

from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score


@pytest.fixture
def binary():
    """True labels, predictions and scores of 4 binary tasks, and sample weights."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=(60, 4))
    score = np.clip(0.4 * truth + 0.6 * rng.random((60, 4)), 0, 1)
    return truth, (score > 0.5).astype(int), score, rng.random(60)


@pytest.fixture
def mixed():
    """A binary task of strings and a task of 3 classes: labels, predictions, probabilities."""
    rng = np.random.default_rng(1)
    yes = np.array(["no", "yes"])
    truth = np.empty((60, 2), dtype=object)
    truth[:, 0], truth[:, 1] = yes[rng.integers(2, size=60)], rng.integers(3, size=60)
    predicted = np.empty_like(truth)
    predicted[:, 0], predicted[:, 1] = yes[rng.integers(2, size=60)], rng.integers(3, size=60)
    return truth, predicted, [rng.dirichlet(np.ones(k), size=60) for k in (2, 3)]


@pytest.mark.parametrize("weighted", [False, True])
def test_f1_of_complete_binary_tasks_is_that_of_scikit_learn(binary, weighted):
    truth, predicted, _, weight = binary
    weight = weight if weighted else None
    for average in ("macro", None):
        np.testing.assert_allclose(
            multitask_f1_score(truth, predicted, average=average, sample_weight=weight),
            f1_score(truth, predicted, average=average, sample_weight=weight),
        )


def test_f1_of_mixed_tasks_is_that_of_each_task(mixed):
    truth, predicted, _ = mixed
    expected = [
        f1_score(truth[:, 0].astype(str), predicted[:, 0].astype(str), pos_label="yes"),
        f1_score(truth[:, 1].astype(int), predicted[:, 1].astype(int), average="macro"),
    ]
    for pos_label in ("yes", {0: "yes"}):
        found = multitask_f1_score(truth, predicted, pos_label=pos_label, average=None)
        np.testing.assert_allclose(found, expected)
    found = multitask_f1_score(truth, predicted, pos_label="yes")
    assert found == pytest.approx(np.mean(expected))


def test_f1_of_one_task_is_one_dimensional(binary):
    truth, predicted, _, _ = binary
    expected = f1_score(truth[:, 0], predicted[:, 0])
    assert multitask_f1_score(truth[:, 0], predicted[:, 0]) == pytest.approx(expected)


def test_f1_leaves_out_missing_labels(binary):
    truth, predicted, _, weight = binary
    hidden = np.random.default_rng(2).random(truth.shape) < 0.4
    sparse_truth = np.where(hidden, np.nan, truth)
    expected = [
        f1_score(truth[~h, t], predicted[~h, t], sample_weight=weight[~h])
        for t, h in enumerate(hidden.T)
    ]
    for table in (sparse_truth, np.where(hidden, None, truth), pd.DataFrame(sparse_truth)):
        found = multitask_f1_score(table, predicted, average=None, sample_weight=weight)
        np.testing.assert_allclose(found, expected)
    nullable = pd.DataFrame(sparse_truth).astype("Int64")
    found = multitask_f1_score(nullable, predicted, average=None, sample_weight=weight)
    np.testing.assert_allclose(found, expected)


def test_f1_of_a_task_without_labels_is_nan_and_out_of_the_mean():
    truth = np.array([[1, np.nan], [0, np.nan], [1, np.nan]])
    predicted = np.array([[1, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(multitask_f1_score(truth, predicted, average=None), [2 / 3, np.nan])
    with pytest.warns(UndefinedMetricWarning, match="F1 is not defined.* for task 1:"):
        assert multitask_f1_score(truth, predicted) == pytest.approx(2 / 3)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(multitask_f1_score(truth[:, 1:], predicted[:, 1:]))


def test_f1_that_is_not_defined_is_nan_and_out_of_the_mean():
    truth, predicted = [[0, 0], [0, 1]], [[0, 0], [0, 1]]
    np.testing.assert_array_equal(multitask_f1_score(truth, predicted, average=None), [np.nan, 1])
    with pytest.warns(UndefinedMetricWarning, match="for task 0:"):
        assert multitask_f1_score(truth, predicted) == 1.0


def test_f1_counts_a_class_in_neither_truth_nor_prediction_nowhere():
    classes = [np.array([0, 1, 2])]
    assert multitask_f1_score([0, 1, 1], [0, 1, 1], classes=classes) == 1.0
    # A class that is predicted alone counts: that is a mistake.
    assert multitask_f1_score([0, 1, 1], [0, 1, 2], classes=classes) == pytest.approx(5 / 9)


@pytest.mark.parametrize("ordered", [False, True])
def test_f1_knows_the_positive_class_or_says_so(ordered):
    truth = pd.DataFrame({"risk": ["low", "high", "low", "low"], "b": [0, 1, 1, 0]})
    predicted = pd.DataFrame({"risk": ["low", "low", "low", "high"], "b": [0, 1, 1, 0]})
    if ordered:
        kind = pd.CategoricalDtype(["high", "low"], ordered=True)
        truth = truth.astype({"risk": kind})
        assert multitask_f1_score(truth, predicted, average=None)[0] == pytest.approx(2 / 3)
    else:
        with pytest.raises(ValueError, match=r"^F1 must know which class of task 0 \('risk'\)"):
            multitask_f1_score(truth, predicted)
    found = multitask_f1_score(truth, predicted, pos_label={"risk": "high"}, average=None)
    np.testing.assert_array_equal(found, [0, 1])


@pytest.mark.parametrize(
    ("pos_label", "message"),
    [
        ("maybe", "The 'pos_label' parameter must be a class of a binary task. Got 'maybe'"),
        ({"c": 1}, "The 'pos_label' parameter names 'c', which is no task: ['a', 'b']"),
        ({"a": "no"}, "The 'pos_label' parameter must be a class of task 0 ('a'), one of [0, 1]"),
    ],
)
def test_positive_classes_that_are_none_are_said(pos_label, message):
    table = pd.DataFrame({"a": [0, 1], "b": [1, 0]})
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        multitask_f1_score(table, table, pos_label=pos_label)


def test_columns_of_two_frames_are_matched_by_name():
    truth = pd.DataFrame({"a": [0, 1, 1, 0], "b": [1, 1, 0, 1], "c": ["x", "y", "x", "x"]})
    shuffled = truth[["c", "a", "b"]]
    kwargs = {"pos_label": {"c": "x"}, "average": None}
    np.testing.assert_array_equal(multitask_f1_score(truth, shuffled, **kwargs), [1, 1, 1])
    scores = pd.DataFrame({"b": [0.9, 0.8, 0.1, 0.7], "a": [0.1, 0.9, 0.8, 0.2]})
    assert multitask_roc_auc_score(truth[["a", "b"]], scores) == 1.0
    with pytest.raises(ValueError, match=r"Missing: b\. New: z\."):
        multitask_f1_score(truth[["a", "b"]], truth[["a", "b"]].rename(columns={"b": "z"}))
    twice = truth[["a", "a"]]
    with pytest.raises(ValueError, match=r"must have different names\. Got a more than once"):
        multitask_f1_score(twice, twice)


def test_a_prediction_must_stand_where_a_label_does():
    with pytest.raises(ValueError, match="Got none for sample 1 of task 0"):
        multitask_f1_score([[0.0], [1.0], [np.nan]], [[0.0], [np.nan], [np.nan]])
    assert multitask_f1_score([[0.0], [1.0], [np.nan]], [[0.0], [1.0], [np.nan]]) == 1.0


@pytest.mark.parametrize("metric", [multitask_f1_score, multitask_roc_auc_score])
def test_negative_weights_are_refused(metric):
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        metric([0, 1, 1], [0, 1, 0], sample_weight=[1, -1, 1])


@pytest.mark.parametrize(
    ("labels", "n_columns"),
    [([2, 2, 1, 1], 3), (list("ccbb"), 3), ([2, 0, 1, 2], 4), ([3, 2, 0, 1], 3)],
)
def test_roc_auc_of_classes_that_are_not_those_of_the_columns_asks_for_them(labels, n_columns):
    proba = np.full((4, n_columns), 1 / n_columns)
    with pytest.raises(ValueError, match="give all by the 'classes' parameter"):
        multitask_roc_auc_score(np.array(labels)[:, None], [proba])


def test_f1_of_tensors(binary):
    truth, predicted, _, _ = binary
    found = multitask_f1_score(torch.as_tensor(truth), torch.as_tensor(predicted))
    assert found == multitask_f1_score(truth, predicted)


def test_roc_auc_of_complete_binary_tasks_is_that_of_scikit_learn(binary):
    truth, _, score, weight = binary
    for average in ("macro", None):
        for given in (score, score.tolist()):
            np.testing.assert_allclose(
                multitask_roc_auc_score(truth, given, average=average, sample_weight=weight),
                roc_auc_score(truth, score, average=average, sample_weight=weight),
            )


def test_roc_auc_of_mixed_tasks_is_that_of_each_task(mixed):
    truth, _, proba = mixed
    expected = [
        roc_auc_score(truth[:, 0] == "yes", proba[0][:, 1]),
        roc_auc_score(truth[:, 1].astype(int), proba[1], multi_class="ovr"),
    ]
    np.testing.assert_allclose(multitask_roc_auc_score(truth, proba, average=None), expected)
    truth[:20, 0] = None
    expected[0] = roc_auc_score(truth[20:, 0] == "yes", proba[0][20:, 1])
    np.testing.assert_allclose(multitask_roc_auc_score(truth, proba, average=None), expected)


def test_roc_auc_of_one_task_takes_scores_or_probabilities(binary):
    truth, _, score, _ = binary
    y, s = truth[:, 0], score[:, 0]
    expected = roc_auc_score(y, s)
    for given in (s, s.tolist(), np.column_stack([1 - s, s])):
        assert multitask_roc_auc_score(y, given) == pytest.approx(expected)


def test_roc_auc_of_a_task_that_lacks_a_class_is_nan_and_out_of_the_mean():
    truth = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]])
    score = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.05, 0.8, 0.1]])
    np.testing.assert_allclose(
        multitask_roc_auc_score(truth, score, average=None), [0.5, 1, np.nan]
    )
    with pytest.warns(UndefinedMetricWarning, match="ROC AUC is not defined.* for task 2:"):
        assert multitask_roc_auc_score(truth, score) == pytest.approx(0.75)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(multitask_roc_auc_score(truth[:, 2:], score[:, 2:]))


@pytest.mark.parametrize("weighted", [False, True])
def test_f1_of_many_tasks_of_all_kinds_equals_a_loop_over_tasks(weighted):
    rng = np.random.default_rng(3)
    sizes = np.array([2, 5, 2, 3, 3, 9])
    truth, predicted = rng.integers(sizes, size=(2, 80, 6)).astype(float)
    truth[rng.random(truth.shape) < 0.2] = np.nan
    weight = rng.integers(3, size=80) if weighted else None
    expected = []
    for t, k in enumerate(sizes):
        seen = ~np.isnan(truth[:, t])
        expected.append(
            f1_score(
                truth[seen, t],
                predicted[seen, t],
                labels=[1] if k == 2 else range(k),
                average="macro",
                sample_weight=weight[seen] if weighted else None,
            )
        )
    found = multitask_f1_score(truth, predicted, average=None, sample_weight=weight)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: multitask_f1_score([[0, 1]], [[0], [1]]),
            "Y_true and Y_pred must be of the same shape. Got (1, 2) and (2, 1).",
        ),
        (
            lambda: multitask_f1_score([[0], [1]], [[0], [1]], average="micro"),
            "The 'average' parameter must be 'macro' or None. Got 'micro'.",
        ),
        (
            lambda: multitask_f1_score([0, 1], [0, 3], classes=[np.array([0, 1])]),
            "Y_pred is refused: task 0 of Y holds the label 3, which is not among the classes seen "
            "in fit: [0, 1].",
        ),
        (
            lambda: multitask_roc_auc_score(np.eye(2), np.ones((2, 3))),
            "Y_true and Y_score must have the same number of samples and tasks. Got (2, 2) and "
            "(2, 3).",
        ),
        (
            lambda: multitask_roc_auc_score(np.eye(2), [np.ones((2, 2)), np.ones((3, 2))]),
            "Y_true and Y_score must have the same number of samples and tasks. Got (2, 2) and "
            "[(2, 2), (3, 2)].",
        ),
    ],
)
def test_what_cannot_be_scored_is_said(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_strings_cannot_be_scored_against_numbers():
    with pytest.raises(ValueError, match=r"^Y_true and Y_pred of a task mix strings and numbers\."):
        multitask_f1_score(["a", "b"], [0, 1])


@pytest.mark.parametrize(
    ("label", "options"),
    [
        (pd.Categorical(["low"] * 3, categories=["low", "high"], ordered=True), {}),
        (["low"] * 3, {"pos_label": "high"}),
        (["low"] * 3, {"pos_label": {0: "high"}}),
        ([-1] * 3, {}),
        ([2] * 3, {"pos_label": 1}),
    ],
)
def test_f1_of_a_part_without_the_positive_class_is_nan(label, options):
    table = pd.Series(label)
    with pytest.warns(UndefinedMetricWarning, match="task 0"):
        assert np.isnan(multitask_f1_score(table, table, **options))


@pytest.mark.parametrize("pos_label", [[1, 0], np.array([1, 0]), pd.Series([1, 0])])
def test_a_sequence_of_positive_classes_is_refused(pos_label):
    with pytest.raises(ValueError, match="'pos_label' parameter must be a"):
        multitask_f1_score([[0, 1], [1, 0]], [[0, 1], [1, 0]], pos_label=pos_label)


@pytest.mark.parametrize("metric", [multitask_f1_score, multitask_roc_auc_score])
@pytest.mark.parametrize("classes", [3, "ab", [3, 3]])
def test_classes_are_a_sequence_of_those_of_each_task(metric, classes):
    with pytest.raises(ValueError, match="The 'classes' parameter must be a sequence of the cl"):
        metric([[0, 1], [1, 0]], [[0, 1], [1, 0]], classes=classes)


def test_complex_labels_are_refused_by_name():
    Y = np.array([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="Y_pred must hold labels"):
        multitask_f1_score(Y, Y + 1j)
    with pytest.raises(ValueError, match="Y_true must hold labels"):
        multitask_roc_auc_score(Y + 1j, Y)
