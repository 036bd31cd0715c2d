"""Several kinds of nets side by side: what trains, on which samples, and how it serves."""

import io
import itertools
import pickle
import re

import joblib
import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch.utils.data import TensorDataset

import skgroup.ensemble._candidates
import skgroup.relations._task_grouper
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import Clusterings
from skgroup.ensemble import AllTasks, SingleTasks

HALVES = [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0], [0.3, 0.7]]


@pytest.fixture
def data(digits):
    """Six of the digits tasks."""
    X, Y = digits
    return X[:240], Y[:240][:, [0, 3, 10, 12, 13, 14]]


@pytest.fixture
def tiny_net():
    return MultiTaskNet(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


@pytest.fixture
def trainings(monkeypatch):
    """(nets, data of each) of every call that trains nets, of the relation and of candidates."""
    calls = {"relation": [], "candidates": []}
    for module, name in [
        (skgroup.relations._task_grouper, "relation"),
        (skgroup.ensemble._candidates, "candidates"),
    ]:

        def spy(nets, data, *args, _own=module.fit_many, _name=name, **kwargs):
            calls[_name].append((list(nets), list(data)))
            return _own(nets, data, *args, **kwargs)

        monkeypatch.setattr(module, "fit_many", spy)
    return calls


def by_tasks(proba):
    """Probabilities (n_samples, n_classes) a task, from either form of `predict_proba`."""
    if isinstance(proba, list):
        return proba
    return [np.column_stack([1 - p, p]) for p in proba.T]


def mixture_by_loops(clf, X):
    """Σ over candidates of serving weight times the candidate's own probabilities, a task each."""
    mixed = [np.zeros((X.shape[0], len(c))) for c in clf.task_classes_]
    for c, (net, tasks) in enumerate(zip(clf.candidates_, clf.candidate_tasks_, strict=True)):
        for t, p in zip(tasks, by_tasks(net.predict_proba(X)), strict=True):
            mixed[t] += clf.serving_weights_[t, c] * p
    return mixed


def assert_same_fit(one, other, X, atol=1e-6):
    np.testing.assert_allclose(other.serving_weights_, one.serving_weights_, atol=atol)
    np.testing.assert_allclose(other.thresholds_, one.thresholds_, atol=atol)
    for p, q in zip(by_tasks(one.predict_proba(X)), by_tasks(other.predict_proba(X)), strict=True):
        np.testing.assert_allclose(p, q, atol=atol)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


# -- candidates --------------------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("refit", [True, False])
def test_prediction_is_the_weighted_sum_of_all_candidates(data, tiny_net, refit):
    X, Y = data
    X_before, Y_before = X.copy(), Y.copy()
    clf = GroupedMTLClassifier(
        tiny_net,
        n_groups=2,
        n_mtl_nets=2,
        stl_nets=True,
        serving="learned",
        refit=refit,
        random_state=0,
    ).fit(X, Y)
    assert clf.membership_.shape == (6, 2)
    assert clf.serving_weights_.shape == (6, 10)
    assert len(clf.candidates_) == len(clf.candidate_tasks_) == len(clf.candidate_names_) == 10
    assert len(set(clf.candidate_names_)) == 10
    assert clf.specialists_ == clf.candidates_[:2]
    for tasks, first in zip(clf.specialist_tasks_, clf.candidate_tasks_, strict=False):
        np.testing.assert_array_equal(tasks, first)
    for net, tasks in zip(clf.candidates_[2:4], clf.candidate_tasks_[2:4], strict=True):
        np.testing.assert_array_equal(tasks, range(6))
        assert net.n_tasks_ == 6
    for t, (net, tasks) in enumerate(
        zip(clf.candidates_[4:], clf.candidate_tasks_[4:], strict=True)
    ):
        np.testing.assert_array_equal(tasks, [t])
        assert net.n_tasks_ == 1
    np.testing.assert_allclose(clf.serving_weights_.sum(axis=1), 1)
    assert (clf.serving_weights_ >= 0).all()
    alone = clf.serving_weights_[:, 4:]
    np.testing.assert_array_equal(alone, np.diag(np.diag(alone)))
    assert (np.diag(alone) > 0).all()
    expected = np.column_stack([p[:, 1] for p in mixture_by_loops(clf, X)])
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_array_equal(clf.predict(X), clf.predict_proba(X) > 0.5)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)


def test_candidates_are_named_by_what_they_are(data, tiny_net):
    pd = pytest.importorskip("pandas")
    X, Y = data
    Y = pd.DataFrame(Y[:, :3], columns=["zero", "three", "low"])
    clf = GroupedMTLClassifier(tiny_net, n_groups=[2, 3], n_mtl_nets=1, stl_nets=True).fit(X, Y)
    names = list(clf.candidate_names_)
    assert [n.partition(":")[0] for n in names[:5]] == ["2 groups"] * 2 + ["3 groups"] * 3
    assert "all tasks" in names[5]
    assert [n.rpartition(" ")[2] for n in names[6:]] == ["zero", "three", "low"]


def test_by_membership_each_kind_of_nets_counts_the_same(data, tiny_net):
    X, Y = data
    clf = GroupedMTLClassifier(
        tiny_net, n_groups=[2, 3], n_mtl_nets=2, stl_nets=True, random_state=0
    ).fit(X, Y)
    assert clf.membership_.shape == (6, 5)
    weights = clf.serving_weights_
    np.testing.assert_allclose(weights[:, :5], clf.membership_ / 4)
    np.testing.assert_allclose(weights[:, :2].sum(axis=1), 1 / 4)
    np.testing.assert_allclose(weights[:, 2:5].sum(axis=1), 1 / 4)
    np.testing.assert_allclose(weights[:, 5:7], 1 / 8)
    np.testing.assert_allclose(weights[:, 7:], np.eye(6) / 4)
    expected = np.column_stack([p[:, 1] for p in mixture_by_loops(clf, X)])
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)


def test_min_membership_looks_at_each_number_of_groups_alone(data, tiny_net):
    X, Y = data
    relation = TaskGrouper(tiny_net, random_state=0)
    clf = GroupedMTLClassifier(
        tiny_net,
        make_pipeline(relation, Clusterings(FuzzyKMeans(random_state=0), [2, 3])),
        min_membership=0.4,
        random_state=0,
    ).fit(X, Y)
    for k, columns in ((2, slice(0, 2)), (3, slice(2, 5))):
        grouper = make_pipeline(relation, FuzzyKMeans(k, random_state=0))
        alone = clone(clf).set_params(grouper=grouper).fit(X, Y)
        np.testing.assert_allclose(clf.membership_[:, columns], alone.membership_)
        np.testing.assert_allclose(clf.serving_weights_[:, columns], alone.serving_weights_ / 2)
        for tasks, expected in zip(
            clf.specialist_tasks_[columns], alone.specialist_tasks_, strict=True
        ):
            np.testing.assert_array_equal(tasks, expected)


@pytest.mark.parametrize("serving", ["membership", "learned"])
def test_the_net_of_the_relation_serves_as_the_first_all_tasks_net(
    data, tiny_net, trainings, serving
):
    X, Y = data
    clf = GroupedMTLClassifier(
        tiny_net, n_groups=2, n_mtl_nets=3, serving=serving, random_state=0
    ).fit(X, Y)
    base = clf.grouper_[0].estimator_
    assert clf.candidates_[2] is base
    assert len(base.history_) == tiny_net.max_epochs
    assert clf.candidates_[3] is not base
    whole = [
        (net, of_net.tasks)
        for nets, of_nets in trainings["candidates"]
        for net, of_net in zip(nets, of_nets, strict=True)
        if len(of_net.table.codes) == len(X)
    ]
    assert len(whole) == 4  # two specialists, two more all-tasks nets
    for one, other in itertools.combinations(clf.candidates_[2:], 2):
        assert not np.allclose(flat_proba(one, X), flat_proba(other, X), atol=1e-3)


def flat_proba(net, X):
    return np.hstack(by_tasks(net.predict_proba(X)))


@pytest.mark.parametrize(
    "make",
    [
        lambda net: HALVES,
        lambda net: make_pipeline(TaskGrouper(net, source="stl"), FuzzyKMeans(2)),
        lambda net: SingleTasks(),
    ],
)
def test_an_all_tasks_net_is_trained_where_the_relation_has_none(data, tiny_net, trainings, make):
    X, Y = data
    clf = GroupedMTLClassifier(tiny_net, make(tiny_net), n_mtl_nets=1, random_state=0).fit(X, Y)
    trained = [net for nets, _ in trainings["candidates"] for net in nets]
    assert clf.candidates_[-1] in trained
    assert len(trained) == len(clf.candidates_)
    assert clf.candidates_[-1].n_tasks_ == 6


# -- which nets train, on which samples --------------------------------------------------------

LEARNED = {"serving": "learned"}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_mtl_nets": 2, "stl_nets": True},
        {**LEARNED, "n_mtl_nets": 2, "stl_nets": True},
        {**LEARNED, "n_mtl_nets": 1, "refit": False},
        {**LEARNED, "n_mtl_nets": 1, "cv": 3},
        {**LEARNED, "cv": KFold(2), "n_groups": 2},
        {"threshold": "tuned", "n_groups": 2},
        {"threshold": "tuned", "refit": False, "n_groups": [2, 3]},
        {**LEARNED, "refit": False, "cv": 3, "n_mtl_nets": 1, "stl_nets": True},
        {**LEARNED, "refit": False, "cv": None, "n_groups": 2, "specialist_init": "relation"},
        {**LEARNED, "threshold": "tuned", "n_groups": "several", "n_mtl_nets": 1},
        {**LEARNED, "n_groups": 1, "stl_nets": True},
        {**LEARNED, "specialist_init": "relation", "cv": 2},
        {**LEARNED, "specialist_init": "relation", "n_mtl_nets": 2, "specialist_epochs": 1},
        {"specialist_init": "relation"},
        {**LEARNED, "grouper": HALVES, "n_mtl_nets": 1},
        {**LEARNED, "grouper": AllTasks(2), "n_mtl_nets": 1, "refit": False},
        {"grouper": SingleTasks(), "threshold": "tuned"},
        {**LEARNED, "grouper": "stl", "n_mtl_nets": 1},
        {"grouper": "mtl", "n_mtl_nets": 1, "stl_nets": True},
    ],
)
def test_count_nets_counts_the_nets_that_train(data, tiny_net, trainings, params):
    X, Y = data
    net = tiny_net.set_params(max_epochs=1, callbacks=[CountTrainings()])
    if isinstance(params.get("grouper"), str):
        clusterer = Clusterings(n_clusters=[2, 3])
        relation = TaskGrouper(net, source=params["grouper"])
        params = {**params, "grouper": make_pipeline(relation, clusterer)}
    clf = GroupedMTLClassifier(net, **params, strategy="sequential", random_state=0)
    counts = clf.count_nets(6)
    CountTrainings.n = 0
    clf.fit(X, Y)
    n_samples = {
        name: [len(d.table.codes) for _, of_nets in calls for d in of_nets]
        for name, calls in trainings.items()
    }
    once = not params.get("refit", True)
    n_held_out = 0 if once else sum(n < len(X) for n in n_samples["candidates"])
    assert counts == {
        "relation": len(n_samples["relation"]),
        "held-out": n_held_out,
        "candidates": len(n_samples["candidates"]) - n_held_out,
        "total": CountTrainings.n,
    }
    assert clf.count_nets(6) == counts  # nothing that fit leaves changes it


class CountTrainings(Callback):
    n = 0

    def on_train_begin(self, net, **kwargs):
        CountTrainings.n += 1


def test_nets_are_not_counted_where_only_fit_tells_how_many_groups(tiny_net):
    clf = GroupedMTLClassifier(tiny_net, make_pipeline(TaskGrouper(tiny_net), DBSCAN()))
    with pytest.raises(ValueError, match="DBSCAN finds is known only after fit"):
        clf.count_nets(6)
    with pytest.raises(ValueError, match="must be at most the number of tasks, 2"):
        GroupedMTLClassifier(tiny_net, n_groups=3).count_nets(2)


@pytest.fixture
def numbered(data):
    """A first feature that tells samples apart."""
    X, Y = data
    return np.column_stack([np.arange(len(X)) / 1024, X]), Y


def samples_of(data):
    """Which samples these are, after a look at their labels."""
    return (np.asarray(data.X)[:, 0] * 1024).round().astype(int)


@pytest.mark.parametrize("init", ["fresh", "relation"])
def test_held_out_samples_are_not_trained_on(numbered, tiny_net, trainings, init):
    X, Y = numbered
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    clf = GroupedMTLClassifier(
        tiny_net,
        n_groups=2,
        stl_nets=True,
        serving="learned",
        threshold="tuned",
        cv=splits,
        specialist_init=init,
        random_state=0,
    ).fit(X, Y)
    seen = [
        (tuple(sorted(samples_of(d))), d) for _, of_nets in trainings["candidates"] for d in of_nets
    ]
    for _, d in seen:
        np.testing.assert_array_equal(d.table.codes, Y[samples_of(d)][:, d.tasks])
    parts = [tuple(sorted(train)) for train, _ in splits]
    n_nets = 8 + (init == "relation")
    assert [samples for samples, _ in seen] == [part for part in parts for _ in range(n_nets)] + [
        tuple(range(240))
    ] * 8
    for _, of_nets in trainings["relation"]:
        assert [len(d.table.codes) for d in of_nets] == [240]
    assert len(clf.candidates_) == 8


@pytest.mark.parametrize("n_mtl_nets", [0, 1])
def test_held_out_specialists_start_from_a_held_out_net(data, tiny_net, trainings, n_mtl_nets):
    """With next to no learning rate they stay what they start from."""
    X, Y = data
    GroupedMTLClassifier(
        tiny_net.set_params(lr=1e-12),
        n_groups=2,
        n_mtl_nets=n_mtl_nets,
        serving="learned",
        specialist_init="relation",
        random_state=0,
    ).fit(X, Y)
    (of_all, _), (of_groups, parts) = (
        call for call in trainings["candidates"] if len(call[1][0].table.codes) < len(X)
    )
    expected = of_all[0].predict_proba(X)
    assert len(of_groups) == 2
    for net, part in zip(of_groups, parts, strict=True):
        np.testing.assert_allclose(net.predict_proba(X), expected[:, part.tasks], atol=1e-4)


def test_without_refit_the_grouper_too_does_not_see_held_out_samples(numbered, tiny_net, trainings):
    X, Y = numbered
    clf = GroupedMTLClassifier.portfolio(
        tiny_net, n_groups=2, refit=False, cv=0.25, random_state=0
    ).fit(X, Y)
    seen = [
        frozenset(samples_of(d))
        for calls in trainings.values()
        for _, of_nets in calls
        for d in of_nets
    ]
    assert len(seen) == clf.count_nets(6)["total"] == 18
    assert len(set(seen)) == 1
    assert len(seen[0]) == 180
    # Held-out samples count nevertheless: with other labels there, other weights.
    held_out = np.setdiff1d(np.arange(240), list(seen[0]))
    changed = Y.copy()
    changed[held_out] = 1 - changed[held_out]
    other = clone(clf).fit(X, changed)
    np.testing.assert_array_equal(other.grouper_[0].embedding_, clf.grouper_[0].embedding_)
    assert not np.allclose(other.serving_weights_, clf.serving_weights_, atol=1e-2)
    # Another seed holds out others.
    clone(clf).set_params(random_state=1).fit(X, Y)
    _, (part,) = trainings["relation"][-1]
    assert set(samples_of(part)) != seen[0]


def test_without_refit_the_nets_know_all_classes(data, tiny_net):
    X, Y = data
    Y = np.column_stack([Y[:, :2], np.arange(240) // 80]).astype(object)
    Y[0, 2] = 99
    for cv in (0.5, [(np.arange(1, 150), np.r_[0, 150:240])]):
        clf = GroupedMTLClassifier.portfolio(
            tiny_net, n_groups=2, refit=False, cv=cv, random_state=0
        ).fit(X, Y)
        assert list(clf.classes_[2]) == [0, 1, 2, 99]
        assert clf.predict_proba(X)[2].shape == (240, 4)


def test_without_refit_the_nets_of_several_splits_serve_together(numbered, tiny_net, trainings):
    X, Y = numbered
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    clf = GroupedMTLClassifier.portfolio(
        tiny_net, n_groups=2, n_mtl_nets=1, cv=splits, refit=False, random_state=0
    )
    serving = clone(clf).fit(X, Y)
    assert serving.serving_weights_.shape == (6, 27)
    assert len(serving.candidates_) == len(serving.candidate_tasks_) == 27
    assert len(serving.specialists_) == len(serving.specialist_tasks_) == 6
    assert len(set(serving.candidate_names_)) == 27
    trained_on = {
        id(net): set(samples_of(d))
        for nets, of_nets in trainings["candidates"]
        for net, d in zip(nets, of_nets, strict=True)
    }
    for i, (train, _) in enumerate(splits):
        for net, name in zip(
            serving.candidates_[9 * i : 9 * i + 9],
            serving.candidate_names_[9 * i : 9 * i + 9],
            strict=True,
        ):
            assert trained_on[id(net)] == set(train)
            assert len(net.history_) == 4  # as many steps as in 3 epochs of all samples
            assert name.startswith(f"split {i}: ")
    # Weights and thresholds are those of the candidates, learned as with refit.
    refitted = clone(clf).set_params(refit=True).fit(X, Y)
    np.testing.assert_allclose(
        serving.serving_weights_, np.tile(refitted.serving_weights_ / 3, 3), atol=1e-6
    )
    np.testing.assert_allclose(serving.thresholds_, refitted.thresholds_, atol=1e-6)
    expected = np.column_stack([p[:, 1] for p in mixture_by_loops(serving, X)])
    np.testing.assert_allclose(serving.predict_proba(X), expected, atol=1e-6)


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the input was checked")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_groups": [2, 2]}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        ({"n_groups": [0]}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        ({"n_groups": []}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        ({"n_groups": [2, 2.5]}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        (
            {"n_groups": [2, 99]},
            "The 'n_groups' parameter of GroupedMTLClassifier must be at most the number of tasks, "
            "6. Got 99 instead.",
        ),
        ({"n_groups": "many"}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        ({"n_groups": 0}, "The 'n_groups' parameter of GroupedMTLClassifier must be"),
        (
            {"grouper": HALVES, "n_groups": [2, 3]},
            "The 'n_groups' parameter of GroupedMTLClassifier counts the groups of the default "
            "grouper and must be None beside a 'grouper'. Got [2, 3];",
        ),
        ({"n_mtl_nets": -1}, "The 'n_mtl_nets' parameter of GroupedMTLClassifier must be"),
        ({"stl_nets": "all"}, "The 'stl_nets' parameter of GroupedMTLClassifier must be"),
        ({"threshold": 1.0}, "The 'threshold' parameter of GroupedMTLClassifier must be"),
        ({"threshold": 0.0}, "The 'threshold' parameter of GroupedMTLClassifier must be"),
        ({"threshold": "best"}, "The 'threshold' parameter of GroupedMTLClassifier must be"),
        (
            {"threshold": "tuned", "threshold_scoring": "f2"},
            "The 'threshold_scoring' parameter of GroupedMTLClassifier must be",
        ),
        (  # thresholds change nothing in what looks at probabilities
            {"threshold": "tuned", "threshold_scoring": "roc_auc"},
            "The 'threshold_scoring' parameter of GroupedMTLClassifier must be",
        ),
        (
            {"specialist_init": "relation", "n_groups": 1, "n_mtl_nets": 1},
            "can be 'relation' only where the grouper starts with a TaskGrouper",
        ),
    ],
)
def test_bad_parameters_are_refused_before_training(data, params, message):
    clf = GroupedMTLClassifier(MultiTaskNet(callbacks=[NoTraining()]), **params)
    with pytest.raises(ValueError, match=re.escape(message)):
        clf.fit(*data)


# -- one seed, one result ----------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_one_seed_one_result_that_survives_storing(data, tiny_net):
    X, Y = data[0], data[1][:, 2:5]
    clf = GroupedMTLClassifier.portfolio(tiny_net, cv=2, random_state=0).fit(X, Y)
    assert_same_fit(clf, clone(clf).fit(X, Y), X, atol=0)
    assert_same_fit(clf, pickle.loads(pickle.dumps(clf)), X, atol=0)
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    assert_same_fit(clf, joblib.load(file), X, atol=0)
    other = clone(clf).set_params(random_state=1).fit(X, Y)
    assert not np.allclose(other.predict_proba(X), clf.predict_proba(X), atol=1e-3)
    assert not np.allclose(other.serving_weights_, clf.serving_weights_, atol=1e-3)


def test_the_seed_reaches_the_clusterers_of_a_given_grouper(data, tiny_net):
    X, Y = data
    given = [Clusterings(n_clusters=[2, 3]), Clusterings(FuzzyKMeans(), n_clusters=[2, 3])]
    for clusterings in given:
        grouper = make_pipeline(TaskGrouper(tiny_net), clusterings)
        clf = GroupedMTLClassifier(tiny_net, grouper, random_state=0).fit(X, Y)
        assert all(c.random_state is not None for c in clf.grouper_[-1].clusterers_)


def test_permuting_tasks_permutes_everything(data, tiny_net, zero_heads):
    X, Y = data
    # Linear models on all samples at once: their seeds, which do not follow the tasks, do nothing.
    tiny_net.set_params(module=zero_heads, module__hidden_units=(), batch_size=-1, max_epochs=30)
    tiny_net.set_params(optimizer=torch.optim.SGD, lr=0.5)
    Y = Y.astype(float)
    Y[np.random.RandomState(0).rand(*Y.shape) < 0.05] = np.nan
    order = np.array([3, 0, 5, 1, 4, 2])
    clf = GroupedMTLClassifier.portfolio(tiny_net, n_groups=[2, 3], cv=2, random_state=0).fit(X, Y)
    moved = clone(clf).fit(X, Y[:, order])
    # Groups may come in another order; the net on all tasks is in between.
    columns = [
        5,
        *(6 + order),
        *np.lexsort(clf.membership_[:, :2].round(3)),
        *(2 + np.lexsort(clf.membership_[:, 2:].round(3))),
    ]
    of_moved = [
        5,
        *range(6, 12),
        *np.lexsort(moved.membership_[np.argsort(order), :2].round(3)),
        *(2 + np.lexsort(moved.membership_[np.argsort(order), 2:].round(3))),
    ]
    np.testing.assert_allclose(
        moved.serving_weights_[:, of_moved], clf.serving_weights_[order][:, columns], atol=1e-3
    )
    np.testing.assert_allclose(moved.predict_proba(X), clf.predict_proba(X)[:, order], atol=1e-3)
    np.testing.assert_allclose(moved.thresholds_, clf.thresholds_[order], atol=1e-3)


def test_nets_that_train_together_are_those_that_train_alone(data, tiny_net):
    X, Y = data
    clf = GroupedMTLClassifier.portfolio(tiny_net, n_groups=2, cv=0.25, random_state=0)
    alone = clone(clf).set_params(strategy="sequential").fit(X, Y)
    together = clone(clf).set_params(strategy="stacked").fit(X, Y)
    np.testing.assert_allclose(together.predict_proba(X), alone.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(together.serving_weights_, alone.serving_weights_, atol=1e-3)
    np.testing.assert_allclose(together.thresholds_, alone.thresholds_, atol=1e-3)


# -- what may come in --------------------------------------------------------------------------


def test_labels_of_several_kinds_in_a_data_frame(digits, tiny_net):
    pd = pytest.importorskip("pandas")
    X, Y = digits[0][:240], digits[1][:240]
    digit = Y[:, :10].argmax(axis=1)
    frame = pd.DataFrame(
        {
            "size": np.where(Y[:, 10] == 1, "small", "large"),
            "rest": np.array(["none", "one", "two"])[digit % 3],
            "odd": Y[:, 12] == 1,
        }
    ).astype(object)
    frame.iloc[::7, 0] = None
    frame.iloc[3::11, 1] = np.nan
    frame.iloc[5::13, 2] = None
    before = frame.copy()
    net = tiny_net.set_params(max_epochs=15)
    portfolio = GroupedMTLClassifier.portfolio(net, cv=0.25, pos_label="small", random_state=0)
    clf = portfolio.fit(X, frame)
    pd.testing.assert_frame_equal(frame, before)
    assert list(clf.task_names_in_) == ["size", "rest", "odd"]
    assert [list(c) for c in clf.classes_] == [
        ["large", "small"],
        ["none", "one", "two"],
        [False, True],
    ]
    assert clf.membership_.shape == (3, 2)  # three groups would be single tasks
    assert np.isnan(clf.thresholds_).tolist() == [False, True, False]
    proba = clf.predict_proba(X)
    assert [p.shape for p in proba] == [(240, 2), (240, 3), (240, 2)]
    for p, expected in zip(proba, mixture_by_loops(clf, X), strict=True):
        np.testing.assert_allclose(p, expected, atol=1e-5)
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    predicted = clf.predict(X)
    size = np.where(proba[0][:, 1] > clf.thresholds_[0], "small", "large")
    np.testing.assert_array_equal(predicted[:, 0], size)
    rest = np.array(["none", "one", "two"])[proba[1].argmax(axis=1)]
    np.testing.assert_array_equal(predicted[:, 1], rest)
    np.testing.assert_array_equal(predicted[:, 2], proba[2][:, 1] > clf.thresholds_[2])
    assert clf.score(X, frame) > 0.7


@pytest.mark.parametrize("refit", [True, False])
def test_a_single_target(digits, tiny_net, refit):
    X, Y = digits[0][:240], digits[1][:240]
    y = np.array(["even", "odd"])[Y[:, 12]]
    net = tiny_net.set_params(max_epochs=10)
    portfolio = GroupedMTLClassifier.portfolio(net, cv=0.25, refit=refit, random_state=0)
    clf = portfolio.set_params(pos_label="odd").fit(X, y)
    assert clf.membership_.shape == (1, 1)
    assert clf.serving_weights_.shape == (1, 12)  # its group, ten all-tasks nets, a single-task net
    assert len(clf.candidates_) == 12
    proba = clf.predict_proba(X)
    assert proba.shape == (240, 2)
    np.testing.assert_array_equal(
        clf.predict(X), np.where(proba[:, 1] > clf.thresholds_[0], "odd", "even")
    )
    assert clf.score(X, y) > 0.7
    digit = Y[:, :4].argmax(axis=1) * Y[:, :4].any(axis=1)
    clf = portfolio.set_params(pos_label=None).fit(X, digit)
    assert clf.predict_proba(X).shape == (240, 4)
    np.testing.assert_array_equal(clf.predict(X), clf.predict_proba(X).argmax(axis=1))
    assert np.isnan(clf.thresholds_).all()


def test_several_numbers_of_groups_are_fewer_than_the_tasks(data, tiny_net):
    X, Y = data
    for n_tasks, n_groups in ((2, 1), (3, 2), (4, 5)):
        portfolio = GroupedMTLClassifier.portfolio(tiny_net, cv=2, random_state=0)
        clf = portfolio.fit(X, Y[:, :n_tasks])
        assert clf.membership_.shape == (n_tasks, n_groups)
        assert clf.serving_weights_.shape == (n_tasks, 2 * (n_groups + 10 + n_tasks))
        assert clf.predict(X).shape == (240, n_tasks)


class Indexed(torch.utils.data.Dataset):
    """Inputs and labels one by one."""

    def __init__(self, X, Y):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.Y[i]


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("form", ["sparse", "dataset", "dataset with labels", "frame", "lists"])
def test_other_forms_of_data_give_the_same_result(data, tiny_net, form, refit):
    X, Y = data[0][:160].astype(np.float32), data[1][:160, 2:5]
    net = tiny_net.set_params(iterator_train__shuffle=False)
    clf = GroupedMTLClassifier.portfolio(net, n_groups=2, cv=0.25, refit=refit, random_state=0)
    if form == "sparse":
        given = sparse.csr_array(X), Y
    elif form == "dataset":
        given = TensorDataset(torch.from_numpy(X)), Y
    elif form == "dataset with labels":
        given = Indexed(X, Y), None
    elif form == "frame":
        pd = pytest.importorskip("pandas")
        given = pd.DataFrame(X), pd.DataFrame(Y)
    else:
        given = X.tolist(), Y.tolist()
    expected = clone(clf).fit(X, Y)
    clf.fit(*given)
    np.testing.assert_allclose(clf.serving_weights_, expected.serving_weights_, atol=1e-3)
    np.testing.assert_allclose(clf.thresholds_, expected.thresholds_, atol=1e-3)
    np.testing.assert_allclose(clf.predict_proba(given[0]), expected.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("refit", [True, False])
def test_sample_weight_reaches_all_nets_weights_and_thresholds(data, tiny_net, trainings, refit):
    X, Y = data[0], data[1][:, 2:5]
    clf = GroupedMTLClassifier.portfolio(tiny_net, n_groups=2, cv=0.25, refit=refit, random_state=0)
    plain = clone(clf).fit(X, Y)
    constant = clone(clf).fit(X, Y, sample_weight=np.full(240, 3.0))
    np.testing.assert_allclose(constant.predict_proba(X), plain.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(constant.serving_weights_, plain.serving_weights_, atol=1e-3)
    np.testing.assert_allclose(constant.thresholds_, plain.thresholds_, atol=1e-3)
    for calls in trainings.values():
        calls.clear()
    weight = np.linspace(0.1, 2, 240)
    weighted = clone(clf).fit(X, Y, sample_weight=weight)
    for _, of_nets in trainings["relation"] + trainings["candidates"]:
        for d in of_nets:
            row = {tuple(x): w for x, w in zip(X.astype(np.float32), weight, strict=True)}
            expected = [row[tuple(x)] for x in np.asarray(d.X)]
            np.testing.assert_allclose(d.sample_weight, expected)
    assert not np.allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-3)


# -- thresholds --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imbalanced():
    """Three tasks that are positive for one sample in seven, and noise."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(1600, 4)).astype(np.float32)
    noise = rng.normal(scale=0.7, size=(1600, 3))
    return X, (X[:, [0, 0, 1]] + X[:, [1, 2, 3]] + noise > 1.7).astype(int)


@pytest.mark.parametrize(("weight_of_positives", "refit"), [(0.2, True), (20.0, False)])
def test_tuned_thresholds_find_back_from_shifted_probabilities(
    imbalanced, weight_of_positives, refit
):
    X, Y = imbalanced
    net = MultiTaskNet(
        module__hidden_units=(8,),
        max_epochs=15,
        lr=0.01,
        class_weight={0: 1.0, 1: weight_of_positives},
    )
    clf = GroupedMTLClassifier(
        net, np.ones((3, 1)), threshold="tuned", cv=0.4, refit=refit, random_state=0
    ).fit(X[:1000], Y[:1000])
    if weight_of_positives > 1:
        assert (clf.thresholds_ > 0.6).all()
    else:
        assert (clf.thresholds_ < 0.4).all()
    proba = clf.predict_proba(X[1000:])
    np.testing.assert_array_equal(
        clf.predict(X[1000:]), proba > clf.thresholds_.astype(proba.dtype)
    )
    for t in range(3):
        tuned = f1_score(Y[1000:, t], clf.predict(X[1000:])[:, t])
        assert tuned > f1_score(Y[1000:, t], proba[:, t] > 0.5, zero_division=0.0) + 0.05


def test_thresholds_may_be_tuned_for_another_scorer(imbalanced):
    X, Y = imbalanced
    net = MultiTaskNet(module__hidden_units=(8,), max_epochs=15, lr=0.01, class_weight=None)
    clf = GroupedMTLClassifier(
        net,
        np.ones((3, 1)),
        threshold="tuned",
        threshold_scoring="balanced_accuracy",
        cv=[(np.arange(600), np.arange(600, 1000))],
        refit=False,
        random_state=0,
    ).fit(X[:1000], Y[:1000])
    f1 = clone(clf).set_params(threshold_scoring="f1").fit(X[:1000], Y[:1000])
    proba = clf.predict_proba(X[1000:])
    np.testing.assert_array_equal(proba, f1.predict_proba(X[1000:]))
    assert (clf.thresholds_ < 0.3).all()
    for t in range(3):
        balanced, other, half = (
            balanced_accuracy_score(Y[1000:, t], proba[:, t] > cut)
            for cut in (clf.thresholds_[t], f1.thresholds_[t], 0.5)
        )
        assert balanced > other
        assert balanced > half + 0.05


def test_a_given_threshold_is_that_of_all_binary_tasks(digits, tiny_net):
    X, Y = digits[0][:240], digits[1][:240]
    Y = np.column_stack([Y[:, 10], Y[:, 12], Y[:, :10].argmax(axis=1) % 3])
    clf = GroupedMTLClassifier(tiny_net, n_groups=2, threshold=0.3, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.thresholds_, [0.3, 0.3, np.nan])
    proba, predicted = clf.predict_proba(X), clf.predict(X)
    for t in (0, 1):
        np.testing.assert_array_equal(predicted[:, t], proba[t][:, 1] > 0.3)
        assert (predicted[:, t] != (proba[t][:, 1] > 0.5)).any()
    np.testing.assert_array_equal(predicted[:, 2], proba[2].argmax(axis=1))


@pytest.mark.parametrize("scoring", ["f1", "accuracy"])
def test_tuning_where_no_task_is_binary_changes_nothing(digits, tiny_net, scoring):
    X, Y = digits[0][:240], digits[1][:240]
    digit = Y[:, :10].argmax(axis=1)
    Y = np.column_stack([digit % 3, digit % 4])
    clf = GroupedMTLClassifier(tiny_net, n_groups=1, random_state=0).fit(X, Y)
    tuned = clone(clf).set_params(threshold="tuned", threshold_scoring=scoring).fit(X, Y)
    assert np.isnan(tuned.thresholds_).all()
    np.testing.assert_array_equal(tuned.predict(X), clf.predict(X))


# -- what learned serving is for ---------------------------------------------------------------


@pytest.mark.parametrize("refit", [True, False])
def test_learned_serving_finds_the_better_net(refit):
    """A net with one hidden number serves the five tasks that agree, and not the sixth."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(700, 3)).astype(np.float32)
    cuts = np.linspace(-0.3, 0.3, 5)
    Y = np.column_stack([X[:, [0]] > cuts, X[:, 1] > 0]).astype(int)
    net = MultiTaskNet(module__hidden_units=(1,), max_epochs=15, lr=0.03, batch_size=64)
    clf = GroupedMTLClassifier(
        net,
        np.ones((6, 1)),
        stl_nets=True,
        serving="learned",
        refit=refit,
        random_state=0,
    ).fit(X[:400], Y[:400])
    prior = clone(clf).set_params(serving="membership").fit(X[:400], Y[:400])
    np.testing.assert_allclose(prior.serving_weights_[5, [0, 6]], 0.5)
    assert clf.serving_weights_[5, 6] > 0.8
    loss = [log_loss(Y[400:, 5], c.predict_proba(X[400:])[:, 5]) for c in (clf, prior)]
    assert loss[0] < 0.8 * loss[1]


# -- inside scikit-learn -----------------------------------------------------------------------


def test_grid_search_over_serving_and_numbers_of_groups(data, tiny_net):
    X, Y = data[0][:120], data[1][:120, 2:5]
    search = GridSearchCV(
        GroupedMTLClassifier(tiny_net, stl_nets=True, random_state=0),
        {"serving": ["membership", "learned"], "n_groups": [[1, 2], "several"]},
        cv=KFold(2),
        error_score="raise",
    ).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.predict(X).shape == (120, 3)
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)


def test_portfolio_behind_a_scaler(data, tiny_net):
    X, Y = data[0], data[1][:, 2:5]
    portfolio = GroupedMTLClassifier.portfolio(tiny_net, n_groups=2, cv=0.25, random_state=0)
    pipeline = make_pipeline(StandardScaler(), portfolio).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    alone = clone(portfolio).fit(scaled, Y)
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled))
    assert pipeline.score(X, Y) == alone.score(scaled, Y)


def test_portfolio_is_the_classifier_with_other_defaults(tiny_net):
    portfolio = GroupedMTLClassifier.portfolio(tiny_net, threshold=0.5, random_state=3)
    params = portfolio.get_params(deep=False)
    expected = {
        "n_groups": "several",
        "n_mtl_nets": 10,
        "stl_nets": True,
        "serving": "learned",
        "threshold": 0.5,
        "cv": 5,
        "refit": False,
        "random_state": 3,
    }
    defaults = GroupedMTLClassifier(tiny_net).get_params(deep=False)
    assert params == {**defaults, **expected}
    given = GroupedMTLClassifier.portfolio(tiny_net, grouper=HALVES)
    assert given.n_groups is None
    assert given.grouper is HALVES


def test_a_plain_metric_is_no_scorer(data):
    clf = GroupedMTLClassifier(
        MultiTaskNet(callbacks=[NoTraining()]),
        threshold="tuned",
        threshold_scoring=balanced_accuracy_score,
    )
    with pytest.raises(ValueError, match="must be a scorer of predicted classes"):
        clf.fit(*data)
