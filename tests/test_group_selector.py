"""`GroupSelector` against published optima and against trying every choice of groups."""

import json
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from selecting import all_masks, check_consistent, random_affinity, tag_scores
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def needs(folder):
    return pytest.mark.skipif(
        not (DATA / folder).is_dir(), reason=f"published data {folder} is not there"
    )


# -- published optima --------------------------------------------------------------------------


@needs("tag")
@pytest.mark.parametrize(
    ("file", "n_groups", "objective", "groups"),
    [
        ("taskonomy5", 2, 0.321696, ["key edge2d", "ss depth norm"]),
        ("taskonomy5", 3, 0.348670, ["ss depth", "depth norm", "key edge2d"]),
        ("celeba9", 2, -99.441819, ["5_o_Clock_Shadow No_Beard", "all but 5_o_Clock_Shadow"]),
    ],
)
def test_optima_of_tags_published_affinities(file, n_groups, objective, groups):
    published = json.loads((DATA / "tag" / f"{file}.json").read_text())
    names = [name.removesuffix("_l") for name in published["tasks"]]
    affinity = pd.DataFrame(np.array(published["matrix"]).T, names, names)  # [source, target]
    selector = GroupSelector(n_groups).fit(affinity)
    assert selector.objective_ == pytest.approx(objective, abs=5e-7)
    assert selector.gap_ == 0
    wanted = {
        frozenset(names) - {g.split()[-1]} if g.startswith("all but") else frozenset(g.split())
        for g in groups
    }
    assert {frozenset(selector.task_names_in_[g]) for g in selector.groups_} == wanted


@needs("taskonomy_losses")
@pytest.mark.parametrize(("budget", "total"), [(1, 0.50278), (2, 0.45224), (3, 0.44235)])
def test_budgets_of_hoa(budget, total):
    tables = []
    for file in ("results.txt", "results_test.txt"):
        lines = (DATA / "taskonomy_losses" / file).read_text().rstrip("\n").split("\n")
        rows = [[float(v) if v.strip() else np.nan for v in line.split("\t")] for line in lines]
        table = np.full((len(rows), 5), np.nan)
        for i, row in enumerate(rows):
            table[i, : len(row)] = row
        # The first line holds five nets.
        tables.append(np.vstack([np.where(np.eye(5, dtype=bool), table[0], np.nan), table[1:]]))
    validation, test = tables
    masks = ~np.isnan(validation)
    cost = np.r_[np.full(5, 0.5), np.ones(31)]
    selector = GroupSelector(None, budget=budget, group_cost=cost)
    selector.fit(-validation, masks=masks)
    assert selector.gap_ == 0
    assert selector.cost_ <= budget
    # The group that serves a task is known by its validation loss.
    served = [test[validation[:, t] == -selector.scores_[t], t] for t in range(5)]
    assert sum(s.mean() for s in served) == pytest.approx(total, abs=5e-6)


# -- every option against trying all choices ---------------------------------------------------


def best_of_all(
    masks,
    scores,
    costs,
    n_groups,
    *,
    budget=np.inf,
    overlap=True,
    min_size=1,
    max_size=99,
    must_link=(),
    cannot_link=(),
    serving=None,
):
    """The largest objective over all sets of at most `n_groups` allowed groups."""
    n_tasks = masks.shape[1]
    serving = range(n_tasks) if serving is None else serving
    allowed = [
        g
        for g, mask in enumerate(masks)
        if min_size <= mask.sum() <= max_size
        and all(mask[a] == mask[b] for a, b in must_link)
        and not any(mask[a] and mask[b] for a, b in cannot_link)
    ]
    best = -np.inf
    for k in range(1, n_groups + 1):
        for chosen in combinations(allowed, k):
            if sum(costs[g] for g in chosen) > budget + 1e-9:
                continue
            if not overlap and masks[list(chosen)].sum(axis=0).max() > 1:
                continue
            total = 0.0
            for t in serving:
                total += max((scores[g][t] for g in chosen if masks[g][t]), default=-np.inf)
            best = max(best, total / len(serving))
    return best


CASES = [
    {},
    {"n_groups": 1},
    {"n_groups": 2, "overlap": False},
    {"overlap": False},
    {"min_size": 2},
    {"min_size": 3, "max_size": 4},
    {"max_size": 2},
    {"max_size": 2, "overlap": False},
    {"must_link": [(0, 2)]},
    {"must_link": [(0, 2), (2, 1)], "cannot_link": [(1, 3)]},
    {"cannot_link": [(0, 1), (2, 3)], "overlap": False},
    {"singleton_score": "diagonal"},
    {"singleton_score": 0.3},
    {"singleton_score": "diagonal", "overlap": False},
    {"serving_tasks": [0, 3]},
    {"serving_tasks": [True, False, True, True, False], "max_size": 3, "singleton_score": 0.1},
    {"serving_tasks": [1, 2, 4], "overlap": False},
    {"serving_tasks": [3], "n_groups": 2},
    {"budget": 2.0, "group_cost": {1: 0.5}, "singleton_score": "diagonal", "n_groups": 4},
    {"budget": 2.5, "group_cost": lambda mask: 0.3 + 0.25 * mask.sum()},
    {"budget": 2.9, "group_cost": lambda mask: 0.5 * mask.sum(), "overlap": False},
    {"budget": 3.0, "group_cost": {2: 0.5, 5: 2}, "min_size": 2, "n_groups": 4},
]


def named(case):
    """As a name that is the same in every process, which a function's is not."""
    return ", ".join(f"{k} {'of size' if callable(v) else v}" for k, v in case.items())


def by_trying(R, case):
    case = dict(case)
    masks = all_masks(len(R))
    alone = case.pop("singleton_score", -1e6)
    alone = R.diagonal() if isinstance(alone, str) else np.full(len(R), alone)
    cost = case.pop("group_cost", None)
    if isinstance(cost, dict):
        costs = [cost.get(int(mask.sum()), 1.0) for mask in masks]
    else:
        costs = np.ones(len(masks)) if cost is None else [cost(mask) for mask in masks]
    serving = case.pop("serving_tasks", None)
    if serving is not None and isinstance(serving[0], bool):
        serving = [t for t, s in enumerate(serving) if s]
    return best_of_all(
        masks, tag_scores(R, masks, alone), costs, case.pop("n_groups", 3), serving=serving, **case
    )


@pytest.mark.parametrize("case", CASES, ids=named)
def test_exact_is_as_good_as_the_best_of_all_choices(case):
    for seed in range(3):
        R = random_affinity(5, seed)
        selector = GroupSelector(solver="exact", **case).fit(R)
        check_consistent(selector, R, case)
        assert selector.objective_ == pytest.approx(by_trying(R, case), abs=1e-9)
        assert selector.gap_ == 0
        assert selector.solver_ == "exact"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_search_lies_below_the_best_of_all_choices_and_its_bound_above(case):
    R = random_affinity(5, 7)
    selector = GroupSelector(solver="search", random_state=0, **case).fit(R)
    check_consistent(selector, R, case)
    best = by_trying(R, case)
    assert selector.objective_ <= best + 1e-9
    assert selector.upper_bound_ >= best - 1e-9
    # So few tasks leave the search no excuse.
    assert selector.objective_ == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize("scale", [1e5, 5e-5, 1e-9])
@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_size_of_affinities_changes_nothing(case, scale, solver):
    """Affinities of TAG are small, and its score of a task alone is not."""
    R = random_affinity(5, 7) + 0.2
    selector = GroupSelector(solver=solver, random_state=0, **case).fit(R)
    scaled = clone(selector)
    if isinstance(case.get("singleton_score"), float):
        scaled.set_params(singleton_score=case["singleton_score"] * scale)
    scaled.fit(R * scale)
    if solver == "exact":
        assert list(map(list, scaled.groups_)) == list(map(list, selector.groups_))
        assert scaled.gap_ == selector.gap_ == 0
    if -1e6 not in selector.scores_:
        assert scaled.objective_ == pytest.approx(selector.objective_ * scale)
        assert scaled.upper_bound_ >= scaled.objective_


@pytest.mark.parametrize(
    "params", [{"cannot_link": [(0, j) for j in range(1, 7)]}, {"max_size": 2}]
)
@pytest.mark.parametrize("score", [-1e6, 1e6, -3.0, 3.0])
def test_bounds_hold_where_tasks_must_be_alone(params, score):
    R = 5e-5 * np.random.RandomState(0).normal(size=(7, 7))
    params = {"n_groups": 4, "overlap": False, "singleton_score": score, **params}
    exact = GroupSelector(solver="exact", **params).fit(R)
    assert exact.gap_ == 0
    alone = [group for group in exact.groups_ if len(group) == 1]
    assert len(alone) == (1 if score < 0 else 3 if "max_size" not in params else 1)
    search = GroupSelector(solver="search", random_state=0, **params).fit(R)
    assert search.objective_ <= exact.objective_ <= search.upper_bound_
    # The choice among the others is as good as without the score of the one alone.
    near = GroupSelector(solver="exact", **{**params, "singleton_score": score * 1e-3}).fit(R)
    assert list(map(list, near.groups_)) == list(map(list, exact.groups_))


@pytest.mark.parametrize("n_tasks", [4, 6])
@pytest.mark.parametrize("overlap", [True, False])
def test_other_numbers_of_tasks(n_tasks, overlap):
    for seed in range(5):
        R = random_affinity(n_tasks, seed)
        selector = GroupSelector(2, overlap=overlap).fit(R)
        assert selector.objective_ == pytest.approx(
            by_trying(R, {"n_groups": 2, "overlap": overlap}), abs=1e-9
        )


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"overlap": False},
        {"budget": 1.7, "n_groups": 4},
        {"serving_tasks": [0, 2, 3], "overlap": False},
        {"must_link": [(0, 1)], "min_size": 2},
    ],
    ids=str,
)
def test_measured_groups(solver, case):
    for seed in range(4):
        rng = np.random.RandomState(seed)
        masks = all_masks(5)[rng.permutation(31)[:20]]
        masks = np.vstack([masks, np.ones((1, 5), bool), np.eye(5, dtype=bool)])
        gains = np.where(masks, rng.normal(size=masks.shape), np.nan)
        case = dict(case)
        costs = np.ones(len(masks))
        if "budget" in case:
            costs = rng.uniform(0.2, 1.0, size=len(masks))
            case["group_cost"] = costs
        selector = GroupSelector(solver=solver, **case).fit(gains, masks=masks)
        limits = {k: v for k, v in case.items() if k not in ("group_cost", "serving_tasks")}
        best = best_of_all(
            masks,
            gains,
            costs,
            limits.pop("n_groups", 3),
            serving=case.get("serving_tasks"),
            **limits,
        )
        listed = {tuple(mask) for mask in masks}
        assert all(tuple(mask) in listed for mask in selector.membership_.T.astype(bool))
        assert selector.upper_bound_ >= best - 1e-9
        if solver == "exact":
            assert selector.objective_ == pytest.approx(best, abs=1e-9)
            assert selector.gap_ == 0
        else:
            assert selector.objective_ <= best + 1e-9


def test_one_set_of_tasks_may_be_measured_twice_at_two_costs():
    masks = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    gains = np.where(masks, [[3.0], [2.0], [5.0], [1.0]], np.nan)
    selector = GroupSelector(None, budget=1.5, group_cost=[1, 0.5, 1, 0.5])
    selector.fit(gains, masks=masks)
    np.testing.assert_array_equal(selector.scores_, [2.0, 5.0])
    assert selector.cost_ == 1.5


class MeanOfMembers:
    """A predictor: a member gains the mean number of the others."""

    n_tasks_ = 5

    def __init__(self, affinity):
        self.affinity = affinity
        self.n_asked = 0

    def predict(self, masks):
        self.n_asked += len(masks)
        return tag_scores(self.affinity, masks, np.full(5, -1e6))


def test_predictor_is_asked_about_all_allowed_groups_or_those_of_masks():
    R = random_affinity(5)
    predictor = MeanOfMembers(R)
    selector = GroupSelector(max_size=3, min_size=2).fit(predictor)
    assert predictor.n_asked == 20
    reference = GroupSelector(max_size=3, min_size=2).fit(R)
    assert selector.objective_ == pytest.approx(reference.objective_)
    np.testing.assert_array_equal(selector.membership_, reference.membership_)

    masks = all_masks(5)[::3]
    selector.set_params(min_size=1, max_size=None).fit(predictor, masks=masks)
    gains = predictor.predict(masks)
    assert selector.objective_ == pytest.approx(best_of_all(masks, gains, np.ones(11), 3))


def test_predictor_among_too_many_tasks_is_refused():
    predictor = MeanOfMembers(None)
    predictor.n_tasks_ = 20
    with pytest.raises(ValueError, match="65536 groups at most, and 1048575 are allowed"):
        GroupSelector().fit(predictor)
    del predictor
    with pytest.raises(ValueError, match="must be fitted and have n_tasks_ or n_features_in_"):
        GroupSelector().fit(type("Bare", (), {"predict": None})())


# -- more tasks --------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize(("n_tasks", "n_groups"), [(10, 3), (11, 5), (12, 4)])
def test_search_against_exact(n_tasks, n_groups, overlap):
    R = random_affinity(n_tasks, n_groups)
    exact = GroupSelector(n_groups, overlap=overlap, solver="exact").fit(R)
    assert exact.gap_ == 0
    found = clone(exact).set_params(solver="search", random_state=0).fit(R)
    assert found.solver_ == "search"
    assert found.objective_ <= exact.objective_ + 1e-9
    assert found.upper_bound_ >= exact.objective_
    assert found.gap_ == found.upper_bound_ - found.objective_ > 0
    check_consistent(found, R, {"n_groups": n_groups, "overlap": overlap})


def test_search_measures_of_forty_tasks_are_far_above_one_group():
    # Blocks of ten help each other.
    rng = np.random.RandomState(0)
    block = np.arange(40) // 10
    R = np.where(block[:, None] == block, 1.0, -1.0) + 0.3 * rng.normal(size=(40, 40))
    order = rng.permutation(40)
    for overlap in (True, False):
        selector = GroupSelector(4, overlap=overlap, n_init=4, random_state=0)
        selector.fit(R[np.ix_(order, order)])
        assert selector.solver_ == "search"
        case = {"n_groups": 4, "overlap": overlap}
        check_consistent(selector, R[np.ix_(order, order)], case)
        blocks = [tag_scores(R, (block == b)[None], None)[0][block == b] for b in range(4)]
        assert selector.objective_ >= np.mean(blocks) - 1e-9
        if not overlap:
            assert {frozenset(block[order[g]]) for g in selector.groups_} == {
                frozenset([b]) for b in range(4)
            }


def test_search_among_forty_tasks_keeps_constraints():
    R = random_affinity(40)
    case = {
        "n_groups": 6,
        "min_size": 4,
        "max_size": 12,
        "must_link": [(0, 1), (1, 2), (10, 20)],
        "cannot_link": [(0, 3), (4, 5), (5, 6), (4, 6)],
        "serving_tasks": list(range(30)),
    }
    for overlap in (True, False):
        selector = GroupSelector(overlap=overlap, n_init=2, random_state=0, **case).fit(R)
        check_consistent(selector, R, {**case, "overlap": overlap})


def test_few_allowed_groups_among_many_tasks_are_listed():
    R = random_affinity(40)
    selector = GroupSelector(None, max_size=2, overlap=False).fit(R)
    assert selector.solver_ == "exact"
    assert selector.gap_ == 0
    # A perfect matching of largest weight.
    nx = pytest.importorskip("networkx")
    weight = R + R.T + 100.0
    np.fill_diagonal(weight, 0.0)
    graph = nx.from_numpy_array(weight)
    matching = nx.max_weight_matching(graph, maxcardinality=True)
    assert selector.objective_ == pytest.approx(sum(R[a, b] + R[b, a] for a, b in matching) / 40)


def test_time_limit_warns_and_reports_the_gap():
    R = random_affinity(15, 1)
    with pytest.warns(ConvergenceWarning, match="time_limit=1e-09 before a proof"):
        selector = GroupSelector(4, solver="exact", time_limit=1e-9).fit(R)
    assert 0 < selector.gap_ < np.inf
    check_consistent(selector, R, {"n_groups": 4})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proved = clone(selector).set_params(time_limit=None).fit(R)
    assert proved.gap_ == 0
    assert selector.objective_ <= proved.objective_ <= selector.upper_bound_
