"""Relations of tables with regression tasks: affinities, correlations, data maps."""

import numpy as np
import pytest
import torch
from affinities import NARROW, Literal, Normed, Unbatchable, net_of
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from skorch.dataset import ValidSplit
from torch import nn

from skgroup import (
    FuzzyKMeans,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    TaskGrouper,
)
from skgroup.inspection import DataMapDisplay
from skgroup.nn import MLP, AdaTT, TabM
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
from skgroup.tasks import Regression

pd = pytest.importorskip("pandas")

# -- affinities of nets ---------------------------------------------------------------------------

MIXED = {
    "mlp": (MLP, {"module__hidden_units": (8,)}, {}),
    "dropout, batch norm, momentum": (Normed, {}, {"momentum": 0.9}),
    "huber": (Normed, {"criterion__regression_loss": "huber", "task_weight": [1, 2, 1, 0, 3]}, {}),
    "cannot be batched": (Unbatchable, {"criterion__regression_loss": "absolute_error"}, {}),
    "AdaTT": (AdaTT, {**NARROW, "module__activation": nn.Tanh}, {}),
    "members": (TabM, {"module__n_members": 3, "module__hidden_units": (8,)}, {}),
}


@pytest.mark.parametrize("method", ["lookahead", "gradient", "cosine"])
@pytest.mark.parametrize("case", MIXED)
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_affinity_of_tasks_of_all_kinds_equals_a_literal_loop(partly_measured, case, method):
    X, Y = partly_measured
    weight = np.random.default_rng(1).random(300)
    module, params, options = MIXED[case]
    Literal.class_weight = [torch.tensor([1.0, 2.0, 1.0])] * 5
    params = {"class_weight": {0: 1.0, 1: 2.0}, **params}
    relation = GradientCosineAffinity(every=4)
    if method != "cosine":
        relation = InterTaskAffinity(every=4, method=method, **options)
    relation.estimator = net_of(module, Literal(4, **options), **params)
    relation.fit(X, Y, sample_weight=weight)
    assert relation.estimator_.task_types_ == (
        "binary",
        "regression",
        "multiclass",
        "regression",
        "binary",
    )
    rounding = 2e-6
    np.testing.assert_allclose(relation.affinity_, Literal.mean(method), atol=rounding)
    assert (np.abs(relation.affinity_[[1, 3]]).max(axis=1) > 200 * rounding).all()


# -- correlations of labels -----------------------------------------------------------------------


def literal_correlation(a, b):
    """Of two columns of a table, whose classes are strings."""
    both = a.notna() & b.notna()
    a, b = a[both], b[both]
    if a.dtype == b.dtype == float:
        return a.corr(b)
    y, of = (a, b) if a.dtype == float else (b, a)
    means, n = y.groupby(of.to_numpy()).mean(), y.groupby(of.to_numpy()).count()
    eta = np.sqrt((n * (means - y.mean()) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return eta if set("ab") < set(of) else eta * np.sign(means["b"] - means["a"])


@pytest.fixture
def columns():
    """Two tasks of numbers, a binary one and two of 3 and 4 classes, a quarter missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 5))
    table = pd.DataFrame(
        {
            "offset": 1e9 + 1e-2 * (z[:, 0] + z[:, 1]),
            "two": np.where(z[:, 0] + z[:, 2] > 0.5, "a", "b"),
            "skewed": np.exp(3 * (z[:, 1] - z[:, 2])),
            "three": np.array(list("abc"))[np.digitize(z[:, 1], [-0.5, 1])],
            "four": rng.choice(list("abcd"), size=200),
            "third": z[:, 0] - z[:, 2],
        }
    )
    return z, table.mask(rng.random(table.shape) < 0.25)


def test_correlations_of_all_kinds_equal_a_literal_computation(columns):
    X, table = columns
    affinity = LabelCorrelationAffinity().fit(X, table).affinity_
    table["offset"] -= 1e9  # so that nothing cancels in the literal computation
    for i, own in enumerate(table):
        for j, other in enumerate(table):
            if table[own].dtype == float or table[other].dtype == float:
                expected = literal_correlation(table[own], table[other])
                assert affinity[i, j] == pytest.approx(expected, abs=1e-9), (own, other)
    assert affinity[0, 1] < -0.3 < affinity[0, 3]
    classes = [1, 3, 4]
    alone = LabelCorrelationAffinity().fit(X, table.iloc[:, classes]).affinity_
    np.testing.assert_allclose(affinity[np.ix_(classes, classes)], alone, atol=1e-12)
    np.testing.assert_array_equal(affinity, affinity.T)


def test_weights_of_correlated_numbers_are_counts_and_parts_change_nothing(columns, monkeypatch):
    X, table = columns
    count = np.random.default_rng(0).integers(0, 4, size=200)
    table.iloc[(count == 0).argmax(), 2] = 1e300  # counts nowhere
    weighted = LabelCorrelationAffinity().fit(X, table, sample_weight=count).affinity_
    again = np.arange(200).repeat(count)
    repeated = LabelCorrelationAffinity().fit(X[again], table.iloc[again]).affinity_
    np.testing.assert_allclose(weighted, repeated, atol=1e-9)
    monkeypatch.setattr("skgroup.relations._label_correlation._CHUNK", 7)
    in_parts = LabelCorrelationAffinity().fit(X[again], table.iloc[again]).affinity_
    np.testing.assert_allclose(in_parts, repeated, atol=1e-9)


def test_units_of_numbers_change_no_correlation(columns):
    X, table = columns
    affinity = LabelCorrelationAffinity().fit(X, table).affinity_
    table["third"] = -1e-200 * table["third"]
    sign = np.where(table.columns == "third", -1, 1)
    both_classes = [3, 4]  # η has no sign
    flipped = affinity * sign * sign[:, None]
    flipped[5, both_classes], flipped[both_classes, 5] = (affinity[5, both_classes],) * 2
    units = LabelCorrelationAffinity().fit(X, table).affinity_
    np.testing.assert_allclose(units, flipped, atol=1e-12)


def test_numbers_that_are_one_number_where_both_are_known_have_no_correlation():
    nan = np.nan
    Y = np.array(
        [
            [0.1, 3.5, 1, 0.5],
            [0.1, 2.5, 0, nan],
            [0.1, 1.0, 1, nan],
            [7.3, nan, 1, nan],
            [nan, 1.5, 0, 0.7],
        ]
    )
    with pytest.warns(UserWarning, match="2 pairs of tasks .* or number, of a task"):
        affinity = LabelCorrelationAffinity().fit(np.zeros((5, 1)), Y).affinity_
    r = affinity[1, 2]
    assert r == pytest.approx(np.corrcoef(Y[[0, 1, 2, 4], 1], Y[[0, 1, 2, 4], 2])[0, 1])
    x, y = Y[:4, 0], Y[:4, 2]
    by_class = np.corrcoef(x, y)[0, 1]
    expected = [[1, 0, by_class, 0], [0, 1, r, -1], [by_class, r, 1, -1], [0, -1, -1, 1]]
    np.testing.assert_allclose(affinity, expected, atol=1e-12)


# -- data maps ------------------------------------------------------------------------------------


def test_confidence_in_a_number_is_1_where_it_is_right_and_falls_with_the_error():
    number = torch.linspace(-3, 3, 25)[:, None]
    error = torch.linspace(0, 2, 50)
    for sign in (-1, 1):
        confidence = Regression().confidence(number + sign * error, number)
        assert (confidence[:, 0] == 1).all()
        assert (confidence.diff(dim=1) <= 0).all()
        assert (confidence[number[:, 0].abs() < 1].diff(dim=1) < 0).all()
    far = torch.tensor([-1e30, 1e30])
    assert (Regression().confidence(far, -far) > 0).all()
    # Near a half on average where nothing is known, as of two classes.
    normal = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    assert 0.3 < Regression().confidence(0 * normal, normal).mean() < 0.5


def net_of_maps(**params):
    params = {"max_epochs": 8, "lr": 0.01, "batch_size": 64, **params}
    return MultiTaskNet.stg_mtl(module__hidden_units=(16,), **params)


@pytest.mark.parametrize("source", ["mtl", "stl"])
def test_units_change_no_map_and_maps_of_numbers_alone_are_the_rows(partly_measured, source):
    X, Y = partly_measured
    Y = Y[:, [1, 3]]
    grouper = TaskGrouper(net_of_maps(), source=source, random_state=0)
    rows = grouper.fit_transform(X, Y)
    np.testing.assert_array_equal(rows, grouper.data_map_.reshape(2, -1))
    assert (grouper.data_map_[..., 0] > 0).all()
    assert (grouper.data_map_[..., 0] <= 1).all()
    again = clone(grouper).fit_transform(X, 1e-9 * Y - 5e-3)
    np.testing.assert_allclose(again, rows, atol=1e-4)


@pytest.mark.parametrize("source", ["mtl", "stl"])
def test_rows_of_numbers_are_as_sure_and_as_spread_as_those_of_classes(partly_measured, source):
    X, Y = partly_measured
    Y = np.column_stack([Y, np.full(300, 2.5), np.ones(300)])  # two of a single number and class
    net = net_of_maps(train_split=ValidSplit(4))
    grouper = TaskGrouper(net, source=source, snapshot_epochs=3, random_state=0)
    with pytest.warns(UserWarning, match="task 5: 2.5, task 6: 1.0"):
        rows = grouper.fit_transform(X, Y).reshape(7, 3, 300, 2)
    maps = grouper.data_map_
    trained = (maps[0, -1] != 0).any(axis=1)
    assert 0 < trained.sum() < 300
    numbers, classes = [1, 3], [0, 2, 4]
    np.testing.assert_array_equal(np.delete(rows, numbers, axis=0), np.delete(maps, numbers, 0))
    assert (rows[:, :, ~trained] == 0).all()
    for k in range(3):
        for s in range(2):
            of_classes, recorded, found = (
                of[:, k][:, trained, s].astype(float)
                for of in (maps[classes], maps[numbers], rows[numbers])
            )
            expected = (recorded - recorded.mean()) / recorded.std() * of_classes.std()
            np.testing.assert_allclose(found, expected + of_classes.mean(), atol=1e-5)
    isometric = clone(grouper).set_params(output="isometric")
    with pytest.warns(UserWarning, match="task 5: 2.5, task 6: 1.0"):
        short = isometric.fit_transform(X, Y)
    long = rows.reshape(7, -1).astype(float)
    np.testing.assert_allclose(pdist(short), pdist(long), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(isometric.data_map_, maps[:, -1:])


def smooth(rng, X):
    """A random function of some features."""
    weights, bias = rng.normal(size=(X.shape[1], 8)), rng.normal(size=8)
    y = np.tanh(X @ weights + bias) @ rng.normal(size=8)
    return y / y.std()


def planted(seed):
    """Three groups of four tasks, each of five features, as numbers and cut into classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 15)).astype(np.float32)
    tasks = []
    for group in range(3):
        own = X[:, 5 * group : 5 * group + 5]
        common = smooth(rng, own)
        for _ in range(4):
            y = common + smooth(rng, own) / 2
            tasks.append(rng.choice([-1, 1]) * (y / y.std() + 0.5 * rng.normal(size=400)))
    numbers = np.column_stack(tasks)
    return X, numbers, (numbers > np.median(numbers, axis=0)).astype(float)


@pytest.mark.parametrize("table", ["classes", "numbers", "mixed"])
@pytest.mark.parametrize("seed", range(2))
def test_planted_groups_are_found_whatever_the_kind(table, seed):
    X, numbers, classes = planted(seed)
    is_number = {"classes": [False], "numbers": [True], "mixed": [True, False]}[table]
    Y = np.where(np.resize(is_number, 12), numbers * np.geomspace(1e-3, 1e3, 12) + 7, classes)
    rows = TaskGrouper(MultiTaskNet.stg_mtl(), random_state=seed).fit_transform(X, Y)
    labels = FuzzyKMeans(3, random_state=0).fit(rows).labels_
    assert adjusted_rand_score(np.repeat(range(3), 4), labels) == 1


def test_groups_of_numbers_and_classes_in_one_estimator(partly_measured):
    X, Y = partly_measured
    grouper = make_pipeline(TaskGrouper(net_of_maps()), FuzzyKMeans(2))
    fitted = GroupedMTLEstimator(net_of_maps(), grouper, random_state=0).fit(X, Y)
    assert fitted.membership_.shape == (5, 2)
    np.testing.assert_array_equal(fitted.membership_, fitted.grouper_[-1].membership_)


@pytest.mark.usefixtures("closed_figures")
def test_data_maps_of_numbers_are_drawn(partly_measured):
    pytest.importorskip("matplotlib").use("Agg")
    X, Y = partly_measured
    names = ["above", "level", "bin", "size", "high"]
    grouper = TaskGrouper(net_of_maps(), random_state=0).fit(X, pd.DataFrame(Y, columns=names))
    display = DataMapDisplay.from_estimator(
        grouper, ["size", "high"], y=pd.DataFrame(Y, columns=names)
    )
    assert [ax.get_title() for ax in display.axes_] == ["size", "high"]
    assert display.axes_[0].get_ylabel() == "confidence μ"
    known = ~np.isnan(Y[:, 3])
    np.testing.assert_array_equal(display.confidence[0][known], grouper.data_map_[3, -1, known, 0])
    assert np.isnan(display.confidence[0][~known]).all()


def test_relations_keep_the_kinds_that_an_estimator_has_decided(partly_measured):
    X, _ = partly_measured
    counts = np.round(5 * np.column_stack([X[:, 0], X[:, 0] + X[:, 1], X[:, 2]])).astype(int)
    grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2))
    fitted = GroupedMTLRegressor(net_of_maps(), grouper, random_state=0).fit(X, counts)
    np.testing.assert_allclose(fitted.grouper_[0].affinity_, np.corrcoef(counts.T), atol=1e-12)
    alone = LabelCorrelationAffinity(task_types="regression").fit(X, counts)
    np.testing.assert_array_equal(alone.affinity_, fitted.grouper_[0].affinity_)
    with pytest.warns(UserWarning, match="could be a regression target instead of classes"):
        of_classes = LabelCorrelationAffinity().fit(X, counts).affinity_
    assert of_classes[0, 2] > 0.2  # V of many classes
    grouper[0].set_params(task_types={1: "multiclass"})
    with pytest.raises(ValueError, match="task 1 of Y is a regression task, but a multiclass one"):
        clone(fitted).set_params(grouper=grouper).fit(X, counts)
    with pytest.raises(ValueError, match=r"'task_types' parameter must be.*'number'"):
        LabelCorrelationAffinity(task_types="number").fit(X, counts)
