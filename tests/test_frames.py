"""Labelled tables are read by their labels, by displays and memberships too."""

import numpy as np
import pandas as pd
import pytest

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier, TaskGrouper
from skgroup.inspection import AffinityDisplay, DataMapDisplay, GainsDisplay, MembershipDisplay

pytest.importorskip("matplotlib").use("Agg")
X = np.random.default_rng(0).normal(size=(100, 4))
Y = pd.DataFrame(X[:, :3] > 0, columns=list("abc")).astype(float)
Y.loc[:29, "a"] = np.nan


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(max_epochs=2, module__hidden_units=(8,))


def texts(display):
    return [t.get_text() for t in display.ax_.get_yticklabels()]


def test_missing_labels_of_a_data_map_are_those_of_the_task_of_that_name(net):
    grouper = TaskGrouper(net, random_state=0).fit(X, Y)
    for y in (Y, Y[["c", "b", "a"]]):
        display = DataMapDisplay.from_estimator(grouper, "a", y=y)
        assert np.isnan(display.confidence).sum() == 30
    with pytest.raises(ValueError, match=r"Missing: a\. New: q\."):
        DataMapDisplay.from_estimator(grouper, "a", y=Y.rename(columns={"a": "q"}))


def test_gains_are_those_of_the_tasks_of_the_masks():
    masks = pd.DataFrame([[1, 1, 0], [0, 1, 1]], columns=list("abc"))
    gains = pd.DataFrame([[0.1, 0.2, np.nan], [np.nan, -0.1, 0.0]], columns=list("abc"))
    one = GainsDisplay.from_gains(masks, gains)
    other = GainsDisplay.from_gains(masks, gains[["c", "b", "a"]])
    np.testing.assert_array_equal(one.gains, other.gains)
    assert texts(one) == texts(other)
    assert one.task_names == ["a", "b", "c"]
    with pytest.raises(ValueError, match="The columns of gains must be the tasks"):
        GainsDisplay.from_gains(masks, gains.rename(columns={"a": "q"}))


def test_columns_of_an_affinity_are_in_the_order_of_its_rows():
    affinity = pd.DataFrame(np.arange(9.0).reshape(3, 3), index=list("abc"), columns=list("abc"))
    one = AffinityDisplay.from_affinity(affinity, order="given")
    other = AffinityDisplay.from_affinity(affinity[["c", "b", "a"]], order="given")
    np.testing.assert_array_equal(one.affinity, other.affinity)
    assert one.task_names == other.task_names == ["a", "b", "c"]
    of_columns = affinity.set_axis(["to a", "to b", "to c"], axis=1)
    assert AffinityDisplay.from_affinity(of_columns).task_names == ["a", "b", "c"]


def test_rows_of_memberships_are_named():
    membership = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], index=["a", "b"])
    assert MembershipDisplay.from_membership(membership).task_names == ["a", "b"]
    assert MembershipDisplay.from_membership(membership.to_numpy()).task_names is None


@pytest.mark.parametrize("form", ["memberships", "partition", "weights"])
def test_an_index_of_all_positions_is_one_of_positions(net, form):
    index = [2, 1, 0]
    labels = Y.to_numpy()
    if form == "weights":
        weight = pd.Series([3.0, 2.0, 1.0], index=index)
        one = net.set_params(task_weight=weight, random_state=0).fit(X, labels)
        proba = one.predict_proba(X)
        other = net.set_params(task_weight=[1.0, 2.0, 3.0]).fit(X, labels)
        np.testing.assert_array_equal(proba, other.predict_proba(X))
        return
    given = pd.DataFrame([[1, 0], [0, 1], [0, 1]], index=index)
    given = given if form == "memberships" else given[1]
    clf = GroupedMTLClassifier(net, given, random_state=0).fit(X, labels)
    by_position = GroupedMTLClassifier(net, {"u": [2], "v": [1, 0]}, random_state=0).fit(X, labels)
    together = [
        clf.membership_ @ clf.membership_.T,
        by_position.membership_ @ by_position.membership_.T,
    ]
    np.testing.assert_array_equal(*together)


def test_a_task_in_no_group_is_named(net):
    with pytest.raises(ValueError, match=r"Got row 2, task 'c'"):
        GroupedMTLClassifier(net, {"u": ["a"], "v": ["b"]}).fit(X, Y)


def test_baselines_have_their_groups(net):
    with pytest.raises(TypeError, match="'n_groups' cannot be given"):
        GroupedMTLClassifier.mtl(net, n_groups=2)
    with pytest.raises(TypeError, match="'grouper' cannot be given"):
        GroupedMTLClassifier.stl(net, grouper=[0, 0, 1])
    for n_nets in (0, 2.5, True):
        with pytest.raises(ValueError, match=f"n_nets of mtl_ensemble .* Got {n_nets}"):
            GroupedMTLClassifier.mtl_ensemble(n_nets, net)


def test_names_that_are_missing_are_warned_of_once(net, recwarn):
    frame = pd.DataFrame(X, columns=list("wxyz"))
    complete = Y.fillna(0)
    clf = PortfolioClassifier([("a", net), ("b", net)], cv=2, random_state=0).fit(frame, complete)
    recwarn.clear()
    clf.predict(X)
    assert len([w for w in recwarn if "feature names" in str(w.message)]) == 1


def test_labels_of_y_in_a_member_are_refused_with_the_remedy(net):
    labels = np.where(Y.fillna(0) > 0, "yes", "no")
    told = net.set_params(class_weight={"yes": 3.0})
    with pytest.raises(ValueError, match=r"Member 'net' .* Members see 0, 1, \.\.\."):
        PortfolioClassifier([("net", told)]).fit(X, labels)
