import pickle
import warnings

import numpy as np
import pytest
import torch
from comparing import Counted, cheap, compare_given, make_data
from joblib import parallel_config
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import skgroup
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.comparison._candidates import Candidates
from skgroup.ensemble import PortfolioClassifier
from skgroup.metrics import MultiTaskKFold, MultiTaskShuffleSplit
from skgroup.tasks import check_tasks

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def data():
    return make_data()


def brute_force(X, Y, splits, candidates, metric):
    """Scores (n_candidates, n_splits, n_tasks), by one loop after another."""
    values = np.zeros((len(candidates), len(splits), Y.shape[1]))
    for i, make in enumerate(candidates):
        for s, (seed, train, test) in enumerate(splits):
            predicted = make(seed).fit(X[train], Y[train]).predict(X[test])
            for t in range(Y.shape[1]):
                values[i, s, t] = metric(Y[test][:, t], predicted[:, t])
    return values


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("interval", ["corrected", "seeds"])
@pytest.mark.parametrize("cv", [0.25, 3])
def test_the_frame_equals_a_recomputation(data, cv, interval):
    X, Y = data
    before = X.copy(), Y.copy()
    seeds = [3, 5, 8]
    found = compare_given(X, Y, cheap(), cv=cv, seeds=seeds, interval=interval)

    splits = []
    for seed in seeds:
        folds = MultiTaskKFold(3, shuffle=True, random_state=seed)
        share = MultiTaskShuffleSplit(1, test_size=0.25, random_state=seed)
        for train, test in (folds if cv == 3 else share).split(X, Y):
            splits.append((seed, train, test))
    makes = [
        lambda seed: KNeighborsClassifier(5),
        lambda seed: DecisionTreeClassifier(
            max_features=2, random_state=np.random.RandomState(seed).randint(2**31 - 1)
        ),
        lambda seed: DummyClassifier(strategy="most_frequent"),
    ]
    values = brute_force(X, Y, splits, makes, lambda a, b: f1_score(a, b, zero_division=0))
    np.testing.assert_allclose(found.values, values, rtol=1e-12)

    frame = found.frame
    overall = [[np.mean(values[i, s]) for s in range(len(splits))] for i in range(3)]
    best = max(range(3), key=lambda i: np.mean(overall[i]))
    assert found.best_baseline == list(cheap())[best]
    ratio = 0.5 if cv == 3 else 1 / 3
    for i, name in enumerate(cheap()):
        for t, task in [(None, "mean over tasks")] + [(t, f"task {t}") for t in range(4)]:
            ours = overall[i] if t is None else values[i, :, t]
            theirs = overall[best] if t is None else values[best, :, t]
            d = [a - b for a, b in zip(ours, theirs, strict=True)]
            row = frame.loc[(name, task)]
            assert row["mean"] == pytest.approx(np.mean(ours))
            assert row["sd"] == pytest.approx(
                np.sqrt(sum((np.array(ours) - np.mean(ours)) ** 2) / (len(ours) - 1))
            )
            assert row["difference"] == pytest.approx(np.mean(d))
            assert row["n_splits"] == len(splits)
            if interval == "seeds":
                d = [np.mean([d[s] for s in range(len(d)) if splits[s][0] == z]) for z in seeds]
                variance = np.var(d, ddof=1) / len(d)
            else:
                variance = np.var(d, ddof=1) * (1 / len(d) + ratio)
            width = stats.t(len(d) - 1).ppf(0.975) * np.sqrt(variance)
            assert row["low"] == pytest.approx(np.mean(d) - width)
            assert row["high"] == pytest.approx(np.mean(d) + width)
            assert row["nets"] == 0
            assert row["seconds"] == np.median(found.seconds[i])
            assert row["time_ratio"] == row["seconds"] / np.median(found.seconds[0])

    tidy = found.scores
    assert list(tidy.columns) == ["candidate", "seed", "fold", "task", "score"]
    assert len(tidy) == values.size
    line = tidy[(tidy.candidate == "tree") & (tidy.seed == 5) & (tidy.fold == 0)]
    s = next(s for s, split in enumerate(splits) if split[0] == 5)
    np.testing.assert_allclose(line.sort_values("task")["score"], values[1, s])
    assert found.fits.groupby("candidate").size().tolist() == [len(splits)] * 3
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


def test_the_order_of_candidates_and_processes_change_nothing(data, small_net):
    X, Y = data
    candidates = {**cheap(), "net": small_net}
    found = compare(X, Y, candidates, seeds=2)
    with parallel_config("threading"):  # processes take long to start
        moved = compare(X, Y, dict(reversed(candidates.items())), seeds=2, n_jobs=2)
    np.testing.assert_array_equal(found.values, moved.values[::-1])
    columns = ["mean", "sd", "difference", "low", "high"]
    pd.testing.assert_frame_equal(
        found.frame[columns].sort_index(), moved.frame[columns].sort_index()
    )
    fewer = compare_given(X, Y, {"net": small_net, "tree": cheap()["tree"]}, seeds=[1])
    np.testing.assert_array_equal(fewer.values[0, 0], found.values[3, 1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).values, found.values)


def test_a_seed_sets_every_random_state_and_the_splitter(data):
    X, Y = data
    net = MultiTaskNet.stg_mtl(random_state=7)
    grouper = make_pipeline(TaskGrouper(net, random_state=7), FuzzyKMeans(2, random_state=7))
    clf = make_pipeline(StandardScaler(), GroupedMTLClassifier(net, grouper, random_state=7))
    seeded = skgroup.comparison._candidates.seeded(clf, 1)
    states = [v for k, v in seeded.get_params().items() if k.endswith("random_state")]
    assert len(states) == len(set(states)) == 5
    again = skgroup.comparison._candidates.seeded(clf, 1).get_params()
    assert [v for k, v in again.items() if k.endswith("random_state")] == states
    assert clf[-1].random_state == 7

    splitter = ShuffleSplit(2, test_size=0.3)
    found = compare_given(X, Y, cheap(), cv=splitter, seeds=2)
    by_hand = [s for z in range(2) for s in ShuffleSplit(2, test_size=0.3, random_state=z).split(X)]
    same = compare_given(X, Y, cheap(), cv=by_hand, seeds=[0])
    np.testing.assert_array_equal(found.values[0], same.values[0])
    assert splitter.random_state is None


def test_scores_other_than_f1(data):
    X, Y = data
    candidates = {"near": KNeighborsClassifier(5), "trees": MultiOutputClassifier(cheap()["tree"])}
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    near = KNeighborsClassifier(5).fit(X[train], Y[train])
    expected = {
        "roc_auc": [
            roc_auc_score(Y[test, t], near.predict_proba(X[test])[t][:, 1]) for t in range(4)
        ],
        "accuracy": (near.predict(X[test]) == Y[test]).mean(axis=0),
        "average_precision": None,
        make_scorer(accuracy_score): (near.predict(X[test]) == Y[test]).mean(axis=0),
    }
    for scoring, values in expected.items():
        found = compare_given(X, Y, candidates, seeds=1, scoring=scoring)
        assert np.isfinite(found.values).all()
        if values is not None:
            np.testing.assert_allclose(found.values[0, 0], values)

    def brier_skill(estimator, X, y):
        return -np.mean((estimator.predict_proba(X)[:, 1] - y) ** 2)

    found = compare_given(X, Y, candidates, seeds=1, scoring=brier_skill)
    p = np.column_stack([p[:, 1] for p in near.predict_proba(X[test])])
    expected = -np.mean((p - Y[test]) ** 2, axis=0)
    np.testing.assert_allclose(found.values[0, 0], expected, rtol=1e-6)
    assert found.scoring == "brier_skill"


def test_missing_labels_strings_and_several_classes(data, small_net):
    X, Y = data
    three = np.array(["a", "b", "c"])[np.digitize(X[:, 3], [-0.4, 0.4])]
    table = pd.DataFrame({"x": Y[:, 0].astype(float), "y": three, "z": Y[:, 2].astype(bool)})
    table.loc[::3, "x"] = np.nan
    table.loc[1::5, "y"] = None
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    found = compare(X, table, {"mtl": small_net, "g": clf, "near": cheap()["near"]}, seeds=1)
    assert found.tasks == ["x", "y", "z"]
    assert np.isfinite(found.values).all()
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, table))
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=1)
    net = small_net.set_params(random_state=int(seeds[0])).fit(X[train], table.iloc[train])
    predicted = net.predict(X[test])
    seen = table["x"].iloc[test].notna().to_numpy()
    x = table["x"].to_numpy()[test][seen].astype(int)
    assert found.values[0, 0, 0] == pytest.approx(f1_score(x, predicted[seen, 0].astype(int)))
    seen = table["y"].iloc[test].notna().to_numpy()
    y = table["y"].to_numpy()[test][seen].astype(str)
    expected = f1_score(y, predicted[seen, 1].astype(str), average="macro")
    assert found.values[0, 0, 1] == pytest.approx(expected)

    auc = compare(X, table, {"mtl": small_net, "g": clf}, seeds=1, scoring="roc_auc")
    expected = roc_auc_score(y, net.predict_proba(X[test])[1][seen], multi_class="ovr")
    assert auc.values[0, 0, 1] == pytest.approx(expected)


def test_a_task_without_test_labels_is_left_out_of_the_mean(data):
    X, Y = data
    Y = Y.astype(float)
    Y[60:, 0] = np.nan
    halves = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    # The second half of task 0 has no labels, which training on it moves two samples for.
    constant = {"one": Counted(1), "zero": Counted(0)}
    found = compare_given(X, Y, constant, cv=halves, seeds=1)
    assert np.isnan(found.values[:, 0, 0]).all()
    assert np.isfinite(found.values[:, 1]).all()
    np.testing.assert_allclose(found.overall[:, 0], found.values[:, 0, 1:].mean(axis=1))
    assert found.frame.loc[("one", "task 0"), "n_splits"] == 1


def test_one_task_and_a_dataset(data, small_net):
    X, Y = data
    for y in (Y[:, 0], Y[:, :1], pd.Series(Y[:, 0], name="only")):
        for scoring in ("f1_macro", "roc_auc", "accuracy"):
            candidates = {"net": small_net, "near": KNeighborsClassifier()}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn on columns of a single task
                found = compare_given(X, y, candidates, seeds=1, scoring=scoring)
            assert found.values.shape == (2, 1, 1)
            assert np.isfinite(found.values).all()
    inputs = torch.utils.data.TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))
    of_dataset = compare(inputs, candidates={"net": small_net}, seeds=1)
    of_both = compare(inputs, Y, {"net": small_net}, seeds=1)
    np.testing.assert_array_equal(of_dataset.values, of_both.values)
    assert of_both.values.min() > 0.2  # labels stay with their samples


# -- baselines ---------------------------------------------------------------------------------


def test_baselines_are_made_like_the_candidate(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, n_groups=2, strategy="sequential")
    found = compare(X, Y, {"mine": make_pipeline(StandardScaler(), clf)}, seeds=1)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "forest", "mine"]
    assert found.baselines == found.candidates[:4]
    assert found.grouped == ["mine"]
    assert found.nets[:, 0].tolist() == [1, 4, 3, 0, 3]
    like = {"strategy": "sequential"}
    by_hand = {
        "mtl": make_pipeline(StandardScaler(), GroupedMTLClassifier.mtl(small_net, **like)),
        "stl": make_pipeline(StandardScaler(), GroupedMTLClassifier.stl(small_net, **like)),
        "e": make_pipeline(
            StandardScaler(), GroupedMTLClassifier.mtl_ensemble(3, small_net, **like)
        ),
        "f": make_pipeline(StandardScaler(), RandomForestClassifier(10)),
        "mine": make_pipeline(StandardScaler(), clf),
    }
    same = compare(X, Y, by_hand, seeds=1)
    np.testing.assert_array_equal(same.values, found.values)
    assert same.baselines == ["mtl", "stl", "e", "f"]


def test_an_estimator_alone_is_compared_with_baselines(data, small_net):
    X, Y = data
    of_net = compare(X, Y, small_net, seeds=1)
    of_clf = compare(X, Y, GroupedMTLClassifier(small_net), seeds=1)
    assert of_net.candidates == ["MTL", "STL", "MTL ensemble, 4 nets", "forest", "grouped"]
    np.testing.assert_array_equal(of_net.values, of_clf.values)
    kmeans = make_pipeline(TaskGrouper(small_net), KMeans(2, n_init=1))
    found = compare(X, Y, GroupedMTLClassifier(small_net, kmeans), seeds=1)
    assert found.candidates[2:] == ["MTL ensemble, 3 nets", "forest", "grouped"]


def test_what_groups_no_tasks_is_a_baseline(data, small_net):
    def groups(clf, n_tasks=4):
        return skgroup.comparison._kinds.kind_of(clf, n_tasks) == "grouped"

    ways = GroupedMTLClassifier
    for plain in [
        small_net,
        ways.mtl(),
        ways.stl(),
        ways.mtl_ensemble(3),
        ways(n_groups=1),
        ways(grouper=np.eye(4)[[1, 0, 3, 2]]),
        ways(grouper=np.ones((4, 2)) / 2),
        ways(grouper=["a", "b", "c", "d"]),
        ways(grouper=[0, 0, 0, 0]),
        ways(grouper={"all": [0, 1, 2, 3]}),
        make_pipeline(StandardScaler(), ways.stl()),
        GridSearchCV(ways.mtl(), {}),
        DummyClassifier(),
    ]:
        assert not groups(plain)
    for grouped in [
        ways(),
        ways(n_groups=2),
        ways(grouper=[[1, 0], [1, 0], [0, 1], [0, 1]]),
        ways(grouper=[0, 0, 1, 1]),
        ways(grouper={"one": [0, 1], "two": [2, 3]}),
        make_pipeline(StandardScaler(), ways()),
        GridSearchCV(ways(), {}),
    ]:
        assert groups(grouped)

    X, Y = data
    candidates = {"near": cheap()["near"], "dummy": cheap()["dummy"]}
    found = compare(X, Y, candidates, seeds=2, baselines="dummy")
    assert found.best_baseline == "dummy"
    assert found.baselines == ["dummy"]


def test_nets_are_counted_after_fit_where_the_grouper_finds_the_groups(data, small_net):
    X, Y = data

    class Halves(BaseEstimator):
        def fit(self, X, y=None):
            self.labels_ = np.array([0, 0, 1, 1])
            return self

    grouper = make_pipeline(TaskGrouper(small_net), Halves())
    clf = GroupedMTLClassifier(small_net, grouper)
    found = compare(X, Y, {"grouped": clf}, seeds=1)
    assert found.candidates == ["MTL", "STL", "forest", "grouped"]
    assert found.nets[-1, 0] == 1 + 2


def test_a_portfolio_groups_if_a_member_does():
    kind_of = skgroup.comparison._kinds.kind_of
    tree = ("tree", DecisionTreeClassifier())
    grouped = PortfolioClassifier([("grouped", GroupedMTLClassifier()), tree])
    assert kind_of(PortfolioClassifier(), 4) == kind_of(grouped, 4) == "grouped"
    assert kind_of(PortfolioClassifier(), 1) == "other"
    assert kind_of(PortfolioClassifier([tree]), 4) == "other"
    assert kind_of(PortfolioClassifier([("net", MultiTaskNet.stg_mtl()), tree]), 4) == "MTL"
    Y = np.eye(4, dtype=int)
    compared = Candidates.of(PortfolioClassifier(), None, Y, Y, check_tasks(Y))
    assert compared.baselines[:2] == ["MTL", "STL"]
