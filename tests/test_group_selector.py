"""`GroupSelector` against published optima and against trying every choice of groups."""

import json
import pickle
import re
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.selection import GroupSelector

pd = pytest.importorskip("pandas")

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def needs(folder):
    return pytest.mark.skipif(
        not (DATA / folder).is_dir(), reason=f"published data {folder} is not there"
    )


def random_affinity(n_tasks, seed=0):
    return np.random.RandomState(seed).normal(size=(n_tasks, n_tasks))


def all_masks(n_tasks):
    return np.array([[m >> t & 1 for t in range(n_tasks)] for m in range(1, 2**n_tasks)], bool)


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


def tag_scores(affinity, masks, alone):
    """Literally: the mean affinity of the other members onto each."""
    scores = np.full(masks.shape, np.nan)
    for g, mask in enumerate(masks):
        members = np.flatnonzero(mask)
        for j in members:
            others = [affinity[i, j] for i in members if i != j]
            scores[g, j] = np.mean(others) if others else alone[j]
    return scores


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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_is_as_good_as_the_best_of_all_choices(case):
    for seed in range(3):
        R = random_affinity(5, seed)
        selector = GroupSelector(solver="exact", **case).fit(R)
        check_consistent(selector, R, case)
        assert selector.objective_ == pytest.approx(by_trying(R, case), abs=1e-9)
        assert selector.gap_ == 0
        assert selector.solver_ == "exact"


@pytest.mark.parametrize("case", CASES, ids=str)
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
@pytest.mark.parametrize("case", CASES, ids=str)
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


# -- the interface -----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize("overlap", [True, False])
def test_permuting_tasks_permutes_the_groups(solver, overlap):
    R = random_affinity(9, 3)
    order = np.random.RandomState(0).permutation(9)
    place = np.argsort(order)
    selector = GroupSelector(
        3, solver=solver, overlap=overlap, must_link=[(0, 4)], cannot_link=[(1, 2)], random_state=0
    ).fit(R)
    links = {"must_link": [(place[0], place[4])], "cannot_link": [(place[1], place[2])]}
    moved = clone(selector).set_params(**links).fit(R[np.ix_(order, order)])
    assert {frozenset(order[g]) for g in moved.groups_} == {frozenset(g) for g in selector.groups_}
    assert moved.objective_ == pytest.approx(selector.objective_, rel=1e-14)
    np.testing.assert_allclose(moved.scores_, selector.scores_[order])


def test_permuting_measured_groups_and_tasks_permutes_the_groups():
    rng = np.random.RandomState(0)
    masks = all_masks(6)[rng.permutation(63)[:40]]
    gains = np.where(masks, rng.normal(size=masks.shape), np.nan)
    order, rows = rng.permutation(6), rng.permutation(40)
    selector = GroupSelector(3).fit(gains, masks=masks)
    moved = clone(selector).fit(gains[np.ix_(rows, order)], masks=masks[np.ix_(rows, order)])
    assert {frozenset(order[g]) for g in moved.groups_} == {frozenset(g) for g in selector.groups_}


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(0)])
def test_inputs_and_global_random_state_are_left_alone(random_state):
    R = random_affinity(8)
    before = R.copy()
    for solver in ("exact", "search"):
        GroupSelector(solver=solver, random_state=random_state).fit(R)
    np.testing.assert_array_equal(R, before)


def test_same_seed_same_groups_pickle_and_transform():
    R = random_affinity(18)
    selector = GroupSelector(solver="search", n_init=2, random_state=3)
    membership = selector.fit_transform(R)
    np.testing.assert_array_equal(clone(selector).fit_transform(R), membership)
    np.testing.assert_array_equal(selector.transform(R), membership)
    loaded = pickle.loads(pickle.dumps(selector))
    np.testing.assert_array_equal(loaded.transform(R), membership)
    with pytest.raises(NotFittedError):
        GroupSelector().transform(R)


def test_names_of_tasks():
    names = list("abcde")
    R = random_affinity(5)
    frame = pd.DataFrame(R, names, names)
    by_name = GroupSelector(
        2, must_link=[("a", "c")], cannot_link=[("b", "d")], serving_tasks=["a", "b", "d"]
    ).set_output(transform="pandas")
    by_position = GroupSelector(
        2, must_link=[(0, 2)], cannot_link=[(1, 3)], serving_tasks=[0, 1, 3]
    )
    rows = by_name.fit_transform(frame)
    assert list(rows.index) == names
    assert list(rows.columns) == [f"group{g}" for g in range(rows.shape[1])]
    np.testing.assert_array_equal(rows.to_numpy(), by_position.fit_transform(R))
    assert list(by_name.task_names_in_) == names
    with pytest.raises(ValueError, match="rows and columns in one order"):
        by_name.fit(frame.loc[names[::-1]])


def test_fewer_groups_are_used_where_more_do_not_help():
    R = np.ones((4, 4))
    selector = GroupSelector(4).fit(R)
    assert selector.objective_ == 1
    assert len(selector.groups_) <= 2
    one = GroupSelector(3, singleton_score=2.0).fit([[0.0]])
    np.testing.assert_array_equal(one.membership_, [[1.0]])
    assert one.objective_ == 2


def test_groups_train_specialists(digits):
    class Affinity(GroupSelector):
        """Stands for a relation: any Y gives the same affinity."""

        def fit(self, X, y=None):
            return super().fit(random_affinity(y.shape[1], 1))

    X, Y = digits
    net = MultiTaskNet(module__hidden_units=(8,), max_epochs=2)
    grouper = make_pipeline(Affinity(2))
    clf = GroupedMTLClassifier(net, grouper, random_state=0).fit(X, Y[:, -5:])
    np.testing.assert_array_equal(
        clf.serving_weights_, grouper[-1].fit(X, Y[:, -5:]).serving_weights_
    )
    assert clf.predict(X).shape == (600, 5)


def test_verbose_prints_bounds(capsys):
    GroupSelector(verbose=1).fit(random_affinity(8))
    assert "[GroupSelector] bound" in capsys.readouterr().out
    GroupSelector().fit(random_affinity(8))
    assert capsys.readouterr().out == ""


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_groups": 0}, "The 'n_groups' parameter of GroupSelector must be an int"),
        ({"solver": "greedy"}, "The 'solver' parameter of GroupSelector must be a str among"),
        ({"singleton_score": "mean"}, "The 'singleton_score' parameter of GroupSelector must be"),
        ({"time_limit": 0}, "The 'time_limit' parameter of GroupSelector must be"),
        ({"min_size": 6}, "'min_size' parameter of GroupSelector must be at most the number of"),
        ({"min_size": 3, "max_size": 2}, "must be at most max_size=2. Got 3 instead"),
        ({"must_link": [(0, 0)]}, "'must_link' parameter of GroupSelector must be a list of pairs"),
        ({"must_link": [0, 1]}, "'must_link' parameter of GroupSelector must be a list of pairs"),
        ({"cannot_link": [(0, 5)]}, "must hold names of tasks or positions in [0, 5). Got 5"),
        ({"cannot_link": [("a", 1)]}, "must hold positions, as R has no names of tasks. Got 'a'"),
        ({"serving_tasks": []}, "'serving_tasks' parameter of GroupSelector must hold at least"),
        ({"serving_tasks": [True, False]}, "must be of length n_tasks=5 as a mask"),
        ({"serving_tasks": [7]}, "'serving_tasks' parameter of GroupSelector must hold names"),
        ({"group_cost": {1: 0.5}}, "'group_cost' parameter of GroupSelector counts only within"),
        ({"group_cost": [1, 2], "budget": 3}, "must have one cost a row of masks, which are not"),
        ({"group_cost": {1: -0.5}, "budget": 3}, "must give finite costs >= 0. Got -0.5"),
        ({"group_cost": {"one": 1}, "budget": 3}, "must map sizes (int) to costs"),
        (
            {"group_cost": lambda mask: np.nan, "budget": 3},
            "'group_cost' parameter of GroupSelector must give finite costs >= 0. Got nan",
        ),
        (
            {"must_link": [(0, 1), (1, 2)], "cannot_link": [(2, 0)]},
            "must_link and cannot_link contradict each other: must_link ties task 2 and task 0",
        ),
        (
            {"must_link": [(0, 1), (1, 2)], "max_size": 2, "n_groups": 5},
            "must_link ties more tasks together than max_size=2 allows: task 0, task 1, task 2",
        ),
        ({"n_groups": 2, "max_size": 2}, "n_groups=2 groups of at most max_size=2 cannot serve 5"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupSelector(**params).fit(random_affinity(5))


@pytest.mark.parametrize("solver", ["exact", "search"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"n_groups": 2, "cannot_link": [(0, 1), (1, 2), (2, 0)]},
            "without n_groups=2 or without cannot_link there would be one",
        ),
        (
            {"n_groups": 3, "overlap": False, "min_size": 3, "max_size": 3},
            "without overlap=False or without min_size=3 or without max_size=3 there would be one",
        ),
        (
            {"n_groups": 3, "overlap": False, "max_size": 2, "must_link": [(0, 1), (2, 3)]},
            None,
        ),
        (
            {"overlap": False, "min_size": 3, "cannot_link": [(0, 1)]},
            "without overlap=False or without min_size=3 or without cannot_link",
        ),
        ({"budget": 0.5}, "without budget=0.5 there would be one"),
        (
            {"min_size": 5, "cannot_link": [(0, 1)]},
            "without min_size=5 or without cannot_link there would be one",
        ),
    ],
)
def test_constraints_that_cannot_be_kept_are_named(solver, params, message):
    selector = GroupSelector(solver=solver, **params)
    if message is None:
        check_consistent(selector.fit(random_affinity(5)), random_affinity(5), params)
        return
    with pytest.raises(ValueError, match=message):
        selector.fit(random_affinity(5))


def test_tasks_that_no_measured_group_holds_are_named():
    masks = np.array([[1, 1, 0, 0], [0, 1, 0, 0]], dtype=bool)
    gains = np.where(masks, 1.0, np.nan)
    with pytest.raises(
        ValueError, match="serves all 4 tasks: no row of masks holds task 2, task 3"
    ):
        GroupSelector().fit(gains, masks=masks)
    selector = GroupSelector(serving_tasks=[0, 1]).fit(gains, masks=masks)
    np.testing.assert_array_equal(selector.membership_, [[1], [1], [0], [0]])
    np.testing.assert_array_equal(selector.serving_weights_, [[1], [1], [0], [0]])


@pytest.mark.parametrize(
    ("R", "masks", "message"),
    [
        (np.ones((3, 4)), None, "R must be a square affinity matrix"),
        (np.ones(4), None, "R must be a square affinity matrix"),
        ([[1.0, np.nan], [0.0, 1.0]], None, "R must be finite as an affinity matrix"),
        ([["a", "b"], ["c", "d"]], None, "R must be an affinity matrix, measured gains"),
        (np.ones((2, 2)), np.ones((3, 2)), "R and masks must have the same shape"),
        (np.ones((2, 2)), [[1, 2], [0, 1]], "masks must be of shape (n_measured, n_tasks)"),
        (np.ones((2, 2)), [[1, 1], [0, 0]], "Row 1 is empty"),
        (
            [[np.nan, 1.0], [1.0, 1.0]],
            [[1, 1], [0, 1]],
            "R must hold a finite gain for each task that masks say is in the group. Got nan",
        ),
    ],
)
def test_wrong_input_is_refused(R, masks, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupSelector().fit(R, masks=masks)


def test_exact_among_too_many_groups_is_refused():
    with pytest.raises(ValueError, match="lists 1048576 groups at most, and"):
        GroupSelector(solver="exact").fit(random_affinity(30))
