"""Groups as people write them: labels, names of tasks, and what groups are called."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.cluster import PointKMeans
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.inspection import MembershipDisplay, report
from skgroup.relations import GradTAG, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import GroupGains, GroupSelector, TAGGrouping

pytest.importorskip("matplotlib").use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")
NAMES = ["cat", "car", "dog", "bus"]
GROUPS = {"vehicles": ["bus", "car"], "animals": ["cat", "dog"]}


def small_net(**params):
    small = {"module__n_members": 2, "module__hidden_units": (8,), "module__dropout": 0.0}
    return MultiTaskNet(**{"max_epochs": 1, "random_state": 0, **small, **params})


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, pd.DataFrame((X[:, [0, 1, 0, 1]] > 0).astype(int), columns=NAMES)


def grouped(grouper, data, **params):
    return GroupedMTLClassifier(small_net(), grouper, random_state=0, **params).fit(*data)


@pytest.mark.parametrize(
    ("grouper", "group_names"),
    [
        (GROUPS, ["vehicles", "animals"]),
        ([["bus", "car"], ["cat", "dog"]], None),
        ([1, 0, 1, 0], None),
        (pd.Series({"car": 0, "bus": 0, "cat": 1, "dog": 1}), None),
        (["b", "a", "b", "a"], ["a", "b"]),
        (pd.Series({"car": "a", "bus": "a", "cat": "b", "dog": "b"}), ["a", "b"]),
        (pd.Series({"car": "a", "bus": "a", "cat": "b", "dog": "b"}, dtype="category"), ["a", "b"]),
        (pd.DataFrame([[0, 1]] * 2 + [[1, 0]] * 2, ["cat", "dog", "bus", "car"], ["v", "a"]),
         ["v", "a"]),
    ],
)  # fmt: skip
def test_groups_are_given_as_people_write_them(data, grouper, group_names):
    clf = grouped(grouper, data)
    np.testing.assert_array_equal(clf.membership_, [[0, 1], [1, 0], [0, 1], [1, 0]])
    assert clf.labels_.tolist() == [1, 0, 1, 0]
    assert getattr(clf, "group_names_", np.array(None)).tolist() == group_names
    # A fit without names has none left over.
    assert not hasattr(clf.set_params(grouper=AllTasks()).fit(*data), "group_names_")


def test_a_task_of_several_groups_belongs_to_them_in_equal_shares(data):
    groups = {"all": NAMES, "animals": ["cat", "dog"], "pets": "dog"}
    clf = grouped(groups, data)
    expected = [[1 / 2, 1 / 2, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]]
    np.testing.assert_allclose(clf.membership_, expected)
    np.testing.assert_allclose(clf.serving_weights_, expected)
    assert [len(tasks) for tasks in clf.specialist_tasks_] == [4, 2, 1]


@pytest.mark.parametrize(
    ("grouper", "message"),
    [
        ({"animals": ["cat", "dgo"]}, "names 'dgo' in group 'animals', which is no task: ['cat'"),
        ([["cat", "dgo"], ["bus"]], "names 'dgo' in group 0, which is no task: ['cat', 'car'"),
        ({"animals": ["cat", "dog", "cat"]}, "names 'cat' twice in group 'animals'"),
        ({"animals": ["cat", "dog"]}, "(a task in no group). Got row 1, task 'car'"),
        ({"a": NAMES, "b": []}, "(an empty group). Got column 1"),
        (
            [[0, 1, 2], [3]],
            "GroupedMTLClassifier must hold memberships, a row a task; the group of",
        ),
        (["a", None, "a", "b"], "must hold a group (an int or str) for each of the 4 tasks"),
        (pd.Series({"cat": 0, "dog": 0, "bus": 1, "bike": 1}), "Missing: car. New: bike."),
    ],
)
def test_groups_that_do_not_fit_the_tasks_are_refused(data, grouper, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        grouped(grouper, data)


@pytest.mark.parametrize(
    ("grouper", "n_nets", "kind"),
    [
        (GROUPS, 2, "grouped"),
        (list(GROUPS.values()), 2, "grouped"),
        ({"all": {*NAMES}}, 1, "MTL"),
        ([NAMES, NAMES], 2, "MTL"),
        ([[name] for name in NAMES], 4, "STL"),
        ({0: [0, 1], 1: [2, 3]}, 2, "grouped"),
    ],
)
def test_nets_of_groups_by_name_are_counted_before_fit(data, grouper, n_nets, kind):
    clf = GroupedMTLClassifier(small_net(), grouper)
    assert clf.count_nets(4)["total"] == n_nets
    X, Y = data
    Y = Y if isinstance(grouper, list) or 0 not in grouper else Y.to_numpy()
    found = compare(X, Y, {"it": clf}, baselines="it", seeds=1)
    assert (found.kinds, found.nets.tolist()) == ([kind], [[n_nets]])


def test_groups_by_name_are_compared_with_as_many_nets(data):
    found = compare(*data, GroupedMTLClassifier(small_net(), GROUPS), seeds=1)
    assert "MTL ensemble, 2 nets" in found.baselines


def test_groups_keep_their_names_where_a_task_of_a_single_class_is_left_out(data):
    X, Y = data
    with pytest.warns(UserWarning, match="single observed class"):
        clf = grouped({"never": "ship", **GROUPS}, (X, Y.assign(ship=0)))
    assert clf.group_names_.tolist() == ["vehicles", "animals"]
    assert clf.labels_.tolist() == [1, 0, 1, 0, -1]


def test_serving_weights_match_groups_by_name(data):
    X, Y = data
    both = {"first": NAMES, "second": NAMES}
    weights = pd.DataFrame({"second": [0.0, 1, 0.5, 1], "first": [1, 0, 0.5, 0]}, index=NAMES)
    expected = weights[["first", "second"]].to_numpy()
    clf = grouped(both, data, serving=weights)
    np.testing.assert_array_equal(clf.serving_weights_, expected)
    plain = grouped(both, data)
    np.testing.assert_array_equal(plain.with_serving(weights).serving_weights_, expected)
    renamed = weights.rename(columns={"second": "other"})
    message = "must be the groups. Missing: second. New: other."
    for refused in (lambda: plain.with_serving(renamed), lambda: clone(clf).set_params(
        serving=renamed).fit(X, Y)):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(message)):
            refused()


def test_displays_and_reports_call_groups_by_their_names(data):
    clf = grouped(GROUPS, data)

    def ticks(display):
        return [label.get_text() for label in display.ax_.get_xticklabels()]

    display = MembershipDisplay.from_estimator(clf)
    assert ticks(display) == ["vehicles", "animals"]
    assert ">animals</th>" in clf._groups_html()
    assert "animals, 2 tasks" in str(report(clf))
    for partition in (GROUPS, pd.Series({"bus": "vehicles", "dog": "animals", "cat": "animals"})):
        display = MembershipDisplay.from_membership(partition)
        assert set(ticks(display)) == {"animals", "vehicles"}
        assert "bus" in display.task_names
    assert MembershipDisplay.from_membership([0, 0, 1]).membership.tolist() == [
        [1, 0],
        [1, 0],
        [0, 1],
    ]
    display = MembershipDisplay.from_membership(np.eye(2), group_names=["x", "y"])
    assert ticks(display) == ["x", "y"]
    with pytest.raises(ValueError, match="group_names must name the 2 groups"):
        MembershipDisplay.from_membership(np.eye(2), group_names=["x"])


@pytest.mark.parametrize(
    "masks", [{"animals": ["dog", "cat"], "all": NAMES}, [["cat", "dog"], NAMES]]
)
def test_groups_to_measure_are_given_by_the_names_of_their_tasks(data, masks):
    expected = np.array([[1, 0, 1, 0], [1, 1, 1, 1]], dtype=bool)
    gains = GroupGains(small_net(), masks=masks, random_state=0).fit(*data)
    assert {tuple(m) for m in expected} < {tuple(m) for m in gains.masks_}
    affinity = InterTaskAffinity(small_net(), masks=masks).fit(*data)
    np.testing.assert_array_equal(affinity.masks_, expected)
    predictor = GradTAG(small_net(), projection_dim=5, random_state=0).fit(*data)
    np.testing.assert_array_equal(predictor.predict(masks), predictor.predict(expected))
    with pytest.raises(ValueError, match="names 'dgo' in group 0, which is no task"):
        GroupGains(small_net(), masks=[["cat", "dgo"]]).fit(*data)


def test_memberships_come_with_the_names_of_tasks_and_groups(data):
    X, Y = data
    X = pd.DataFrame(X, index=np.arange(60) + 100).add_prefix("x")
    maps = TaskGrouper(small_net(), random_state=0)
    groupings = [
        (maps, FuzzyKMeans(2), ["fuzzykmeans0", "fuzzykmeans1"]),
        (clone(maps).set_params(output="isometric"), FuzzyKMeans(2), None),
        (maps, PointKMeans(2), ["pointkmeans0", "pointkmeans1"]),
        (LabelCorrelationAffinity(), GroupSelector(2, max_size=2), ["group0", "group1"]),
    ]
    for relation, grouper, names in groupings:
        grouping = make_pipeline(relation, grouper).set_output(transform="pandas")
        frame = clone(grouping).fit_transform(X, Y)
        assert isinstance(frame, pd.DataFrame)
        assert frame.index.tolist() == NAMES
        fitted = grouping.fit(X, Y)
        assert fitted.transform(X).index.tolist() == NAMES
        assert frame.columns.tolist() == fitted.get_feature_names_out().tolist()
        assert names is None or frame.columns.tolist() == names
        clf = grouped(grouping, (X, Y))
        assert clf.membership_.shape == frame.shape


def test_groups_are_hard_labels_too(data):
    X, Y = data
    assert AllTasks(2).fit(X, Y).labels_.tolist() == [0, 0, 0, 0]
    assert SingleTasks().fit(X, Y).labels_.tolist() == [0, 1, 2, 3]
    # Of a task in several groups, the one that serves it counts.
    affinity = np.array([[0, 1, -1, -1], [1, 0, 9, -1], [-1, 1, 0, 2], [-1, -1, 9, 0]], dtype=float)
    selector = GroupSelector(2, random_state=0).fit(affinity)
    np.testing.assert_array_equal(selector.labels_, selector.serving_weights_.argmax(axis=1))
    grouping = TAGGrouping(small_net(), random_state=0).fit(X, Y)
    np.testing.assert_array_equal(grouping.labels_, grouping.serving_weights_.argmax(axis=1))
    clf = grouped(grouping, data)
    np.testing.assert_array_equal(clf.labels_, grouping.labels_)
    assert not hasattr(clone(clf), "labels_")
