"""What can be known before training is refused before training."""

import re

import numpy as np
import pytest
import torch
from netting import Noisy
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import (
    DBSCAN,
    AffinityPropagation,
    AgglomerativeClustering,
    FeatureAgglomeration,
    KMeans,
    SpectralClustering,
)
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.metrics import make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import register_optimizer_step_pre_hook

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier, TaskGrouper
from skgroup.cluster import FuzzyKMeans, PointKMeans
from skgroup.comparison import compare
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.nn import MLP
from skgroup.relations import InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import GroupGains, GroupSelector, TAGGrouping

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0, X[:, 0] > 0.2]).astype(int)
MIXED = Y.copy()
MIXED[:10, 0] = 2


@pytest.fixture
def no_training():
    def step(*args):
        pytest.fail("training began")

    handle = register_optimizer_step_pre_hook(step)
    yield
    handle.remove()


def net(**params):
    return MultiTaskNet.stg_mtl(max_epochs=1, random_state=0, **params)


def maps(**params):
    return TaskGrouper(net(), **params)


class Fixed(MLP):
    """Has as many outputs as the tasks of this file, whatever the tasks."""

    def __init__(self, n_features):
        super().__init__(n_outputs=4, n_features=n_features, hidden_units=(4,))


class PlainHeads(torch.nn.Module):
    """Does not say which weights are those of which task."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.heads = torch.nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return self.heads(x)


# -- groupers ----------------------------------------------------------------------------------

NEITHER = "must be an estimator that sets 'membership_' or 'labels_' in fit"
NO_GROUPS = {
    "a net": (net(), NEITHER),
    "a relation": (maps(), NEITHER),
    "an affinity": (InterTaskAffinity(net()), NEITHER),
    "gains": (GroupGains(net()), NEITHER),
    "a transformer at the end": (make_pipeline(maps(), StandardScaler()), NEITHER),
    "nothing at the end": (make_pipeline(maps(), "passthrough"), NEITHER),
    "a nested transformer": (
        make_pipeline(make_pipeline(maps(), StandardScaler()), make_pipeline(PCA(2))),
        NEITHER,
    ),
    "a selector of data maps": (
        make_pipeline(maps(), GroupSelector(2)),
        "by the rows of TaskGrouper, of shape (4, 80): R must be a square affinity matrix",
    ),
    "a selector of an embedding": (
        make_pipeline(maps(output="isometric"), GroupSelector(2)),
        "R must be a square affinity matrix",
    ),
    "points of another size": (
        make_pipeline(maps(), PointKMeans(2, point_size=7)),
        "The 'point_size' parameter of PointKMeans, 7, must divide",
    ),
    "rows doubled": (
        make_pipeline(maps(), FunctionTransformer(lambda R: np.vstack([R, R])), KMeans(2)),
        "KMeans clustered 8 rows, but Y has 4 tasks",
    ),
    "rows dropped": (
        make_pipeline(maps(), FunctionTransformer(lambda R: R[:2]), FuzzyKMeans(2)),
        "one row a task of Y. Got shape (2, 2)",
    ),
    "columns clustered": (
        make_pipeline(maps(), FeatureAgglomeration()),
        "FeatureAgglomeration clustered 80 rows, but Y has 4 tasks",
    ),
    "too many components": (make_pipeline(maps(), PCA(9), KMeans(2)), "n_components=9 must be"),
    "a step that wants y a row": (
        make_pipeline(maps(), SelectKBest(k=2), KMeans(2)),
        "inconsistent numbers of samples",
    ),
    "a precomputed affinity": (
        make_pipeline(maps(), SpectralClustering(2, affinity="precomputed")),
        "array must be 2-dimensional and square",
    ),
}


@pytest.mark.usefixtures("no_training", "assert_global_random_state_untouched")
@pytest.mark.parametrize("case", NO_GROUPS)
def test_groupers_that_give_no_groups_are_refused(case):
    grouper, message = NO_GROUPS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedMTLClassifier(net(), grouper).fit(X, Y)


class OwnRelation(TransformerMixin, BaseEstimator):
    """A relation of a user's: the shares of the classes."""

    def fit(self, X, y):
        self.rows_ = np.column_stack([y.mean(axis=0), y.std(axis=0), y.max(axis=0)])
        return self

    def transform(self, X):
        return self.rows_

    def fit_transform(self, X, y=None):
        return self.fit(X, y).transform(X)


def two_columns(R):
    assert R.shape[1] == 3, "fits the rows of OwnRelation alone"
    return R[:, :2]


class Leaves(BaseEstimator):
    """Leaves what it is told to."""

    def __init__(self, **left):
        self.left = left

    def get_params(self, deep=True):
        return dict(self.left)

    def fit(self, X, y=None):
        for name, value in self.left.items():
            setattr(self, name, value)
        return self


ONES = np.ones((4, 2))


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("left", "message"),
    [
        ({"membership_": -ONES}, "membership_ of Leaves must be non-negative"),
        ({"membership_": ONES * np.nan}, "membership_ of Leaves must be finite"),
        ({"membership_": np.ones(4)}, "membership_ of Leaves must be of shape"),
        ({"membership_": ONES, "serving_weights_": "x"}, "serving_weights_ of Leaves"),
        ({"membership_": ONES, "serving_weights_": -ONES}, "serving_weights_ of Leaves must be"),
        ({"labels_": ["a", "b", "a", "b"]}, "labels_ of Leaves must be ints, one a task"),
        ({"labels_": [None] * 4}, "labels_ of Leaves must be ints, one a task"),
        ({"labels_": np.array([0, 1, np.nan, 1])}, "labels_ of Leaves must be ints, one a task"),
        ({"labels_": np.zeros((4, 1), int)}, "labels_ of Leaves must be ints, one a task"),
        ({"labels_": np.array([0.0, 1.5, 0.0, 1.0])}, "labels_ of Leaves must be ints"),
    ],
)
def test_groups_that_are_none_are_refused(left, message):
    with pytest.raises(ValueError, match=message):
        GroupedMTLClassifier(net(), make_pipeline(maps(), Leaves(**left))).fit(X, Y)


@pytest.mark.filterwarnings("ignore:.*converge", "ignore:Graph is not fully connected")
@pytest.mark.parametrize(
    "grouper",
    [
        make_pipeline(LabelCorrelationAffinity(), GroupSelector(2)),
        make_pipeline(InterTaskAffinity(net()), StandardScaler(), GroupSelector(2)),
        make_pipeline(maps(), PointKMeans(2)),
        make_pipeline(maps(), VarianceThreshold(0.0), KMeans(2)),
        make_pipeline(maps(), DBSCAN()),
        make_pipeline(maps(), AgglomerativeClustering(2)),
        make_pipeline(maps(), AffinityPropagation(random_state=0)),
        make_pipeline(make_pipeline(maps(), StandardScaler()), make_pipeline(PCA(2), KMeans(2))),
        make_pipeline(maps(output="isometric"), "passthrough", FuzzyKMeans(2)),
        make_pipeline(OwnRelation(), FunctionTransformer(two_columns), FuzzyKMeans(2)),
        TAGGrouping(net(), 2),
        AllTasks(),
        SingleTasks(),
    ],
)
def test_groupers_that_give_groups_are_not(grouper):
    clf = GroupedMTLClassifier(net(), grouper, random_state=0).fit(X, Y)
    assert len(clf.membership_) == 4


def test_a_trial_leaves_what_is_given_as_it_was():
    kmeans = KMeans(2)
    GroupedMTLClassifier(net(), make_pipeline(maps(), kmeans), random_state=0).fit(X, Y)
    assert vars(kmeans) == vars(KMeans(2))


# -- modules -----------------------------------------------------------------------------------

INSTANCE = Fixed(n_features=5)
HALVES = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
SOFT = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("module", [INSTANCE, Fixed])
@pytest.mark.parametrize(
    ("params", "n_tasks"),
    [
        ({}, 3),
        ({"n_groups": 2}, 3),
        ({"grouper": make_pipeline(maps(), KMeans(2))}, 3),
        ({"grouper": HALVES}, 2),
        ({"grouper": SOFT, "min_membership": 0.2}, 2),
        ({"grouper": SingleTasks()}, 1),
    ],
)
def test_modules_that_cannot_fit_a_group_are_refused(module, params, n_tasks):
    message = f"as specialists leave out tasks .* For {n_tasks} of 4 tasks: The module Fixed must"
    with pytest.raises(ValueError, match=message):
        GroupedMTLClassifier(net(module=module), **params).fit(X, Y)


@pytest.mark.parametrize(
    "params",
    [
        {"n_groups": 1},
        {"grouper": AllTasks(2)},
        {"grouper": SOFT},
        {"grouper": make_pipeline(maps(), FuzzyKMeans(1))},
    ],
)
def test_instances_are_taken_where_groups_hold_all_tasks(params):
    clf = GroupedMTLClassifier(net(module=INSTANCE), **params).fit(X, Y)
    assert clf.predict(X).shape == Y.shape


@pytest.mark.usefixtures("no_training")
def test_specialists_that_cannot_take_the_weights_of_the_relation_are_refused():
    grouper = make_pipeline(TaskGrouper(net(module=PlainHeads)), KMeans(2))
    clf = GroupedMTLClassifier(net(module=PlainHeads), grouper, specialist_init="relation")
    message = r"'specialist_init' parameter .* not be 'relation' here: for 3 of 4 tasks, PlainHeads"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)


# -- epochs ------------------------------------------------------------------------------------


def halves(epoch):
    return [1.0, 0.5][epoch]  # for the first epoch and what follows it


SCHEDULED = net(callbacks=[LRScheduler(LambdaLR, lr_lambda=halves)])
LONGER = "must schedule all steps of training. max_epochs=2 makes 2"


@pytest.mark.usefixtures("no_training", "assert_global_random_state_untouched")
@pytest.mark.parametrize(
    "clf",
    [
        GroupedMTLClassifier(SCHEDULED, n_groups=2, specialist_epochs=2),
        GroupedMTLClassifier(SCHEDULED, make_pipeline(maps(), KMeans(2)), specialist_epochs=2),
    ],
)
def test_schedules_too_short_for_specialists_are_refused(clf):
    with pytest.raises(ValueError, match=LONGER):
        clf.fit(X, Y)


def test_schedules_that_are_long_enough_are_not():
    clf = GroupedMTLClassifier(SCHEDULED, n_groups=2, specialist_epochs=1).fit(X, Y)
    assert {len(specialist.history) for specialist in clf.specialists_} == {1}


# -- stacks ------------------------------------------------------------------------------------

DROPOUT = net(module=Noisy)
RANDOM = "the module draws random numbers"
MULTICLASS = "multiclass tasks, or the kinds of tasks, differ between the nets"


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("clf", "table", "reason"),
    [
        (GroupedMTLClassifier(DROPOUT, n_groups=2), Y, RANDOM),
        (GroupedMTLClassifier.mtl_ensemble(2, DROPOUT), Y, RANDOM),
        (GroupedMTLClassifier(net(), HALVES), MIXED, MULTICLASS),
        (GroupedMTLClassifier(net(), n_groups=2), MIXED, MULTICLASS),
        (GroupedMTLClassifier.stl(net()), MIXED, MULTICLASS),
        (
            GroupedMTLClassifier(net(train_split=lambda d: (d, d)), SOFT),
            Y,
            "the net has callbacks, a validation split",
        ),
    ],
)
def test_stacks_that_cannot_be_are_refused(clf, table, reason):
    message = f"must not be 'stacked' here: the specialists cannot be trained as a stack: {reason}"
    with pytest.raises(ValueError, match=message):
        clone(clf).set_params(strategy="stacked").fit(X, table)


@pytest.mark.parametrize(
    ("clf", "table"),
    [
        (GroupedMTLClassifier(net(), n_groups=2), Y),
        (GroupedMTLClassifier(net(), SOFT), MIXED),
        (GroupedMTLClassifier(net(), make_pipeline(TaskGrouper(DROPOUT), KMeans(2))), Y),
    ],
)
def test_stacks_that_can_be_are_not(clf, table):
    clone(clf).set_params(strategy="stacked").fit(X, table)


# -- scorers -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("score", [None, "x", "1", np.ones(1), np.ones(2), (1, 2), {"f1": 1}, 1j])
def test_scorers_that_return_no_number_are_refused(score):
    for scorer in (lambda estimator, X, y: score, make_scorer(lambda y, y_pred: score)):
        clf = PortfolioClassifier([("net", net())], threshold_scoring=scorer, cv=3)
        with pytest.raises(ValueError, match=r"threshold_scoring.* and return a number"):
            clf.fit(X, Y)


@pytest.mark.parametrize("score", [0.5, 1, True, np.float32(0.5), np.array(0.5), np.nan])
def test_scorers_that_return_a_number_are_not(score):
    clf = PortfolioClassifier([("net", net())], cv=2)
    clf.set_params(threshold_scoring=lambda estimator, X, y: score).fit(X, Y)
    assert np.isfinite(clf.thresholds_).all()


# -- comparisons -------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "bad",
    [
        GroupedMTLClassifier(net(), make_pipeline(maps(), StandardScaler())),
        GroupedMTLClassifier(net(module=INSTANCE), n_groups=2),
        GroupedMTLClassifier(DROPOUT, n_groups=2, strategy="stacked"),
    ],
)
def test_compare_refuses_them_before_any_candidate_trains(bad):
    with pytest.raises(ValueError, match="Candidate 'bad' of compare cannot be fitted"):
        compare(X, Y, {"good": GroupedMTLClassifier(net(), n_groups=2), "bad": bad})
