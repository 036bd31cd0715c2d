"""Data are checked and encoded once a fit: rooms hand on what was checked."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.relations import GradTAG, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import GradTAGGrouping, HOAGrouping, TAGGrouping
from skgroup.training import data as inputs
from skgroup.training import training_data


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=2, random_state=0)


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    return X, (X[:, :4] > [0, 0, 0.3, 0.3]).astype(int)


@pytest.fixture
def checks(monkeypatch):
    """How often X and Y were checked."""
    counts = {"X": 0, "Y": 0}

    def counted(name, check):
        def wrapper(*args, **kwargs):
            counts[name] += 1
            return check(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(inputs, "_check_inputs", counted("X", inputs._check_inputs))
    check_tasks = training_data.check_tasks
    monkeypatch.setattr(training_data, "check_tasks", counted("Y", check_tasks))
    return counts


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda net: None,
        lambda net: make_pipeline(TaskGrouper(net, source="stl"), FuzzyKMeans(2)),
        lambda net: make_pipeline(InterTaskAffinity(net), FuzzyKMeans(2)),
        lambda net: make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2)),
        lambda net: TAGGrouping(net, n_groups=2),
        lambda net: GradTAGGrouping(net, n_groups=2, projection_dim=5),
        lambda net: make_pipeline(GradTAG(net, projection_dim=5), FuzzyKMeans(2)),
        lambda net: HOAGrouping(net, n_groups=2),
        lambda net: AllTasks(2),
        lambda net: SingleTasks(),
    ],
)
@pytest.mark.filterwarnings("ignore:.*single observed class")
def test_a_grouped_fit_checks_data_once(net, table, checks, make, constant):
    X, Y = table
    Y = np.column_stack([Y, np.ones(60, dtype=int)]) if constant else Y
    GroupedMTLClassifier(net, make(net), random_state=0).fit(X, Y)
    assert checks == {"X": 1, "Y": 1}


def test_relations_of_the_users_get_x_and_y(net, table):
    seen = []

    class OwnRelation(TaskGrouper):
        def fit(self, X, y=None, sample_weight=None):
            seen.append((X, y))
            return super().fit(X, y, sample_weight)

    GroupedMTLClassifier(net, make_pipeline(OwnRelation(net), FuzzyKMeans(2))).fit(*table)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], table[0])
    np.testing.assert_array_equal(seen[0][1], table[1])


def test_weights_of_samples_count_where_the_grouper_is_given_them(net, table):
    X, Y = table
    weight = np.r_[np.ones(30), np.zeros(30)]
    relation = TaskGrouper(net, random_state=0)
    expected = relation.fit(X, Y, sample_weight=weight).data_map_
    clf = GroupedMTLClassifier(net, make_pipeline(relation, FuzzyKMeans(2)))
    clf.fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(clf.grouper_[0].data_map_, expected, atol=1e-6)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_part_of_a_dataset_is_predicted_with_or_without_labels(net, table, labelled):
    X, Y = table

    class Samples(torch.utils.data.Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, i):
            return (X[i], Y[i]) if labelled else X[i]

    expected = net.fit(X, Y).predict_proba(X)[20:30]
    part = torch.utils.data.Subset(Samples(), range(20, 30))
    np.testing.assert_allclose(net.predict_proba(part), expected, atol=1e-6)
