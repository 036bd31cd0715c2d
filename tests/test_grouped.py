import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.populations import PooledTasksClassifier


@pytest.fixture
def grouping(small_net):
    return make_pipeline(TaskGrouper(small_net), FuzzyKMeans(n_clusters=3))


def flat(specialist, X):
    return np.asarray(specialist.predict_proba(X))


# -- the method --------------------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_prediction_is_the_membership_weighted_sum_of_the_specialists(digits, small_net, grouping):
    X, Y = digits
    clf = GroupedMTLClassifier(small_net, grouping, random_state=0).fit(X, Y)
    assert clf.membership_.shape == (15, 3)
    np.testing.assert_allclose(clf.membership_.sum(axis=1), 1)
    np.testing.assert_allclose(clf.serving_weights_, clf.membership_)
    expected = np.zeros((600, 15))
    for j, specialist in enumerate(clf.specialists_):
        for t in range(15):
            expected[:, t] += clf.membership_[t, j] * flat(specialist, X)[:, t]
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_array_equal(clf.predict(X), expected > 0.5)
    np.testing.assert_array_equal(clf.membership_, clf.grouper_[-1].membership_)


def test_specialists_are_trained_with_the_memberships_as_task_weights(digits, small_net):
    X, Y = digits
    membership = np.random.RandomState(0).dirichlet([1, 1], size=15)
    net = small_net.set_params(task_weight=np.arange(1, 16))
    clf = GroupedMTLClassifier(net, membership, random_state=0).fit(X, Y)
    for j, specialist in enumerate(clf.specialists_):
        np.testing.assert_allclose(specialist.task_weight, membership[:, j] * np.arange(1, 16))
        alone = clone(specialist)
        alone.seed_ = specialist.seed_
        data = alone._check_data(X, Y, None)
        alone._prepare(data)
        alone._train(data)
        expected = alone.predict_proba(X)
        np.testing.assert_allclose(specialist.predict_proba(X), expected, atol=1e-5)


def test_grouped_beats_plain_multi_task_learning_on_digits():
    X, Y = load_digit_tasks(return_X_y=True)
    train, test = np.arange(0, 1797, 2), np.arange(1, 1797, 2)
    net = MultiTaskNet.stg_mtl()
    grouped = GroupedMTLClassifier(net, random_state=0)
    plain = GroupedMTLClassifier.mtl(net, random_state=0)
    for clf in (grouped, plain):
        clf.fit(X[train], Y[train])
    assert grouped.score(X[test], Y[test]) > plain.score(X[test], Y[test]) > 0.6


def test_tasks_of_several_kinds_are_grouped_together(small_net):
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    names = np.array(["barolo", "grignolino", "barbera"], dtype=object)
    Y = np.column_stack([names[y], y == 1, np.where(X[:, 0] > 0, "strong", "light")]).astype(object)
    Y[:20, 1] = None
    net = small_net.set_params(max_epochs=40)
    clf = GroupedMTLClassifier(net, n_groups=2, pos_label="strong", random_state=0).fit(X, Y)
    assert [list(c) for c in clf.classes_] == [
        ["barbera", "barolo", "grignolino"],
        [False, True],
        ["light", "strong"],
    ]
    proba = clf.predict_proba(X)
    assert [p.shape for p in proba] == [(178, 3), (178, 2), (178, 2)]
    for p in proba:
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert set(clf.predict(X)[:, 0]) == set(names)
    assert clf.score(X, Y) > 0.9


# -- groupers ----------------------------------------------------------------------------------


def test_given_memberships_need_no_relation(digits, small_net):
    X, Y = digits
    membership = np.ones((15, 2))
    membership[:5, 0] = 3
    clf = GroupedMTLClassifier(small_net, membership.tolist(), random_state=0).fit(X, Y)
    assert clf.grouper_ is None
    np.testing.assert_array_equal(clf.membership_, membership)
    np.testing.assert_allclose(clf.serving_weights_[0], [0.75, 0.25])
    np.testing.assert_allclose(clf.serving_weights_.sum(axis=1), 1)


@pytest.mark.parametrize("clusterer", [KMeans(3, n_init=2), AgglomerativeClustering(3)])
def test_hard_clusterers_of_sklearn_end_the_grouping(digits, small_net, clusterer):
    X, Y = digits
    grouper = make_pipeline(TaskGrouper(small_net), StandardScaler(), clusterer)
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y)
    labels = clf.grouper_[-1].labels_
    np.testing.assert_array_equal(clf.membership_, np.eye(3)[labels])
    # A specialist has heads for the tasks of its group alone.
    for j, tasks in enumerate(clf.specialist_tasks_):
        np.testing.assert_array_equal(tasks, np.flatnonzero(labels == j))
        assert clf.specialists_[j].n_tasks_ == len(tasks)
        expected = clf.specialists_[j].predict_proba(X)
        np.testing.assert_allclose(clf.predict_proba(X)[:, tasks], expected, atol=1e-6)


def test_noise_of_a_density_clusterer_trains_alone(digits, small_net):
    X, Y = digits
    grouper = make_pipeline(TaskGrouper(small_net), DBSCAN(eps=1e-3))
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y[:, :4])
    np.testing.assert_array_equal(clf.membership_, np.eye(4))


class Served(BaseEstimator):
    """A grouper that serves each task by one of the two groups that hold it."""

    def fit(self, X, y=None):
        self.membership_ = np.ones((y.shape[1], 2))
        self.serving_weights_ = np.zeros((y.shape[1], 2))
        self.serving_weights_[::2, 0] = self.serving_weights_[1::2, 1] = 1
        return self


def test_serving_weights_of_the_grouper_are_used(digits, small_net):
    X, Y = digits
    clf = GroupedMTLClassifier(small_net, Served(), random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.serving_weights_, clf.grouper_.serving_weights_)
    for t in (0, 1):
        expected = flat(clf.specialists_[t], X)[:, t]
        np.testing.assert_allclose(clf.predict_proba(X)[:, t], expected, atol=1e-6)


def test_baselines_are_the_same_class(digits, small_net):
    X, Y = digits
    single = GroupedMTLClassifier.stl(small_net, random_state=0).fit(X, Y[:, :4])
    np.testing.assert_array_equal(single.membership_, np.eye(4))
    assert [s.n_tasks_ for s in single.specialists_] == [1, 1, 1, 1]
    together = GroupedMTLClassifier.mtl(small_net, random_state=0).fit(X, Y)
    one_group = GroupedMTLClassifier(small_net, n_groups=1, random_state=0).fit(X, Y)
    assert len(together.specialists_) == 1
    np.testing.assert_array_equal(together.predict_proba(X), one_group.predict_proba(X))
    np.testing.assert_array_equal(
        together.predict_proba(X), together.specialists_[0].predict_proba(X)
    )
    ensemble = GroupedMTLClassifier.mtl_ensemble(3, small_net, random_state=0).fit(X, Y)
    mean = np.mean([flat(s, X) for s in ensemble.specialists_], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X), mean, atol=1e-6)
    assert not np.allclose(flat(ensemble.specialists_[0], X), flat(ensemble.specialists_[1], X))
    assert isinstance(single.grouper, SingleTasks)
    assert isinstance(ensemble.grouper, AllTasks)


def test_min_membership_drops_heads_and_scales_what_is_left(digits, small_net):
    X, Y = digits
    membership = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.34, 0.33, 0.33], [0.0, 0.1, 0.9]])
    clf = GroupedMTLClassifier(small_net, membership, min_membership=0.35, random_state=0)
    clf.fit(X, Y[:, :4])
    expected = np.array([[1, 0, 0], [0, 5 / 9, 4 / 9], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(clf.serving_weights_, expected)
    np.testing.assert_array_equal(clf.membership_, membership)
    assert [list(t) for t in clf.specialist_tasks_] == [[0, 2], [1], [1, 3]]
    np.testing.assert_allclose(clf.specialists_[2].task_weight, [0.4, 0.9])
    np.testing.assert_allclose(
        clf.predict_proba(X)[:, 0], flat(clf.specialists_[0], X)[:, 0], atol=1e-6
    )


def test_a_group_keeps_its_strongest_task(digits, small_net):
    X, Y = digits
    membership = np.array([[0.9, 0.1], [0.8, 0.2]])
    clf = GroupedMTLClassifier(small_net, membership, min_membership=0.5, random_state=0)
    clf.fit(X, Y[:, :2])
    assert [list(t) for t in clf.specialist_tasks_] == [[0, 1], [1]]


def test_a_single_target_is_a_single_task(digits, small_net):
    X, Y = digits
    y = np.array(["even", "odd"])[Y[:, 12]]
    clf = GroupedMTLClassifier(small_net.set_params(max_epochs=20), random_state=0).fit(X, y)
    assert clf.predict(X).shape == (600,)
    assert set(clf.predict(X)) == {"even", "odd"}
    assert clf.predict_proba(X).shape == (600, 2)
    assert list(clf.classes_) == ["even", "odd"]
    assert clf.membership_.shape == (1, 1)


# -- properties --------------------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_same_seed_same_result_and_inputs_untouched(digits, small_net, grouping):
    X, Y = digits
    X_before, Y_before = X.copy(), Y.copy()
    clf = GroupedMTLClassifier(small_net, grouping, random_state=1)
    first = clf.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(first, clone(clf).fit(X, Y).predict_proba(X))
    other = clone(clf).set_params(random_state=2).fit(X, Y).predict_proba(X)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)
    assert grouping[0].random_state is None  # the given grouper is only cloned
    assert not hasattr(grouping[0], "data_map_")


def test_processes_change_nothing(digits, small_net):
    X, Y = digits
    membership = np.random.RandomState(0).dirichlet([1, 1], size=15)
    clf = GroupedMTLClassifier(small_net, membership, random_state=0).fit(X, Y)
    parallel = clone(clf).set_params(n_jobs=2).fit(X, Y)
    np.testing.assert_allclose(parallel.predict_proba(X), clf.predict_proba(X), atol=1e-6)


def test_permuting_tasks_permutes_predictions(digits, small_net, zero_heads):
    X, Y = digits
    small_net.set_params(module=zero_heads)
    order = np.random.RandomState(0).permutation(15)
    membership = np.random.RandomState(1).dirichlet([1, 1], size=15)
    clf = GroupedMTLClassifier(small_net, membership, random_state=0).fit(X, Y)
    moved = GroupedMTLClassifier(small_net, membership[order], random_state=0).fit(X, Y[:, order])
    np.testing.assert_allclose(moved.predict_proba(X), clf.predict_proba(X)[:, order], atol=1e-4)


def test_sample_weight_reaches_grouper_and_specialists(digits, small_net, grouping):
    X, Y = digits
    clf = GroupedMTLClassifier(small_net, grouping, random_state=0)
    plain = clone(clf).fit(X, Y)
    constant = clone(clf).fit(X, Y, sample_weight=np.full(600, 2.0))
    np.testing.assert_allclose(constant.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    weighted = clone(clf).fit(X, Y, sample_weight=np.linspace(0.1, 2, 600))
    assert not np.allclose(weighted.grouper_[0].data_map_, plain.grouper_[0].data_map_, atol=1e-3)
    assert not np.allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-3)


def test_verbose_shows_progress(digits, small_net, capsys):
    GroupedMTLClassifier(small_net, n_groups=2, verbose=1).fit(*digits)
    shown = capsys.readouterr().err
    assert "data maps" in shown
    assert "specialists" in shown


# -- bad input ---------------------------------------------------------------------------------


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the input was checked")


@pytest.fixture
def untrained():
    return MultiTaskNet.stg_mtl(callbacks=[NoTraining()])


def clusters(net, **params):
    return make_pipeline(TaskGrouper(net), FuzzyKMeans(**params))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda net: {"n_groups": 16},
            "The 'n_groups' parameter of GroupedMTLClassifier must be at most the number of tasks, "
            "15. Got 16 instead.",
        ),
        (
            lambda net: {"grouper": clusters(net, n_clusters=16)},
            "The 'n_clusters' parameter of FuzzyKMeans must be at most the number of tasks, 15. "
            "Got 16 instead.",
        ),
        (
            lambda net: {"grouper": clusters(net, fuzziness=1.0)},
            "The 'fuzziness' parameter of FuzzyKMeans must be",
        ),
        (
            lambda net: {"grouper": np.eye(15), "n_groups": 2},
            "The 'n_groups' parameter of GroupedMTLClassifier counts the groups of the default "
            "grouper and must be None beside a 'grouper'. Got 2;",
        ),
        (
            lambda net: {"grouper": np.eye(14)},
            "The given membership must be of shape (n_tasks, n_groups) with n_tasks=15, one row a "
            "task of Y. Got shape (14, 14).",
        ),
        (
            lambda net: {"grouper": np.full((15, 2), -0.5)},
            "The given membership must be non-negative. Got -0.5 for task 0 in group 0.",
        ),
        (
            lambda net: {"grouper": np.eye(15)[:, :14]},
            "The given membership must have no all-zero row (a task in no group). Got row 14.",
        ),
        (
            lambda net: {"grouper": np.column_stack([np.ones(15), np.zeros(15)])},
            "The given membership must have no all-zero column (an empty group). Got column 1.",
        ),
        (
            lambda net: {"grouper": np.full((15, 2), np.nan)},
            "The given membership must be finite. It holds NaN or infinity.",
        ),
        (
            lambda net: {"n_groups": [2, 3]},
            "The 'n_groups' parameter of GroupedMTLClassifier must be an int in the range [1, inf)",
        ),
        (
            lambda net: {"min_membership": 1.5},
            "The 'min_membership' parameter of GroupedMTLClassifier must be a float in the range "
            "[0.0, 1.0]. Got 1.5 instead.",
        ),
    ],
)
def test_bad_parameters_are_refused_before_training(digits, untrained, make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(untrained, **make(untrained)).fit(*digits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, Y: (X[:-1], Y), "X and Y must have the same number of samples. Got X with 599"),
        (lambda X, Y: (np.where(X > 0.9, np.nan, X), Y), "Input X contains NaN"),
        (lambda X, Y: (np.where(X > 0.9, np.inf, X), Y), "Input X contains infinity"),
        (lambda X, Y: (X, np.ones_like(Y)), "Y has a single class (1 class) in every task"),
        (lambda X, Y: (X, np.c_[Y, np.full(600, np.nan)]), "task 15 of Y has no label at all"),
        (lambda X, Y: (X, np.c_[Y, X[:, 2]]), "task 15 of Y is a regression task"),
    ],
)
def test_bad_data_are_refused_before_training(digits, untrained, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(untrained, clusters(untrained)).fit(*change(*digits))


def test_a_clusterer_of_samples_is_refused(digits, small_net):
    message = (
        "KMeans clustered 600 rows, but Y has 15 tasks. A clusterer groups tasks only behind a "
        "relation: make_pipeline(TaskGrouper(), KMeans(...))."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(small_net, KMeans(3, n_init=1)).fit(*digits)


def test_a_grouper_of_populations_is_refused(digits, untrained):
    grouper = PooledTasksClassifier(task=0)
    with pytest.raises(
        ValueError, match=r"a column a task\. Got PooledTasksClassifier, whose tasks"
    ):
        GroupedMTLClassifier(untrained, grouper).fit(*digits)


def test_a_grouper_without_groups_is_refused(digits, small_net):
    message = "The 'grouper' parameter must be an estimator that sets 'membership_' or 'labels_'"
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(small_net, StandardScaler()).fit(*digits)


class Unserved(Served):
    def fit(self, X, y=None):
        super().fit(X, y)
        self.serving_weights_[3] = 0
        return self


def test_serving_weights_must_serve_every_task(digits, small_net):
    message = "serving_weights_ of Unserved must serve every task"
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(small_net, Unserved()).fit(*digits)


def test_prediction_needs_fit_and_the_features_of_fit(digits, small_net):
    X, Y = digits
    clf = GroupedMTLClassifier.mtl(small_net)
    with pytest.raises(NotFittedError, match="This GroupedMTLClassifier instance is not fitted"):
        clf.predict(X)
    with pytest.raises(ValueError, match="X has 63 features, but GroupedMTLClassifier"):
        clf.fit(X, Y).predict(X[:, 1:])


# -- warm starts -------------------------------------------------------------------------------


def test_specialists_start_from_the_net_of_the_relation(digits, small_net):
    X, Y = digits
    net = small_net.set_params(max_epochs=10)
    grouper = make_pipeline(TaskGrouper(net), KMeans(3, n_init=2))
    clf = GroupedMTLClassifier(
        net, grouper, specialist_init="relation", specialist_epochs=1, random_state=0
    ).fit(X, Y)
    base = clf.grouper_[0].estimator_
    assert {len(s.history_) for s in clf.specialists_} == {1}
    # After one epoch from there they know what a fresh net does not; heads meet their tasks.
    fresh = clone(clf).set_params(specialist_init="fresh").fit(X, Y)
    assert clf.score(X, Y) > fresh.score(X, Y) + 0.1
    clf.set_params(estimator__lr=1e-12).fit(X, Y)
    base = clf.grouper_[0].estimator_
    np.testing.assert_allclose(clf.predict_proba(X), base.predict_proba(X), atol=1e-4)


def test_starting_from_the_relation_needs_one_of_the_same_module(digits, small_net):
    grouper = make_pipeline(TaskGrouper(), FuzzyKMeans(3))
    for given, message in [
        (np.eye(15), "where the grouper starts with a TaskGrouper with source='mtl'."),
        (grouper, "where the TaskGrouper's estimator has the module of the specialists."),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            GroupedMTLClassifier(small_net, given, specialist_init="relation").fit(*digits)


# -- partitions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "partition",
    [
        [0, 1, 0, 1],
        np.array(["odd", "even", "odd", "even"])[[1, 0, 3, 2]],
        {"first": [0, 2], "second": [1, 3]},
        {0: np.array([0, 2]), 1: (1, 3)},
    ],
)
def test_a_partition_may_be_given(digits, small_net, partition):
    X, Y = digits[0], digits[1][:, [0, 10, 3, 12]]
    expected = GroupedMTLClassifier(small_net, np.eye(2)[[0, 1, 0, 1]], random_state=0).fit(X, Y)
    clf = GroupedMTLClassifier(small_net, partition, random_state=0)
    assert clf.count_nets(4)["total"] == 2
    clf.fit(X, Y)
    np.testing.assert_array_equal(clf.membership_, expected.membership_)
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_a_partition_knows_the_names_of_the_tasks(digits, small_net):
    pd = pytest.importorskip("pandas")
    X, Y = digits[0], pd.DataFrame(digits[1][:, [0, 10, 3]], columns=["zero", "low", "three"])
    labels = pd.Series([1, 0, 1], index=["three", "low", "zero"])
    for given in (
        {"a": ["low"], "b": ["zero", "three"]},
        {"a": "low", "b": ["three", "zero"]},
        labels,
    ):
        clf = GroupedMTLClassifier(small_net, given, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(clf.membership_, [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ([0, 1, 0], "must hold a group (an int or str) for each of the 4 tasks. Got [0, 1, 0]"),
        ([0.5, 1, 0, 1], "must hold a group (an int or str) for each of the 4 tasks. Got [0.5"),
        ({"a": [0, 1], "b": [2, 9]}, "names 9 in group 'b', which is no task: [0, 1, 2, 3]"),
        ({"a": [0, 1], "b": [2, 3, 2]}, "names 2 twice in group 'b'"),
        ({"a": [0, 1], "b": [2]}, "no all-zero row (a task in no group). Got row 3"),
        ({"a": [0, 1, 2, 3], "b": []}, "no all-zero column (an empty group). Got column 1"),
        ({}, "The given membership must be of shape (n_tasks, n_groups)"),
    ],
)
def test_wrong_partitions_are_refused(digits, small_net, partition, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(small_net, partition).fit(digits[0], digits[1][:, :4])


# -- costs -------------------------------------------------------------------------------------


class CountTrainings(Callback):
    n = 0

    def on_train_begin(self, net, **kwargs):
        CountTrainings.n += 1


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_groups": 1},
        {"n_groups": 2, "specialist_init": "relation"},
        {"grouper": [0, 1, 1, 0]},
        {"grouper": AllTasks(2)},
        {"grouper": SingleTasks()},
    ],
)
def test_count_nets_counts_the_nets_that_train(digits, params):
    X, Y = digits[0][:100], digits[1][:100, 10:14]
    net = MultiTaskNet.stg_mtl(max_epochs=1, callbacks=[CountTrainings()])
    clf = GroupedMTLClassifier(net, **params, strategy="sequential")
    counts = clf.count_nets(4)
    CountTrainings.n = 0
    clf.fit(X, Y)
    assert counts["total"] == CountTrainings.n == counts["relation"] + counts["specialists"]
    assert counts["specialists"] == len(clf.specialists_)
    assert clf.count_nets(4) == counts  # nothing that fit leaves changes it


def test_nets_are_not_counted_where_only_fit_tells_how_many_groups(small_net):
    clf = GroupedMTLClassifier(small_net, make_pipeline(TaskGrouper(small_net), DBSCAN()))
    with pytest.raises(ValueError, match="DBSCAN finds is known only after fit"):
        clf.count_nets(6)
    with pytest.raises(ValueError, match="must be at most the number of tasks, 2"):
        GroupedMTLClassifier(small_net, n_groups=3).count_nets(2)
