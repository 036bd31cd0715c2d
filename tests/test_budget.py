"""Choices of groups under a budget, in any unit, against all choices there are."""

from itertools import combinations

import numpy as np
import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from skgroup import MultiTaskNet
from skgroup.selection import GroupSelector, MTGNetGrouping, TAGGrouping


@pytest.fixture
def no_training():
    """Fails at the first step of an optimizer."""
    handle = register_optimizer_step_pre_hook(lambda *_: pytest.fail("it trained"))
    yield
    handle.remove()


ALL = np.array([[bits >> i & 1 for i in range(4)] for bits in range(1, 16)], dtype=bool)


def best_of_all(gains, cost, budget, overlap):
    """The largest mean over tasks of any affordable choice, -inf if there is none."""
    best = -np.inf
    for k in range(1, 5):
        for chosen in map(list, combinations(range(len(ALL)), k)):
            if cost[chosen].sum() > budget or (not overlap and (ALL[chosen].sum(axis=0) > 1).any()):
                continue
            of_tasks = np.where(ALL[chosen], gains[chosen], -np.inf).max(axis=0)
            best = max(best, of_tasks.mean())
    return best


def close(rng):
    return 1 + 1e-8 * rng.random(15)


def mixed(rng):
    return 10 ** rng.uniform(-4, 4, 15)


def similar(rng):
    return 0.5 + rng.random(15)


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("draw", [similar, mixed, close])
@pytest.mark.parametrize("unit", [1e-8, 1e-5, 1.0, 1e8])
def test_choice_is_affordable_and_the_best_in_any_unit(unit, draw, overlap):
    rng = np.random.default_rng(0)
    for _ in range(5):
        gains = np.where(ALL, rng.normal(size=ALL.shape), np.nan)
        cost = draw(rng) * unit
        # Near what some choices cost, where little more would be too much.
        budget = np.quantile(cost, 0.7) * 2 * (1 + 1e-10)
        best = best_of_all(gains, cost, budget, overlap)
        selector = GroupSelector(None, budget=budget, group_cost=cost, overlap=overlap)
        if best == -np.inf:
            with pytest.raises(ValueError, match="without budget"):
                selector.fit(gains, masks=ALL)
            continue
        selector.fit(gains, masks=ALL)
        assert selector.cost_ <= budget
        assert selector.objective_ == pytest.approx(best, abs=1e-9)
        assert selector.gap_ == 0


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_budget_that_costs_reach_to_rounding_is_kept(unit):
    gains = np.where(np.eye(3, dtype=bool), 1.0, np.nan)
    cost = np.full(3, 0.1) * unit  # 0.1 + 0.1 + 0.1 > 0.3
    selector = GroupSelector(None, budget=0.3 * unit, group_cost=cost)
    assert selector.fit(gains, masks=np.eye(3, dtype=bool)).cost_ <= 0.3 * unit


@pytest.mark.parametrize("draw", [similar, mixed])
@pytest.mark.parametrize("unit", [1e-7, 1e6])
def test_search_keeps_a_budget_and_its_bound_holds(unit, draw):
    rng = np.random.default_rng(0)
    R, costs = rng.normal(size=(4, 4)), draw(rng) * unit
    kwargs = {"budget": costs[-1] * 1.5, "group_cost": lambda m: costs[m @ 2 ** np.arange(4) - 1]}
    exact = GroupSelector(None, solver="exact", **kwargs).fit(R)
    found = GroupSelector(None, solver="search", random_state=0, **kwargs).fit(R)
    assert found.cost_ <= kwargs["budget"]
    assert found.objective_ <= exact.objective_ + 1e-9 <= found.upper_bound_ + 2e-9


@pytest.mark.parametrize("grouping", [TAGGrouping, MTGNetGrouping])
@pytest.mark.parametrize(
    ("cost", "match"),
    [
        (lambda mask: 5.0, "No choice of groups serves all 3 tasks: without budget=1"),
        (lambda mask: "a", "'group_cost' parameter .* must give one number"),
        (lambda mask: None, "'group_cost' parameter .* must give finite costs|one number"),
        (lambda mask: [1.0, 2.0], "'group_cost' parameter .* must give one number"),
        (lambda mask: 1 / 0, "'group_cost' parameter .* raised ZeroDivisionError"),
        ({1: "a"}, "'group_cost' parameter .* must give one number"),
        ({1: 2.0, 2: 3.0, 3: 4.0}, "without budget=1"),
    ],
)
def test_costs_that_no_choice_can_pay_are_refused_before_training(
    grouping, cost, match, no_training
):
    X = np.random.default_rng(0).normal(size=(40, 3))
    selector = GroupSelector(budget=1, group_cost=cost)
    with pytest.raises(ValueError, match=match):
        grouping(MultiTaskNet.stg_mtl(max_epochs=1), 2, selector=selector).fit(
            X, (X > 0).astype(int)
        )


def test_search_finds_what_a_budget_allows_however_odd_the_costs():
    R = np.random.default_rng(0).normal(size=(6, 6))

    def cost(mask):  # only this pair of groups is affordable
        return 0.5 if mask.tolist() in ([1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 1]) else 3.0

    found = GroupSelector(None, budget=1, group_cost=cost, solver="search", random_state=0).fit(R)
    assert [group.tolist() for group in found.groups_] == [[0, 2, 3], [1, 4, 5]]
