"""Who helps whom and who hurts whom, from one call."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import (
    FuzzyKMeans,
    GroupedMTLClassifier,
    GroupedMTLRegressor,
    MultiTaskNet,
    TaskGrouper,
)
from skgroup.inspection import partners
from skgroup.relations import (
    GradientCosineAffinity,
    GradTAG,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
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
)

PARTNERS = ["best_partner", "best_effect", "worst_partner", "worst_effect"]


class Given(BaseEstimator):
    """Affinities that are what they are."""

    def fit(self, X=None, y=None):
        self.affinity_ = np.array([[9.0, 0.3, -0.2], [0.1, 9.0, 0.4], [-0.5, 0.2, 9.0]])
        self.task_names_in_ = np.array(["a", "b", "c"], dtype=object)
        return self


@pytest.fixture
def three(tasks):
    X, Y = tasks
    return X, Y.iloc[:, :3]


def best_and_worst(values):
    """Of each column, row by row."""
    n = len(values)
    rows = []
    for j in range(n):
        others = [(values[i, j], i) for i in range(n) if i != j and not np.isnan(values[i, j])]
        rows.append((max(others)[1], max(others)[0], min(others)[1], min(others)[0]))
    return rows


def test_a_partner_is_who_does_something_to_the_task_not_the_other_way_round():
    frame = partners(Given().fit())
    assert frame.index.tolist() == ["a", "b", "c"]
    assert frame.columns.tolist() == PARTNERS  # there are no groups
    assert frame.best_partner.tolist() == ["b", "a", "b"]
    assert frame.best_effect.tolist() == [0.1, 0.3, 0.4]
    assert frame.worst_partner.tolist() == ["c", "c", "a"]
    assert frame.worst_effect.tolist() == [-0.5, 0.2, -0.2]
    assert frame.attrs["direction"] == "[i, j] is what training on task i does to task j"
    assert frame.attrs["nets_trained"] == 0
    assert partners(Given().fit(), task_names=["x", "y", "z"]).best_partner["x"] == "y"


def test_pairs_are_the_same_numbers_a_row_each():
    frame = partners(Given().fit(), pairs=True)
    assert frame.columns.tolist() == ["task", "partner", "effect"]
    assert frame.to_numpy().tolist() == [
        ["a", "b", 0.1],
        ["a", "c", -0.5],
        ["b", "a", 0.3],
        ["b", "c", 0.2],
        ["c", "b", 0.4],
        ["c", "a", -0.2],
    ]
    assert frame.attrs["effect"] == "affinity"


@pytest.mark.parametrize(
    ("relation", "name", "directed"),
    [
        (lambda net: InterTaskAffinity(net, every=1), "inter-task affinity", True),
        (lambda net: GradientCosineAffinity(net, every=1), "cosine of gradients", False),
        (lambda net: LabelCorrelationAffinity(), "correlation of labels", False),
        (
            lambda net: GradTAG(net, projection_dim=10, subset_size=2),
            "estimated gain in groups with the task",
            True,
        ),
    ],
)
def test_every_relation_says_what_its_numbers_are(three, small_net, relation, name, directed):
    X, Y = three
    fitted = relation(small_net.set_params(random_state=0)).fit(X, Y)
    frame = partners(fitted)
    rows = best_and_worst(fitted.affinity_)
    assert frame.best_partner.tolist() == [Y.columns[row[0]] for row in rows]
    np.testing.assert_array_equal(frame.best_effect, [row[1] for row in rows])
    np.testing.assert_array_equal(frame.worst_effect, [row[3] for row in rows])
    assert frame.attrs["effect"] == name
    assert ("symmetric" in frame.attrs["direction"]) != directed
    assert frame.attrs["unit"]
    assert frame.attrs["meaning"]


@pytest.mark.parametrize("grouping", [TAGGrouping, HOAGrouping, GradTAGGrouping])
def test_groupings_are_asked_for_what_they_measured(three, small_net, grouping):
    X, Y = three
    Y = Y.assign(alone=1)  # a single class: in no group, nobody's partner
    with pytest.warns(UserWarning, match="single observed class"):
        fitted = grouping(small_net, n_groups=2, random_state=0).fit(X, Y)
    frame = partners(fitted)
    rows = best_and_worst(fitted.affinity_[:3, :3])
    assert frame.best_partner.tolist()[:3] == [Y.columns[row[0]] for row in rows]
    np.testing.assert_array_equal(frame.worst_effect[:3], [row[3] for row in rows])
    groups = fitted.membership_.argmax(axis=1)
    assert frame.group.tolist()[:3] == groups[:3].tolist()
    share = fitted.membership_[:3].max(axis=1) / fitted.membership_[:3].sum(axis=1)
    np.testing.assert_array_equal(frame.membership[:3], share)
    same = [groups[j] == groups[row[0]] for j, row in enumerate(rows)]
    assert frame.best_in_group.tolist()[:3] == same
    assert frame.loc["alone"].isna().all()
    assert not (frame.best_partner == "alone").any()
    assert "alone" not in partners(fitted, pairs=True).task.tolist()


def test_measured_and_predicted_gains_of_pairs(three, small_net):
    X, Y = three
    gains = GroupGains(small_net, masks="all", random_state=0).fit(X, Y)
    row_of = {
        tuple(mask): row for mask, row in zip(gains.masks_.tolist(), gains.gains_, strict=True)
    }
    expected = np.full((3, 3), np.nan)
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        row = row_of[tuple(t in (i, j) for t in range(3))]
        expected[i, j], expected[j, i] = row[j], row[i]
    frame = partners(gains)
    np.testing.assert_array_equal(frame.best_effect, np.nanmax(expected, axis=0))
    np.testing.assert_array_equal(frame.worst_effect, np.nanmin(expected, axis=0))
    assert frame.attrs["effect"] == "measured gain of pairs"
    assert frame.attrs["unit"] == "share of the held-out loss of task j alone"
    # Pairs are exact in the approximation; a table's columns name the tasks.
    masks = pd.DataFrame(gains.masks_.astype(int), columns=Y.columns)
    hoa = partners(HigherOrderApproximation().fit(masks, gains.gains_))
    np.testing.assert_array_equal(hoa[PARTNERS].to_numpy(), frame[PARTNERS].to_numpy())
    assert hoa.index.tolist() == list(Y.columns)
    assert hoa.attrs["effect"] == "predicted gain of pairs"
    net = MTGNet(n_nets=1, max_epochs=5, random_state=0).fit(gains.masks_, gains.gains_)
    predicted = net.predict([[1, 1, 0], [1, 0, 1]])[:, 0]
    assert partners(net).best_effect[0] == predicted.max()
    f1 = GroupGains(small_net, masks="pairs", scoring="f1", random_state=0).fit(X, Y)
    assert partners(f1).attrs["unit"] == "difference of held-out f1"
    alone = GroupGains(small_net, masks=np.ones((1, 3)), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"at least one pair.*GroupGains; .*masks='pairs'"):
        partners(alone)


@pytest.mark.parametrize("grouping", [ExhaustiveGrouping, MTGNetGrouping])
def test_groupings_by_gains_hold_the_gains_of_pairs(three, small_net, grouping):
    X, Y = three
    params = {"predictor": MTGNet(n_nets=1, max_epochs=5)} if grouping is MTGNetGrouping else {}
    fitted = grouping(small_net, n_groups=2, random_state=0, **params).fit(X, Y)
    frame = partners(fitted)
    measured = partners(fitted.gains_, pairs=True).set_index(["task", "partner"]).effect
    for task in Y.columns:
        pair = (task, frame.best_partner[task])
        if pair in measured:
            assert frame.best_effect[task] == measured[pair]


def test_a_classifier_grouped_by_an_affinity_holds_it_for_all_its_tasks(three, small_net):
    X, Y = three
    Y = Y.assign(alone=1)[["low", "alone", "even", "round"]]
    grouper = make_pipeline(InterTaskAffinity(small_net, every=1), GroupSelector(2))
    with pytest.warns(UserWarning, match="single observed class"):
        clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y)
    frame = partners(clf)
    rows = best_and_worst(clf.grouper_[0].affinity_)
    learned = ["low", "even", "round"]
    assert frame.loc[learned].best_partner.tolist() == [learned[row[0]] for row in rows]
    np.testing.assert_array_equal(frame.loc[learned].worst_effect, [row[3] for row in rows])
    assert frame.loc["alone"].isna().all()
    assert frame.group[learned].tolist() == clf.membership_.argmax(axis=1)[[0, 2, 3]].tolist()
    assert frame.attrs["nets_trained"] == 0
    # In a pipeline, and as the best of a search.
    piped = make_pipeline(StandardScaler(), clf)
    with pytest.warns(UserWarning, match="single observed class"):
        search = GridSearchCV(piped, {}, cv=2).fit(X, Y)
    of_best = partners(search.best_estimator_[-1])
    pd.testing.assert_frame_equal(partners(search), of_best)


def test_any_grouped_classifier_measures_with_its_own_net(three, small_net):
    X, Y = three
    clf = GroupedMTLClassifier(small_net, n_groups=2, random_state=3).fit(X, Y)
    before = clf.predict_proba(X)
    frame = partners(clf, X, Y[["round", "low", "even"]])  # names decide
    relation = InterTaskAffinity(small_net, random_state=3).fit(X, Y)
    pd.testing.assert_frame_equal(frame[PARTNERS], partners(relation)[PARTNERS])
    assert frame.attrs["nets_trained"] == 1
    assert frame.columns[0] == "group"
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    pd.testing.assert_frame_equal(partners(clf, X, Y), frame)  # one seed, one result
    other = partners(clf, X, Y, random_state=4)
    assert not np.array_equal(other.best_effect, frame.best_effect)

    gains = partners(clf, X, Y, kind="gains")
    measured = GroupGains(small_net, masks="pairs", random_state=3).fit(X, Y)
    pd.testing.assert_frame_equal(gains[PARTNERS], partners(measured)[PARTNERS])
    assert gains.attrs["nets_trained"] == 6
    given = partners(clf, X, Y, kind=GroupGains(masks="pairs", cv=2))
    assert given.attrs["nets_trained"] == 12
    cosines = partners(clf, X, Y, kind=GradientCosineAffinity(every=1))
    own = GradientCosineAffinity(small_net, every=1, random_state=3).fit(X, Y)
    pd.testing.assert_frame_equal(cosines[PARTNERS], partners(own)[PARTNERS])


def test_the_generator_of_the_classifier_is_not_drawn_from(three, small_net):
    X, Y = three
    rng = np.random.RandomState(0)
    clf = GroupedMTLClassifier(small_net, np.eye(3), random_state=rng).fit(X, Y)
    state = rng.get_state()[1].copy()
    pd.testing.assert_frame_equal(partners(clf, X, Y), partners(clf, X, Y))
    np.testing.assert_array_equal(rng.get_state()[1], state)


def test_of_a_pipeline_the_steps_before_transform_the_samples(three, small_net):
    X, Y = three
    piped = make_pipeline(
        StandardScaler(), GroupedMTLClassifier(small_net, n_groups=2, random_state=0)
    ).fit(X, Y)
    scaled = piped[0].transform(X)
    pd.testing.assert_frame_equal(partners(piped, X, Y), partners(piped[1], scaled, Y))


def test_nets_and_regressors_measure_too(small_net):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    Y = np.round(np.column_stack([X[:, 0], X[:, 0] + 0.1 * X[:, 1], X[:, 2]]) * 5)
    reg = GroupedMTLRegressor(small_net, n_groups=2, random_state=0).fit(X, Y)
    frame = partners(reg, X, Y)  # whole numbers stay numbers
    assert frame.best_partner.tolist()[:2] == [1, 0]  # no names: positions
    assert frame.index.tolist() == [0, 1, 2]
    net = MultiTaskNet(max_epochs=2, random_state=0).fit(X, X > 0)
    assert partners(net, X, X > 0).shape == (4, 4)
    named = pd.DataFrame(X > 0, columns=list("abcd"))
    assert partners(net, X, named).index.tolist() == list("abcd")


def test_missing_labels_and_tasks_of_a_single_class(three, small_net):
    X, Y = three
    Y = Y.astype(float).assign(alone=1.0)
    Y.iloc[:100, 1] = np.nan
    with pytest.warns(UserWarning, match="single observed class"):
        clf = GroupedMTLClassifier(small_net, n_groups=2, random_state=0).fit(X, Y)
    with pytest.warns(UserWarning, match="single observed class") as told:
        frame = partners(clf, X, Y)
    assert len(told) == 1
    assert frame.loc["alone"].isna().all()
    assert frame.loc[["even", "low", "round"]].notna().all(axis=None)
    with pytest.warns(UserWarning, match="single observed class"):
        masked = partners(clf, X, np.ma.masked_invalid(Y.to_numpy()))
    pd.testing.assert_frame_equal(masked, frame)


def test_a_pair_that_was_not_measured_is_no_partner(three, small_net):
    X, Y = three
    relation = InterTaskAffinity(small_net, random_state=0).fit(X, Y)
    relation.n_steps_[0, 1] = relation.affinity_[0, 1] = 0
    frame = partners(relation, pairs=True)
    assert len(frame) == 5
    assert not ((frame.partner == "even") & (frame.task == "low")).any()
    assert partners(relation).best_partner["low"] == "round"


class Untrained(MultiTaskNet):
    """Fails where training would start."""

    def train_step(self, *args, **kwargs):
        raise AssertionError("trained")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": None, "Y": None}, r"partners needs X and Y.*GroupedMTLClassifier holds no effects"),
        ({"X": None, "Y": None, "kind": "gains"}, r"needs X and Y.*kind='gains' measures them"),
        ({"kind": "best"}, r"'kind' parameter of partners must be 'auto'.*Got 'best'"),
        ({"kind": FuzzyKMeans()}, r"'kind' parameter of partners must.*Got FuzzyKMeans"),
        ({"kind": GroupGains}, "'kind' parameter of partners must"),
        ({"X": np.zeros((200, 3))}, "3 features"),
        ({"Y": np.zeros((200, 3))}, "class"),
        ({"Y": np.eye(200)[:, :2]}, r"Y must hold the 3 tasks that GroupedMTLClass.*Got 2"),
        (
            {"Y": np.column_stack([np.arange(200) % 2, np.ones((200, 2))])},
            r"two tasks of several classes. Got 1",
        ),
        ({"Y": pd.DataFrame(np.eye(200)[:, :3], columns=list("abc"))}, "Missing: even"),
        ({"Y": np.zeros((150, 3))}, "."),
        ({"task_names": ["a"]}, "task_names must name the 3 tasks"),
    ],
)
@pytest.mark.filterwarnings("ignore:These tasks of Y have a single")
def test_errors_come_before_any_training(three, small_net, change, match, monkeypatch):
    X, Y = three
    clf = GroupedMTLClassifier(small_net, np.eye(3), random_state=0).fit(X, Y)
    monkeypatch.setattr(MultiTaskNet, "train_step", Untrained.train_step)
    with pytest.raises(ValueError, match=match):
        partners(clf, **{"X": X, "Y": Y} | change)


def test_estimators_that_cannot_say_are_refused(tasks, small_net):
    X, Y = tasks
    with pytest.raises(NotFittedError):
        partners(GroupedMTLClassifier(small_net), X, Y)
    with pytest.raises(ValueError, match=r"be a grouped classifier or a MultiTaskNet.*TaskGrouper"):
        partners(TaskGrouper(small_net).fit(X, Y), X, Y)
    grouping = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0)).fit(X, Y)
    assert partners(grouping).group.tolist() == grouping[-1].membership_.argmax(axis=1).tolist()
