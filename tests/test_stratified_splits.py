"""Folds and parts in which every label of every task has its share."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)

from skgroup import MultiTaskNet, compare
from skgroup.metrics import MultiTaskKFold, MultiTaskShuffleSplit, get_scorer
from skgroup.metrics.splits import held_out_splits
from skgroup.nn import MLP
from skgroup.tasks import check_tasks


def labels_of(Y):
    """The labels (task, value) of each row: all values that a task takes, None for a missing one,
    but its most frequent."""
    columns = []
    for t, column in enumerate(Y.T):
        values = [None if np.isnan(v) else v for v in column]
        there = ([None] if None in values else []) + sorted({v for v in values if v is not None})
        most = max(there, key=values.count)  # the first of several
        columns.append([{(t, v)} if v != most else set() for v in values])
    return [set().union(*row) for row in zip(*columns, strict=True)]


def literal(labels, shares, sizes):
    """Algorithm 1 of Sechidis et al. (2011), sample by sample; the first of what is tied, and
    no sample for a part that is full."""
    every = set().union(*labels)
    every = sorted(every, key=lambda of: [row for row, there in enumerate(labels) if of in there])
    wanted = [share * len(labels) for share in shares]
    wanted_of = {
        label: [share * sum(label in of_row for of_row in labels) for share in shares]
        for label in every
    }
    room, left = list(sizes), dict(enumerate(labels))
    part = np.full(len(labels), -1)

    def give(row, of_label):
        open_parts = [j for j in range(len(sizes)) if room[j]]
        most = max(of_label[j] for j in open_parts)
        best = [j for j in open_parts if np.isclose(of_label[j], most)]
        most = max(wanted[j] for j in best)
        j = next(j for j in best if np.isclose(wanted[j], most))
        part[row] = j
        room[j] -= 1
        wanted[j] -= 1
        for label in left.pop(row):
            wanted_of[label][j] -= 1

    while left:
        counts = {label: sum(label in of_row for of_row in left.values()) for label in every}
        counts = {label: count for label, count in counts.items() if count}
        if not counts:
            for row in list(left):
                give(row, wanted)
            break
        rarest = min(counts, key=counts.get)
        for row in [row for row, of_row in left.items() if rarest in of_row]:
            give(row, wanted_of[rarest])
    return part


def table_of(seed, n_samples=97, n_classes=(2, 2, 4, 3, 2), p_missing=0.15):
    rng = np.random.default_rng(seed)
    columns = [rng.choice(k, n_samples, p=rng.dirichlet(np.full(k, 0.7))) for k in n_classes]
    Y = np.column_stack(columns).astype(float)
    return np.where(rng.random(Y.shape) < p_missing, np.nan, Y)


def folds_of(cv, Y):
    fold = np.full(len(Y), -1)
    for j, (train, test) in enumerate(cv.split(np.zeros(len(Y)), Y)):
        assert (fold[test] == -1).all()
        assert sorted([*train, *test]) == list(range(len(Y)))
        fold[test] = j
    return fold


@pytest.mark.parametrize("seed", range(8))
def test_folds_are_those_of_the_published_algorithm(seed):
    Y = table_of(seed, p_missing=[0, 0.15][seed % 2])
    k = 2 + seed % 4
    sizes = [len(part) for part in np.array_split(Y, k)]
    expected = literal(labels_of(Y), [1 / k] * k, sizes)
    np.testing.assert_array_equal(folds_of(MultiTaskKFold(k), Y), expected)


@pytest.mark.parametrize("random", [{}, {"shuffle": True, "random_state": 0}])
def test_the_order_of_tasks_does_not_matter(random):
    Y = table_of(3)[:, :4]
    Y = np.column_stack([Y, Y[:, 0], np.roll(Y[:, 0], 1), np.roll(Y[:, 3], 2)])
    expected = folds_of(MultiTaskKFold(4, **random), Y)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(Y.shape[1])
        np.testing.assert_array_equal(folds_of(MultiTaskKFold(4, **random), Y[:, order]), expected)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_folds_have_their_share_of_every_label(seed, shuffle):
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.01, 0.08, 12)
    Y = (rng.random((503, 12)) < rates).astype(float)
    Y[rng.random(503) < 0.05, 3] = np.nan
    fold = folds_of(MultiTaskKFold(5, shuffle=shuffle, random_state=seed if shuffle else None), Y)
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 1
    for column in Y.T:
        for there in (column == 1, np.isnan(column)):
            counts = np.bincount(fold[there], minlength=5)
            assert abs(counts - there.sum() / 5).max() < 2
            assert (counts > 0).all() or there.sum() < 5


def test_every_fold_has_every_class_where_folds_drawn_at_random_do_not():
    rng = np.random.default_rng(0)
    Y = np.zeros((400, 8))
    for t in range(8):
        Y[rng.choice(400, 5 + t, replace=False), t] = 1
    stratified, plain = (
        folds_of(cv(5, shuffle=True, random_state=0), Y) for cv in (MultiTaskKFold, KFold)
    )
    assert all(set(stratified[column == 1]) == set(range(5)) for column in Y.T)
    assert not all(set(plain[column == 1]) == set(range(5)) for column in Y.T)


@pytest.mark.parametrize(
    "y",
    [
        np.repeat([0, 1, 2], [50, 30, 21]),
        pd.Series(np.repeat(["a", "b"], [80, 21])),
        [[label] for label in np.repeat([0, 1, 2], [50, 30, 21])],
    ],
    ids=["1d", "series of strings", "a column"],
)
def test_a_single_task_is_spread_as_stratified_folds_spread_it(y):
    labels = np.ravel(y)
    fold = folds_of(MultiTaskKFold(5), y if isinstance(y, pd.Series) else np.asarray(y))
    other = folds_of(StratifiedKFold(5), labels)
    for label in set(labels):
        ours, theirs = (np.bincount(f[labels == label]) for f in (fold, other))
        assert ours.max() - ours.min() <= 1
        assert theirs.max() - theirs.min() <= 1


def test_numbers_are_spread_by_their_quantiles():
    rng = np.random.default_rng(0)
    y = np.column_stack([rng.exponential(size=200), rng.permutation(200)])
    fold = folds_of(MultiTaskKFold(4), y)
    for column in y.T:
        tenth = np.searchsorted(np.quantile(column, np.arange(1, 10) / 10), column, side="right")
        counts = [np.bincount(fold[tenth == i], minlength=4) for i in range(10)]
        assert np.ptp(counts, axis=1).max() <= 4
        assert np.ptp([column[fold == j].mean() for j in range(4)]) < 0.3 * column.std()


def test_mixed_tables_with_missing_labels_are_spread():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(
        {
            "risk": pd.Categorical(rng.choice(["low", "high"], 300, p=[0.95, 0.05])),
            "size": rng.normal(size=300),
            "site": rng.choice(["a", "b", "c"], 300, p=[0.8, 0.16, 0.04]),
            "none": np.nan,
        }
    )
    Y = Y.mask(rng.random(Y.shape) < 0.1)
    fold = folds_of(MultiTaskKFold(3), Y)
    for name, value in (("risk", "high"), ("site", "c")):
        assert np.ptp(np.bincount(fold[(Y[name] == value).to_numpy()], minlength=3)) <= 1


def test_a_part_holds_its_share_of_every_label():
    Y = table_of(0, 400)
    cv = MultiTaskShuffleSplit(3, test_size=0.25, random_state=0)
    splits = list(cv.split(Y, Y))
    assert len(splits) == cv.get_n_splits() == 3
    for train, test in splits:
        assert (len(train), len(test)) == (300, 100)
        assert not set(train) & set(test)
        for column in Y.T:
            for there in [np.isnan(column), *(column == v for v in set(column) if v == v)]:
                assert abs(there[test].sum() - there.sum() / 4) <= 5
    assert not np.array_equal(np.sort(splits[0][1]), np.sort(splits[1][1]))
    train, test = next(MultiTaskShuffleSplit(1, test_size=40, train_size=0.5).split(Y, Y))
    assert (len(train), len(test)) == (200, 40)


def test_the_only_sample_of_a_class_is_trained_on():
    Y = np.zeros((60, 3))
    Y[[3, 14, 15], [0, 1, 2]] = 1
    for seed in range(5):
        train, _ = next(MultiTaskShuffleSplit(1, test_size=0.3, random_state=seed).split(Y, Y))
        assert {3, 14, 15} <= set(train)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: MultiTaskKFold(3, shuffle=True, random_state=seed),
        lambda seed: MultiTaskShuffleSplit(3, test_size=0.3, random_state=seed),
    ],
)
def test_the_seed_decides_and_copies_split_alike(make):
    Y = table_of(1)
    before = Y.copy()
    tests = [[test.tolist() for _, test in make(seed).split(Y, Y)] for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    cv = make(0)
    for copy in (pickle.loads(pickle.dumps(cv)), clone(cv, safe=False)):
        assert [test.tolist() for _, test in copy.split(Y, Y)] == tests[0]
    np.testing.assert_array_equal(Y, before)
    assert repr(MultiTaskKFold(3)) == "MultiTaskKFold(n_splits=3, random_state=None, shuffle=False)"


def test_searches_and_cross_validation_take_it_with_missing_labels(partly_labelled):
    X, Y = partly_labelled[0], partly_labelled[1][:, [0, 2, 3, 4]]
    net = MultiTaskNet(MLP, module__hidden_units=(8,), max_epochs=2, random_state=0)
    cv = MultiTaskKFold(3, shuffle=True, random_state=0)
    scores = cross_validate(net, X, Y, cv=cv, scoring=get_scorer("f1"), return_indices=True)
    assert len(scores["test_score"]) == 3
    for fold, (train, test) in enumerate(cv.split(X, Y)):
        np.testing.assert_array_equal(scores["indices"]["train"][fold], train)
        np.testing.assert_array_equal(scores["indices"]["test"][fold], test)
    scoring = {"auc": get_scorer("roc_auc"), "loss": get_scorer("neg_log_loss")}
    search = GridSearchCV(net, {"lr": [0.01, 0.02]}, cv=cv, scoring=scoring, refit="loss")
    assert np.isfinite(search.fit(X, Y).best_score_)
    forest = RandomForestClassifier(5, random_state=0)
    predicted = cross_val_predict(forest, X, np.nan_to_num(Y), cv=MultiTaskKFold(3))
    assert predicted.shape == Y.shape


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (lambda: MultiTaskKFold(1), r"'n_splits' .* MultiTaskKFold must be an int in .* Got 1"),
        (lambda: MultiTaskKFold(2.0), "'n_splits' parameter .* Got 2.0"),
        (lambda: MultiTaskKFold(98), "'n_splits' parameter .* Got 98 for 97"),
        (lambda: MultiTaskKFold(shuffle=1), "'shuffle' parameter of MultiTaskKFold .* Got 1"),
        (lambda: MultiTaskKFold(random_state=0), "'random_state' parameter .* must be None where"),
        (lambda: MultiTaskShuffleSplit(test_size=2.0), "test_size=2.0"),
    ],
)
def test_bad_parameters_are_refused(cv, message):
    Y = table_of(0)
    with pytest.raises(ValueError, match=message):
        list(cv().split(Y, Y))


def test_compare_and_portfolios_hold_out_what_it_says():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    Y = (X[:, :2] > [0.5, 1.2]).astype(float)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    table = check_tasks(Y)
    drawn = MultiTaskKFold(3, shuffle=True, random_state=4)
    for found in (held_out_splits(3, table, 4), held_out_splits(drawn, table, 0)):
        for (train, test), expected in zip(found, drawn.split(X, Y), strict=True):
            np.testing.assert_array_equal(train, expected[0])
            np.testing.assert_array_equal(test, expected[1])
    forest = {"forest": RandomForestClassifier(5)}
    by_splitter = compare(X, np.nan_to_num(Y), forest, cv=MultiTaskKFold(3), seeds=1)
    splits = list(MultiTaskKFold(3).split(X, np.nan_to_num(Y)))
    by_splits = compare(X, np.nan_to_num(Y), forest, cv=splits, seeds=1)
    np.testing.assert_array_equal(by_splitter.values, by_splits.values)


@pytest.mark.parametrize("cv", [MultiTaskKFold(), MultiTaskShuffleSplit()])
def test_what_it_cannot_keep_is_refused(cv):
    Y = table_of(0)
    with pytest.raises(ValueError, match=rf"{type(cv).__name__} must be given no groups,.*Group"):
        list(cv.split(Y, Y, np.arange(len(Y))))
    with pytest.raises(ValueError, match=rf"{type(cv).__name__} must be given Y"):
        list(cv.split(Y))
