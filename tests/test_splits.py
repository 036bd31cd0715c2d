"""Samples that are held out."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold
from skorch.callbacks import Callback

from skgroup import MultiTaskNet, PortfolioClassifier
from skgroup.metrics.splits import held_out_splits
from skgroup.tasks import check_tasks


@pytest.fixture
def table():
    """40 samples, of which sample 7 has the only positive of task 1, and sample 9 the only label
    "c" of task 2."""
    rng = np.random.RandomState(0)
    Y = np.empty((40, 3), dtype=object)
    Y[:, 0] = rng.randint(2, size=40)
    Y[:, 1] = 0
    Y[:, 2] = np.array(["a", "b"])[rng.randint(2, size=40)]
    Y[::5, 2] = None
    Y[7, 1] = 1
    Y[9, 2] = "c"
    return check_tasks(Y)


def assert_every_class_is_trained_on(splits, table):
    for train, test in splits:
        assert not set(train) & set(test)
        for t, classes in enumerate(table.classes):
            assert set(range(len(classes))) <= set(table.codes[train, t])


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_share_is_held_out_once(table, share):
    for seed in range(10):
        splits = held_out_splits(share, table, seed)
        assert len(splits) == 1
        assert_every_class_is_trained_on(splits, table)
        train, test = splits[0]
        assert sorted([*train, *test]) == list(range(40))
        # Samples 7 and 9 may have moved.
        assert 40 * share - 2 <= len(test) <= 40 * share


def test_folds_hold_every_sample_out_once_but_those_that_are_needed(table):
    for seed in range(3):
        splits = held_out_splits(4, table, seed)
        assert len(splits) == 4
        assert_every_class_is_trained_on(splits, table)
        tested = sorted(i for _, test in splits for i in test)
        assert tested == [i for i in range(40) if i not in (7, 9)]
        for train, test in splits:
            assert sorted([*train, *test]) == list(range(40))


def test_splitters_and_given_splits_are_followed(table):
    for cv in (KFold(4), list(KFold(4).split(np.zeros(40)))):
        splits = held_out_splits(cv, table, 0)
        assert_every_class_is_trained_on(splits, table)
        for (train, test), (given, held_out) in zip(
            splits, KFold(4).split(np.zeros(40)), strict=True
        ):
            np.testing.assert_array_equal(test, np.setdiff1d(held_out, [7, 9]))
            np.testing.assert_array_equal(train[: len(given)], given)


def test_a_single_target_may_be_split_by_its_classes():
    y = np.repeat([0, 1], [30, 10])
    for _, test in held_out_splits(StratifiedKFold(5), check_tasks(y), 0):
        assert np.bincount(y[test]).tolist() == [6, 2]


def test_classes_are_found_among_samples_that_no_split_names(table):
    (train, test), *_ = held_out_splits([(np.arange(10, 30), np.arange(30, 40))], table, 0)
    assert {7, 9} <= set(train)
    assert_every_class_is_trained_on([(train, test)], table)
    np.testing.assert_array_equal(test, np.arange(30, 40))


def test_splits_do_not_depend_on_the_order_of_the_tasks():
    Y = np.zeros((8, 2), dtype=int)
    Y[[5, 7], 0], Y[5, 1] = 1, 1  # sample 5 would do for both tasks, 7 comes first
    for order in ([0, 1], [1, 0]):
        table = check_tasks(Y[:, order])
        ((train, test),) = held_out_splits([(np.arange(4), [7, 4, 5, 6])], table, 0)
        np.testing.assert_array_equal(train, [0, 1, 2, 3, 5, 7])
        np.testing.assert_array_equal(test, [4, 6])


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("cv", [0.3, 5])
def test_the_seed_determines_the_splits(table, cv):
    first, again, other = (held_out_splits(cv, table, seed) for seed in (3, 3, 4))
    for (a, b), (c, d) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert any(set(b) != set(d) for (_, b), (_, d) in zip(first, other, strict=True))


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the input was checked")


RULE = "The 'cv' parameter of PortfolioClassifier must "


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (0, RULE + "be .* Got 0 instead"),
        (1, RULE + "be .* Got 1 instead"),
        (-0.5, RULE + "be .* Got -0.5 instead"),
        (1.0, RULE + "be .* Got 1.0 instead"),
        (0.9999, RULE + "be .* Got 0.9999 instead"),
        ("a", RULE + "be .* Got 'a' instead"),
        (41, RULE + "be .* at most n_samples=40 folds. Got 41 instead"),
        ([], RULE + r"hold out some samples. Got no split from \[\]"),
        ([([0, 1, 2], [2, 3])], RULE + "not hold out samples that it trains on. Got "),
        ([(range(40), np.array([], dtype=int))], RULE + "leave samples on both sides. Got "),
        ([(np.array([], dtype=int), range(40))], RULE + "leave samples on both sides. Got "),
        ([(range(30), [30, 41])], "'cv' parameter of PortfolioClassifier .* 4[01]"),
    ],
)
def test_bad_splits_are_refused_before_training(cv, message):
    X = np.random.RandomState(0).rand(40, 3)
    net = MultiTaskNet.stg_mtl(callbacks=[NoTraining()])
    with pytest.raises(ValueError, match=message):
        PortfolioClassifier([("net", net)], cv=cv).fit(X, (X[:, :2] > 0.5).astype(int))


def test_splits_whose_held_out_samples_are_all_needed_are_refused_before_training():
    X = np.random.RandomState(0).rand(40, 3)
    Y = (X[:, :2] > 0.5).astype(int)
    Y[:, 0] = 0
    Y[7, 0] = 1
    net = MultiTaskNet.stg_mtl(callbacks=[NoTraining()])
    cv = [(np.delete(np.arange(40), 7), [7])]
    clf = PortfolioClassifier([("net", net)], cv=cv)
    with pytest.raises(ValueError, match=RULE):
        clf.fit(X, Y)
