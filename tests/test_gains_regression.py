"""Gains of regression tasks, and of tables that hold several kinds."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import f1_score, r2_score

from skgroup import GroupedMTLEstimator, GroupedMTLRegressor, MultiTaskNet
from skgroup._random import draw_seeds
from skgroup.selection import (
    ExhaustiveGrouping,
    GroupGains,
    GroupSelector,
    HigherOrderApproximation,
    HOAGrouping,
    MTGNet,
    MTGNetGrouping,
    TAGGrouping,
)
from skgroup.selection.gains import _group_gains
from skgroup.selection.gains._plan import batches_of_groups, held_out_parts
from skgroup.tasks import check_tasks


@pytest.fixture
def numbers():
    """X (120, 4), and Y (120, 3) of numbers of other units, some missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    Y = (X[:, [0, 0, 1]] + 0.4 * rng.normal(size=(120, 3))) * [1, 1000, 0.01] + [0, 5, 0]
    Y[rng.random(Y.shape) < 0.15] = np.nan
    return X, Y


@pytest.fixture
def mixed(numbers):
    """X, and a table of a regression task, a binary, a multiclass and a regression task."""
    X, Y = numbers
    rng = np.random.default_rng(1)
    plan = np.array(["a", "b", "c"], dtype=object)[np.digitize(X[:, 1], [-0.5, 0.5])]
    plan[::9] = None
    return X, pd.DataFrame(
        {
            "spend": Y[:, 1],
            "churn": (X[:, 0] + 0.4 * rng.normal(size=120) > 0).astype(int),
            "plan": plan,
            "hours": Y[:, 2],
        }
    )


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(8,), max_epochs=4, lr=0.02, batch_size=32, class_weight=None
    )


LOSSES = {
    "squared_error": lambda e: e**2,
    "absolute_error": abs,
    "huber": lambda e: np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5),
}


def fitted_alone(net, X, Y, group, part, weight=None):
    """A net of a group, trained on a part as `fit` of it would."""
    alone = clone(net).set_params(random_state=0)
    data = alone._check_data(X, Y, weight).take(part.train).select(np.array(group))
    alone._prepare(data, seed=part.seed)
    alone._train(data)
    return alone


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", ["r2", *LOSSES])
def test_gains_of_numbers_equal_a_literal_transcription(numbers, net, scoring, weighted):
    X, Y = numbers
    if scoring in LOSSES:
        net.set_params(criterion__regression_loss=scoring)
    weight = np.random.default_rng(2).integers(1, 4, size=120) if weighted else np.ones(120, int)
    given = weight.astype(float) if weighted else None
    split = [(np.arange(80), np.arange(80, 120))]
    masks = [[1, 1, 0], [1, 1, 1]]
    name = "r2" if scoring == "r2" else "loss"
    gains = GroupGains(net, masks=masks, cv=split, scoring=name, random_state=0)
    gains.fit(X, Y, sample_weight=given)
    (part,) = held_out_parts(split, check_tasks(Y), draw_seeds(gains.seed_, 1)[0])
    train, test = part.train, part.test

    def scores(group):
        predicted = fitted_alone(net, X, Y, group, part, given).predict(X[test])
        result = []
        for k, t in enumerate(group):
            seen = ~np.isnan(Y[test, t])
            truth, answer, w = Y[test, t][seen], predicted[seen, k], weight[test][seen]
            if scoring == "r2":
                result.append(r2_score(truth, answer, sample_weight=w))
                continue
            repeated = np.repeat(Y[train, t], weight[train])
            error = (answer - truth) / np.nanstd(repeated)
            result.append((w * LOSSES[scoring](error)).sum() / w.sum())
        return np.array(result)

    alone = [scores([t])[0] for t in range(3)]
    for group in ([0, 1], [0, 1, 2]):
        row = np.flatnonzero((gains.masks_ == np.isin(range(3), group)).all(axis=1))[0]
        own, ref = scores(group), np.array([alone[t] for t in group])
        expected = own - ref if scoring == "r2" else (ref - own) / ref
        np.testing.assert_allclose(gains.scores_[row, group, 0], own, atol=1e-4)
        np.testing.assert_allclose(gains.gains_[row, group], expected, atol=1e-4)


def test_gains_of_loss_do_not_depend_on_units(numbers, net):
    X, Y = numbers
    first, second = (
        GroupGains(net, masks="pairs", random_state=0).fit(X, table)
        for table in (Y, Y * [1e6, 1, 1e-9] - [30, 30, 3e-8])
    )
    np.testing.assert_allclose(second.gains_, first.gains_, atol=1e-4)


def test_tasks_of_several_kinds_gain_in_the_share_of_their_own_loss(mixed, net):
    X, Y = mixed
    split = [(np.arange(80), np.arange(80, 120))]
    gains = GroupGains(net, masks=[[1, 1, 1, 1], [1, 0, 0, 1]], cv=split, random_state=0)
    gains.fit(X, Y)
    table = check_tasks(Y)
    (part,) = held_out_parts(split, table, draw_seeds(gains.seed_, 1)[0])

    def losses(group):
        trained = fitted_alone(net, X, Y, group, part)
        columns = Y.columns[group]
        predicted, proba = trained.predict(X[part.test]), {}
        if set(columns) - {"spend", "hours"}:
            proba = trained.predict_proba(X[part.test])
            proba = proba if isinstance(proba, dict) else dict(zip(columns, [proba], strict=True))
        result = []
        for k, name in enumerate(columns):
            truth = Y[name].iloc[part.test]
            seen = truth.notna().to_numpy()
            if name in ("spend", "hours"):
                error = predicted[seen, k].astype(float) - truth[seen]
                result.append(np.mean((error / Y[name].iloc[part.train].std(ddof=0)) ** 2))
            else:
                p = proba[name][0] if isinstance(proba[name], list) else proba[name]
                p = np.column_stack([1 - p, p]) if p.shape[1] == 1 else p
                codes = np.searchsorted(np.unique(truth[seen]), truth[seen])
                result.append(-np.log(p[seen][np.arange(seen.sum()), codes]).mean())
        return np.array(result)

    alone = np.concatenate([losses([t]) for t in range(4)])
    for group in ([0, 1, 2, 3], [0, 3]):
        row = np.flatnonzero((gains.masks_ == np.isin(range(4), group)).all(axis=1))[0]
        own = losses(group)
        np.testing.assert_allclose(gains.scores_[row, group, 0], own, atol=1e-4)
        expected = 1 - own / alone[group]
        np.testing.assert_allclose(gains.gains_[row, group], expected, atol=1e-4)


def test_scores_of_several_kinds_are_given_by_kind(mixed, net):
    X, Y = mixed
    split = [(np.arange(80), np.arange(80, 120))]
    scoring = {"classes": "f1", "regression": "r2"}
    gains = GroupGains(net, masks=[[1, 1, 0, 0]], cv=split, scoring=scoring, random_state=0)
    gains.fit(X, Y)
    (part,) = held_out_parts(split, check_tasks(Y), draw_seeds(gains.seed_, 1)[0])
    predicted = fitted_alone(net, X, Y, [0, 1], part).predict(X[part.test])
    truth = Y.iloc[part.test]
    seen = truth["spend"].notna().to_numpy()
    r2 = r2_score(truth["spend"][seen], predicted[seen, 0])
    f1 = f1_score(truth["churn"], predicted[:, 1])
    np.testing.assert_allclose(gains.scores_[0, :2, 0], [r2, f1], atol=1e-5)
    singles = gains.masks_.sum(axis=1) == 1
    alone = np.nansum(gains.scores_[singles][:, :2, 0], axis=0)
    np.testing.assert_allclose(gains.gains_[0, :2], gains.scores_[0, :2, 0] - alone[:2])
    assert gains.scoring_ == scoring
    # A kind of which nothing is said has the usual score.
    half = {"regression": "r2"}
    other = GroupGains(net, masks=[[1, 1, 0, 0]], cv=split, scoring=half, random_state=0)
    np.testing.assert_array_equal(other.fit(X, Y).scores_, gains.scores_)


@pytest.mark.parametrize(
    ("scoring", "columns", "message"),
    [
        (
            "f1",
            ["spend", "churn"],
            "The 'scoring' parameter of GroupGains must be a dict with a score for 'classes' and "
            "one for 'regression', or 'loss', as task 1 ('churn') has classes and task 0 ('spend') "
            "is a regression task. Got 'f1'.",
        ),
        (
            "roc_auc",
            ["spend", "hours"],
            "The 'scoring' parameter of GroupGains must be 'r2' of regression tasks, or 'loss' for "
            "all tasks. Got 'roc_auc'.",
        ),
        (
            {"classes": "r2"},
            ["spend", "churn"],
            "The 'scoring' parameter of GroupGains must be 'f1' or 'roc_auc' of tasks with "
            "classes, or 'loss' for all tasks. Got 'r2'.",
        ),
        (
            {"binary": "f1"},
            ["churn", "plan"],
            "The 'scoring' parameter of GroupGains, where it is a dict, must have keys of "
            "['classes', 'regression']. Got 'binary'.",
        ),
    ],
)
def test_scores_of_another_kind_are_refused_before_any_training(
    mixed, net, monkeypatch, scoring, columns, message
):
    X, Y = mixed
    monkeypatch.setattr(_group_gains, "fit_many", None)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GroupGains(net, scoring=scoring).fit(X, Y[columns])


def test_nets_of_several_kinds_train_together_as_alone(mixed, net):
    X, Y = mixed
    stacked, one_by_one = (
        GroupGains(net, masks="pairs", strategy=strategy, random_state=0).fit(X, Y)
        for strategy in ("stacked", "sequential")
    )
    np.testing.assert_allclose(stacked.scores_, one_by_one.scores_, atol=1e-4)


def test_groups_train_together_where_their_kinds_stack(mixed):
    table = check_tasks(mixed[1])
    masks = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [0, 1, 0, 1]], bool)
    missing = np.ones((5, 1), dtype=bool)
    batches = batches_of_groups(masks, missing, table, n_weights=10, together=True)
    together = {tuple(rows.tolist()) for _, rows in batches}
    assert together == {(0, 2), (1,), (3,), (4,)}


@pytest.mark.parametrize(("n_workers", "sizes"), [(1, [32, 32, 32, 4]), (20, [80, 20])])
def test_batches_of_groups_have_something_for_all_workers(mixed, n_workers, sizes):
    masks = np.zeros((100, 4), dtype=bool)
    masks[:, 0] = True
    batches = batches_of_groups(
        masks,
        np.ones((100, 1), dtype=bool),
        check_tasks(mixed[1]),
        n_weights=10,
        together=True,
        n_workers=n_workers,
    )
    assert [len(rows) for _, rows in batches] == sizes


def test_a_part_of_equal_numbers_is_left_out_of_r2(numbers, net):
    X, Y = numbers
    Y = np.nan_to_num(Y)
    Y[100:, 0] = 1.0
    splits = [(np.arange(100), np.arange(100, 120)), (np.arange(20, 120), np.arange(20))]
    gains = GroupGains(net, masks="pairs", cv=splits, scoring="r2", random_state=0).fit(X, Y)
    assert np.isnan(gains.scores_[:, 0, 0]).all()
    assert np.isfinite(gains.gains_[gains.masks_]).all()
    with pytest.raises(ValueError, match="holds out too few labels of task 0 for scoring='r2'"):
        GroupGains(net, masks="pairs", cv=splits[:1], scoring="r2").fit(X, Y)


def test_other_numbers_are_other_data_and_files_keep_what_was_scored(mixed, net, tmp_path):
    X, Y = mixed
    scoring = {"classes": "roc_auc", "regression": "r2"}
    gains = GroupGains(net, masks=[[1, 1, 0, 0]], scoring=scoring, random_state=0).fit(X, Y)
    gains.save(tmp_path / "gains")
    loaded = GroupGains.load(tmp_path / "gains", net, warm_start=True, masks=[[1, 1, 0, 0]])
    assert loaded.scoring == loaded.scoring_ == scoring
    np.testing.assert_array_equal(loaded.gains_, gains.gains_)
    assert loaded.fit(X, Y).n_trained_ == 0
    Y.loc[3, "hours"] = 7.5
    with pytest.raises(ValueError, match="still hold, but the data differs"):
        loaded.fit(X, Y)


@pytest.mark.parametrize(
    "grouping",
    [
        ExhaustiveGrouping(n_groups=2, random_state=0),
        HOAGrouping(n_groups=2, random_state=0),
        MTGNetGrouping(
            n_groups=2, groups_per_task=2, predictor=MTGNet(max_epochs=3), random_state=0
        ),
        TAGGrouping(n_groups=2, every=1, random_state=0),
    ],
    ids=lambda grouping: type(grouping).__name__,
)
def test_groupings_group_tasks_of_several_kinds(mixed, net, grouping):
    X, Y = mixed
    grouping = clone(grouping).set_params(estimator=net)
    est = GroupedMTLEstimator(net, grouping, random_state=0).fit(X, Y)
    assert est.membership_.any(axis=1).all()
    assert np.isfinite(est.score(X, Y))
    if hasattr(est.grouper_, "gains_"):
        assert est.grouper_.gains_.scoring_ == "loss"  # in which all kinds have one unit
    of_numbers = Y[["spend", "hours"]].to_numpy()
    reg = GroupedMTLRegressor(net, grouping, random_state=0).fit(X, of_numbers)
    assert np.isfinite(reg.score(X, of_numbers))


def test_measured_gains_of_several_kinds_are_predicted_and_chosen_by(mixed, net):
    X, Y = mixed
    gains = GroupGains(net, masks="pairs", random_state=0).fit(X, Y)
    assert np.isfinite(gains.gains_[gains.masks_]).all()
    hoa = HigherOrderApproximation().fit(gains.masks_, gains.gains_)
    chosen = GroupSelector(n_groups=2).fit(hoa)
    assert np.isfinite(chosen.scores_).all()
    assert chosen.objective_ == pytest.approx(chosen.scores_.mean())


def test_gains_of_regression_tasks_are_drawn(mixed, net):
    pytest.importorskip("matplotlib").use("Agg")
    from skgroup.inspection import GainsDisplay

    X, Y = mixed
    gains = GroupGains(net, masks="pairs", random_state=0).fit(X, Y)
    display = GainsDisplay.from_estimator(gains)
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(Y)
