"""Pictures of pairs of tasks: what the axes say, groups, limits, and small numbers."""

import numpy as np
import pytest
from plotting import LONG, inside, names_of, overlap, pd, plt
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier
from skgroup.inspection import AffinityDisplay, GainsDisplay, MembershipDisplay, partners
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity, LabelCorrelationAffinity
from skgroup.relations.effect import GAIN_IN_GROUPS
from skgroup.selection import GroupGains, GroupSelector

pytestmark = pytest.mark.usefixtures("closed_figures")


def bar_of(display):
    (bar,) = [a for a in display.figure_.axes if a is not display.ax_]
    return bar


def bar_label(display):
    bar = bar_of(display)
    return bar.get_ylabel() or bar.get_xlabel()


@pytest.mark.parametrize(
    ("relation", "axes", "name"),
    [
        (InterTaskAffinity, ("trained on", "effect on"), "inter-task affinity"),
        (GradientCosineAffinity, ("task i", "task j"), "cosine of gradients"),
        (LabelCorrelationAffinity, ("task i", "task j"), "correlation of labels"),
        (GroupGains, ("trained with", "gain of"), "measured gain of pairs"),
    ],
)
def test_axes_say_what_is_true_of_the_relation(tasks, small_net, relation, axes, name):
    X, Y = tasks
    params = {} if relation is LabelCorrelationAffinity else {"estimator": small_net}
    params |= {"masks": "pairs"} if relation is GroupGains else {}
    display = AffinityDisplay.from_estimator(relation(**params).fit(X, Y.iloc[:, :3]))
    assert (display.ax_.get_ylabel(), display.ax_.get_xlabel()) == axes
    assert bar_label(display).startswith(name)


def test_a_matrix_without_a_description_is_read_by_the_contract_unless_it_is_symmetric():
    display = AffinityDisplay.from_affinity([[1.0, 0.2], [0.3, 1.0]])
    assert (display.ax_.get_ylabel(), display.ax_.get_xlabel()) == ("trained on", "effect on")
    display = AffinityDisplay.from_affinity(np.corrcoef([[1, 2, 3], [1, 2, 5], [4, 2, 0]]))
    assert (display.ax_.get_ylabel(), display.ax_.get_xlabel()) == ("task i", "task j")


def test_tasks_are_ordered_by_group_and_the_borders_are_drawn():
    affinity = np.random.default_rng(0).normal(size=(6, 6))
    membership = np.array([[0.1, 0.9], [1, 0], [0.2, 0.8], [0.7, 0.3], [0, 0], [0, 1]])
    display = AffinityDisplay.from_affinity(
        affinity, membership=membership, group_names=["birds", "fish"]
    )
    assert set(display.order_[:2]) == {1, 3}
    assert set(display.order_[2:5]) == {0, 2, 5}
    assert display.order_[5] == 4  # in no group
    lines = display.ax_.lines
    assert sorted(line.get_ydata()[0] for line in lines[::2]) == [1.5, 4.5]  # across rows
    assert sorted(line.get_xdata()[0] for line in lines[1::2]) == [1.5, 4.5]  # and columns
    written = [t for t in display.ax_.texts if not t.get_text().strip("\N{MINUS SIGN}.0123456789")]
    beside = [t for t in display.ax_.texts if t not in written]
    assert [t.get_text() for t in beside] == ["birds", "fish", "no group"]
    display.figure_.draw_without_rendering()
    inside(display.figure_, beside)
    assert overlap([*beside, *bar_of(display).get_yticklabels()]) == 0
    box = display.ax_.get_window_extent()
    assert all(t.get_window_extent().x0 > box.x1 for t in beside)
    other = AffinityDisplay.from_affinity(affinity, membership=membership, order="given")
    assert other.order_.tolist() == list(range(6))
    assert not other.ax_.lines
    with pytest.raises(ValueError, match="only where there are memberships"):
        AffinityDisplay.from_affinity(affinity, order="groups")
    with pytest.raises(ValueError, match=r"a row for each of the 6 tasks\. Got 5"):
        AffinityDisplay.from_affinity(affinity, membership=membership[:5])
    frame = pd.DataFrame(membership, index=list("abcdef"), columns=["birds", "fish"])
    named = AffinityDisplay.from_affinity(
        affinity, task_names=list("abcdef"), membership=frame.iloc[::-1]
    )
    assert named.order_.tolist() == display.order_.tolist()
    assert list(named.group_names) == ["birds", "fish"]


@pytest.mark.parametrize("size", [1e-5, 3e-4, 1.0, 5e4])
def test_affinities_are_readable_at_their_size(size):
    rng = np.random.default_rng(0)
    affinity = rng.uniform(-1, 1, size=(15, 15)) * size
    display = AffinityDisplay.from_affinity(affinity, task_names=LONG[:15], order="given")
    figure = display.figure_
    figure.draw_without_rendering()
    texts = display.ax_.texts
    assert len(texts) == 15**2
    assert overlap(texts) == 0
    assert all(text.get_fontsize() >= 6 for text in texts)
    assert max(len(text.get_text()) for text in texts) <= 5
    # What is written, in the unit that the bar of colours says, is the number.
    power = 0 if size == 1.0 else int(np.floor(np.log10(display.ax_.images[0].get_clim()[1])))
    sign = "\N{MINUS SIGN}"
    for text, value in zip(texts, affinity.ravel(), strict=True):
        written = float(text.get_text().replace(sign, "-")) * 10.0**power
        assert abs(written - value) <= 0.0501 * size
    assert ("\N{MULTIPLICATION SIGN}10" in bar_label(display)) == (size != 1.0)
    ticks = [t.get_text().replace(sign, "-") for t in bar_of(display).get_yticklabels()]
    top = display.ax_.images[0].get_clim()[1] / 10.0**power
    assert all(len(t) <= 5 and abs(float(t)) <= top * 1.3 for t in ticks)


def test_limits_are_round_and_no_larger_than_can_be(tasks):
    for most, limit in [(0.31, 0.4), (0.3, 0.3), (7.3e-5, 8e-5), (1.0, 1.0), (1.1, 1.2)]:
        display = AffinityDisplay.from_affinity([[5.0, most], [0.1 * most, 5.0]])
        assert display.ax_.images[0].get_clim() == (-limit, limit)
    X, Y = tasks
    Y = Y.assign(odd=1 - Y.even)  # a correlation of -1
    display = AffinityDisplay.from_estimator(LabelCorrelationAffinity().fit(X, Y))
    assert display.ax_.images[0].get_clim() == (-1.0, 1.0)


def test_of_a_grouped_classifier_with_its_groups(tasks, small_net):
    X, Y = tasks
    clf = GroupedMTLClassifier(small_net, n_groups=2, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"from_estimator needs X and Y.*Got X=None"):
        AffinityDisplay.from_estimator(clf)
    with pytest.raises(ValueError, match="order must be"):
        AffinityDisplay.from_estimator(clf, X, Y, order="best")
    display = AffinityDisplay.from_estimator(clf, X, Y)
    own = InterTaskAffinity(small_net, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(display.affinity, own.affinity_)
    groups = clf.membership_.argmax(axis=1)[display.order_]
    assert groups.tolist() == sorted(groups)
    assert names_of(display.ax_.yaxis) == [Y.columns[t] for t in display.order_]
    # The table of the same numbers, without training again.
    frame = partners(clf, X, Y)
    pd.testing.assert_frame_equal(display.partners(), frame)
    assert display.partners().attrs == frame.attrs
    assert len(display.partners(pairs=True)) == 12
    grouper = make_pipeline(InterTaskAffinity(small_net), GroupSelector(2))
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y.assign(alone=Y.low))
    held = AffinityDisplay.from_estimator(clf)
    np.testing.assert_array_equal(held.affinity, clf.grouper_[0].affinity_)
    piped = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2, random_state=0)).fit(X, Y)
    assert AffinityDisplay.from_estimator(piped).ax_.lines


@pytest.mark.parametrize("n_tasks", [3, 15, 40, 100])
def test_groups_are_named_beside_any_number_of_tasks(n_tasks):
    rng = np.random.default_rng(0)
    membership = rng.dirichlet([0.3] * 3, n_tasks)
    display = AffinityDisplay.from_affinity(
        rng.normal(size=(n_tasks, n_tasks)), task_names=LONG[:n_tasks], membership=membership
    )
    display.figure_.draw_without_rendering()
    named = [t for t in display.ax_.texts if t.get_text().startswith("group")]
    assert len(named) == len(set(membership.argmax(axis=1)))
    inside(display.figure_, named)
    assert overlap(named) == 0
    assert all(t.get_fontsize() >= 6 for t in named)
    assert len(display.ax_.get_yticks()) == len(display.ax_.get_xticks()) == n_tasks


def test_long_names_of_groups_leave_room_for_the_cells():
    affinity = np.arange(9).reshape(3, 3) / 8
    display = AffinityDisplay.from_affinity(
        affinity,
        task_names=LONG[:3],
        membership=np.eye(2)[[0, 0, 1]],
        group_names=["those who have been away", "those who have never left"],
        effect=GAIN_IN_GROUPS,
    )
    display.figure_.draw_without_rendering()
    inside(display.figure_, [*display.ax_.texts, bar_of(display).yaxis.label])
    assert overlap(display.ax_.get_xticklabels()) == 0
    values = [text for text in display.ax_.texts if text.get_text()[0].isdigit()]
    assert len(values) == 9
    assert all(text.get_fontsize() >= 6 for text in values)


def test_small_gains_are_written_in_powers_of_ten():
    masks = np.array([[1, 1, 0], [0, 1, 1]])
    gains = np.where(masks, 2e-5, np.nan)
    display = GainsDisplay.from_gains(masks, gains, task_names=["a", "b", "c"])
    assert {t.get_text() for t in display.ax_.texts} == {"2.0"}
    assert bar_label(display) == "gain (\N{MULTIPLICATION SIGN}10⁻⁵)"
    assert names_of(display.ax_.yaxis) == ["a, b: +2.00", "b, c: +2.00"]


def test_the_names_of_a_pair_tell_it_from_others():
    names = [f"attribute_{i:02d}_of_a_long_table" for i in range(4)]
    masks = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    display = GainsDisplay.from_gains(masks, np.where(masks, 0.1, np.nan), task_names=names)
    for row, pair in zip(names_of(display.ax_.yaxis), [("00", "01"), ("02", "03")], strict=True):
        assert all(f"attribute_{number}" in row for number in pair)


def test_memberships_show_the_names_of_groups_and_tasks_in_none_last():
    membership = pd.DataFrame(
        [[0.0, 0.0], [0.2, 0.8], [0.9, 0.1]],
        index=["none", "cod", "wren"],
        columns=["bird", "fish"],
    )
    display = MembershipDisplay.from_membership(membership)
    assert names_of(display.ax_.xaxis) == ["bird", "fish"]
    assert names_of(display.ax_.yaxis) == ["wren", "cod", "none"]
    assert [line.get_ydata()[0] for line in display.ax_.lines] == [0.5, 1.5]
    with pytest.raises(ValueError, match="group_names must name the 2 groups"):
        MembershipDisplay.from_membership(membership, group_names=["a"])
    plt.close("all")
