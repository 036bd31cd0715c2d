"""Weights of single labels: a matrix, wherever weights of samples are taken."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from netting import assert_same_parameters, refuses
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from skorch.dataset import ValidSplit
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    MultiTaskNet,
    PortfolioEstimator,
    TaskGrouper,
)
from skgroup.metrics import multitask_f1_score
from skgroup.relations import GradTAG, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import GroupGains
from skgroup.training.engine import fit_many


@pytest.fixture(scope="module")
def table(digits):
    """Two binary, a multiclass and a regression task, with missing labels and weights."""
    X, Y = digits[0][:240], digits[1][:240]
    digit = Y[:, :10].argmax(axis=1)
    tasks = np.column_stack([Y[:, 12], Y[:, 11], digit % 3, X[:, 20] / 7]).astype(float)
    rng = np.random.default_rng(0)
    tasks[rng.random(tasks.shape) < 0.1] = np.nan
    weight = rng.integers(0, 4, size=tasks.shape).astype(float)
    return X, tasks, weight


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(16,), max_epochs=3, lr=0.01, batch_size=60, random_state=0
    )


def repeated(X, Y, weight):
    """A row for each label and repeat of it, the other labels missing."""
    rows, tasks = np.nonzero(np.ones_like(Y))
    times = weight.astype(int)[rows, tasks]
    rows, tasks = rows.repeat(times), tasks.repeat(times)
    labels = np.full((len(rows), Y.shape[1]), np.nan)
    labels[np.arange(len(rows)), tasks] = Y[rows, tasks]
    return X[rows], labels


def test_weighted_vs_repeated(table, net):
    X, Y, weight = table
    net.set_params(batch_size=-1, max_epochs=5)
    weighted = clone(net).fit(X, Y, sample_weight=weight)
    alike = clone(net).fit(*repeated(X, Y, weight))
    np.testing.assert_allclose(weighted.criterion_.weight, alike.criterion_.weight, rtol=1e-5)
    np.testing.assert_allclose(weighted.target_scaling_.scale, alike.target_scaling_.scale)
    assert_same_parameters(weighted, alike, rtol=1e-4, atol=1e-5)


def test_a_column_for_all_tasks_is_a_weight_a_sample(table, net):
    X, Y, weight = table
    of_samples = weight[:, 0] + 0.5
    of_labels = np.repeat(of_samples[:, None], 4, axis=1)
    net.set_params(input_scaling="robust")
    first, second = (clone(net).fit(X, Y, sample_weight=w) for w in (of_samples, of_labels))
    np.testing.assert_allclose(first._flat_proba(X), second._flat_proba(X), atol=1e-5)


def test_weight_zero_is_a_missing_label(table, net):
    X, Y, weight = table
    at = weight > 0
    masked = np.where(at, Y, np.nan)
    kept = clone(net).fit(X, masked)
    weighted = clone(net).fit(X, Y, sample_weight=at)
    np.testing.assert_allclose(weighted._flat_proba(X), kept._flat_proba(X), atol=1e-6)
    maps = [
        TaskGrouper(net).fit(X, masked).data_map_,
        TaskGrouper(net).fit(X, Y, sample_weight=at).data_map_,
    ]
    np.testing.assert_allclose(*maps, atol=1e-6)


def test_the_loss_is_the_weighted_mean_of_each_task(table, net):
    X, Y, weight = table
    net.set_params(max_epochs=1, batch_size=-1, lr=1e-12, class_weight=None)
    net.fit(X, Y, sample_weight=weight)
    logits, start, total = torch.cat(list(net.forward_iter(X))), 0, 0.0
    for t, width in enumerate(net.task_outputs_):
        seen = ~np.isnan(Y[:, t]) & (weight[:, t] > 0)
        part, truth = logits[seen, start : start + width], torch.from_numpy(Y[seen, t])
        start += width
        if net.task_types_[t] == "regression":
            truth = (truth - net.target_scaling_.location[t]) / net.target_scaling_.scale[t]
            loss = (part[:, 0] - truth) ** 2
        elif width == 1:
            loss = F.binary_cross_entropy_with_logits(part[:, 0], truth.float(), reduction="none")
        else:
            loss = F.cross_entropy(part, truth.long(), reduction="none")
        w = torch.from_numpy(weight[seen, t])
        total += float((w * loss).sum() / w.sum())
    assert net.history[-1]["train_loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("of", ["same tasks", "single tasks"])
def test_a_stack_learns_as_a_loop_does(table, net, of):
    X, Y, weight = table
    data = net._check_data(X, Y[:, :2], weight[:, :2])
    parts = [data, data] if of == "same tasks" else [data.select(np.array([t])) for t in (0, 1)]
    both = []
    for strategy in ("stacked", "sequential"):
        nets = [clone(net) for _ in parts]
        fit_many(nets, parts, [0, 1], strategy=strategy)
        both.append([net._flat_proba(X) for net in nets])
    np.testing.assert_allclose(*both, atol=1e-6)


def test_columns_of_a_frame_are_matched_by_name(table, net):
    X, Y, weight = table
    names = ["a", "b", "c", "d"]
    frame = pd.DataFrame(Y, columns=names)
    weights = pd.DataFrame(weight, columns=names)[["d", "b", "a", "c"]]
    expected = clone(net).fit(X, Y, sample_weight=weight)
    found = clone(net).fit(X, frame, sample_weight=weights)
    np.testing.assert_array_equal(found._flat_proba(X), expected._flat_proba(X))
    assert found.score(X, frame, sample_weight=weights) == expected.score(X, Y, weight)
    with refuses(
        ValueError,
        "The columns of sample_weight must be the tasks that were seen in fit. Missing: d. New: e.",
    ):
        net.fit(X, frame, sample_weight=weights.rename(columns={"d": "e"}))


def test_datasets_partial_fit_and_validation_splits_take_them(table, net):
    X, Y, weight = table
    X, Y, weight = X.astype(np.float32), Y[:, :2], weight[:, :2]
    net.set_params(batch_size=-1)  # a DataLoader draws another order
    expected = clone(net).fit(X, Y, sample_weight=weight)
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    found = clone(net).fit(data, sample_weight=weight)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    again = clone(net).partial_fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(again.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    again.partial_fit(X, Y, sample_weight=weight[:, ::-1])

    split = net.set_params(
        train_split=ValidSplit(3), class_weight=None, batch_size=-1, max_epochs=1, lr=1e-12
    ).fit(X, Y, sample_weight=weight)
    _, valid = split.get_split_datasets(split.dataset_of(split._check_data(X, Y, weight)))
    rows = np.asarray(valid.indices)
    p, total = split.predict_proba(X[rows]), 0.0
    for t in range(2):
        w = weight[rows, t] * ~np.isnan(Y[rows, t])
        true = np.where(Y[rows, t] == 1, p[:, t], 1 - p[:, t])
        total -= np.average(np.log(true), weights=w)
    assert split.history[-1]["valid_loss"] == pytest.approx(total, rel=1e-4)


def test_a_search_gives_each_fold_its_rows(table, net):
    X, Y, weight = table
    Y = np.nan_to_num(Y[:, :2])
    search = GridSearchCV(net, {"lr": [0.01, 0.1]}, cv=2).fit(X, Y, sample_weight=weight[:, :2])
    alone = clone(net).set_params(**search.best_params_).fit(X, Y, sample_weight=weight[:, :2])
    np.testing.assert_array_equal(search.best_estimator_.predict_proba(X), alone.predict_proba(X))


def test_grouped_nets_train_on_them(table, net):
    X, Y, weight = table
    groups = np.eye(2)[[0, 0, 1, 1]]
    clf = GroupedMTLEstimator(net, groups, random_state=0).fit(X, Y, sample_weight=weight)
    plain = clone(clf).fit(X, Y)
    masked = clone(clf).fit(X, np.where(weight > 0, Y, np.nan))
    binary = clone(clf).fit(X, np.where(weight > 0, Y, np.nan), sample_weight=weight > 0)
    assert not np.allclose(clf._flat_proba(X), plain._flat_proba(X), atol=1e-3)
    np.testing.assert_allclose(binary._flat_proba(X), masked._flat_proba(X), atol=1e-6)
    grouped = GroupedMTLClassifier(net, n_groups=2, random_state=0)
    first = clone(grouped).fit(X, Y[:, :3], sample_weight=weight[:, :3])
    second = clone(grouped).fit(X, Y[:, :3], sample_weight=pd.DataFrame(weight[:, :3]))
    np.testing.assert_array_equal(first.membership_, second.membership_)


def test_a_task_of_a_single_class_leaves_the_weights_of_the_others(table, net):
    X, Y, weight = table
    with_constant = np.insert(Y[:, :2], 1, 1.0, axis=1)
    weights = np.insert(weight[:, :2], 1, 5.0, axis=1)
    expected = clone(net).fit(X, Y[:, :2], sample_weight=weight[:, :2]).predict_proba(X)
    with pytest.warns(UserWarning, match="single observed class"):
        found = clone(net).fit(X, with_constant, sample_weight=weights).predict_proba(X)
    np.testing.assert_array_equal(found[:, [0, 2]], expected)
    with pytest.warns(UserWarning, match="single observed class"):
        gains = GroupGains(net, cv=2, random_state=0).fit(X, with_constant, weights).gains_
    plain = GroupGains(net, cv=2, random_state=0).fit(X, Y[:, :2], weight[:, :2]).gains_
    assert gains.shape == (3, 3)
    assert plain.shape == (3, 2)


@pytest.mark.parametrize(
    "relation",
    [
        LabelCorrelationAffinity(),
        InterTaskAffinity(random_state=0),
        GradTAG(random_state=0, projection_dim=4),
        GroupGains(cv=2, random_state=0),
    ],
)
def test_relations_take_them(table, net, relation):
    X, Y, weight = table
    if hasattr(relation, "estimator"):
        relation.set_params(estimator=net)
    of = "gains_" if isinstance(relation, GroupGains) else "affinity_"
    found = [
        getattr(clone(relation).fit(X, labels, sample_weight=w), of)
        for labels, w in (
            (Y, weight),
            (np.where(weight > 0, Y, np.nan), None),
            (Y, (weight > 0) * 2.0),
        )
    ]
    assert not np.allclose(found[0], found[1], equal_nan=True)
    np.testing.assert_allclose(found[1], found[2], rtol=1e-3, atol=1e-5)


def test_a_correlation_of_labels_weighs_pairs_by_the_geometric_mean():
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, size=(50, 2)).astype(float)
    weight = rng.random((50, 2))
    (_, found), _ = LabelCorrelationAffinity().fit(Y, Y, sample_weight=weight).affinity_
    pair = np.sqrt(weight.prod(axis=1))
    z = Y - np.average(Y, axis=0, weights=pair)
    expected = (pair * z.prod(axis=1)).sum() / np.sqrt((pair[:, None] * z**2).sum(axis=0).prod())
    assert found == pytest.approx(expected)


def test_members_of_a_portfolio_get_the_weights_of_their_tasks(table, net):
    X, Y, weight = table
    seen = {}

    class Forest(ExtraTreesClassifier):
        def fit(self, X, y, sample_weight=None):
            seen.setdefault("forest", []).append((y, sample_weight))
            return super().fit(X, y, sample_weight)

    members = [
        ("net", net),
        ("forest", Forest(5, random_state=0)),
        ("ridge", Ridge()),
        ("logistic", LogisticRegression(max_iter=20, tol=1.0)),
    ]
    portfolio = PortfolioEstimator(members, cv=2, random_state=0)
    portfolio.fit(X, Y, sample_weight=weight)
    for t, (y, w) in enumerate(seen["forest"][-3:]):  # on all samples
        at = ~np.isnan(Y[:, t]) & (weight[:, t] > 0)
        np.testing.assert_array_equal(y, Y[at, t])
        np.testing.assert_array_equal(w, weight[at, t])
    whole = clone(net).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(
        portfolio.members_[0]._flat_proba(X), whole._flat_proba(X), atol=1e-6
    )

    of_samples = clone(portfolio).fit(X, Y, sample_weight=np.full(len(X), 2.0))
    of_labels = clone(portfolio).fit(X, Y, sample_weight=np.full(Y.shape, 2.0))
    for one, other in (
        (of_samples.serving_weights_, of_labels.serving_weights_),
        (of_samples.thresholds_, of_labels.thresholds_),
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
    masked = clone(portfolio).fit(X, np.where(weight > 0, Y, np.nan))
    zeros = clone(portfolio).fit(X, Y, sample_weight=(weight > 0) * 1.0)
    np.testing.assert_allclose(zeros.serving_weights_, masked.serving_weights_, atol=1e-4)


def test_scores_weigh_labels(table, net):
    X, Y, weight = table
    net.fit(X, Y[:, :2])
    scores = [
        multitask_f1_score(Y[:, t], net.predict(X)[:, t], sample_weight=weight[:, t])
        for t in range(2)
    ]
    assert net.score(X, Y[:, :2], weight[:, :2]) == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w[:, :3],
            "sample_weight must be of shape (n_samples,), or of shape (n_samples, n_tasks) for "
            "weights of labels. Got (240, 3) for Y of shape (240, 4).",
        ),
        *[
            (change, "sample_weight must hold finite numbers >= 0 wherever Y has a label. Got ")
            for change in (
                lambda w: np.where(w == 1, np.nan, w),
                lambda w: np.where(w == 1, np.inf, w),
                lambda w: w - 1,
            )
        ],
        (lambda w: 0 * w, "sample_weight is refused: Sample weights must contain at least one non"),
        (
            lambda w: w * [1, 0, 1, 1],
            "sample_weight is refused: every task needs labels of samples whose weight is above 0 "
            "to learn its classes. Those of task 1 have none.",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(table, net, change, message):
    X, Y, weight = table
    for estimator in (net, LabelCorrelationAffinity()):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            estimator.fit(X, Y, sample_weight=change(weight))


def test_what_stands_beside_missing_labels_does_not_matter(table, net):
    X, Y, weight = table
    finite = clone(net).fit(X, Y, sample_weight=np.where(np.isnan(Y), 0, weight))
    other = clone(net).fit(X, Y, sample_weight=np.where(np.isnan(Y), np.nan, weight))
    assert_same_parameters(finite, other)


def test_a_single_task_may_have_a_column_of_weights(table, net):
    X, Y, weight = table
    labels = np.nan_to_num(Y[:, 0])
    first = clone(net).fit(X, labels, sample_weight=weight[:, 0]).predict_proba(X)
    second = clone(net).fit(X, labels, sample_weight=weight[:, :1]).predict_proba(X)
    np.testing.assert_array_equal(first, second)
