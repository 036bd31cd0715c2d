import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_score

from skgroup.selection import ETAP, GroupSelector
from skgroup.selection.gains import all_groups


@pytest.fixture
def table():
    """All groups of five tasks: a curve of the mean affinity, and an effect of each pair."""
    rng = np.random.RandomState(0)
    affinity = rng.normal(size=(5, 5))
    effects = 0.1 * rng.normal(size=(5, 5))
    masks = all_groups(5)
    gains = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        for t in np.flatnonzero(mask):
            others = [i for i in np.flatnonzero(mask) if i != t]
            if others:
                gains[g, t] = np.tanh(affinity[others, t].mean()) + effects[others, t].sum()
            else:
                gains[g, t] = 0.01 * t
    return affinity, masks, gains


def test_etap_equals_a_literal_transcription(table):
    affinity, masks, gains = table
    known, alpha = np.arange(0, 31, 2), 0.3
    predictor = ETAP(affinity, transformation=LinearRegression(), correction=Ridge(alpha))
    predicted = predictor.fit(masks[known], gains[known]).predict(masks)

    def score(mask, t):
        others = [i for i in range(5) if mask[i] and i != t]
        return sum(affinity[i, t] for i in others) / len(others)

    groups = [g for g in known if masks[g].sum() > 1]
    entries = [(score(masks[g], t), gains[g, t]) for g in groups for t in np.flatnonzero(masks[g])]
    x, y = np.array(entries).T
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    start = y.mean() - slope * x.mean()
    left = np.array(
        [
            [
                gains[g, t] - start - slope * score(masks[g], t) if masks[g, t] else 0
                for t in range(5)
            ]
            for g in groups
        ]
    )
    M = masks[groups].astype(float)
    centred = M - M.mean(0)
    weights = np.linalg.solve(
        centred.T @ centred + alpha * np.eye(5), centred.T @ (left - left.mean(0))
    )
    expected = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        for t in np.flatnonzero(mask):
            if mask.sum() == 1:
                alone = [gains[k, t] for k in known if masks[k].sum() == 1 and masks[k, t]]
                expected[g, t] = np.mean(alone) if alone else 0
                continue
            correction = left[:, t].mean() + (mask - M.mean(0)) @ weights[:, t]
            expected[g, t] = start + slope * score(mask, t) + correction
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-12)


def test_curve_and_correction_are_learned_and_each_is_of_use(table):
    affinity, masks, gains = table
    known = np.random.RandomState(0).permutation(len(masks))[:20]
    held_out = masks & (masks.sum(1, keepdims=True) > 1)
    held_out[known] = False

    def error(**parts):
        predicted = ETAP(affinity, **parts).fit(masks[known], gains[known]).predict(masks)
        return np.abs(predicted - gains)[held_out].mean()

    both = error()
    assert both < 0.7 * error(transformation=DummyRegressor())
    assert both < error(correction=DummyRegressor(strategy="constant", constant=np.zeros(5)))


def test_the_penalty_of_the_correction_is_the_best_of_groups_left_out(table):
    affinity, masks, gains = table
    fitted = ETAP(affinity, transformation=LinearRegression()).fit(masks, gains)
    groups = masks[masks.sum(1) > 1]
    scores = np.array(
        [[affinity[m & (np.arange(5) != t), t].mean() for t in range(5)] for m in groups]
    )
    left = np.zeros(groups.shape)
    y = gains[masks.sum(1) > 1][groups]
    left[groups] = y - fitted.transformation_.predict(scores[groups][:, None])
    penalties, one = np.logspace(-6, 2, 20), LeaveOneOut()
    scoring = "neg_mean_squared_error"
    losses = [
        -cross_val_score(Ridge(alpha), groups, left, cv=one, scoring=scoring).mean()
        for alpha in penalties
    ]
    assert fitted.correction_.alpha_ == pytest.approx(penalties[np.argmin(losses)])


def test_tasks_are_matched_by_name(table):
    affinity, masks, gains = table
    names = list("abcde")
    order = [3, 1, 4, 0, 2]
    frame = pd.DataFrame(affinity, index=names, columns=names)
    moved = frame.iloc[order, order]
    plain = ETAP(affinity).fit(masks, gains).predict(masks)
    named = ETAP(moved).fit(pd.DataFrame(masks, columns=names), gains)
    np.testing.assert_allclose(named.predict(pd.DataFrame(masks, columns=names)), plain, atol=1e-12)


def test_permuting_tasks_permutes_predictions(table):
    affinity, masks, gains = table
    parts = {"transformation": LinearRegression(), "correction": Ridge()}
    order = np.array([3, 1, 4, 0, 2])
    predicted = ETAP(affinity, **parts).fit(masks, gains).predict(masks)
    moved = ETAP(affinity[np.ix_(order, order)], **parts).fit(masks[:, order], gains[:, order])
    np.testing.assert_allclose(moved.predict(masks[:, order]), predicted[:, order], atol=1e-12)


def test_absent_tasks_and_the_diagonal_are_not_looked_at(table):
    affinity, masks, gains = table
    predicted = ETAP(affinity).fit(masks, gains).predict(masks)
    np.testing.assert_array_equal(np.isnan(predicted), ~masks)
    other = affinity.copy()
    np.fill_diagonal(other, np.nan)
    before = other.copy()
    filled = ETAP(other).fit(masks, np.where(masks, gains, 1e9))
    np.testing.assert_array_equal(filled.predict(masks), predicted)
    np.testing.assert_array_equal(other, before)


def test_a_constant_affinity_leaves_the_correction(table):
    _, masks, gains = table
    predicted = ETAP(np.ones((5, 5))).fit(masks, gains).predict(masks)
    several = masks & (masks.sum(1, keepdims=True) > 1)
    assert np.corrcoef(predicted[several], gains[several])[0, 1] > 0.3


def test_a_fitted_predictor_is_cloned_pickled_and_selected_by(table):
    affinity, masks, gains = table
    fitted = ETAP(affinity).fit(masks, gains)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(masks), fitted.predict(masks))
    np.testing.assert_array_equal(clone(fitted).affinity, affinity)
    chosen = GroupSelector(2).fit(fitted)
    assert chosen.objective_ >= GroupSelector(1).fit(fitted).objective_


@pytest.mark.parametrize(
    ("affinity", "message"),
    [
        (np.zeros((4, 4)), "with n_tasks=5 as in masks. Got shape (4, 4)"),
        (np.where(np.eye(5, k=1) == 1, np.inf, 0), "Got inf for the effect of task 0 on task 1"),
        ([["a"] * 5] * 5, "must be an array of numbers"),
    ],
)  # fmt: skip
def test_a_wrong_affinity_is_refused(table, affinity, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ETAP(affinity).fit(*table[1:])


def test_too_few_groups_are_refused(table):
    affinity, masks, gains = table
    with pytest.raises(
        ValueError, match=re.escape("2 groups or more that hold several tasks. Got 1")
    ):
        ETAP(affinity).fit(masks[:6], gains[:6])
