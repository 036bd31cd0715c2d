"""`GroupStability`: stable groups are found where there are some, and nowhere else."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster.stability import (
    agreement,
    agreement_by_chance,
    differences_explained,
    places_of,
    spread_out,
    tables_without_groups,
)
from skgroup.populations import CrossLosses, PooledTasksRegressor
from skgroup.relations import LabelCorrelationAffinity
from skgroup.selection import GroupSelector, GroupStability
from skgroup.selection._judging import p_values

NAMES = ["cat", "oak", "dog", "elm", "horse", "fir"]


def planted(n_groups=2, n_tasks=6, n_samples=400, seed=0):
    """X, and Y whose tasks take turns in belonging to a group."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    noise = 0.4 * rng.normal(size=(n_samples, n_tasks))
    return X, (X[:, np.arange(n_tasks) % n_groups] + noise > 0).astype(int)


def cheap(n_groups=2):
    return make_pipeline(LabelCorrelationAffinity(), KMeans(n_groups, n_init=1))


def judge(grouper=None, **params):
    params = {"random_state": 0, "n_references": 99, "n_repetitions": 6, **params}
    return GroupStability(cheap() if grouper is None else grouper, **params)


def small_net(**params):
    module = {"module__n_members": 1, "module__hidden_units": (16,)}
    return MultiTaskNet(max_epochs=10, lr=0.05, batch_size=64, **module, **params)


class Fixed(KMeans):
    """Groups that look at nothing: a grouper by itself."""

    def fit(self, X, y):
        Fixed.seen = [*getattr(Fixed, "seen", []), (len(X), self.random_state)]
        self.labels_ = np.arange(np.shape(y)[1]) % 2
        return self


def test_planted_groups_are_stable_and_named():
    X, Y = planted()
    stability = judge().fit(X, pd.DataFrame(Y, columns=NAMES))
    assert stability.stable_
    assert stability.n_groups_ == 2
    assert stability.verdict_.startswith("These 2 groups are stable (adjusted Rand index 1.00")
    np.testing.assert_array_equal(stability.labels_, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(
        stability.co_membership_, np.eye(2)[np.arange(6) % 2][:, [0, 1] * 3]
    )
    assert stability.task_names_in_.tolist() == NAMES
    frame = stability.frame_
    assert frame.index.tolist() == [2, 3, 4, 5]
    assert frame.index.name == "n_groups"
    assert frame.loc[2, "explained"] > frame.loc[2, "explained_without_structure_high"]
    assert frame["chance"].abs().max() < 0.05 < frame["chance_high"].min()


def test_another_number_of_groups_is_found_without_more_nets():
    X, Y = planted()
    stability = judge(cheap(3)).fit(X, Y)
    assert stability.verdict_.startswith("No stable groups with 3; 2 are (adjusted Rand")
    assert stability.n_groups_ == 2
    assert stability.stable_
    assert stability.count_nets(6) == 0
    relation = TaskGrouper(small_net())
    assert judge(make_pipeline(relation, KMeans(3))).count_nets(6) == 6


def test_the_verdict_names_all_numbers_that_are_stable():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    group, part = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
    weight = [0.0] * 4 + [0.7] * 6  # the second group has two parts
    Y = X[:, group] + weight * X[:, part] + 0.4 * rng.normal(size=(400, 10)) > 0
    stability = judge(cheap(3)).fit(X, Y)
    assert stability.frame_.index[stability.frame_["stable"]].tolist() == [2, 3]
    assert stability.verdict_.startswith("These 3 groups are stable (")
    assert stability.verdict_.endswith("; so are those with 2.")


def test_three_planted_groups_are_stable():
    X, Y = planted(3, n_tasks=9)
    stability = judge(cheap(3)).fit(X, Y)
    assert stability.stable_
    assert stability.n_groups_ == 3


@pytest.mark.parametrize("kind", ["identical", "alike", "random", "unrelated"])
def test_tasks_without_groups_have_no_stable_ones(kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 8))
    if kind == "identical":
        Y = np.repeat((X[:, :1] > 0).astype(int), 6, axis=1)
    elif kind == "alike":
        Y = (X[:, :1] + 0.5 * rng.normal(size=(300, 6)) > 0).astype(int)
    elif kind == "random":
        Y = rng.integers(0, 2, size=(300, 6))
    else:
        Y = (X[:, :6] + X[:, 6:7] > rng.normal(size=6)).astype(int)
    stability = judge(cheap(3)).fit(X, Y)
    assert not stability.stable_
    assert not stability.frame_["stable"].any()
    assert stability.verdict_.startswith("No stable groups with 2 to 5: ")
    assert stability.n_groups_ == 3


def test_places_that_stay_the_same_are_no_groups():
    rng = np.random.default_rng(0)
    relation = rng.normal(size=(6, 30))
    relations = [relation + 0.001 * rng.normal(size=(6, 30)) for _ in range(5)]
    labels = KMeans(3, n_init=10, random_state=0).fit(relation).labels_
    stability = GroupStability.from_memberships(
        [np.eye(3)[labels]] * 5,
        relations=relations,
        clusterer=KMeans(3, n_init=3),
        n_references=59,
        random_state=0,
    )
    assert stability.frame_.loc[3, "adjusted_rand"] == 1
    assert not stability.stable_
    assert stability.frame_.loc[3, "p_value"] > 0.05
    assert "tasks without structure would be parted as well" in stability.verdict_


def test_data_maps_of_nets_are_judged():
    X, Y = planted()
    relation = TaskGrouper(small_net(), output="isometric")
    stability = judge(make_pipeline(relation, KMeans(2, n_init=2)), n_groups=2).fit(X, Y)
    assert stability.frame_.index.tolist() == [2]
    assert stability.stable_, stability.verdict_
    assert GroupStability(random_state=0).count_nets(6) == 10


def test_given_groupings_are_judged_by_agreement():
    of_two = pd.DataFrame(np.eye(2)[[0, 0, 0, 1, 1, 1]], index=NAMES)
    stability = GroupStability.from_memberships([of_two, of_two[::-1], of_two], random_state=0)
    assert stability.stable_
    assert np.isnan(stability.frame_.loc[2, "p_value"])
    assert "whether tasks without structure would be parted as well is not known" in (
        stability.verdict_
    )
    assert stability.task_names_in_.tolist() == NAMES
    rng = np.random.default_rng(0)
    drawn = [rng.dirichlet(np.ones(3), size=8) for _ in range(6)]
    stability = GroupStability.from_memberships(drawn, random_state=0)
    assert not stability.stable_
    assert stability.verdict_.startswith("No stable groups with 3: repetitions do not agree (")
    hard = np.stack([m.argmax(axis=1) for m in drawn])
    share = np.mean([of_one[0] == of_one[1] for of_one in hard])
    assert stability.co_membership_[0, 1] == pytest.approx(share)


def test_one_group_for_all_and_a_group_for_each_are_not_stable():
    for membership in (np.ones((5, 1)), np.eye(5)):
        stability = GroupStability.from_memberships([membership] * 4, random_state=0)
        assert not stability.stable_
        assert "come back, but so they would" in stability.verdict_


def test_a_grouper_of_ones_own_is_judged_as_it_is():
    X, Y = planted()
    Fixed.seen = []
    stability = judge(Fixed(2), n_repetitions=4).fit(X, Y)
    assert [n for n, _ in Fixed.seen] == [200] * 4
    assert len({seed for _, seed in Fixed.seen}) == 4
    assert stability.stable_
    assert stability.n_groups_ == 2
    selector = make_pipeline(LabelCorrelationAffinity(), GroupSelector(2))
    assert judge(selector, n_repetitions=3).fit(X, Y).n_groups_ == 2


def test_clusterers_that_look_at_other_distances_have_no_reference():
    X, Y = planted()
    linkage = AgglomerativeClustering(2, metric="cosine", linkage="average")
    grouper = make_pipeline(LabelCorrelationAffinity(), linkage)
    stability = judge(grouper, n_groups=[2, 3], n_repetitions=3).fit(X, Y)
    assert stability.frame_["p_value"].isna().all()
    assert stability.n_groups_ == 2


def test_tasks_of_a_single_class_are_in_no_group():
    X, Y = planted()
    Y = np.insert(Y.astype(float), 2, 1.0, axis=1)
    Y[:40, 0] = np.nan
    with pytest.warns(UserWarning, match="task 2: 1.0"):
        stability = judge().fit(X, Y)
    assert stability.labels_.tolist() == [0, 1, -1, 0, 1, 0, 1]
    assert not stability.co_membership_[2].any()
    assert not stability.co_membership_[:, 2].any()
    assert stability.n_tasks_ == 7


def test_same_seed_same_answer_whatever_the_processes():
    X, Y = planted(n_samples=100)
    params = {"n_groups": 2, "n_references": 19, "n_repetitions": 3}
    before = np.random.get_state()[1].copy()
    one = judge(**params).fit(X, Y)
    with parallel_config("threading"):
        other = judge(**params, n_jobs=2).fit(X, Y)
    pd.testing.assert_frame_equal(one.frame_, other.frame_)
    np.testing.assert_array_equal(one.co_membership_, other.co_membership_)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    again = pickle.loads(pickle.dumps(one))
    assert again.verdict_ == one.verdict_
    pd.testing.assert_frame_equal(again.frame_, one.frame_)


def test_the_consensus_groups_specialists():
    X, Y = planted(n_samples=100)
    clf = GroupedMTLClassifier(small_net(), judge(n_groups=2, n_references=19), random_state=0)
    assert clone(clf).fit(X, Y).membership_.shape == (6, 2)


def test_an_interrupted_fit_leaves_the_one_before(monkeypatch):
    X, Y = planted(n_samples=100)
    stability = judge(n_groups=2, n_references=19).fit(X, Y)
    before = stability.verdict_

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(LabelCorrelationAffinity, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stability.fit(X[:50], Y[:50])
    assert stability.verdict_ == before


@pytest.mark.parametrize(
    ("params", "n_tasks", "message"),
    [
        ({}, 2, "at least 3 tasks that there is something to learn of.* Got 2"),
        ({"n_groups": 7}, 6, "'n_groups' .* from 2 to the number of tasks, 6. Got 7"),
        ({"n_groups": [2, 1]}, 6, r"'n_groups' .* Got \[2, 1\]"),
        ({"grouper": cheap(8)}, 6, "n_clusters of the grouper.* Got 8"),
        ({"grouper": Fixed(2), "n_groups": 2}, 6, "'n_groups' .* must be None where"),
        ({"n_repetitions": 1}, 6, "'n_repetitions' .* Got 1"),
        ({"grouper": make_pipeline(FuzzyKMeans(fuzziness=0.5))}, 6, "'fuzziness'"),
        ({"grouper": PooledTasksRegressor(task=0)}, 6, "PooledTasksRegressor, .* groups_ says"),
        ({"grouper": make_pipeline(CrossLosses(), KMeans(2))}, 6, "CrossLosses, whose tasks are"),
    ],
)
def test_what_cannot_be_judged_is_refused(params, n_tasks, message):
    X, Y = planted(n_samples=60)
    with pytest.raises(ValueError, match=message):
        judge(**params).fit(X, Y[:, :n_tasks])


def test_numbers_of_groups_that_come_back_are_named_where_others_do_not():
    rng = np.random.default_rng(3)
    relation = rng.normal(size=(8, 3))
    relations = [relation + 0.25 * rng.normal(size=(8, 3)) for _ in range(6)]
    labels = [KMeans(4, n_init=3, random_state=0).fit(rows).labels_ for rows in relations]
    stability = GroupStability.from_memberships(
        [np.eye(4)[of_one] for of_one in labels],
        relations=relations,
        clusterer=KMeans(4, n_init=3),
        n_references=39,
        random_state=0,
    )
    frame = stability.frame_
    assert frame.loc[2, "adjusted_rand"] > 0.8
    assert not frame["stable"].any()
    assert "do not agree with 4" in stability.verdict_
    said = "; those with 2 come back, but tasks without structure would be parted as well (p = "
    assert said in stability.verdict_


def test_what_shares_samples_is_spread_to_what_independent_samples_differ_by():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 6)) + 3 * np.repeat([0, 1], 3)

    def spreads(train_size):
        """How far places are spread as they are, and brought to that of halves."""
        drawn = [rng.choice(200, int(200 * train_size), replace=False) for _ in range(200)]
        places = np.stack([places_of(samples[rows].mean(axis=0)[:, None]) for rows in drawn])
        both = spread_out(places, 0.5), spread_out(places, train_size)
        return [np.sqrt(((p - p.mean(axis=0)) ** 2).mean()) for p in both]

    halves, _ = spreads(0.5)
    for train_size in (0.75, 0.9):
        as_they_are, scaled = spreads(train_size)
        assert as_they_are < 0.7 * halves
        assert scaled == pytest.approx(halves, rel=0.15)


def test_what_is_no_grouping_is_refused():
    good = np.eye(2)[[0, 0, 1, 1]]
    with pytest.raises(ValueError, match=r"'train_size' parameter .* a share in \(0, 1\). Got 1"):
        GroupStability.from_memberships([good, good], train_size=1)
    for given, message in [
        (([good],), "at least 2 groupings"),
        (([good, good[:3]],), r"n_tasks=4.* Got shape \(3, 2\)"),
        (([good[1:3]] * 2,), "at least 3 tasks"),
    ]:
        with pytest.raises(ValueError, match=message):
            GroupStability.from_memberships(*given)
    with pytest.raises(ValueError, match="must be given together"):
        GroupStability.from_memberships([good, good], relations=[good, good])
    with pytest.raises(ValueError, match=r"for each of 2 groupings. Got \[\(4, 2\)\]"):
        GroupStability.from_memberships([good, good], relations=[good], clusterer=KMeans(2))


def test_agreement_is_the_mean_adjusted_rand_index():
    labels = np.random.default_rng(0).integers(0, 3, size=(5, 9))
    pairs = [(i, j) for i in range(5) for j in range(i)]
    expected = np.mean([adjusted_rand_score(labels[i], labels[j]) for i, j in pairs])
    assert agreement(labels) == pytest.approx(expected)
    assert agreement(np.zeros((3, 4), dtype=int)) == 1
    drawn = agreement_by_chance(labels, 300, np.random.default_rng(0))
    assert abs(drawn.mean()) < 0.02


def test_explained_share_is_between_groups_of_the_other_repetitions():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 20)) * np.linspace(0.2, 2, 20)
    places = np.stack([places_of(rows)] * 3)
    labels = np.array([0, 0, 1, 1, 2, 2])
    # Without what all directions share, by hand.
    P = places[0]
    axes, sizes, _ = np.linalg.svd(P)
    kept = axes[:, :5] * np.sqrt(sizes**2 - sizes[-1] ** 2)
    between = sum(2 * (kept[labels == g].mean(axis=0) ** 2).sum() for g in range(3))
    expected = between / (kept**2).sum()
    assert differences_explained(places, np.stack([labels] * 3)) == pytest.approx(expected)


def test_tables_without_groups_keep_the_covariance_and_the_noise():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(8, 7)) * [4, 3, 1, 1, 1, 1, 1]
    places = np.stack([places_of(base + 0.3 * rng.normal(size=(8, 7))) for _ in range(6)])

    def spread(of_tables):
        """Mean eigenvalues, and what repetitions differ by in their distances."""
        grams = of_tables @ of_tables.swapaxes(-1, -2)
        values = np.linalg.eigvalsh(grams.mean(axis=-3))[..., ::-1]
        return values.mean(axis=0), grams.std(axis=-3).mean()

    drawn = np.stack(list(tables_without_groups(places, 200, rng)))
    assert drawn.shape == (200, 6, 8, 7)
    np.testing.assert_allclose(drawn.mean(axis=2), 0, atol=1e-9)
    seen, again = spread(places[None]), spread(drawn)
    assert again[0].sum() == pytest.approx(seen[0].sum(), rel=0.1)
    assert again[1] == pytest.approx(seen[1], rel=0.25)


def test_the_share_of_tables_without_structure_below_a_p_value_is_at_most_that():
    # Each of 40 in turn as the one that was seen.
    values = np.random.default_rng(0).normal(size=(40, 4))
    least = np.array(
        [p_values(v, np.delete(values, i, axis=0)).min() for i, v in enumerate(values)]
    )
    assert all((least <= level).mean() <= level for level in np.arange(1, 41) / 40)
    of_one = [p_values(v[:1], np.delete(values, i, axis=0)[:, :1]) for i, v in enumerate(values)]
    np.testing.assert_allclose(np.sort(of_one, axis=0).ravel(), np.arange(1, 41) / 40)
