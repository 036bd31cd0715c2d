"""Samples that belong together, and parameters of fits, in `compare`."""

import numpy as np
import pytest
from comparing import Counted, compare_given, make_data
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedGroupKFold,
)

from skgroup.comparison._splits import draw_splits
from skgroup.tasks import check_tasks

pd = pytest.importorskip("pandas")

GROUPS = np.repeat(["a", "b", "c", "d", "e", "f", "g", "h"], 15)


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


class Seen(Counted):
    """Keeps the first feature of the samples it is trained and tested on."""

    pairs = ()

    def fit(self, X, y):
        self.trained_ = X[:, 0]
        return super().fit(X, y)

    def predict(self, X):
        Seen.pairs = (*Seen.pairs, (self.trained_, X[:, 0]))
        return super().predict(X)


def sides(Y, groups=GROUPS, **params):
    """The samples of each side of each split, seen by a candidate."""
    Seen.pairs = ()
    X = np.arange(len(Y), dtype=float)[:, None]
    compare_given(X, Y, {"seen": Seen()}, groups=groups, **params)
    return [[np.sort(side).astype(int) for side in pair] for pair in Seen.pairs]


@pytest.mark.parametrize(
    ("cv", "n_splits"),
    [
        (0.25, 1),
        (4, 4),
        (GroupKFold(2), 2),
        (GroupShuffleSplit(3, test_size=0.5), 3),
        (LeaveOneGroupOut(), 8),
        (list(GroupKFold(4).split(np.zeros(120), groups=GROUPS)), 4),
    ],
)
def test_groups_are_on_one_side_of_each_split(data, cv, n_splits):
    found = sides(data[1], cv=cv, seeds=2)
    assert len(found) == 2 * n_splits
    for train, test in found:
        assert not set(GROUPS[train]) & set(GROUPS[test])
        assert len(train) + len(test) == 120
    if not hasattr(cv, "split") and not isinstance(cv, list):
        pairs = zip(found[:n_splits], found[n_splits:], strict=True)
        assert any((one[1] != other[1]).any() for one, other in pairs)


def test_splits_may_come_from_a_generator(data):
    folds = GroupKFold(4)
    found = sides(data[1], cv=folds.split(data[0], groups=GROUPS), seeds=2)
    listed = sides(data[1], cv=list(folds.split(data[0], groups=GROUPS)), seeds=2)
    assert len(found) == 8
    for one, other in zip(found, listed, strict=True):
        np.testing.assert_array_equal(one[1], other[1])


def test_a_splitter_draws_as_it_does_with_these_groups(data):
    splitter = GroupShuffleSplit(2, test_size=0.25)
    found = sides(data[1], cv=splitter, seeds=[3])
    drawn = GroupShuffleSplit(2, test_size=0.25, random_state=3).split(data[0], groups=GROUPS)
    for (train, test), (train_drawn, test_drawn) in zip(found, drawn, strict=True):
        np.testing.assert_array_equal(train, train_drawn)
        np.testing.assert_array_equal(test, test_drawn)
    numbers = np.unique(GROUPS, return_inverse=True)[1]
    for groups in (numbers, list(GROUPS), GROUPS.astype(object)):
        again = sides(data[1], groups, cv=splitter, seeds=[3])
        np.testing.assert_array_equal(again[0][0], found[0][0])
    one_task = sides(data[1][:, 0], cv=StratifiedGroupKFold(4), seeds=1)
    assert all(not set(GROUPS[train]) & set(GROUPS[test]) for train, test in one_task)


def test_the_only_label_of_a_class_moves_with_its_group(data):
    Y = data[1].copy()
    Y[:, 0] = 0
    Y[[3, 8, 40]] = 1  # of groups a and c
    for params in ({"cv": LeaveOneGroupOut()}, {"cv": 0.5, "seeds": 6}):
        for train, test in sides(Y, **params):
            assert not set(GROUPS[train]) & set(GROUPS[test])
            assert Y[train, 0].any()
    Y[40, 0] = 0  # now all are of group a, which cannot be tested on
    tested = np.concatenate([test for _, test in sides(Y, cv=4, seeds=1)])
    assert set(GROUPS[tested]) == set("bcdefgh")
    with pytest.raises(
        ValueError, match="or of a class, of some task, or of a group with one: they are"
    ):
        sides(Y, cv=LeaveOneGroupOut())


def test_without_groups_samples_move_alone(data):
    Y = data[1].copy()
    Y[:, 0] = 0
    Y[[3, 8]] = 1
    (split,) = draw_splits([(np.arange(60, 120), np.arange(60))], check_tasks(Y), [0], "compare")
    assert len(split.test) == 59


@pytest.mark.parametrize(
    ("groups", "cv", "message"),
    [
        (None, GroupKFold(2), "The 'cv' parameter of compare cannot split.*'groups' parameter"),
        (GROUPS[:-1], 0.25, r"'groups' parameter of compare must hold .* \(120,\). Got .* \(119,"),
        (GROUPS[:, None], 0.25, r"The 'groups' parameter of compare.*Got the shape \(120, 1\)"),
        ([None, *GROUPS[1:]], 0.25, "'groups' parameter of compare must hold a group.*none for 1"),
        ([np.nan] * 2 + [1.0] * 118, 0.25, "must hold a group for each sample. Got none for 2"),
        (pd.array([1] * 119 + [None]), 0.25, "hold a group for each sample. Got none for 1"),
        (GROUPS, 9, "The 'cv' parameter of compare cannot split these samples. Got 9"),
        (np.zeros(120), 0.25, "The 'cv' parameter of compare cannot split these samples"),
        (
            GROUPS,
            [next(ShuffleSplit(1, random_state=0).split(GROUPS))],
            "'cv' parameter of compare must leave the 'groups' whole.*and tests on samples of 'a'",
        ),
    ],
)
def test_groups_that_do_not_fit_are_refused_before_any_training(data, groups, cv, message):
    with pytest.raises(ValueError, match=message):
        compare_given(*data, {"a": Counted()}, cv=cv, groups=groups)
    assert Counted.fits == 0


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored by KFold")
def test_a_splitter_that_tears_groups_apart_is_refused(data):
    with pytest.raises(ValueError, match=r"must leave the 'groups' whole.*of KFold\(n_s"):
        compare_given(*data, {"a": Counted()}, cv=KFold(5, shuffle=True), groups=GROUPS)
    assert Counted.fits == 0


def test_results_of_other_groups_are_other_fits(data, tmp_path):
    fits = []
    for groups in (None, GROUPS, GROUPS):
        Counted.fits = 0
        compare_given(*data, {"a": Counted()}, seeds=2, groups=groups, results=tmp_path / "fits")
        fits.append(Counted.fits)
    assert fits == [2, 2, 0]
