import numpy as np
import pytest
from comparing import Counted, compare_given, make_data
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


@pytest.mark.parametrize(
    ("name", "candidate", "message"),
    [
        (1, Counted(), "non-empty strings. Got the name 1"),
        (" ", Counted(), "non-empty strings"),
        ("a", Counted, "a class by a call"),
        ("a", 3, "with fit and predict. Got 3 as 'a'"),
        ("a", FuzzyKMeans(), "A grouper becomes one"),
        ("a", make_pipeline(TaskGrouper(), FuzzyKMeans()), "A grouper becomes one"),
        ("a", LinearRegression(), "task 0 of Y is a binary task, but .a. of compare, a LinearReg"),
        ("a", DecisionTreeClassifier(max_depth=-1), "'a' of compare cannot be fitted.*max_depth"),
        ("a", GroupedMTLClassifier(n_groups=9), "'n_groups' parameter.*must be at most"),
        (
            "a",
            GroupedMTLClassifier(grouper=np.ones(4)),
            "where it is a partition, must hold a group",
        ),
        ("a", make_pipeline(StandardScaler(), MultiTaskNet.stg_mtl(lr=-1.0)), "The 'lr' parameter"),
        (
            "a",
            MultiTaskNet.stg_mtl(nn.Linear, module__in_features=2, module__out_features=3),
            "'a' of",
        ),
    ],
)
def test_wrong_candidates_are_refused_before_any_training(data, name, candidate, message):
    with pytest.raises(ValueError, match=message):
        compare_given(*data, {"first": Counted(), name: candidate})
    assert Counted.fits == 0


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({}, "Got an empty one"),
        ({"g": GridSearchCV(GroupedMTLClassifier(), {})}, "must hold a baseline"),
        ({"MTL": GroupedMTLClassifier()}, "'MTL' must be another name"),
    ],
)
def test_where_no_baseline_can_be_made_that_is_said(data, candidates, message):
    with pytest.raises(ValueError, match=message):
        compare(*data, candidates)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"seeds": 0}, "The 'seeds' parameter of compare must be an int >= 1"),
        ({"seeds": [1, 1]}, "different ints"),
        ({"seeds": [0.5]}, "The 'seeds' parameter"),
        ({"seeds": []}, "The 'seeds' parameter"),
        ({"seeds": True}, "The 'seeds' parameter"),
        ({"cv": 1.5}, "The 'cv' parameter of compare must be a share"),
        ({"cv": StratifiedKFold(3)}, "The 'cv' parameter of compare cannot split"),
        (
            {"scoring": "nonsense"},
            "'scoring' parameter of compare must be 'accuracy', .*another",
        ),
        ({"scoring": 3}, "must be a str or a callable. Got 3"),
        ({"scoring": lambda e, X, y: y.no_such}, "must be able to score a task"),
        ({"scoring": log_loss}, "make a scorer of it by sklearn.metrics.make_scorer"),
        ({"interval": "wide"}, "The 'interval' parameter of compare must be one of"),
        ({"error_score": 0}, "The 'error_score' parameter of compare"),
        ({"baselines": ["b"]}, "The 'baselines' parameter of compare must hold names"),
        ({"baselines": 5}, "The 'baselines' parameter of compare must be a name"),
        ({"baselines": [["a"]]}, "The 'baselines' parameter of compare must be a name"),
        ({"scoring": "roc_auc"}, "'a' of compare cannot be fitted: it has no predict_proba"),
        ({"scoring": "neg_log_loss"}, "'a' of compare cannot be fitted: it has no predict_proba"),
    ],
)
def test_wrong_parameters_are_refused_before_any_training(data, params, message):
    with pytest.raises(ValueError, match=message):
        compare_given(*data, {"a": Counted()}, **params)
    assert Counted.fits == 0


def test_data_that_do_not_fit_are_refused(data):
    X, Y = data
    with pytest.raises(ValueError, match=r"same number of samples\. Got X with 119"):
        compare_given(X[1:], Y, {"a": Counted()})
    without = MultiOutputClassifier(LinearSVC())
    with pytest.raises(ValueError, match="'svm' of compare cannot be fitted: it has no predict_pr"):
        compare_given(X, Y, {"svm": without}, scoring="roc_auc")


@pytest.mark.parametrize("results", [3, True, b"fits", ["fits"], "", "a\0b", 1.5, {}])
def test_results_must_be_a_path(data, results):
    Counted.fits = 0
    with pytest.raises((TypeError, ValueError), match="The 'results' parameter of compare must"):
        compare_given(*data, {"a": Counted()}, seeds=1, results=results)
    assert Counted.fits == 0


@pytest.mark.parametrize("params", [{"n_jobs": n} for n in (0, 1.5, "2", True, [1])])
def test_the_number_of_processes_is_an_int(data, params):
    with pytest.raises(ValueError, match="The 'n_jobs' parameter of compare must be None or"):
        compare_given(*data, {"a": Counted()}, seeds=1, **params)


@pytest.mark.parametrize("verbose", [-1, "x", 1.5, None])
def test_verbose_is_an_int(data, verbose):
    with pytest.raises(ValueError, match="The 'verbose' parameter of compare must be"):
        compare_given(*data, {"a": Counted()}, seeds=1, verbose=verbose)


def test_a_class_is_no_candidate(data):
    with pytest.raises(ValueError, match="Got the class GroupedMTLClassifier; a call makes"):
        compare(*data, GroupedMTLClassifier)
