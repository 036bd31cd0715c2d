"""Balanced accuracy over tasks, on its own and after each epoch of a net."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import balanced_accuracy_score, make_scorer
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit

from skgroup import GroupedMTLClassifier, compare
from skgroup.metrics import multitask_balanced_accuracy_score


def by_loops(Y_true, Y_pred, weight):
    """The mean recall of the classes met, task by task and sample by sample."""
    scores = []
    for t in range(Y_true.shape[1]):
        there, right = {}, {}
        for true, predicted, w in zip(Y_true[:, t], Y_pred[:, t], weight, strict=True):
            if not np.isnan(true) and w > 0:
                there[true] = there.get(true, 0) + w
                right[true] = right.get(true, 0) + w * (true == predicted)
        recalls = [right[k] / there[k] for k in there]
        scores.append(np.mean(recalls) if len(recalls) > 1 else np.nan)
    return scores


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_accuracy_is_the_mean_recall_of_the_classes_met(weighted):
    rng = np.random.default_rng(0)
    n_classes = [2, 2, 4, 3, 2]
    Y_true, Y_pred = (rng.integers(n_classes, size=(80, 5)).astype(float) for _ in range(2))
    Y_true[rng.random(Y_true.shape) < 0.2] = np.nan
    Y_true[:, 3][Y_true[:, 3] == 2] = 0  # a class that is predicted and never true
    weight = rng.exponential(size=80) * (rng.random(80) < 0.8) if weighted else None
    scores = multitask_balanced_accuracy_score(Y_true, Y_pred, average=None, sample_weight=weight)
    expected = by_loops(Y_true, Y_pred, np.ones(80) if weight is None else weight)
    np.testing.assert_allclose(scores, expected)
    mean = multitask_balanced_accuracy_score(Y_true, Y_pred, sample_weight=weight)
    assert mean == pytest.approx(np.mean(expected))


def test_balanced_accuracy_of_one_task_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    true, predicted = np.array(["a", "b", "c"])[rng.integers(3, size=(2, 60))]
    score = multitask_balanced_accuracy_score(true, predicted)
    assert score == pytest.approx(balanced_accuracy_score(true, predicted))


def test_tasks_without_two_classes_are_nan_and_out_of_the_mean():
    Y_true = np.array([[1, 0, 0.5, np.nan], [0, 0, 1.5, np.nan], [0, 0, 2.0, np.nan]])
    Y_pred = np.array([[1, 0, 0.0, 1], [1, 1, 0.0, 1], [0, 0, 0.0, 0]])
    scores = multitask_balanced_accuracy_score(Y_true, Y_pred, average=None)
    np.testing.assert_array_equal(scores, [0.75, np.nan, np.nan, np.nan])
    with pytest.warns(UndefinedMetricWarning, match=r"^Balanced accuracy is not .* 1, task 3: "):
        assert multitask_balanced_accuracy_score(Y_true, Y_pred) == 0.75
    with pytest.raises(ValueError, match="Balanced accuracy"):
        multitask_balanced_accuracy_score(Y_true[:, [2]], Y_pred[:, [2]])


def test_nets_are_scored_after_each_epoch_on_both_parts(partly_labelled, small_net):
    X, Y = partly_labelled
    scorer = make_scorer(multitask_balanced_accuracy_score)
    scores = [
        EpochScoring(scorer, name=f"{part}_score", on_train=part == "train", lower_is_better=False)
        for part in ("train", "valid")
    ]
    net = small_net.set_params(
        callbacks=scores, train_split=ValidSplit(0.3, random_state=0), random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        net.fit(X, Y)
        _, held_out = ValidSplit(0.3, random_state=0)(X, Y)
        index = held_out.indices
        last = multitask_balanced_accuracy_score(Y[index], net.predict(X[index]))
    assert len(net.history_[:, "train_score"]) == net.max_epochs
    assert net.history_[-1, "valid_score"] == pytest.approx(last)
    clf = GroupedMTLClassifier(net.set_params(train_split=None), n_groups=2, random_state=0)
    for part in clf.set_params(estimator__callbacks=scores[:1]).fit(X, Y).specialists_:
        assert 0 < part.history_[-1, "train_score"] < 1


def test_candidates_are_compared_by_balanced_accuracy(digits, small_net):
    X, Y = digits[0][:200], digits[1][:200, -4:]
    comparison = compare(X, Y, small_net, seeds=2, scoring="balanced_accuracy")
    assert "balanced accuracy" in str(comparison)
