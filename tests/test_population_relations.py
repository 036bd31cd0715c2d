"""Relations of populations, and the groups that clusterers make of them."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from killing import forks, killed_at
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeRegressor
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional

from skgroup import FuzzyKMeans, MultiTaskNet
from skgroup.nn import MLP, TabM
from skgroup.populations import (
    Coefficients,
    CrossLosses,
    Gradients,
    PooledTasksClassifier,
    PooledTasksRegressor,
    _gradients,
)
from skgroup.populations._models import Models
from skgroup.populations._rows import Populations
from skgroup.store import CheckpointFolder

KINDS = np.array([0, 0, 0, 1, 1, 1])
SMALL = MultiTaskNet(MLP, module__hidden_units=(8,), lr=0.02, max_epochs=8)


def make_rows(n=40, seed=0, noise=0.3):
    """Rows of six stores, the last column; in half of them the first feature counts the other
    way."""
    rng = np.random.default_rng(seed)
    store = np.repeat(np.arange(6), n)
    X = rng.normal(size=(len(store), 3)) * [1, 10, 0.1]
    number = np.where(KINDS[store] == 0, 1, -1) * X[:, 0] + X[:, 1] / 20
    return np.column_stack([X, store]), number + noise * rng.normal(size=len(store))


def test_a_relation_is_computed_once_for_all_numbers_of_groups():
    seen = []

    class Watched(CrossLosses):
        def of_populations(self, models, splits):
            seen.append(models.rows.n_samples)
            return super().of_populations(models, splits)

    X, number = make_rows(n=10)
    grouper = make_pipeline(Watched(), AgglomerativeClustering())
    reg = PooledTasksRegressor(task=3, grouper=grouper, n_groups=[1, 2, 3, 4], cv=2, random_state=0)
    reg.fit(X, number)
    assert reg.n_groups_ == 2
    assert seen == [30, 30, 60]  # of each split, and of all rows


def test_coefficients_are_asked_of_the_first_fit():
    fitted = []

    class Tree(DecisionTreeRegressor):
        def fit(self, X, y, sample_weight=None):
            fitted.append(len(X))
            return super().fit(X, y, sample_weight)

    X, number = make_rows(n=10)
    rule = r"Coefficients, alone or in a 'grouper', needs an 'estimator' .* Got Tree\(.*CrossLosses"
    with pytest.raises(ValueError, match=rule):
        Coefficients(Tree(), task=3).fit(X, number)
    assert fitted == [10]
    grouper = make_pipeline(Coefficients(), AgglomerativeClustering())
    ways = {"task": 3, "grouper": grouper, "n_groups": 2, "shrinkage": np.inf}
    with pytest.raises(ValueError, match=rule):
        PooledTasksRegressor(Tree(), **ways, random_state=0).fit(X, number)


# -- gradients -------------------------------------------------------------------------------------


class Slow(torch.autograd.Function):
    """Half, by an operation that torch cannot batch."""

    @staticmethod
    def forward(ctx, x):
        return x / 2

    @staticmethod
    def backward(ctx, slope):
        return torch.from_numpy(slope.numpy() / 2)


class Halved(MLP):
    def forward(self, x):
        return Slow.apply(super().forward(x))


class ByLoop(Callback):
    """Cosines of populations' gradients at the end of each epoch, one population after another."""

    def __init__(self, X, y, store, weight, found):
        self.X, self.y, self.store, self.weight, self.found = X, y, store, weight, found

    def on_epoch_end(self, net, **kwargs):
        net.module_.eval()
        of_classes = net.task_types_ != ("regression",)
        y = torch.from_numpy((self.y - (0 if of_classes else self.y.mean())).astype(np.float32))
        y = y if of_classes else y / self.y.std()
        gradients = []
        for t in range(6):
            here = self.store == t
            net.module_.zero_grad()
            out = net.infer(torch.from_numpy(self.X[here].astype(np.float32)))
            out = out if out.dim() == 3 else out[:, None]
            losses = []
            for member in out.unbind(1):
                if member.shape[1] == 1:
                    loss = functional.binary_cross_entropy_with_logits
                    loss = loss if of_classes else functional.mse_loss
                    losses.append(loss(member[:, 0], y[here], reduction="none"))
                else:
                    losses.append(
                        functional.cross_entropy(member, y[here].long(), reduction="none")
                    )
            mean = (torch.stack(losses).mean(0) * torch.from_numpy(self.weight[here])).mean()
            mean.backward()
            gradients.append(torch.cat([p.grad.ravel() for p in net.module_.parameters()]))
        net.module_.zero_grad()
        unit = functional.normalize(torch.stack(gradients).double())
        self.found.append((unit @ unit.T).numpy())


@pytest.mark.parametrize(
    ("sort", "module", "params"),
    [
        ("binary", MLP, {"module__dropout": 0.5}),
        ("several", MLP, {"module__activation": nn.Tanh}),
        ("number", TabM, {"module__n_members": 3}),
        ("number", Halved, {}),
        ("weighted", MLP, {"iterator_valid__batch_size": -1}),
    ],
)
def test_cosines_are_those_of_a_loop_over_populations(sort, module, params, monkeypatch):
    monkeypatch.setattr(_gradients, "AT_A_TIME", 17)
    X, y = make_rows(n=12)
    X, y = (part[7:] for part in (X, y))  # the first population has 5 rows
    if sort != "number":
        y = np.digitize(y, [-0.5, 0.5] if sort == "several" else [0.0])
    store, weight, found = X[:, 3].astype(int), np.ones(len(X)), []
    if sort == "weighted":
        weight = np.random.default_rng(0).integers(1, 4, size=len(X)).astype(float)
    by_loop = ByLoop(X[:, :3], y, store, weight, found)
    net = MultiTaskNet(
        module,
        module__hidden_units=(5,),
        **params,
        max_epochs=3,
        batch_size=16,
        lr=0.05,
        class_weight=None,
        callbacks=[by_loop],
    )
    gradients = Gradients(net, task=3, random_state=0)
    if sort == "weighted":
        rows = Populations(X[:, :3], y, store, np.arange(6), 2, weight)
        relation = gradients.of_populations(Models(Ridge(), rows, np.arange(2)), [])
    else:
        relation = gradients.fit_transform(X, y)
    np.testing.assert_allclose(relation, np.mean(found, axis=0), atol=2e-5)
    assert np.abs(found[0] - found[2]).max() > 0.01
    if sort == "several":
        every = gradients.set_params(every=2).fit_transform(X, y)
        np.testing.assert_allclose(every, (found[0] + found[2]) / 2, atol=2e-5)


@pytest.mark.parametrize(
    ("clusterer", "estimator"),
    [
        (FuzzyKMeans(), Ridge()),
        (AgglomerativeClustering(), DecisionTreeRegressor(max_depth=3)),
        (FuzzyKMeans(), HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)),
    ],
)
def test_populations_that_pull_against_each_other_are_told_apart(clusterer, estimator):
    X, y = make_rows()
    made = PooledTasksRegressor
    if isinstance(estimator, HistGradientBoostingClassifier):
        y, made = np.where(y > 0, "yes", "no"), PooledTasksClassifier
    net = None if isinstance(estimator, Ridge) else SMALL
    grouper = make_pipeline(Gradients(net), clusterer)
    pooled = made(estimator, task=3, grouper=grouper, n_groups=[1, 2], cv=2, random_state=0)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    pooled.fit(X, y)
    assert pooled.labels_.tolist() == KINDS.tolist()
    assert pooled.score(X, y) > 0.7
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    if isinstance(estimator, Ridge):
        again = clone(pooled).fit(X, y)
        np.testing.assert_array_equal(again.membership_, pooled.membership_)


def test_memberships_from_gradients_mix_predictions():
    X, y = make_rows(noise=1.5)
    grouper = make_pipeline(Gradients(SMALL, every=4), PCA(3), FuzzyKMeans(fuzziness=3.0))
    ways = {"task": 3, "n_groups": 3, "shrinkage": np.inf, "cv": 2, "random_state": 0}
    reg = PooledTasksRegressor(Ridge(), grouper=grouper, **ways).fit(X, y)
    m = reg.membership_
    assert m.shape == (6, 3)
    assert m.sum(axis=1) == pytest.approx(1)
    assert ((m > 0.02) & (m < 0.98)).any()
    store = X[:, 3].astype(int)
    each = [Ridge().fit(X[:, :3], y, m[store, g]).predict(X[:, :3]) for g in range(3)]
    np.testing.assert_allclose(reg.predict(X), (m[store] * np.transpose(each)).sum(axis=1))


def test_few_rows_absent_classes_missing_values_and_ids_that_are_features():
    X, y = make_rows()
    label = np.array(["high", "low", "mid"], dtype=object)[1 - np.digitize(y, [-0.7, 0.7])]
    kept = (X[:, 3] != 1) | (label != "mid")
    kept &= (X[:, 3] != 4) | (np.cumsum(X[:, 3] == 4) == 1)  # a single row
    X[5, 0] = np.nan
    frame = pd.DataFrame(X, columns=["a", "b", "c", "store"])[kept]
    frame["store"] = np.array(list("uvwxyz"))[frame.store.astype(int)]
    alone = Gradients(SMALL, task="store", random_state=0).fit(frame, label[kept])
    assert alone.tasks_.tolist() == list("uvwxyz")
    assert np.isfinite(alone.relation_).all()
    assert np.diag(alone.relation_) == pytest.approx(1)
    np.testing.assert_allclose(alone.relation_, alone.relation_.T)
    rows = frame.assign(store=frame.store.astype("category"))
    boosting = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype")
    ways = {"task_as_feature": True, "n_groups": 2, "shrinkage": np.inf, "cv": 3}
    grouper = make_pipeline(Gradients(SMALL, random_state=0), AgglomerativeClustering())
    clf = PooledTasksClassifier(boosting, task="store", grouper=grouper, **ways, random_state=0)
    clf.fit(rows, label[kept])
    same = clf.labels_[KINDS == 0], clf.labels_[[3, 5]]
    assert [len(set(labels.tolist())) for labels in same] == [1, 1]
    rows = Populations(X[:9, :1], np.ones(9, int), np.arange(9) // 3, np.arange(3), 2)
    of_one_class = Gradients().of_populations(Models(Ridge(), rows, np.arange(2)), [])
    np.testing.assert_array_equal(of_one_class, np.eye(3))


@forks
def test_a_killed_net_goes_on_with_what_was_recorded(tmp_path):
    X, y = make_rows(n=10)
    net = clone(SMALL).set_params(max_epochs=4)
    kept = clone(net).set_params(checkpoint=CheckpointFolder(tmp_path, every=0))
    expected = Gradients(net, task=3, random_state=0).fit_transform(X, y)
    relation = Gradients(kept, task=3, random_state=0)
    assert killed_at(lambda: clone(relation).fit(X, y), 9)
    assert len(os.listdir(tmp_path)) == 1
    np.testing.assert_array_equal(relation.fit_transform(X, y), expected)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("relation", "change", "message"),
    [
        (
            Gradients(),
            {"c": "blue"},
            r"'net' of Gradients \(alone, or in a 'grouper'\) .* 'c' does not",
        ),
        (Gradients(), {"c": np.inf}, "'net' of Gradients .* X contains infinity"),
        (Gradients(MultiTaskNet(lr=-1)), {}, "'lr' parameter of MultiTaskNet"),
        (Gradients(every=0), {}, "'every' parameter of Gradients"),
        (Gradients(Ridge()), {}, "'net' parameter of Gradients must be an instance of"),
    ],
)
def test_what_a_net_cannot_learn_is_refused_before_any_fit(relation, change, message, monkeypatch):
    X, y = make_rows(n=10)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "store"]).assign(**change)
    grouper = make_pipeline(relation, AgglomerativeClustering())
    reg = PooledTasksRegressor(DecisionTreeRegressor(), task="store", grouper=grouper)
    monkeypatch.setattr(Models, "fit", None)
    with pytest.raises(ValueError, match=message):
        reg.fit(frame, y)
    with pytest.raises(ValueError, match=message):
        relation.set_params(task="store").fit(frame, y)
    assert not hasattr(relation, "relation_")


def test_the_estimator_of_a_relation_alone_says_whether_labels_are_classes():
    X, _ = make_rows(n=10)
    counts = np.round(3 * np.linspace(-1, 1, len(X)))
    for relation in (CrossLosses(DecisionTreeRegressor(), task=3), Coefficients(Ridge(), task=3)):
        assert relation.fit_transform(X, counts).shape[0] == 6
    with pytest.raises(ValueError, match=r"must hold classes\. Got continuous"):
        CrossLosses(LogisticRegression(), task=3).fit(X, counts / 7)
    with pytest.raises(ValueError, match="'C' parameter of LogisticRegression"):
        CrossLosses(LogisticRegression(C=0), task=3).fit(X, counts > 0)


def test_coefficients_of_other_features_are_not_compared():
    rng = np.random.default_rng(0)
    store = np.repeat(np.arange(4), 30)
    kind = np.where(store % 2, rng.choice(list("abc"), 120), rng.choice(list("bcd"), 120))
    X = pd.DataFrame({"store": store, "kind": kind, "a": rng.normal(size=120)})
    encoder = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    relation = Coefficients(make_pipeline(encoder, Ridge()), task="store")
    with pytest.raises(ValueError, match=r"the same features .* Those of 0 and 1 differ"):
        relation.fit(X, X.a)
    relation.fit(X.assign(kind=np.where(X.kind.isin(["b", "c"]), X.kind, "b")), X.a)
    assert relation.relation_.shape == (4, 4)
