"""What tests of `GroupSelector` share."""

import numpy as np
import pytest


def random_affinity(n_tasks, seed=0):
    return np.random.RandomState(seed).normal(size=(n_tasks, n_tasks))


def all_masks(n_tasks):
    return np.array([[m >> t & 1 for t in range(n_tasks)] for m in range(1, 2**n_tasks)], bool)


def tag_scores(affinity, masks, alone):
    """Literally: the mean affinity of the other members onto each."""
    scores = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        members = np.flatnonzero(mask)
        for j in members:
            others = [affinity[i, j] for i in members if i != j]
            scores[g, j] = np.mean(others) if others else alone[j]
    return scores


def check_consistent(selector, R, case):
    """What is reported is what the groups score, and keeps every constraint."""
    n_tasks = len(R)
    masks = selector.membership_.T.astype(bool)
    assert set(np.unique(selector.membership_)) <= {0, 1}
    assert masks.any(axis=1).all()
    assert [list(np.flatnonzero(mask)) for mask in masks] == [list(g) for g in selector.groups_]
    alone = case.get("singleton_score", -1e6)
    alone = R.diagonal() if isinstance(alone, str) else np.full(n_tasks, alone)
    scores = tag_scores(R, masks, alone)
    serving = case.get("serving_tasks")
    serving = np.arange(n_tasks) if serving is None else np.arange(n_tasks)[serving]
    best = np.nanmax(scores[:, serving], axis=0)
    assert selector.objective_ == pytest.approx(best.mean(), abs=1e-12, rel=1e-12)
    np.testing.assert_allclose(selector.scores_[serving], best)
    held = masks.any(axis=0)
    assert held[serving].all()
    np.testing.assert_array_equal(selector.serving_weights_.sum(axis=1), held)
    for t in np.flatnonzero(held):
        g = selector.serving_weights_[t].argmax()
        assert scores[g, t] == np.nanmax(scores[:, t])
        assert selector.scores_[t] == pytest.approx(scores[g, t])
    assert np.isnan(selector.scores_[~held]).all()
    assert (selector.serving_weights_[serving].sum(axis=0) > 0).all()  # no group is unused
    # constraints
    assert len(masks) <= case.get("n_groups", 3)
    size = masks.sum(axis=1)
    assert (size >= case.get("min_size", 1)).all()
    assert (size <= case.get("max_size", n_tasks)).all()
    assert all((masks[:, a] == masks[:, b]).all() for a, b in case.get("must_link", []))
    assert not any((masks[:, a] & masks[:, b]).any() for a, b in case.get("cannot_link", []))
    if not case.get("overlap", True):
        assert masks.sum(axis=0).max() == 1
    cost = case.get("group_cost")
    if isinstance(cost, dict):
        total = sum(cost.get(int(s), 1) for s in size)
    else:
        total = len(masks) if cost is None else sum(cost(mask) for mask in masks)
    assert selector.cost_ == pytest.approx(total)
    assert total <= case.get("budget", np.inf) + 1e-9
    assert selector.gap_ == selector.upper_bound_ - selector.objective_
    assert selector.gap_ >= 0
