"""Ready-made groupings: from X and Y to groups, and what that will cost."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import FuzzyKMeans
from skgroup.relations import InterTaskAffinity, LabelCorrelationAffinity
from skgroup.selection import (
    ExhaustiveGrouping,
    GradTAGGrouping,
    GroupGains,
    GroupSelector,
    HigherOrderApproximation,
    HOAGrouping,
    MTGNet,
    MTGNetGrouping,
    TAGGrouping,
    describe_cost,
)
from skgroup.training import _net, engine
from skgroup.training.training_data import check_training_data


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    X = random.normal(size=(240, 6)).astype(np.float32)
    Y = np.column_stack(
        [X[:, 0] > 0, X[:, 0] > 0.3, X[:, 1] * X[:, 2] > 0, X[:, 1] * X[:, 2] > 0.2]
    ).astype(int)
    return X, Y


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=4, lr=0.01)


@pytest.fixture
def trained(monkeypatch):
    """Counts the nets that train."""
    from skgroup.training import MultiTaskNet as Net

    count = []
    train = Net._train

    def counting(self, *args, **kwargs):
        count.append(1)
        return train(self, *args, **kwargs)

    def stacked(stack, nets, *args, **kwargs):
        count.extend([1] * len(nets))
        return whole(stack, nets, *args, **kwargs)

    whole = engine.train_stacked
    monkeypatch.setattr(Net, "_train", counting)
    monkeypatch.setattr(engine, "train_stacked", stacked)
    return count


@pytest.mark.parametrize(
    "make",
    [
        lambda net: TAGGrouping(net, 2, every=2),
        lambda net: GradTAGGrouping(net, 2, projection_dim=10, cv=2),
        lambda net: ExhaustiveGrouping(net, 2),
        lambda net: HOAGrouping(net, 2, cv=2),
        lambda net: MTGNetGrouping(net, 2, groups_per_task=2, predictor=MTGNet(max_epochs=5)),
        lambda net: HOAGrouping(net, 2, cv=ShuffleSplit(2, test_size=0.3, random_state=0)),
    ],
)
def test_cost_is_foretold_and_every_task_served_once(data, net, trained, make):
    grouping = make(net).set_params(random_state=0)
    forecast = grouping.count_nets(4)
    assert describe_cost({"it": grouping}, 4) == [
        {"name": "it", "nets": forecast, "epochs": 4 * forecast}
    ]
    grouping.fit(*data)
    assert len(trained) == forecast
    membership, serving = grouping.membership_, grouping.serving_weights_
    assert membership.shape == serving.shape == (4, len(grouping.groups_))
    assert len(grouping.groups_) <= 2
    np.testing.assert_array_equal(serving.sum(axis=1), 1)
    assert (serving <= membership).all()
    assert grouping.gap_ == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda net: TAGGrouping(net, 2, every=2),
        lambda net: GradTAGGrouping(net, 2, projection_dim=10),
        lambda net: ExhaustiveGrouping(net, 2),
        lambda net: HOAGrouping(net, 2),
        lambda net: MTGNetGrouping(net, 2, predictor=MTGNet(max_epochs=3)),
    ],
)
def test_data_are_checked_once(data, net, monkeypatch, make, constant):
    X, Y = data
    if constant:
        Y = np.column_stack([Y[:, :3], np.ones(len(Y), dtype=int)])
    checked = []

    def counting(*args, **kwargs):
        checked.append(1)
        return check_training_data(*args, **kwargs)

    monkeypatch.setattr(_net, "check_training_data", counting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if constant else "error")
        make(net).set_params(random_state=0).fit(X, Y)
    assert len(checked) == 1


def test_splits_that_are_given_are_counted(data, net, trained):
    halves = np.arange(0, 240, 2), np.arange(1, 240, 2)
    grouping = HOAGrouping(net, 2, cv=[halves, halves[::-1]], random_state=0)
    assert grouping.count_nets(4) == 20
    grouping.fit(*data)
    assert len(trained) == 20


def test_one_task_is_its_own_group(data, net):
    X, Y = data
    for make in (TAGGrouping, GradTAGGrouping, HOAGrouping, MTGNetGrouping):
        grouping = make(net, 1)
        np.testing.assert_array_equal(grouping.fit(X, Y[:, 0]).membership_, [[1]])


def test_what_is_no_estimator_has_no_cost():
    with pytest.raises(TypeError, match=r"'it' of groupings must be an estimator\. Got 'HOA'"):
        describe_cost({"it": "HOA"}, 4)


def best_of_all(masks, gains, n_groups):
    """The best mean gain of at most two groups, by trying all pairs of them."""
    best = -np.inf
    filled = np.where(np.isnan(gains), -np.inf, gains)
    assert n_groups == 2
    for a in range(len(masks)):
        for b in range(len(masks)):
            best = max(best, np.maximum(filled[a], filled[b]).mean())
    return best


def test_exhaustive_search_finds_the_best_of_what_it_measured(data, net):
    found = ExhaustiveGrouping(net, 2, random_state=0).fit(*data)
    assert found.gains_.masks_.shape == (15, 4)
    best = best_of_all(found.gains_.masks_, found.gains_.gains_, 2)
    assert found.objective_ == pytest.approx(best, abs=1e-6)


def test_hoa_chooses_by_the_mean_of_the_gains_in_pairs(data, net):
    found = HOAGrouping(net, 2, random_state=0).fit(*data)
    pairs = GroupGains(net, masks="pairs", random_state=0).fit(*data)
    np.testing.assert_array_equal(found.gains_.gains_, pairs.gains_)
    masks = np.array([[int(b) for b in f"{i:04b}"] for i in range(1, 16)], dtype=bool)
    predicted = HigherOrderApproximation().fit(pairs.masks_, pairs.gains_).predict(masks)
    assert found.objective_ == pytest.approx(best_of_all(masks, predicted, 2), abs=1e-6)
    for (i, j), gain in zip(
        np.argwhere(np.triu(np.ones((4, 4)), 1)), pairs.gains_[4:], strict=True
    ):
        assert found.affinity_[i, j] == gain[j]
        assert found.affinity_[j, i] == gain[i]


def test_tag_is_the_selector_behind_the_affinity(data, net):
    found = TAGGrouping(net, 2, every=2, random_state=0).fit(*data)
    relation = InterTaskAffinity(net, every=2, random_state=0)
    expected = make_pipeline(relation, GroupSelector(2, random_state=0)).fit(*data)
    np.testing.assert_array_equal(found.affinity_, expected[0].affinity_)
    np.testing.assert_array_equal(found.membership_, expected[1].membership_)


def test_mtg_net_trusts_measured_gains_before_predicted_ones(data, net):
    every = MTGNetGrouping(
        net, 2, groups_per_task=4, predictor=MTGNet(max_epochs=3), random_state=0
    ).fit(*data)
    assert len(every.gains_.masks_) == 15  # there are no more
    best = best_of_all(every.gains_.masks_, every.gains_.gains_, 2)
    assert every.objective_ == pytest.approx(best, abs=1e-6)


def test_groupings_serve_a_classifier(data, net):
    X, Y = data
    for grouping in (TAGGrouping(net, 2, every=2), HOAGrouping(net, 2)):
        clf = GroupedMTLClassifier(net, grouping, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(clf.serving_weights_, clf.grouper_.serving_weights_)
        assert clf.predict(X).shape == (240, 4)
        again = clone(clf).fit(X, Y)
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_a_selector_with_rules_of_its_own(data, net):
    selector = GroupSelector(min_size=2, cannot_link=[(0, 1)])
    found = HOAGrouping(net, 2, selector=selector, random_state=0).fit(*data)
    assert (found.membership_.sum(axis=0) >= 2).all()
    assert not (found.membership_[0] * found.membership_[1]).any()


def test_a_helper_that_no_group_holds_is_predicted_by_its_shares(data, net):
    X, Y = data
    relation = LabelCorrelationAffinity()
    selector = GroupSelector(1, serving_tasks=[0, 1], max_size=2, min_size=2)
    clf = GroupedMTLClassifier(net, make_pipeline(relation, selector), random_state=0)
    with pytest.warns(UserWarning, match="No group holds these tasks.*: 2, 3"):
        clf.fit(X, Y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba[:, 2:], np.tile(Y[:, 2:].mean(axis=0), (240, 1)), atol=1e-6)
    assert proba[:, :2].std(axis=0).min() > 0.01


def test_cost_of_pipelines(net):
    rows = describe_cost(
        {
            "maps": make_pipeline(TaskGrouper(net), FuzzyKMeans()),
            "single": make_pipeline(TaskGrouper(net, source="stl"), FuzzyKMeans()),
            "labels": make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans()),
            "all": ExhaustiveGrouping(net),
        },
        10,
    )
    assert [row["nets"] for row in rows] == [1, 10, 0, 1023]
    assert [row["epochs"] for row in rows] == [4, 40, 0, 4092]


def test_cost_of_what_does_not_say_it(net):
    clf = GroupedMTLClassifier(net, n_groups=2)
    nested = make_pipeline(make_pipeline(TaskGrouper(net)), FuzzyKMeans())
    assert describe_cost({"nested": nested}, 5)[0]["nets"] == 1
    for other in (GroupSelector(2), make_pipeline(FuzzyKMeans())):
        with pytest.raises(TypeError, match="'it' of groupings must hold a step that finds"):
            describe_cost({"it": other}, 5)
    with pytest.raises(TypeError, match="or use GroupedMTLClassifier"):
        describe_cost({"it": clf}, 5)
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match="n_tasks must be an int >= 1"):
            describe_cost({"it": nested}, wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda net: HOAGrouping(net, 1, selector=GroupSelector(max_size=2)),
            "n_groups=1 groups of at most max_size=2 cannot serve 4 tasks",
        ),
        (lambda net: TAGGrouping(net, 1, selector=GroupSelector(min_size=9)), "min_size"),
        (lambda net: ExhaustiveGrouping(net, 1, selector=GroupSelector(solver="foo")), "solver"),
        (
            lambda net: HOAGrouping(
                net, 2, selector=GroupSelector(max_size=3, cannot_link=[(0, 1), (1, 2), (0, 2)])
            ),
            "without n_groups=2 or without cannot_link there would be one",
        ),
        (
            lambda net: HOAGrouping(net, selector=GroupSelector(budget=0.5)),
            "without budget=0.5 there would be one",
        ),
        (
            lambda net: ExhaustiveGrouping(net, selector=GroupSelector(group_cost={1: 0.5})),
            "counts only within a 'budget'",
        ),
        (
            lambda net: ExhaustiveGrouping(
                net, selector=GroupSelector(budget=3, group_cost=[1, 1, 1])
            ),
            "one cost a row of masks, 15 here",
        ),
        (lambda net: MTGNetGrouping(net, predictor=MTGNet(lr=-1)), "lr"),
        (
            lambda net: MTGNetGrouping(net, predictor=MTGNet(embedding_dim=6, n_heads=4)),
            "must be a multiple of 'n_heads'",
        ),
        (lambda net: HOAGrouping(net, cv=iter([])), "must be a list of splits"),
        (
            lambda net: make_pipeline(InterTaskAffinity(net), GroupSelector(min_size=9)),
            "min_size",
        ),
    ],
)
def test_bad_rules_show_before_anything_trains(data, net, trained, make, message):
    clf = GroupedMTLClassifier(net, make(net))
    with pytest.raises(ValueError, match=message):
        clf.fit(*data)
    assert not trained


def test_rules_may_name_the_tasks(data, net):
    pd = pytest.importorskip("pandas")
    X, Y = data
    frame = pd.DataFrame(Y, columns=list("abcd"))
    selector = GroupSelector(2, must_link=[("a", "d")], cannot_link=[("b", "d")], min_size=2)
    for make in (TAGGrouping, HOAGrouping):
        found = make(net, 2, selector=selector).fit(X, frame)
        assert list(found.task_names_in_) == list("abcd")
        np.testing.assert_array_equal(found.membership_[0], found.membership_[3])
        assert not (found.membership_[1] * found.membership_[3]).any()
    relation = LabelCorrelationAffinity().set_output(transform="pandas")
    chosen = make_pipeline(relation, selector).fit(X, frame)[-1]
    assert list(chosen.task_names_in_) == list("abcd")


def test_an_own_selector_scores_tasks_alone_as_the_default_does(data, net):
    default = HOAGrouping(net, 3, random_state=0).fit(*data)
    own = clone(default).set_params(selector=GroupSelector(time_limit=10)).fit(*data)
    np.testing.assert_array_equal(own.membership_, default.membership_)
    assert own.objective_ == default.objective_


def test_gains_are_predicted_among_many_tasks():
    """More tasks than all groups can be listed for."""
    random = np.random.default_rng(0)
    X = random.normal(size=(150, 4)).astype(np.float32)
    Y = (X[:, np.arange(17) % 4] + 0.3 * random.normal(size=(150, 17)) > 0).astype(int)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=1)
    grouping = MTGNetGrouping(
        net,
        3,
        groups_per_task=2,
        predictor=MTGNet(max_epochs=3),
        selector=GroupSelector(must_link=[(0, 4)]),
        random_state=0,
    ).fit(X, Y)
    assert len(grouping.gains_.masks_) == 35
    assert grouping.membership_.any(axis=1).all()
    np.testing.assert_array_equal(grouping.membership_[0], grouping.membership_[4])
    # Nothing that was measured is better.
    measured = np.where(grouping.gains_.masks_, grouping.gains_.gains_, -np.inf)
    together = grouping.gains_.masks_[:, 0] == grouping.gains_.masks_[:, 4]
    assert grouping.objective_ >= measured[together].mean(axis=1).max()
