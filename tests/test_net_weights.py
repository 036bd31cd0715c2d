"""`MultiTaskNet`: weights of classes, tasks and samples."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from netting import assert_same_parameters, refuses
from sklearn.base import clone

from skgroup import GroupedMTLClassifier

# -- class weights --------------------------------------------------------------------------------


def _class_weights(net, X, Y, **fit_params):
    return net.set_params(max_epochs=1).fit(X, Y, **fit_params).criterion_.weight


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_class_weights_equal_the_formula(mixed, small_net, weighted):
    X, Y = mixed
    rng = np.random.default_rng(0)
    Y = Y.copy()
    Y[rng.random(Y.shape) < 0.3] = None
    sample_weight = rng.random(300) if weighted else None
    s = np.ones(300) if sample_weight is None else sample_weight
    found = _class_weights(small_net, X, Y, sample_weight=sample_weight)
    for t, classes in enumerate(small_net.classes_):
        count = np.array([s @ (Y[:, t] == c) for c in classes])
        if len(classes) == 2:
            expected = np.array([1, count[0] / count[1]])
        else:
            expected = count.sum() / (len(classes) * count)
        np.testing.assert_allclose(found[t, : len(classes)], expected, rtol=1e-5)


def test_no_class_weight_is_a_weight_of_one(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    assert (_class_weights(clone(small_net).set_params(class_weight=None), X, Y) == 1).all()
    nets = [clone(small_net).set_params(class_weight=w) for w in (None, {}, {0: 1, 1: 1.0})]
    first, *others = (net.fit(X, Y).predict_proba(X) for net in nets)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_class_weights_for_all_tasks(mixed, small_net):
    small_net.set_params(class_weight={"odd": 3, 2: 0.5, "c": 4, True: 7})
    expected = [[1, 3, 1, 1, 1], [1, 7, 0.5, 1, 1], [1, 7, 1, 1, 1], [1, 1, 4, 1, 1]]
    np.testing.assert_array_equal(_class_weights(small_net, *mixed), expected)  # True is 1


def test_class_weights_of_some_tasks_by_position_and_by_name(mixed, small_net):
    X, Y = mixed
    expected = [[1] * 5, [1, 2, 3, 1, 1], [1] * 5, [9, 1, 1, 1, 0]]
    by_position = {1: {1: 2, 2: 3}, 3: {"a": 9, "e": 0}}
    small_net.set_params(class_weight=by_position)
    np.testing.assert_array_equal(_class_weights(small_net, X, Y), expected)
    frame = pd.DataFrame(Y, columns=["parity", "third", "high", "letter"])
    small_net.set_params(class_weight={"third": by_position[1], "letter": by_position[3]})
    np.testing.assert_array_equal(_class_weights(small_net, X, frame), expected)


def test_weight_on_positives_moves_predictions_to_them(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    share = [
        clone(small_net).set_params(class_weight={1: w}).fit(X, Y).predict(X).mean()
        for w in (0.1, 1, 20)
    ]
    assert share == sorted(set(share))


_CLASS_WEIGHT_RULE = (
    "The 'class_weight' parameter of MultiTaskNet must be 'balanced', None, a dict {class: weight} "
    "for all tasks, or a dict {task: {class: weight}}. Got %r instead."
)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("auto", _CLASS_WEIGHT_RULE % "auto"),
        ([1, 2], _CLASS_WEIGHT_RULE % [1, 2]),
        ({0: {1: 2}, 1: 3}, _CLASS_WEIGHT_RULE % {0: {1: 2}, 1: 3}),
        ({"x": 2}, "The 'class_weight' parameter names 'x', which is no class of any task."),
        ({20: {1: 2}}, "The 'class_weight' parameter names 20, which is no task."),
        ({3: {7: 2}}, "The 'class_weight' parameter names 7, which is no class of task 3."),
        ({1: -1}, "The 'class_weight' of class 1 must be a finite number >= 0. Got -1."),
        ({1: np.inf}, "The 'class_weight' of class 1 must be a finite number >= 0. Got inf."),
        ({0: {1: "x"}}, "The 'class_weight' of class 1 must be a finite number >= 0. Got 'x'."),
    ],
)
def test_class_weights_that_fit_no_task_are_refused(digits, small_net, class_weight, message):
    with refuses(ValueError, message):
        small_net.set_params(class_weight=class_weight).fit(*digits)


def test_class_weight_by_name_is_refused_by_name(digits, small_net):
    X, Y = digits
    frame = pd.DataFrame(Y).add_prefix("t")
    small_net.set_params(class_weight={"t1": {5: 2}})
    message = "The 'class_weight' parameter names 5, which is no class of task 1 ('t1')."
    with refuses(ValueError, message):
        small_net.fit(X, frame)


# -- task weights ---------------------------------------------------------------------------------


def test_task_of_zero_weight_leaves_its_head_as_it_was(digits, full_batch_net):
    X, Y = digits
    weight = np.ones(15)
    weight[[2, 7]] = 0
    net = full_batch_net.set_params(task_weight=weight, optimizer=torch.optim.Adam).fit(X, Y)
    change = (net.module_.heads.weight - net.module.heads.weight).abs().amax(dim=1)
    np.testing.assert_array_equal(change.detach().numpy() == 0, weight == 0)


def test_task_of_zero_weight_does_not_matter_to_the_others(digits, full_batch_net):
    X, Y = digits
    weight = np.r_[np.ones(14), 0]
    other = Y.copy()
    other[:, 14] = Y[::-1, 14]
    net = full_batch_net.set_params(task_weight=weight, random_state=0)
    first, second = (clone(net).fit(X, table).predict_proba(X) for table in (Y, other))
    np.testing.assert_array_equal(first[:, :14], second[:, :14])


def test_no_task_weight_is_a_weight_of_one(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    first = clone(small_net).fit(X, Y).predict_proba(X)
    second = clone(small_net).set_params(task_weight=[1] * 15).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(first, second)


def test_task_weight_by_name_or_position_weighs_the_others_one(digits, full_batch_net):
    X, Y = digits
    frame = pd.DataFrame(Y).add_prefix("t")
    weight = np.ones(15)
    weight[[3, 11]] = 4, 0
    expected = clone(full_batch_net).set_params(task_weight=weight).fit(X, Y)
    for given, table in (({3: 4, 11: 0}, Y), ({"t11": 0, "t3": 4}, frame)):
        net = clone(full_batch_net).set_params(task_weight=given).fit(X, table)
        assert_same_parameters(net, expected, rtol=1e-4, atol=1e-6)


def test_task_weight_by_name_reaches_specialists(digits, small_net):
    X, Y = digits[0][:200], pd.DataFrame(digits[1][:200, 10:]).add_prefix("t")
    membership = np.eye(2)[[0, 0, 1, 1, 1]]
    net = small_net.set_params(class_weight=None)
    both = [
        GroupedMTLClassifier(clone(net).set_params(task_weight=w), membership, random_state=0)
        for w in ({"t1": 3.0}, [1, 3, 1, 1, 1])
    ]
    first, second = (clf.fit(X, Y).predict_proba(X) for clf in both)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("task_weight", "named", "message"),
    [
        ({"t1": 2, "tx": 1}, True, "names 'tx', which is no task: ['t0', 't1']."),
        ({"t1": 2}, False, "names 't1', which is no task: [0, 1]."),
        ({2: 2}, False, "names 2, which is no task: [0, 1]."),
        ({0: 0, 1: 0}, False, "must hold finite numbers >= 0, not all 0. Got {0: 0, 1: 0}."),
        ({0: "x"}, False, "must hold numbers. Got {0: 'x'}."),
    ],
)
def test_task_weight_of_no_task_is_refused(digits, small_net, task_weight, named, message):
    X, Y = digits[0], digits[1][:, :2]
    table = pd.DataFrame(Y).add_prefix("t") if named else Y
    with refuses(ValueError, f"The 'task_weight' parameter {message}"):
        small_net.set_params(task_weight=task_weight).fit(X, table)


@pytest.mark.parametrize(
    ("task_weight", "message"),
    [
        (
            [1, 2],
            "The 'task_weight' parameter must be of shape (n_tasks,) = (15,). Got shape (2,).",
        ),
        (
            np.ones((1, 15)),
            "The 'task_weight' parameter must be of shape (n_tasks,) = (15,). Got shape (1, 15).",
        ),
        (
            [0] * 15,
            f"The 'task_weight' parameter must hold finite numbers >= 0, not all 0. "
            f"Got {[0] * 15}.",
        ),
        (
            [-1] + [1] * 14,
            "The 'task_weight' parameter must hold finite numbers >= 0, not all 0. Got "
            f"{[-1] + [1] * 14}.",
        ),
        (
            [float("nan")] + [1] * 14,
            "The 'task_weight' parameter must hold finite numbers >= 0, not all 0. Got "
            f"{[float('nan')] + [1] * 14}.",
        ),
        ("heavy", "The 'task_weight' parameter must hold numbers. Got 'heavy'."),
    ],
)
def test_task_weights_that_do_not_fit_are_refused(digits, small_net, task_weight, message):
    with refuses(ValueError, message):
        small_net.set_params(task_weight=task_weight).fit(*digits)


# -- sample weights -------------------------------------------------------------------------------


def test_constant_sample_weight_is_none(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    first = clone(small_net).fit(X, Y).predict_proba(X)
    second = clone(small_net).fit(X, Y, sample_weight=np.full(600, 2.5)).predict_proba(X)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_samples_of_zero_weight_do_not_matter(digits, full_batch_net):
    X, Y = digits
    weighted = clone(full_batch_net).fit(X, Y, sample_weight=np.arange(600) < 450)
    without = clone(full_batch_net).fit(X[:450], Y[:450])
    assert_same_parameters(weighted, without, rtol=1e-4, atol=1e-5)


def test_weighted_vs_repeated(digits, full_batch_net):
    X, Y = digits
    weight = np.random.default_rng(0).integers(1, 4, size=600)
    weighted = clone(full_batch_net).fit(X, Y, sample_weight=weight)
    repeated = clone(full_batch_net).fit(X.repeat(weight, axis=0), Y.repeat(weight, axis=0))
    assert_same_parameters(weighted, repeated, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), "sample_weight.shape == (5,), expected (600,)!"),
        (-np.ones(600), "Negative values in data passed to `sample_weight`"),
        (np.zeros(600), "sample_weight is refused: Sample weights must contain at least one non"),
        (np.full(600, np.nan), "Input sample_weight contains NaN."),
    ],
)
def test_sample_weights_that_do_not_fit_are_refused(digits, small_net, weight, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        small_net.fit(*digits, sample_weight=weight)
