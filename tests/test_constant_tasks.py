"""Tasks of which a single class was observed: served by it, and no reason to lose the others."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.inspection import DataMapDisplay, LearningCurvesDisplay
from skgroup.metrics import multitask_f1_score
from skgroup.nn import MMoE
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
from skgroup.selection import (
    ExhaustiveGrouping,
    GradTAGGrouping,
    GroupGains,
    GroupSelector,
    HOAGrouping,
    MTGNetGrouping,
    TAGGrouping,
)

SAID = "single observed class"
LEARNED = np.array([0, 2, 4])


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(max_epochs=3, lr=0.01, random_state=0)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    sides = X[:, 0] > 0, X[:, 1] > 0, X[:, 0] + X[:, 1] > 0
    a, b, c = (side.astype(int) for side in sides)
    return X, pd.DataFrame({"a": a, "zero": 0, "b": b, "one": 1, "c": c})


@pytest.fixture(scope="module")
def mixed(data):
    """Binary, multiclass, a single string and a single number, with missing labels."""
    X, Y = data
    Y = Y[["a", "zero"]].astype(object)
    Y["kind"] = np.array(["x", "y", "z"])[np.random.default_rng(1).integers(0, 3, 90)]
    Y["only"], Y["seven"] = "same", 7
    Y.iloc[:5, 1:] = None
    return X, Y


def fit(estimator, X, Y, **params):
    """Fit, with the one warning that names the tasks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = estimator.fit(X, Y, **params)
    said = [str(w.message) for w in caught]
    assert len(said) == 1, said
    assert SAID in said[0]
    for name in Y.columns if hasattr(Y, "columns") else []:
        observed = Y[name].dropna()
        assert (repr(name) in said[0]) == (observed.nunique() == 1)
    return fitted


def grouped(net, **params):
    return GroupedMTLClassifier(net, n_groups=2, random_state=0, **params)


@pytest.mark.parametrize("make", [lambda net: net, grouped])
def test_tasks_of_zeros_or_of_ones_have_both_classes_and_a_certain_probability(net, data, make):
    X, Y = data
    fitted = fit(make(net), X, Y)
    assert [c.tolist() for c in fitted.classes_] == [[0, 1]] * 5
    proba, predicted = fitted.predict_proba(X), fitted.predict(X)
    assert proba.shape == predicted.shape == (90, 5)
    assert (proba[:, 1] == 0).all()
    assert (proba[:, 3] == 1).all()
    assert (predicted[:, 1] == 0).all()
    assert (predicted[:, 3] == 1).all()
    assert fitted.n_tasks_ == 5
    assert fitted.task_names_in_.tolist() == Y.columns.tolist()


@pytest.mark.parametrize("make", [lambda net: net, grouped])
def test_the_other_tasks_are_learned_as_if_they_stood_alone(net, data, make):
    X, Y = data
    with_constant, alone = fit(make(net), X, Y), clone(make(net)).fit(X, Y[["a", "b", "c"]])
    proba = alone.predict_proba(X)
    np.testing.assert_allclose(with_constant.predict_proba(X)[:, LEARNED], proba, atol=1e-6)


@pytest.mark.parametrize("make", [lambda net: net, grouped])
def test_other_labels_that_are_alone_have_one_class(net, mixed, make):
    X, Y = mixed
    fitted = fit(make(net), X, Y)
    classes = [c.tolist() for c in fitted.classes_]
    assert classes == [[0, 1], [0, 1], ["x", "y", "z"], ["same"], [7]]
    proba = fitted.predict_proba(X)
    assert [p.shape for p in proba] == [(90, 2), (90, 2), (90, 3), (90, 1), (90, 1)]
    for of_task in proba:
        np.testing.assert_allclose(of_task.sum(axis=1), 1, atol=1e-6)
    assert (proba[1] == [1, 0]).all()
    assert (proba[3] == 1).all()
    assert fitted.predict(X)[0, [1, 3, 4]].tolist() == [0, "same", 7]


def test_where_the_others_are_binary_probabilities_stand_in_one_table(net, data):
    X, Y = data
    Y = Y[["a", "b"]].assign(word="same", true=True)
    fitted = fit(net, X, Y)
    proba = fitted.predict_proba(X)
    assert proba.shape == (90, 4)
    assert (proba[:, 2] == 0).all()
    assert (proba[:, 3] == 1).all()
    assert [c.tolist() for c in fitted.classes_[2:]] == [["same"], [False, True]]


def test_no_group_holds_such_tasks(net, data):
    X, Y = data
    clf = fit(grouped(net), X, Y)
    for weights in (clf.membership_, clf.serving_weights_):
        assert weights.shape == (5, 2)
        assert (weights[[1, 3]] == 0).all()
        assert (weights[LEARNED] > 0).any(axis=1).all()
    assert set(np.concatenate(clf.specialist_tasks_)) == set(LEARNED)
    for specialist, tasks in zip(clf.specialists_, clf.specialist_tasks_, strict=True):
        assert specialist.task_names_in_.tolist() == Y.columns[tasks].tolist()


@pytest.mark.parametrize(
    "params",
    [{"strategy": "sequential"}, {"specialist_init": "relation", "min_membership": 0.3}],
)
def test_every_way_to_train_specialists_takes_them(net, data, params):
    X, Y = data
    with_constant = fit(grouped(net, **params), X, Y)
    alone = grouped(net, **params).fit(X, Y[["a", "b", "c"]])
    np.testing.assert_allclose(
        with_constant.predict_proba(X)[:, LEARNED], alone.predict_proba(X), atol=1e-5
    )


def test_fitted_estimators_survive_a_pickle(net, mixed):
    X, Y = mixed
    clf = fit(grouped(net), X, Y)
    for was, copied in zip(
        clf.predict_proba(X), pickle.loads(pickle.dumps(clf)).predict_proba(X), strict=True
    ):
        np.testing.assert_array_equal(was, copied)


def test_f1_is_undefined_where_the_positive_class_is_nowhere(net, data):
    X, Y = data
    fitted = fit(net, X, Y)
    of_tasks = multitask_f1_score(Y, fitted.predict(X), average=None)
    assert np.isnan(of_tasks[1])
    assert of_tasks[3] == 1
    with pytest.warns(UndefinedMetricWarning, match="'zero'"):
        assert fitted.score(X, Y) == pytest.approx(np.nanmean(of_tasks))


def test_a_positive_class_that_fit_has_not_met_counts_where_it_is_met(net, data):
    X, Y = data
    train, test = Y[["a", "b"]].assign(answer="no"), Y[["a", "b"]].assign(answer="no")
    fitted = fit(net.set_params(pos_label={"answer": "yes"}), X, train)
    with pytest.warns(UndefinedMetricWarning, match="'answer'"):
        without = fitted.score(X, test)
    test.loc[:9, "answer"] = "yes"  # never predicted: F1 of 0
    assert fitted.score(X, test) == pytest.approx(without * 2 / 3)
    fitted = fit(clone(net).set_params(pos_label={"answer": "no"}), X, train)
    assert fitted.score(X, train) == pytest.approx((without * 2 + 1) / 3)


def test_a_search_over_rare_labels_loses_no_fold(net, data):
    X, Y = data
    Y = Y[["a", "b"]].assign(rare=0)
    Y.loc[3, "rare"] = 1  # all in one fold
    search = GridSearchCV(grouped(net), {"min_membership": [0.0, 0.2]}, cv=KFold(3))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{SAID}.*|F1 is not defined")
        search.fit(X, Y)
    assert np.isfinite([search.cv_results_[f"split{k}_test_score"] for k in range(3)]).all()


def test_a_table_without_anything_to_learn_is_refused(net, data):
    X, Y = data
    for wrong in (Y[["zero", "one"]], np.zeros(90), np.ones((90, 1))):
        with pytest.raises(ValueError, match="single class"):
            net.fit(X, wrong)
        with pytest.raises(ValueError, match="single class"):
            grouped(net).fit(X, wrong)


def test_what_parameters_say_by_task_may_name_them(net, data):
    X, Y = data
    by_task = {
        "task_weight": [1.0, 5.0, 2.0, 7.0, 3.0],
        "class_weight": {"zero": {0: 3.0}, "b": {0: 2.0}},
        "pos_label": {"one": 1, "a": 0},
    }
    some = {
        "task_weight": [1.0, 2.0, 3.0],
        "class_weight": {"b": {0: 2.0}},
        "pos_label": {"a": 0},
    }
    for make in (clone, grouped):
        whole = fit(make(clone(net).set_params(**by_task)), X, Y)
        alone = make(clone(net).set_params(**some)).fit(X, Y[["a", "b", "c"]])
        np.testing.assert_allclose(
            whole.predict_proba(X)[:, LEARNED], alone.predict_proba(X), atol=1e-5
        )


def test_given_memberships_of_such_tasks_are_left_out(net, data):
    X, Y = data
    given = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    clf = fit(GroupedMTLClassifier(net, given), X, Y)
    np.testing.assert_array_equal(clf.membership_, [[1, 0], [0, 0], [1, 0], [0, 0], [0, 1]])


def test_as_many_groups_as_tasks_may_be_asked_for(net, data):
    X, Y = data
    for n_tasks, n_learned in ((5, 3), (2, 1)):
        clf = fit(GroupedMTLClassifier(net, n_groups=n_tasks), X, Y.iloc[:, :n_tasks])
        assert clf.membership_.shape == (n_tasks, n_learned)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: TaskGrouper(net),
        lambda net: TaskGrouper(net, source="stl"),
        lambda net: TaskGrouper(net, output="isometric"),
        lambda net: InterTaskAffinity(net),
        lambda net: GradientCosineAffinity(net),
        lambda net: LabelCorrelationAffinity(),
    ],
)
def test_relations_have_a_row_for_every_task(net, mixed, make):
    X, Y = mixed
    relation = fit(make(net), X, Y)
    rows = relation.transform(X)
    assert len(rows) == 5
    assert np.isfinite(rows).all()
    alone = make(clone(net)).fit(X, Y[["a", "kind"]])
    own = [0, 2]
    if hasattr(relation, "data_map_"):
        np.testing.assert_array_equal(relation.data_map_[[1, 3, 4], ..., 0], 1)
        np.testing.assert_array_equal(relation.data_map_[[1, 3, 4], ..., 1], 0)
        np.testing.assert_allclose(relation.data_map_[own], alone.data_map_, atol=1e-6)
    else:
        found = relation.affinity_[np.ix_(own, own)]
        np.testing.assert_allclose(found, alone.affinity_, atol=1e-6)
        off_diagonal = ~np.eye(5, dtype=bool)
        off_diagonal[np.ix_(own, own)] = False
        assert (relation.affinity_[off_diagonal] == 0).all()


def test_isometric_rows_are_as_far_apart_as_raw_ones(net, data):
    X, Y = data
    raw = fit(TaskGrouper(clone(net)), X, Y).transform(X).astype(float)
    isometric = fit(TaskGrouper(clone(net), output="isometric"), X, Y).transform(X)
    for rows in (raw, isometric):
        rows -= rows.mean(axis=0)
    np.testing.assert_allclose(isometric @ isometric.T, raw @ raw.T, atol=1e-3)


def test_samples_without_training_stay_zero_in_every_map(net, data):
    X, Y = data
    grouper = fit(TaskGrouper(net.set_params(train_split=ValidSplit(3))), X, Y)
    trained_on = (grouper.data_map_[0, -1] != 0).any(axis=1)
    assert 0 < trained_on.sum() < 90
    np.testing.assert_array_equal(grouper.data_map_[1, -1, :, 0], trained_on)


def test_data_maps_of_single_task_nets_can_be_shown(net, data):
    pytest.importorskip("matplotlib")
    X, Y = data
    grouper = fit(TaskGrouper(net, source="stl", snapshot_epochs="all"), X, Y)
    display = DataMapDisplay.from_estimator(grouper, ["zero", "c"])
    assert len(display.axes_) == 2


@pytest.mark.parametrize(
    "grouping", [TAGGrouping, GradTAGGrouping, ExhaustiveGrouping, HOAGrouping, MTGNetGrouping]
)
def test_groupings_leave_them_out(net, data, grouping):
    X, Y = data
    found = fit(grouping(net, n_groups=2, random_state=0), X, Y)
    assert (found.membership_[[1, 3]] == 0).all()
    assert (found.serving_weights_[[1, 3]] == 0).all()
    assert found.membership_[LEARNED].any(axis=1).all()
    for group, column in zip(found.groups_, found.membership_.T, strict=True):
        np.testing.assert_array_equal(group, np.flatnonzero(column))
    alone = grouping(clone(net), n_groups=2, random_state=0).fit(X, Y[["a", "b", "c"]])
    np.testing.assert_array_equal(found.membership_[LEARNED], alone.membership_)
    assert found.n_tasks_ == 5
    clf = fit(GroupedMTLClassifier(net, grouping(net, n_groups=2)), X, Y)
    assert clf.predict(X).shape == (90, 5)


def test_constraints_of_a_selector_keep_meaning_the_same_tasks(net, data):
    X, Y = data
    selector = GroupSelector(
        must_link=[(0, 4), (1, 2)], cannot_link=[("b", "c")], serving_tasks=[0, 1, 2, 4]
    )
    for grouper in (
        TAGGrouping(net, n_groups=3, selector=selector),
        make_pipeline(LabelCorrelationAffinity(), selector),
    ):
        clf = fit(GroupedMTLClassifier(net, grouper), X, Y)
        together = clf.membership_ @ clf.membership_.T > 0
        assert together[0, 4]
        assert not together[2, 4]


def test_gains_are_measured_of_the_other_tasks(net, data):
    X, Y = data
    pairs = fit(GroupGains(net, masks="pairs"), X, Y)
    assert pairs.masks_.shape == (6, 5)
    assert not pairs.masks_[:, [1, 3]].any()
    assert np.isnan(pairs.gains_[:, [1, 3]]).all()
    alone = GroupGains(clone(net), masks="pairs").fit(X, Y[["a", "b", "c"]])
    np.testing.assert_array_equal(pairs.masks_[:, LEARNED], alone.masks_)
    np.testing.assert_allclose(pairs.gains_[:, LEARNED], alone.gains_, atol=1e-6)
    given = fit(GroupGains(net, masks=[[1, 1, 1, 0, 0], [0, 1, 0, 0, 0]]), X, Y)
    assert given.masks_[0].tolist() == [True, False, True, False, False]
    np.testing.assert_array_equal(given.masks_[1:], np.eye(5)[LEARNED])
    assert np.isfinite(given.gains_[given.masks_]).all()


def test_a_gain_table_goes_on_after_a_file(net, data, tmp_path):
    X, Y = data
    gains = fit(GroupGains(net, masks="pairs", random_state=0), X, Y)
    gains.save(tmp_path / "gains.npz")
    more = GroupGains.load(
        tmp_path / "gains.npz", net, masks="all", warm_start=True, random_state=0
    )
    assert fit(more, X, Y).n_trained_ == 1


def test_baselines_hold_no_such_task(data):
    X, Y = data
    every = fit(AllTasks(2), X, Y).membership_
    assert every.tolist() == [[0.5, 0.5], [0, 0], [0.5, 0.5], [0, 0], [0.5, 0.5]]
    single = fit(SingleTasks(), X, Y).membership_
    assert single.shape == (5, 3)
    assert (single.sum(axis=1) == [1, 0, 1, 0, 1]).all()


def test_compare_takes_them(net, mixed):
    X, Y = mixed
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{SAID}")
        found = compare(X, Y, grouped(net), seeds=1, cv=2, scoring="roc_auc")
    assert np.isnan(found.values[:, :, [1, 3, 4]]).all()
    assert np.isfinite(found.values[:, :, [0, 2]]).all()


def test_further_training_keeps_them(net, data):
    X, Y = data
    fitted = fit(net, X, Y).partial_fit(X[:40], Y[:40][["one", "c", "a", "zero", "b"]])
    assert fitted.predict_proba(X).shape == (90, 5)
    # A part that happens to hold one class of a task makes no constant of it.
    fitted.partial_fit(X[:40], Y[:40].assign(a=1))
    assert fitted.predict_proba(X)[:, 0].min() > 0
    assert fitted.predict_proba(X)[:, 0].max() < 1
    before = fitted.predict_proba(X)
    with pytest.raises(ValueError, match=re.escape("task 1 ('zero') of Y holds a second class")):
        fitted.partial_fit(X, Y.assign(zero=Y["a"]))
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_a_warm_start_has_heads_for_the_same_tasks(net, data):
    X, Y = data
    fitted = fit(net.set_params(warm_start=True), X, Y[["a", "zero", "b"]])
    fit(fitted, X, Y[["a", "zero", "b"]])
    with (
        pytest.warns(UserWarning, match=SAID),
        pytest.raises(ValueError, match=r"warm_start.*another task 0"),
    ):
        fitted.fit(X, Y[["a", "zero", "b"]].assign(a=0, zero=Y["a"]))


def test_a_first_part_with_all_classes_given_has_no_such_task(net, data):
    X, Y = data
    net.partial_fit(X, Y, classes=[[0, 1]] * 5)
    assert len(net.task_outputs_) == 5
    net.partial_fit(X, Y.assign(zero=1))


def test_callbacks_score_all_tasks(net, data):
    X, Y = data
    scoring = EpochScoring("f1_macro", name="F1", use_caching=False, lower_is_better=False)
    net.set_params(callbacks=[scoring], train_split=ValidSplit(3))
    fitted = fit(net, X, Y[["a", "one", "b"]])
    assert np.isfinite(fitted.history[:, "F1"]).all()


def test_labels_of_a_dataset_are_taken(net, data):
    X, Y = data

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, i):
            return X[i], Y.to_numpy()[i]

    with pytest.warns(UserWarning, match=SAID):
        clf = grouped(net).fit(Pairs())
    assert clf.predict(X).shape == (90, 5)
    assert (clf.membership_[[1, 3]] == 0).all()


@pytest.mark.parametrize("container", [np.asarray, torch.tensor, lambda Y: Y.tolist()])
def test_tables_without_names_are_taken(net, data, container):
    X, Y = data
    with pytest.warns(UserWarning, match="task 1: 0, task 3: 1"):
        clf = grouped(net).fit(X, container(Y.to_numpy()))
    assert clf.predict(X).shape == (90, 5)


def test_parameters_of_experts_keep_meaning_the_same_tasks(net, data):
    X, Y = data
    net.set_params(module=MMoE)
    fitted = fit(net, X, Y)
    (weights,) = fitted.expert_weights(X)
    assert len(weights) == 5
    assert (weights[[1, 3]] == 0).all()
    np.testing.assert_allclose(weights[LEARNED].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("make", [clone, grouped])
@pytest.mark.parametrize("rare", [2, 7, "rare", -1])
def test_a_class_that_parameters_name_may_be_in_no_training_label(net, data, make, rare):
    X, Y = data
    usual = "usual" if rare == "rare" else 1
    answer = np.full(len(X), usual, dtype=object if rare == "rare" else int)
    answer[3] = rare  # all in one fold
    Y = Y[["a", "b"]].assign(answer=answer)
    by_task = {"answer": {rare: 5.0}}
    estimator = make(net.set_params(pos_label={"answer": rare}, class_weight=by_task))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{SAID}.*|F1 is not defined")
        for train, test in KFold(3).split(X):
            fitted = clone(estimator).fit(X[train], Y.iloc[train])
            found = fitted.score(X[test], Y.iloc[test])
            expected = multitask_f1_score(
                Y.iloc[test],
                fitted.predict(X[test]),
                classes=[[0, 1], [0, 1], sorted([rare, usual])],
                pos_label={"answer": rare},
            )
            assert found == pytest.approx(expected)


def test_memberships_of_an_earlier_fit_can_be_given(net, data):
    X, Y = data
    first = fit(grouped(net), X, Y)
    again = fit(GroupedMTLClassifier(net, first.membership_, random_state=0), X, Y)
    np.testing.assert_array_equal(again.membership_, first.membership_)
    with (
        pytest.raises(ValueError, match="no all-zero row"),
        pytest.warns(UserWarning, match=SAID),
    ):
        GroupedMTLClassifier(net, first.membership_).fit(X, Y.assign(zero=Y["a"]))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_comparison_warns_of_them_once(net, data, n_jobs, capfd):
    X, Y = data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare(X, Y, grouped(net), seeds=1, cv=2, n_jobs=n_jobs)
    assert sum(SAID in str(warning.message) for warning in caught) == 1
    assert SAID not in capfd.readouterr().err


def test_learning_curves_warn_of_them_once(net, data):
    X, Y = data
    with pytest.warns(UserWarning, match=SAID) as caught:
        LearningCurvesDisplay.from_estimator(net, X, Y, seeds=2)
    assert sum(SAID in str(warning.message) for warning in caught) == 1
