"""Robust scaling of features inside the net, and missing values of features."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import get_tags
from torch.utils.data import TensorDataset

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.relations import LabelCorrelationAffinity
from skgroup.training._scaling import robust_scaling


@pytest.fixture(scope="module")
def table():
    """Features of all sorts: heavy tails, mostly zero, constant, missing, never observed."""
    rng = np.random.default_rng(0)
    X = rng.lognormal(sigma=2, size=(201, 6)).astype(np.float32)
    X[:, 3] = rng.random(201) < 0.1
    X[:, 4] = 7
    Y = np.column_stack([X[:, 0] > 1, X[:, 1] > X[:, 0]]).astype(int)
    X[rng.random(201) < 0.2, 2] = np.nan
    X[:, 5] = np.nan
    return X, Y


def net(**params):
    params = {"module__hidden_units": (8,), "max_epochs": 3, "input_scaling": "robust"} | params
    return MultiTaskNet.stg_mtl(**params, random_state=0)


def literal(X, fitted_on):
    columns, indicators = [], []
    for x, reference in zip(X.T.astype(float), fitted_on.T.astype(float), strict=True):
        r = np.sort(reference[~np.isnan(reference)])
        if len(r) == 0:
            z = np.zeros(len(x))
        else:
            q25, median, q75 = np.quantile(r, [0.25, 0.5, 0.75], method="inverted_cdf")
            span = r[-1] - r[0]
            f = 1 / (q75 - q25) if q75 > q25 else 2 / span if span > 0 else 0
            z = f * (x - median)
        columns.append(np.where(np.isnan(z), 0, z / np.sqrt(1 + (z / 3) ** 2)))
        if np.isnan(reference).any():
            indicators.append(np.isnan(x))
    return np.column_stack(columns + indicators)


def test_scaling_is_that_of_its_definition(table):
    X, _ = table
    scaling = robust_scaling(torch.from_numpy(X))
    new = np.roll(X, 1, axis=1)  # other values, and missing where none were
    for x in (X, new):
        z = scaling(torch.from_numpy(x))
        np.testing.assert_allclose(z, literal(x, X), rtol=1e-4, atol=1e-6)
        assert z.shape[1] == scaling.n_out == 8
        assert z.abs().max() <= 3


def test_a_weight_of_k_is_k_repeats(table):
    X, _ = table
    weight = np.random.default_rng(1).integers(0, 4, len(X)).astype(float)
    weighted = robust_scaling(torch.from_numpy(X), weight * 0.1)
    repeated = robust_scaling(torch.from_numpy(np.repeat(X, weight.astype(int), axis=0)))
    for name in ("median", "factor", "incomplete"):
        assert torch.equal(getattr(weighted, name), getattr(repeated, name))


@pytest.mark.parametrize(
    "container",
    [
        sparse.csr_matrix,
        lambda X: TensorDataset(torch.from_numpy(X), torch.zeros(len(X))),
        lambda X: X.astype(np.float64),
        lambda X: np.asfortranarray(X),
    ],
)
def test_containers_are_scaled_alike(table, container):
    X, Y = table
    X = X[:, [0, 1, 3, 4]]
    plain, contained = net().fit(X, Y), net().fit(container(X), Y)
    for name in ("median", "factor"):
        assert torch.equal(getattr(contained.scaling_, name), getattr(plain.scaling_, name))
    assert contained.predict_proba(container(X)).shape == (201, 2)


def test_ints_are_scaled_and_images_are_not(table):
    _, Y = table
    ints = np.random.default_rng(0).integers(0, 1000, size=(201, 3))
    assert net().fit(ints, Y).scaling_.median.max() > 300
    images = np.random.default_rng(0).random((201, 1, 4, 4)).astype(np.float32)
    assert net().fit(images, Y).scaling_ is None


def test_a_table_with_holes_works_the_first_time(table):
    X, Y = table
    fitted = net(max_epochs=40, lr=0.01).fit(X, Y)
    assert fitted.score(X, Y) > 0.8
    assert fitted.n_features_in_ == 6
    assert fitted.module_.trunk[1].in_features == 8
    complete = np.nan_to_num(X)  # nothing is missing now
    assert fitted.predict(complete).shape == Y.shape
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_the_scale_of_features_does_not_matter(table):
    X, Y = table
    factor = np.array([1e-3, 1e6, 1, 2**10, 1, 1], dtype=np.float32)
    proba, scaled = (net().fit(x, Y).predict_proba(x) for x in (X, X * factor))
    np.testing.assert_allclose(scaled, proba, atol=1e-4)


def test_huge_numbers_stay_finite(table):
    X, Y = table
    X = np.nan_to_num(X)
    X[0, 0], X[1, 0], X[2, 4] = 3e38, -3e38, 3e38
    assert np.isfinite(net().fit(X, Y).predict_proba(X)).all()


def test_further_training_keeps_the_scaling(table):
    X, Y = table
    fitted = net().fit(X, Y)
    before = fitted.scaling_
    fitted.partial_fit(X * 2, Y)
    assert fitted.scaling_ is before
    warm = net(warm_start=True).fit(X, Y)
    before = warm.scaling_
    warm.fit(X * 2, Y)
    assert warm.scaling_ is before
    with pytest.raises(ValueError, match="'input_scaling' parameter must be what module"):
        fitted.set_params(input_scaling=None).partial_fit(np.nan_to_num(X), Y)


@pytest.mark.parametrize("module", ["mlp", "tabm"])
def test_stacks_share_it(table, module):
    from skgroup.nn import MLP, TabM

    X, Y = table
    base = net(module={"mlp": MLP, "tabm": TabM}[module])
    proba = [
        GroupedMTLClassifier(base, n_groups=2, strategy=strategy, random_state=0)
        .fit(X, Y)
        .predict_proba(X)
        for strategy in ("stacked", "sequential")
    ]
    np.testing.assert_allclose(*proba, atol=1e-5)


def test_many_nets_predict_as_each_does(table):
    X, Y = table
    ensemble = GroupedMTLClassifier.mtl_ensemble(9, net(batch_size=16), random_state=0).fit(X, Y)
    alone = np.mean([s.predict_proba(X) for s in ensemble.specialists_], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X), alone, atol=1e-5)


def test_sample_weights_count(table):
    X, Y = table
    weight = np.where(X[:, 0] > 1, 1.0, 0.0)
    medians = [net().fit(X, Y, sample_weight=w).scaling_.median[0] for w in (None, weight)]
    assert medians[1] > medians[0]


def test_nan_is_refused_where_nothing_takes_it(table):
    X, Y = table
    images = np.full((201, 1, 4, 4), np.nan, dtype=np.float32)
    plain = net(input_scaling=None)
    for estimator, inputs in [
        (plain, X),
        (net(), images),
        (GroupedMTLClassifier(plain), X),
        (TaskGrouper(plain), X),
    ]:
        with pytest.raises(ValueError, match=r"Input X contains NaN\..*input_scaling='robust'"):
            clone(estimator).fit(inputs, Y)
    fitted = plain.fit(np.nan_to_num(X), Y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fitted.predict(X)
    with pytest.raises(ValueError, match="contains infinity"):
        net().fit(np.where(np.isnan(X), np.inf, X), Y)
    with pytest.raises(ValueError, match=r"'input_scaling' parameter .* Got 'standard'"):
        net(input_scaling="standard").fit(X, Y)


def test_tags_say_who_takes_missing_values():
    takes = [
        net(),
        GroupedMTLClassifier(net()),
        TaskGrouper(net()),
        LabelCorrelationAffinity(),
    ]
    assert all(get_tags(estimator).input_tags.allow_nan for estimator in takes)
    refuses = [net(input_scaling=None), TaskGrouper(net(input_scaling=None))]
    assert not any(get_tags(estimator).input_tags.allow_nan for estimator in refuses)
