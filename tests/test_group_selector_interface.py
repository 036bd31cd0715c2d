"""`GroupSelector` as an estimator: permutations, names, outputs, and what it refuses."""

import pickle
import re

import numpy as np
import pytest
from selecting import all_masks, check_consistent, random_affinity
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")

# -- the interface -----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize("overlap", [True, False])
def test_permuting_tasks_permutes_the_groups(solver, overlap):
    R = random_affinity(9, 3)
    order = np.random.RandomState(0).permutation(9)
    place = np.argsort(order)
    selector = GroupSelector(
        3, solver=solver, overlap=overlap, must_link=[(0, 4)], cannot_link=[(1, 2)], random_state=0
    ).fit(R)
    links = {"must_link": [(place[0], place[4])], "cannot_link": [(place[1], place[2])]}
    moved = clone(selector).set_params(**links).fit(R[np.ix_(order, order)])
    assert {frozenset(order[g]) for g in moved.groups_} == {frozenset(g) for g in selector.groups_}
    assert moved.objective_ == pytest.approx(selector.objective_, rel=1e-14)
    np.testing.assert_allclose(moved.scores_, selector.scores_[order])


def test_permuting_measured_groups_and_tasks_permutes_the_groups():
    rng = np.random.RandomState(0)
    masks = all_masks(6)[rng.permutation(63)[:40]]
    gains = np.where(masks, rng.normal(size=masks.shape), np.nan)
    order, rows = rng.permutation(6), rng.permutation(40)
    selector = GroupSelector(3).fit(gains, masks=masks)
    moved = clone(selector).fit(gains[np.ix_(rows, order)], masks=masks[np.ix_(rows, order)])
    assert {frozenset(order[g]) for g in moved.groups_} == {frozenset(g) for g in selector.groups_}


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(0)])
def test_inputs_and_global_random_state_are_left_alone(random_state):
    R = random_affinity(8)
    before = R.copy()
    for solver in ("exact", "search"):
        GroupSelector(solver=solver, random_state=random_state).fit(R)
    np.testing.assert_array_equal(R, before)


def test_same_seed_same_groups_pickle_and_transform():
    R = random_affinity(18)
    selector = GroupSelector(solver="search", n_init=2, random_state=3)
    membership = selector.fit_transform(R)
    np.testing.assert_array_equal(clone(selector).fit_transform(R), membership)
    np.testing.assert_array_equal(selector.transform(R), membership)
    loaded = pickle.loads(pickle.dumps(selector))
    np.testing.assert_array_equal(loaded.transform(R), membership)
    with pytest.raises(NotFittedError):
        GroupSelector().transform(R)


def test_names_of_tasks():
    names = list("abcde")
    R = random_affinity(5)
    frame = pd.DataFrame(R, names, names)
    by_name = GroupSelector(
        2, must_link=[("a", "c")], cannot_link=[("b", "d")], serving_tasks=["a", "b", "d"]
    ).set_output(transform="pandas")
    by_position = GroupSelector(
        2, must_link=[(0, 2)], cannot_link=[(1, 3)], serving_tasks=[0, 1, 3]
    )
    rows = by_name.fit_transform(frame)
    assert list(rows.index) == names
    assert list(rows.columns) == [f"group{g}" for g in range(rows.shape[1])]
    np.testing.assert_array_equal(rows.to_numpy(), by_position.fit_transform(R))
    assert list(by_name.task_names_in_) == names
    with pytest.raises(ValueError, match="rows and columns in one order"):
        by_name.fit(frame.loc[names[::-1]])


def test_fewer_groups_are_used_where_more_do_not_help():
    R = np.ones((4, 4))
    selector = GroupSelector(4).fit(R)
    assert selector.objective_ == 1
    assert len(selector.groups_) <= 2
    one = GroupSelector(3, singleton_score=2.0).fit([[0.0]])
    np.testing.assert_array_equal(one.membership_, [[1.0]])
    assert one.objective_ == 2


def test_groups_train_specialists(digits):
    class Affinity(GroupSelector):
        """Stands for a relation: any Y gives the same affinity."""

        def fit(self, X, y=None):
            return super().fit(random_affinity(y.shape[1], 1))

    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=2)
    grouper = make_pipeline(Affinity(2))
    clf = GroupedMTLClassifier(net, grouper, random_state=0).fit(X, Y[:, -5:])
    np.testing.assert_array_equal(
        clf.serving_weights_, grouper[-1].fit(X, Y[:, -5:]).serving_weights_
    )
    assert clf.predict(X).shape == (600, 5)


def test_verbose_prints_bounds(capsys):
    GroupSelector(verbose=1).fit(random_affinity(8))
    assert "[GroupSelector] bound" in capsys.readouterr().out
    GroupSelector().fit(random_affinity(8))
    assert capsys.readouterr().out == ""


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_groups": 0}, "The 'n_groups' parameter of GroupSelector must be an int"),
        ({"solver": "greedy"}, "The 'solver' parameter of GroupSelector must be a str among"),
        ({"singleton_score": "mean"}, "The 'singleton_score' parameter of GroupSelector must be"),
        ({"time_limit": 0}, "The 'time_limit' parameter of GroupSelector must be"),
        ({"min_size": 6}, "'min_size' parameter of GroupSelector must be at most the number of"),
        ({"min_size": 3, "max_size": 2}, "must be at most max_size=2. Got 3 instead"),
        ({"must_link": [(0, 0)]}, "'must_link' parameter of GroupSelector must be a list of pairs"),
        ({"must_link": [0, 1]}, "'must_link' parameter of GroupSelector must be a list of pairs"),
        ({"cannot_link": [(0, 5)]}, "must hold names of tasks or positions in [0, 5). Got 5"),
        ({"cannot_link": [("a", 1)]}, "must hold positions, as R has no names of tasks. Got 'a'"),
        ({"serving_tasks": []}, "'serving_tasks' parameter of GroupSelector must hold at least"),
        ({"serving_tasks": [True, False]}, "must be of length n_tasks=5 as a mask"),
        ({"serving_tasks": [7]}, "'serving_tasks' parameter of GroupSelector must hold names"),
        ({"group_cost": {1: 0.5}}, "'group_cost' parameter of GroupSelector counts only within"),
        ({"group_cost": [1, 2], "budget": 3}, "must have one cost a row of masks, which are not"),
        ({"group_cost": {1: -0.5}, "budget": 3}, "must give finite costs >= 0. Got -0.5"),
        ({"group_cost": {"one": 1}, "budget": 3}, "must map sizes (int) to costs"),
        (
            {"group_cost": lambda mask: np.nan, "budget": 3},
            "'group_cost' parameter of GroupSelector must give finite costs >= 0. Got nan",
        ),
        (
            {"must_link": [(0, 1), (1, 2)], "cannot_link": [(2, 0)]},
            "must_link and cannot_link contradict each other: must_link ties task 2 and task 0",
        ),
        (
            {"must_link": [(0, 1), (1, 2)], "max_size": 2, "n_groups": 5},
            "must_link ties more tasks together than max_size=2 allows: task 0, task 1, task 2",
        ),
        ({"n_groups": 2, "max_size": 2}, "n_groups=2 groups of at most max_size=2 cannot serve 5"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupSelector(**params).fit(random_affinity(5))


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"n_groups": 2, "cannot_link": [(0, 1), (1, 2), (2, 0)]},
            "without n_groups=2 or without cannot_link there would be one",
        ),
        (
            {"n_groups": 3, "overlap": False, "min_size": 3, "max_size": 3},
            "without overlap=False or without min_size=3 or without max_size=3 there would be one",
        ),
        (
            {"n_groups": 3, "overlap": False, "max_size": 2, "must_link": [(0, 1), (2, 3)]},
            None,
        ),
        (
            {"overlap": False, "min_size": 3, "cannot_link": [(0, 1)]},
            "without overlap=False or without min_size=3 or without cannot_link",
        ),
        ({"budget": 0.5}, "without budget=0.5 there would be one"),
        (
            {"min_size": 5, "cannot_link": [(0, 1)]},
            "without min_size=5 or without cannot_link there would be one",
        ),
    ],
)
def test_constraints_that_cannot_be_kept_are_named(solver, params, message):
    selector = GroupSelector(solver=solver, **params)
    if message is None:
        check_consistent(selector.fit(random_affinity(5)), random_affinity(5), params)
        return
    with pytest.raises(ValueError, match=message):
        selector.fit(random_affinity(5))


def test_tasks_that_no_measured_group_holds_are_named():
    masks = np.array([[1, 1, 0, 0], [0, 1, 0, 0]], dtype=bool)
    gains = np.where(masks, 1.0, np.nan)
    with pytest.raises(
        ValueError, match="serves all 4 tasks: no row of masks holds task 2, task 3"
    ):
        GroupSelector().fit(gains, masks=masks)
    selector = GroupSelector(serving_tasks=[0, 1]).fit(gains, masks=masks)
    np.testing.assert_array_equal(selector.membership_, [[1], [1], [0], [0]])
    np.testing.assert_array_equal(selector.serving_weights_, [[1], [1], [0], [0]])


@pytest.mark.parametrize(
    ("R", "masks", "message"),
    [
        (np.ones((3, 4)), None, "R must be a square affinity matrix"),
        (np.ones(4), None, "R must be a square affinity matrix"),
        ([[1.0, np.nan], [0.0, 1.0]], None, "R must be finite as an affinity matrix"),
        ([["a", "b"], ["c", "d"]], None, "R must be an affinity matrix, measured gains"),
        (np.ones((2, 2)), np.ones((3, 2)), "R and masks must have the same shape"),
        (np.ones((2, 2)), [[1, 2], [0, 1]], "masks must be of shape (n_measured, n_tasks)"),
        (np.ones((2, 2)), [[1, 1], [0, 0]], "Row 1 is empty"),
        (
            [[np.nan, 1.0], [1.0, 1.0]],
            [[1, 1], [0, 1]],
            "R must hold a finite gain for each task that masks say is in the group. Got nan",
        ),
    ],
)
def test_wrong_input_is_refused(R, masks, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupSelector().fit(R, masks=masks)


def test_exact_among_too_many_groups_is_refused():
    with pytest.raises(ValueError, match="lists 1048576 groups at most, and"):
        GroupSelector(solver="exact").fit(random_affinity(30))
