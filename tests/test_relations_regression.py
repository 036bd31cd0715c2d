"""Relations of tables with regression tasks: affinities, correlations, data maps."""

import numpy as np
import pytest
import torch
from affinities import NARROW, Literal, Normed, Unbatchable, net_of
from torch import nn

from skgroup.nn import MLP, AdaTT, TabM
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)

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
