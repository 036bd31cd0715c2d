"""skgroup inside scikit-learn's machinery, on real data."""

import contextlib
import subprocess
import sys

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import PointKMeans
from skgroup.metrics import multitask_roc_auc_score
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")


@pytest.fixture
def data(digits):
    """Eight of the digits tasks."""
    X, Y = digits
    return X, Y[:, [0, 1, 2, 3, 10, 11, 12, 14]]


@pytest.fixture
def grouping(small_net):
    return make_pipeline(
        TaskGrouper(small_net, random_state=0), FuzzyKMeans(n_clusters=2, random_state=0)
    )


def test_scaler_in_front_of_the_classifier(data, small_net, grouping):
    X, Y = data
    pipeline = make_pipeline(
        StandardScaler(), GroupedMTLClassifier(small_net, grouping, random_state=0)
    )
    pipeline.fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    alone = clone(pipeline[-1]).fit(scaled, Y)
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled))
    assert pipeline.score(X, Y) == alone.score(scaled, Y)


def test_parameters_of_the_grouping_are_set_by_name(data, small_net, grouping):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, grouping, random_state=0)
    clf.set_params(
        grouper__fuzzykmeans__n_clusters=4,
        grouper__fuzzykmeans__fuzziness=1.3,
        grouper__taskgrouper__snapshot_epochs=2,
        grouper__taskgrouper__estimator__max_epochs=3,
        estimator__module__hidden_units=(8,),
    )
    clf.fit(X, Y)
    assert clf.membership_.shape == (8, 4)
    assert clf.grouper_[0].snapshot_epochs_ == [2, 3]
    assert clf.specialists_[0].module_.heads.in_features == 8
    assert clf.get_params()["grouper__fuzzykmeans__fuzziness"] == 1.3


class CountedGrouper(TaskGrouper):
    """Writes a line for each training of the base net, in whichever process it happens."""

    log = None

    def fit(self, X, y=None, sample_weight=None):
        with open(CountedGrouper.log, "a") as file:
            file.write("fit\n")
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("remember", [True, False])
def test_grid_search_trains_the_base_net_once_a_fold(data, small_net, tmp_path, remember):
    X, Y = data
    CountedGrouper.log = tmp_path / "trainings"
    grouping = Pipeline(
        [("relation", CountedGrouper(small_net)), ("groups", FuzzyKMeans())],
        memory=str(tmp_path / "cache") if remember else None,
    )
    search = GridSearchCV(
        GroupedMTLClassifier(small_net, grouping, random_state=0),
        {"grouper__groups__n_clusters": [2, 3], "grouper__groups__fuzziness": [1.5, 2.0]},
        scoring="f1_macro",
        cv=KFold(2),
        refit=False,
        error_score="raise",
    )
    search.fit(X, Y)
    n_trainings = len(CountedGrouper.log.read_text().splitlines())
    assert n_trainings == (2 if remember else 8)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1  # the candidates differ


def test_grid_search_over_the_learning_rate_of_specialists(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, np.eye(8)[:, :1] + np.ones((8, 1)), random_state=0)
    search = GridSearchCV(clf, {"estimator__lr": [1e-6, 0.02]}, cv=KFold(2), error_score="raise")
    search.fit(X, Y)
    assert search.best_params_ == {"estimator__lr": 0.02}
    assert search.predict(X).shape == Y.shape
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)


def test_cross_val_score_with_scorers_of_sklearn(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier.mtl(small_net, random_state=0)
    own = cross_val_score(clf, X, Y, cv=KFold(2), error_score="raise")
    f1 = cross_val_score(clf, X, Y, cv=KFold(2), scoring="f1_macro", error_score="raise")
    np.testing.assert_allclose(own, f1)
    auc = cross_val_score(clf, X, Y, cv=KFold(2), scoring="roc_auc", error_score="raise")
    clf.fit(X[300:], Y[300:])
    expected = multitask_roc_auc_score(Y[:300], clf.predict_proba(X[:300]))
    np.testing.assert_allclose(auc[0], expected)


def test_clone_of_a_fitted_classifier_fits_alike(data, small_net, grouping):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, grouping, random_state=0).fit(X, Y)
    copy = clone(clf)
    assert not hasattr(copy, "specialists_")
    np.testing.assert_array_equal(copy.fit(X, Y).predict_proba(X), clf.predict_proba(X))


def test_what_is_fitted_predicts_alike_in_a_new_process(data, small_net, grouping, tmp_path):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, grouping, random_state=0)
    search = GridSearchCV(clf, {"grouper__fuzzykmeans__n_clusters": [2]}, cv=KFold(2)).fit(X, Y)
    fitted = {
        "net": clone(small_net).set_params(random_state=0).fit(X, Y),
        "grouping": clone(grouping).fit(X, Y),
        "classifier": clone(clf).fit(X, Y),
        "search": search,
    }
    joblib.dump((fitted, X), tmp_path / "fitted.joblib")
    code = """
import sys, joblib
fitted, X = joblib.load(sys.argv[1])
out = {k: e.transform(X) if k == "grouping" else e.predict_proba(X) for k, e in fitted.items()}
joblib.dump(out, sys.argv[2])
"""
    paths = [str(tmp_path / "fitted.joblib"), str(tmp_path / "out.joblib")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    there = joblib.load(paths[1])
    for name, estimator in fitted.items():
        if name == "grouping":
            # transform looks at the tasks of fit alone, so the memberships come back
            np.testing.assert_allclose(there[name], estimator[-1].membership_, atol=1e-6)
        else:
            np.testing.assert_allclose(there[name], estimator.predict_proba(X), atol=1e-6)


def test_grouping_pipeline_returns_memberships(data, grouping):
    X, Y = data
    membership = grouping.fit_transform(X, Y)
    assert membership.shape == (8, 2)
    np.testing.assert_allclose(membership.sum(axis=1), 1)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_sample_weight_is_routed(data, small_net, grouping):
    X, Y = data
    weight = np.linspace(0.1, 2, len(X))
    direct = GroupedMTLClassifier.mtl(small_net, random_state=0).fit(X, Y, sample_weight=weight)
    request = clone(direct).set_fit_request(sample_weight=True)
    scaler = StandardScaler(with_mean=False, with_std=False).set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scaler, request).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(pipeline.predict_proba(X), direct.predict_proba(X), atol=1e-5)
    unweighted = clone(request).fit(X, Y)
    assert not np.allclose(unweighted.predict_proba(X), direct.predict_proba(X), atol=1e-3)


@pytest.mark.usefixtures("routing")
def test_sample_weight_is_routed_to_the_grouper_where_it_is_requested(data, small_net, grouping):
    X, Y = data
    weight = np.linspace(0.1, 2, len(X))
    maps = {}
    for requested in (True, False):
        grouper = clone(grouping)
        grouper[0].set_fit_request(sample_weight=requested)
        grouper[1].set_fit_request(sample_weight=False)
        clf = GroupedMTLClassifier(small_net, grouper, random_state=0)
        clf.set_fit_request(sample_weight=True)
        clf.fit(X, Y, sample_weight=weight)
        maps[requested] = clf.grouper_[0].data_map_
    expected = clone(grouping[0]).fit(X, Y, sample_weight=weight).data_map_
    np.testing.assert_allclose(maps[True], expected, atol=1e-6)
    assert not np.allclose(maps[False], expected, atol=1e-3)


def test_names_of_a_data_frame_come_out(small_net):
    frame = load_iris(as_frame=True)
    X, y = frame.data, frame.target
    Y = pd.DataFrame(
        {
            "setosa": y == 0,
            "species": frame.target_names[y],
            "wide": (X["petal width (cm)"] > 1.5).map({True: "yes", False: None}),
        }
    )
    Y.loc[X["petal width (cm)"] <= 1.0, "wide"] = "no"
    clf = GroupedMTLClassifier(small_net, np.ones((3, 1)), random_state=0).fit(X, Y)
    assert list(clf.task_names_in_) == ["setosa", "species", "wide"]
    assert list(clf.feature_names_in_) == list(X.columns)
    assert set(clf.predict(X)[:, 2]) <= {"yes", "no"}
    with pytest.raises(ValueError, match="The feature names should match"):
        clf.predict(X.rename(columns={"petal width (cm)": "width"}))
    grouping = make_pipeline(TaskGrouper(small_net), FuzzyKMeans(2)).set_output(transform="pandas")
    membership = grouping.fit_transform(X, Y)
    assert list(membership.index) == ["setosa", "species", "wide"]
    assert list(membership.columns) == ["fuzzykmeans0", "fuzzykmeans1"]


def test_images_and_a_user_module_go_through(small_net):
    from skgroup.datasets import load_digit_tasks
    from skgroup.nn import SmallCNN

    tasks = load_digit_tasks()
    images = (tasks.images[:200, None] * 255).astype(np.uint8)
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1)
    grouping = make_pipeline(TaskGrouper(net), FuzzyKMeans(2))
    clf = GroupedMTLClassifier(net, grouping, random_state=0).fit(images, tasks.target[:200])
    assert clf.predict_proba(images).shape == (200, 15)
    with pytest.raises(ValueError, match="GroupedMTLClassifier was fitted on samples of shape"):
        clf.predict(images[:, :, :7])


@pytest.mark.parametrize(
    ("transformer", "data"),
    [
        (TaskGrouper(MultiTaskNet.stg_mtl(max_epochs=1)), "tasks"),
        (TaskGrouper(MultiTaskNet.stg_mtl(max_epochs=1), output="isometric"), "tasks"),
        (LabelCorrelationAffinity(), "tasks"),
        (FuzzyKMeans(2), "rows"),
        (PointKMeans(2), "rows"),
        (GroupSelector(2), "affinity"),
    ],
)
def test_what_is_handed_out_cannot_change_what_was_learned(transformer, data):
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    inputs = {"tasks": (X, (X[:, :3] > 0).astype(int)), "rows": (np.abs(X[:6]),)}
    inputs["affinity"] = (np.eye(3),)
    transformer = clone(transformer)
    for rows in (transformer.fit_transform(*inputs[data]), transformer.transform(inputs[data][0])):
        kept = {k: v.copy() for k, v in vars(transformer).items() if isinstance(v, np.ndarray)}
        with contextlib.suppress(ValueError):  # read-only
            rows[...] = 7
        for name, before in kept.items():
            np.testing.assert_array_equal(vars(transformer)[name], before)
