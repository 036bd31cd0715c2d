"""Average precision, log loss, Brier score and their kin, and weights a label, against
scikit-learn's metrics task by task on the labels that are there."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as of_sklearn
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.preprocessing import label_binarize

from skgroup.metrics import (
    multitask_accuracy_score,
    multitask_average_precision_score,
    multitask_balanced_accuracy_score,
    multitask_brier_score,
    multitask_f1_score,
    multitask_log_loss,
    multitask_mean_absolute_error,
    multitask_mean_squared_error,
    multitask_normalized_entropy,
    multitask_r2_score,
    multitask_roc_auc_score,
    multitask_root_mean_squared_error,
)

CLASSES = {"toxic": [0, 1], "soluble": ["no", "yes"], "phase": ["gas", "liquid", "solid"]}
N = 90


@pytest.fixture
def table():
    """Labels of two binary tasks (one of strings), one of three classes and one of numbers, each
    with missing ones; predictions of all; probabilities of those with classes; weights a label."""
    rng = np.random.default_rng(0)
    true, predicted, proba = {}, {}, {}
    for name, classes in CLASSES.items():
        codes = rng.integers(len(classes), size=N)
        proba[name] = rng.dirichlet(np.ones(len(classes)), size=N)
        proba[name][np.arange(N), codes] += 0.5
        proba[name] /= 1.5
        true[name] = np.array(classes, dtype=object)[codes]
        predicted[name] = np.array(classes, dtype=object)[proba[name].argmax(axis=1)]
    true["size"] = rng.normal(size=N)
    predicted["size"] = true["size"] + rng.normal(size=N)
    true = pd.DataFrame(true).mask(rng.random((N, 4)) < 0.2)
    return true, pd.DataFrame(predicted), proba, rng.exponential(size=(N, 4))


def by_loop(metric, true, answers, weight, tasks):
    """A metric of a single task, of each of the tasks on its observed labels; NaN of others."""
    scores = []
    for t, name in enumerate(true):
        seen = true[name].notna().to_numpy()
        w = None if weight is None else weight[seen] if weight.ndim == 1 else weight[seen, t]
        answer = None if name not in tasks else np.asarray(answers[name])[seen]
        scores.append(np.nan if answer is None else metric(name, true[name][seen], answer, w))
    return scores


def brier(name, true, proba, weight):
    hot = np.asarray(true)[:, None] == np.array(CLASSES[name], dtype=object)
    halves = 2 if len(CLASSES[name]) == 2 else 1
    return np.average(((proba - hot) ** 2).sum(axis=1) / halves, weights=weight)


def log_loss(name, true, proba, weight):
    return of_sklearn.log_loss(true.tolist(), proba, labels=CLASSES[name], sample_weight=weight)


def normalized_entropy(name, true, proba, weight):
    weight = np.ones(len(true)) if weight is None else weight
    share = np.array([weight[true == c].sum() for c in CLASSES[name]]) / weight.sum()
    return log_loss(name, true, proba, weight) / -(share * np.log(share)).sum()


def ranked(metric):
    def of_task(name, true, proba, weight):
        hot = label_binarize(true.astype(str), classes=[str(c) for c in CLASSES[name]])
        proba = proba[:, 1:] if proba.shape[1] == 2 else proba
        return metric(hot, proba, average="macro", sample_weight=weight)

    return of_task


def f1(name, true, predicted, weight):
    options = {"average": "macro"} if len(CLASSES[name]) > 2 else {"pos_label": CLASSES[name][1]}
    return of_sklearn.f1_score(true.tolist(), predicted.tolist(), sample_weight=weight, **options)


def of_labels(metric):
    return lambda name, true, predicted, weight: metric(
        true.tolist(), predicted.tolist(), sample_weight=weight
    )


NUMBERS = {"task_types": {"size": "regression"}}
POSITIVE = {"pos_label": {"soluble": "yes"}}
#: A metric, the same of a single task, what it is given, its tasks, and options.
METRICS = [
    (multitask_average_precision_score, ranked(of_sklearn.average_precision_score), POSITIVE),
    (multitask_roc_auc_score, ranked(of_sklearn.roc_auc_score), {}),
    (multitask_log_loss, log_loss, {}),
    (multitask_brier_score, brier, {}),
    (multitask_normalized_entropy, normalized_entropy, {}),
    (multitask_f1_score, f1, POSITIVE),
    (multitask_accuracy_score, of_labels(of_sklearn.accuracy_score), {}),
    (multitask_balanced_accuracy_score, of_labels(of_sklearn.balanced_accuracy_score), {}),
    (multitask_r2_score, of_labels(of_sklearn.r2_score), NUMBERS),
    (multitask_mean_squared_error, of_labels(of_sklearn.mean_squared_error), NUMBERS),
    (multitask_root_mean_squared_error, of_labels(of_sklearn.root_mean_squared_error), NUMBERS),
    (multitask_mean_absolute_error, of_labels(of_sklearn.mean_absolute_error), NUMBERS),
]
OF_PROBA = [metric for metric, *_ in METRICS[:5]]


@pytest.mark.parametrize("weighted", ["no", "samples", "labels"])
@pytest.mark.parametrize(("metric", "reference", "options"), METRICS)
def test_each_task_is_scored_as_scikit_learn_scores_its_observed_labels(
    table, metric, reference, options, weighted
):
    true, predicted, proba, weight = table
    weight = {"no": None, "samples": weight[:, 0], "labels": weight}[weighted]
    tasks = ["size"] if options is NUMBERS else list(CLASSES)
    answers = proba if metric in OF_PROBA else predicted
    expected = by_loop(reference, true, answers, weight, tasks)
    kwargs = {**options, "sample_weight": weight}
    np.testing.assert_allclose(metric(true, answers, average=None, **kwargs), expected)
    assert metric(true, answers, **kwargs) == pytest.approx(np.nanmean(expected))
    # The order of columns does not matter where they have names.
    shuffled = true.columns[[2, 0, 3, 1]]
    moved = answers if isinstance(answers, dict) else answers[shuffled[::-1]]
    if weighted == "labels":
        kwargs["sample_weight"] = pd.DataFrame(weight, columns=true.columns)
    assert metric(true[shuffled], moved, **kwargs) == pytest.approx(np.nanmean(expected))


def test_average_precision_is_of_the_positive_class_in_every_form_of_probabilities(table):
    true, _, proba, _ = table
    of_yes = multitask_average_precision_score(true[["soluble"]], {**proba}, pos_label="yes")
    of_no = multitask_average_precision_score(true[["soluble"]], {**proba}, pos_label="no")
    assert of_yes != of_no
    for positive, expected in (("yes", of_yes), ("no", of_no)):
        for form in ([proba["soluble"]], proba["soluble"], proba["soluble"][:, 1:]):
            found = multitask_average_precision_score(
                true[["soluble"]].to_numpy(), form, pos_label=positive
            )
            assert found == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"^Average precision must know which class of task 1 "):
        multitask_average_precision_score(true, proba)


def test_average_precision_is_not_defined_without_both_classes():
    true, score = [[0, 1, 0], [1, 1, 0]], [[0.2, 0.3, 0.4], [0.7, 0.1, 0.2]]
    found = multitask_average_precision_score(true, score, average=None)
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])
    with pytest.warns(UndefinedMetricWarning, match="precision is not defined.* task 1, task 2:"):
        assert multitask_average_precision_score(true, score) == 1


@pytest.mark.parametrize("metric", [multitask_log_loss, multitask_brier_score])
def test_losses_are_defined_where_a_class_is_not_met(metric):
    classes = [np.array(["a", "b", "c"]), np.array([0, 1])]
    true = np.array([["a", 1], ["b", 1], [None, None]], dtype=object)
    three, two = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [1, 0, 0]]), np.full((3, 2), 0.5)
    found = metric(true, [three, two], classes=classes, average=None)
    if metric is multitask_log_loss:
        np.testing.assert_allclose(found, [np.log(2), np.log(2)])
    else:
        np.testing.assert_allclose(found, [0.38, 0.25])
    with pytest.warns(UndefinedMetricWarning, match="not defined.* task 1:"):
        assert metric([[0, None], [1, None]], [[0.1, 1], [0.9, 1]]) < 0.2


@pytest.mark.parametrize(
    "metric", [multitask_log_loss, multitask_brier_score, multitask_normalized_entropy]
)
def test_what_is_no_probability_is_refused(metric):
    with pytest.raises(ValueError, match=r"Y_score of task 1 .* in \[0, 1\]. Got 0.5 to 2"):
        metric([[0, 1], [1, 0]], [[0.1, 2.0], [0.3, 0.5]])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (
            np.ones((3, 3)),
            r"sample_weight must be of shape .* Got \(3, 3\) for Y of shape \(3, 2\)",
        ),
        (np.zeros((3, 2)), "sample_weight is refused: .* at least one non-zero"),
        ([[1, 1], [1, -1], [1, 1]], "sample_weight must hold .* Got -1.0 for sample 1 of task 1"),
        ([[1, 1], [1, 1], [np.nan, 1]], "sample_weight must .* Got nan for sample 2 of task 0"),
        ([["a", 1], [1, 1], [1, 1]], "sample_weight is refused"),
        (pd.DataFrame(np.ones((3, 2)), columns=["a", "b"]), "columns of sample_weight .* Missing"),
    ],
)
def test_bad_weights_of_labels_are_refused(weight, message):
    Y = pd.DataFrame([[1, 0], [0, 1], [1, None]], columns=["x", "y"])
    with pytest.raises(ValueError, match=message):
        multitask_f1_score(Y, Y.fillna(0), sample_weight=weight)


def test_a_weight_of_a_missing_label_does_not_count():
    Y = np.array([[1, 0], [0, 1], [1, np.nan]])
    weight = np.array([[1, 2], [3, 1], [1, np.nan]])
    score = multitask_f1_score(Y, [[1, 1], [0, 1], [1, 0]], sample_weight=weight, average=None)
    np.testing.assert_allclose(score, [1, 0.5])
