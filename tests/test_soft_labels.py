"""Soft labels: probabilities as the labels of a binary task, where `task_types` says "soft"."""

import numpy as np
import pandas as pd
import pytest
import torch
from netting import assert_same_parameters, refuses
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch.nn import functional as F

from skgroup import (
    GroupedMTLClassifier,
    MultiTaskNet,
    PortfolioEstimator,
    TaskGrouper,
    compare,
)
from skgroup.metrics import (
    multitask_brier_score,
    multitask_f1_score,
    multitask_log_loss,
    multitask_r2_score,
    multitask_roc_auc_score,
)
from skgroup.relations import GradTAG, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import GroupGains, GroupSelector
from skgroup.training.engine import fit_many

TYPES = {"click": "soft", "sale": "soft"}


@pytest.fixture(scope="module")
def table(digits):
    """Two soft, a binary, a multiclass and a regression task, with missing labels."""
    X, Y = digits[0][:200], digits[1][:200]
    rng = np.random.default_rng(0)
    digit = Y[:, :10].argmax(axis=1)
    click = np.clip(Y[:, 12] * 0.6 + 0.4 * rng.random(200), 0, 1)
    click[::7] = Y[::7, 12]  # some are sure
    sale = np.clip(0.3 * Y[:, 11] + 0.2 * rng.random(200), 0, 1)
    tasks = pd.DataFrame(
        {"click": click, "odd": Y[:, 12], "digit": digit % 3, "sale": sale, "ink": X[:, 20] / 7}
    ).astype(float)
    return X, tasks.mask(rng.random(tasks.shape) < 0.1)


def types_of(Y):
    """What to say of the columns that are there."""
    return {name: "soft" for name in TYPES if name in Y}


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(16,),
        task_types=TYPES,
        max_epochs=3,
        lr=0.01,
        batch_size=50,
        random_state=0,
    )


def of_soft(p):
    """A soft column as rows of hard labels with weights: all as 1, then all as 0."""
    return np.r_[np.where(np.isnan(p), np.nan, 1.0), np.where(np.isnan(p), np.nan, 0.0)], np.r_[
        np.nan_to_num(p, nan=1.0), np.nan_to_num(1 - p, nan=1.0)
    ]


def doubled(X, Y):
    """The same table without soft labels: hard ones in twice the rows, and their weights."""
    labels = pd.concat([Y, Y], ignore_index=True)
    weight = pd.DataFrame(1.0, index=labels.index, columns=labels.columns)
    labels.loc[len(X) :, ["odd", "digit", "ink"]] = np.nan
    for name in TYPES:
        labels[name], weight[name] = of_soft(Y[name].to_numpy())
    return np.vstack([X, X]), labels, weight


# -- what is learned -------------------------------------------------------------------------------


def test_a_float_column_is_soft_only_where_it_is_said(table, net):
    X, Y = table
    assert net.set_params(task_types="auto").fit(X, Y).task_types_[0] == "regression"
    net.set_params(task_types=TYPES).fit(X, Y)
    assert net.task_types_ == ("soft", "binary", "multiclass", "soft", "regression")
    assert net.task_outputs_ == (1, 1, 3, 1, 1)
    assert net.classes_[0].tolist() == [0, 1]


@pytest.mark.parametrize("class_weight", ["balanced", None, {"click": {0: 2.0, 1: 5.0}}])
def test_a_soft_label_is_as_good_as_two_with_weights(table, net, class_weight):
    X, Y = table
    net.set_params(batch_size=-1, max_epochs=5, class_weight=class_weight)
    soft = clone(net).fit(X, Y)
    rows, labels, weight = doubled(X, Y)
    pair = clone(net).set_params(task_types="auto").fit(rows, labels, sample_weight=weight)
    np.testing.assert_allclose(soft.criterion_.weight, pair.criterion_.weight, rtol=1e-4)
    assert_same_parameters(soft, pair, rtol=1e-3, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_torch(table, net):
    X, Y = table
    Y = Y[["click", "sale"]]
    smoothing = 0.1
    net.set_params(max_epochs=1, batch_size=-1, lr=1e-12, class_weight=None)
    net.set_params(criterion__label_smoothing=smoothing, task_types=types_of(Y)).fit(X, Y)
    logits, total = torch.cat(list(net.forward_iter(X))), 0.0
    for t, name in enumerate(Y):
        seen = np.flatnonzero(Y[name].notna())
        z = torch.hstack([torch.zeros(len(seen), 1), logits[seen, t : t + 1]])
        p = torch.tensor(Y[name].iloc[seen].to_list())
        both = torch.stack([1 - p, p], dim=1)
        total += float(F.cross_entropy(z, both, label_smoothing=smoothing))
    assert net.history[-1]["train_loss"] == pytest.approx(total, rel=1e-5)


def test_labels_of_0_and_1_are_those_of_a_binary_task(table, net):
    X, Y = table
    Y = Y[["odd", "digit"]]
    hard = clone(net).set_params(task_types="auto").fit(X, Y)
    soft = clone(net).set_params(task_types={"odd": "soft"}).fit(X, Y)
    assert_same_parameters(soft, hard, rtol=1e-4, atol=1e-6)
    maps = [
        TaskGrouper(n, random_state=0).fit(X, Y[Y["odd"].notna()].reindex(Y.index)).data_map_
        for n in (clone(hard), clone(soft))
    ]
    seen = Y["odd"].notna().to_numpy()
    np.testing.assert_allclose(maps[0][0, :, seen], maps[1][0, :, seen], atol=1e-6)


@pytest.mark.parametrize("columns", [["click", "sale"], ["click", "odd", "digit", "ink"]])
def test_a_stack_learns_as_a_loop_does(table, net, columns):
    X, Y = table
    Y = Y[columns]
    net.set_params(task_types=types_of(columns))
    data = [net._check_data(X, Y, None)] * 2
    both = []
    for strategy in ("stacked", "sequential"):
        nets = [clone(net) for _ in data]
        fit_many(nets, data, [0, 1], strategy=strategy)
        both.append([net._flat_proba(X) for net in nets])
    np.testing.assert_allclose(*both, atol=1e-6)


def test_predictions_are_those_of_a_binary_task(table, net):
    X, Y = table
    net.set_params(max_epochs=20).fit(X, Y[["click", "odd", "sale"]])
    proba = net.predict_proba(X)
    assert proba.shape == (200, 3)
    np.testing.assert_array_equal(net.predict(X), proba > 0.5)
    seen = Y["click"].notna().to_numpy()
    assert np.corrcoef(proba[seen, 0], Y["click"][seen])[0, 1] > 0.7
    single = clone(net).set_params(task_types="soft").fit(X[seen], Y["click"][seen])
    assert single.predict_proba(X).shape == (200, 2)
    assert single.classes_.tolist() == [0, 1]
    assert single.predict(X).dtype.kind == "i"


def test_a_task_that_is_never_likely_is_learned(table, net):
    X, Y = table
    Y = Y[["odd", "sale"]].fillna(0.0)
    share = Y["sale"].mean()
    net.set_params(class_weight=None, max_epochs=20, task_types=types_of(Y)).fit(X, Y)
    assert (net.constant_codes_ == -1).all()
    assert net.predict_proba(X)[:, 1].mean() == pytest.approx(share, abs=0.1)
    even = pd.DataFrame({"odd": Y["odd"], "click": 0.25})
    found = clone(net).set_params(task_types={"click": "soft"}, max_epochs=60).fit(X, even)
    assert found.predict_proba(X)[:, 1].mean() == pytest.approx(0.25, abs=0.05)


def test_a_task_that_is_surely_one_class_is_served_by_it(table, net):
    X, Y = table
    never = pd.DataFrame({"odd": Y["odd"], "click": 0.0})
    net.set_params(task_types={"click": "soft"})
    with pytest.warns(UserWarning, match=r"single observed class.*task 1 \('click'\): 0"):
        net.fit(X, never)
    assert (net.predict_proba(X)[:, 1] == 0).all()
    never.loc[3, "click"] = 0.2
    with pytest.raises(ValueError, match="holds a second class, but a single one was met in fit"):
        net.partial_fit(X, never)


def test_training_goes_on_with_probabilities(table, net):
    X, Y = table
    net.partial_fit(X, Y)
    again = clone(net).fit(X, Y)
    assert_same_parameters(net, again, rtol=0, atol=0)
    net.partial_fit(X, Y).set_params(warm_start=True).fit(X, Y)
    assert len(net.history_) == 9


# -- data maps, relations, groups ------------------------------------------------------------------


def test_a_data_map_holds_what_two_distributions_share(table, net):
    X, Y = table
    Y = Y[["click", "odd"]]
    net.set_params(
        task_types={"click": "soft"}, max_epochs=1, batch_size=-1, lr=1e-12, class_weight=None
    )
    grouper = TaskGrouper(net, snapshot_epochs=1, random_state=0).fit(X, Y)
    p, q = grouper.estimator_.predict_proba(X)[:, 0], Y["click"].to_numpy()
    seen = ~np.isnan(q)
    mean = grouper.data_map_[0, 0, :, 0]
    np.testing.assert_allclose(mean[seen], 1 - np.abs(p - q)[seen], atol=1e-6)
    np.testing.assert_allclose(mean[~seen], mean[seen].mean(), atol=1e-6)


def test_labels_correlate_as_if_drawn():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(
        {"click": rng.random(40), "odd": rng.integers(0, 2, 40), "ink": rng.random(40)}
    )
    Y.loc[:4, "click"] = np.nan
    relation = LabelCorrelationAffinity(task_types={"click": "soft", "ink": "regression"})
    found = relation.fit(Y.fillna(0), Y).affinity_
    rows = Y[Y["click"].notna()]
    labels, weight = of_soft(rows["click"].to_numpy())
    for t, name in ((1, "odd"), (2, "ink")):
        other = np.tile(rows[name].to_numpy(float), 2)
        x, y = (
            labels - np.average(labels, weights=weight),
            other - np.average(other, weights=weight),
        )
        r = (weight * x * y).sum() / np.sqrt((weight * x**2).sum() * (weight * y**2).sum())
        assert found[0, t] == pytest.approx(r)
        assert found[t, 0] == pytest.approx(r)


@pytest.mark.parametrize(
    "relation",
    [
        InterTaskAffinity(random_state=0, every=2),
        GradTAG(random_state=0, projection_dim=4),
        GroupGains(cv=2, random_state=0),
    ],
)
def test_relations_are_those_of_pairs_of_hard_labels(table, net, relation):
    X, Y = table
    Y = Y[["click", "odd", "sale"]]
    of = "gains_" if isinstance(relation, GroupGains) else "affinity_"
    found = getattr(relation.set_params(estimator=net).fit(X, Y), of)
    assert np.isfinite(found).any()
    hard = Y.round().fillna(0.0)
    hard.loc[0, ["click", "sale"]] = 1.0
    net.set_params(task_types={"click": "soft", "sale": "soft"})
    soft = getattr(clone(relation).set_params(estimator=net).fit(X, hard), of)
    net.set_params(task_types="auto")
    plain = getattr(clone(relation).set_params(estimator=net).fit(X, hard), of)
    np.testing.assert_allclose(soft, plain, rtol=1e-3, atol=1e-4)


def test_grouped_nets_learn_soft_labels(table, net):
    X, Y = table
    Y = Y[["click", "odd", "sale", "digit"]]
    clf = GroupedMTLClassifier(net, n_groups=2, random_state=0).fit(X, Y)
    assert clf.membership_.shape == (4, 2)
    first = clf.predict_proba(X)[0][:, 1]
    seen = Y["click"].notna().to_numpy()
    assert np.corrcoef(first[seen], Y["click"][seen])[0, 1] > 0.3
    assert 0 <= clf.score(X, Y) <= 1


def test_what_serves_a_task_of_no_group_is_its_mean(table, net):
    X, Y = table
    Y = Y[["click", "odd", "sale"]]
    selector = GroupSelector(1, serving_tasks=[0, 1], max_size=2, min_size=2)
    grouper = make_pipeline(LabelCorrelationAffinity(), selector)
    with pytest.warns(UserWarning, match="No group holds these tasks.*: sale"):
        clf = GroupedMTLClassifier(net, grouper, random_state=0).fit(X, Y)
    np.testing.assert_allclose(clf.predict_proba(X)[:, 2], Y["sale"].mean(), rtol=1e-5)


# -- portfolios ------------------------------------------------------------------------------------


def test_members_of_scikit_learn_learn_pairs_with_weights(table, net):
    X, Y = table
    Y = Y[["click", "odd", "digit"]]
    types = {"click": "soft"}
    net.set_params(task_types="auto")
    logistic = LogisticRegression(C=0.01, max_iter=200)
    members = [
        ("net", net),
        ("logistic", logistic),
        ("forest", RandomForestClassifier(120, max_depth=3, random_state=0)),
    ]
    portfolio = PortfolioEstimator(members, task_types=types, cv=2, random_state=0).fit(X, Y)
    assert portfolio.task_types_ == ("soft", "binary", "multiclass")
    p = Y["click"].to_numpy()
    labels, weight = of_soft(p)
    at = ~np.isnan(labels) & (weight > 0)
    alone = clone(logistic).fit(np.vstack([X, X])[at], labels[at], weight[at])
    fitted = portfolio.members_[1].estimators_[0]
    np.testing.assert_allclose(fitted.coef_, alone.coef_, rtol=1e-3, atol=1e-5)
    of_net = clone(net).set_params(task_types=["soft", "binary", "multiclass"]).fit(X, Y)
    np.testing.assert_allclose(
        portfolio.members_[0].predict_proba(X)[0], of_net.predict_proba(X)[0], atol=1e-6
    )
    seen = ~np.isnan(p)
    served = portfolio.predict_proba(X)[0][:, 1]
    assert np.abs(served - p)[seen].mean() < 0.2
    flipped = clone(portfolio).set_params(members=members[1:2]).fit(X, Y[["click"]])
    assert flipped.thresholds_.shape == (1,)
    weighted = clone(portfolio).fit(X, Y, sample_weight=np.linspace(0, 1, len(X)))
    assert not np.allclose(weighted.predict_proba(X)[0], portfolio.predict_proba(X)[0])


def test_a_member_without_weights_is_refused(table, net):
    X, Y = table
    portfolio = PortfolioEstimator([("near", KNeighborsClassifier())], task_types=TYPES)
    message = (
        "Member 'near' of PortfolioEstimator must take sample_weight in fit, as task 0 ('click') "
        "is a soft task, each label of which it learns as a 1 and a 0 with weights. "
        "KNeighborsClassifier() does not (in a pipeline: its last step)."
    )
    with refuses(ValueError, message):
        portfolio.fit(X, Y[["click", "sale"]])


# -- comparisons and scores ------------------------------------------------------------------------


def test_compare_gives_soft_labels_to_all_candidates(table, net):
    X, Y = table
    Y = Y[["click", "odd"]]
    candidates = {
        "grouped": GroupedMTLClassifier(net.set_params(task_types=types_of(Y)), n_groups=2),
        "logistic": LogisticRegression(C=0.01),
    }
    scoring = {"F1": "f1", "loss": "neg_log_loss"}
    comparison = compare(X, Y, candidates, cv=2, seeds=[0], scoring=scoring)
    assert {"forest", "logistic", "grouped"} <= set(comparison.candidates)
    assert np.isfinite(comparison.values).all()
    near = KNeighborsClassifier()
    with pytest.raises(ValueError, match="must take sample_weight in fit, as task 0"):
        compare(X, Y, {**candidates, "near": near}, cv=2, seeds=[0])


def test_scores_of_probabilities_are_those_of_pairs_of_labels():
    rng = np.random.default_rng(0)
    q, p = rng.random(30), rng.random(30)
    q[:3], q[3] = [0, 1, 1], np.nan
    weight = rng.random(30)
    labels, of_label = of_soft(q)
    at = ~np.isnan(labels)
    given = (labels[at], np.tile(p, 2)[at])
    w = (of_label * np.tile(weight, 2))[at]
    options = {"task_types": "soft", "sample_weight": weight}
    for ours, theirs in (
        (multitask_log_loss, log_loss),
        (multitask_brier_score, brier_score_loss),
        (multitask_roc_auc_score, roc_auc_score),
    ):
        assert ours(q, p, **options) == pytest.approx(theirs(*given, sample_weight=w))


def test_f1_takes_the_likelier_class(table, net):
    X, Y = table
    Y = Y[["click", "odd"]]
    net.set_params(task_types={"click": "soft"}).fit(X, Y)
    hard = Y.assign(click=(Y["click"] > 0.5).astype(float).where(Y["click"].notna()))
    assert net.score(X, Y) == multitask_f1_score(hard, net.predict(X))
    with pytest.raises(ValueError, match="R² is a score of regression tasks"):
        multitask_r2_score(Y, Y, task_types={"click": "soft", "odd": "binary"})


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "got"),
    [
        ([0.2, 1.5], "Got 1.5."),
        ([-0.1, 0.3], "Got -0.1."),
        ([0.2, np.inf], "Got inf."),
        (
            ["yes", "no"],
            "Got 'yes'. Probabilities of more than two classes are given as a soft task a class, "
            "or as a row a class whose sample_weight they are.",
        ),
    ],
)
def test_what_is_no_probability_is_refused(net, column, got):
    X = np.random.default_rng(0).normal(size=(20, 3))
    Y = pd.DataFrame({"odd": [0, 1] * 10, "click": column * 10})
    message = (
        "task 1 ('click') of Y is a soft task by 'task_types', which must hold probabilities of "
        f"its class 1, numbers in [0, 1], NaN where one is missing. {got}"
    )
    with refuses(ValueError, message):
        net.set_params(task_types={"click": "soft"}).fit(X, Y)


def test_numbers_that_may_be_probabilities_are_told_from_others(net):
    X = np.random.default_rng(0).normal(size=(40, 3))
    hint = " If its numbers are probabilities of a class, 'task_types' must say that it is 'soft'."
    for scale, said in ((1, True), (2, False)):
        Y = pd.DataFrame({"odd": [0, 1] * 20, "click": scale * np.linspace(0, 1, 40)})
        with pytest.raises(ValueError, match="Unknown label type: continuous") as error:
            GroupedMTLClassifier(net.set_params(task_types="auto")).fit(X, Y)
        assert str(error.value).endswith(hint) is said
