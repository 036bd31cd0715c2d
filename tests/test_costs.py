"""How many nets a fit trains."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.training.costs import count_nets

NET = MultiTaskNet.stg_mtl(max_epochs=1)


class OwnRelation(BaseEstimator):
    """Holds a net, and does not say how often it trains it."""

    def __init__(self, net=NET):
        self.net = net

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.eye(4)


class TwoGroups(BaseEstimator):
    """Says by nothing but its fit how many groups there are."""

    def fit(self, X, y=None):
        self.labels_ = np.array([0, 0, 1, 1])
        return self


@pytest.mark.parametrize(
    ("estimator", "n_nets"),
    [
        (NET, 1),
        (TaskGrouper(NET, source="stl"), 4),
        (GroupedMTLClassifier(NET, n_groups=2), 3),
        (GroupedMTLClassifier.stl(NET), 4),
        (make_pipeline("passthrough", StandardScaler(), GroupedMTLClassifier(NET, n_groups=2)), 3),
        (make_pipeline(make_pipeline(TaskGrouper(NET)), FuzzyKMeans()), 1),
        (DecisionTreeClassifier(), 0),
        (GridSearchCV(DecisionTreeClassifier(), {}), 0),
        (GridSearchCV(NET, {}), np.nan),
        (GridSearchCV(TaskGrouper(NET), {}), np.nan),
        (make_pipeline(OwnRelation(), FuzzyKMeans()), np.nan),
    ],
    ids=repr,
)
def test_a_fit_costs_the_nets_of_its_parts(estimator, n_nets):
    assert count_nets(estimator, 4) == pytest.approx(n_nets, nan_ok=True)


def test_a_relation_that_does_not_say_what_it_trains_is_named():
    clf = GroupedMTLClassifier(NET, make_pipeline(OwnRelation(), FuzzyKMeans(2)))
    with pytest.raises(ValueError, match=r"must be said by a method count_nets.*OwnRelation"):
        clf.count_nets(4)


def test_groups_that_fit_has_found_count_where_nothing_said_how_many():
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    clf = GroupedMTLClassifier(NET, make_pipeline(TaskGrouper(NET), TwoGroups()))
    with pytest.raises(ValueError, match="TwoGroups finds is known only after fit"):
        clf.count_nets(4)
    assert clf.fit(X, X > 0).count_nets(4)["total"] == 1 + 2
