"""`CoMembershipDisplay`: how often tasks are together, ordered by group."""

import numpy as np
import pandas as pd
import pytest
from plotting import names_of
from sklearn.exceptions import NotFittedError

from skgroup.inspection import CoMembershipDisplay
from skgroup.selection import GroupStability

pytestmark = pytest.mark.usefixtures("closed_figures")

NAMES = ["cat", "oak", "dog", "elm", "coin"]


def stability():
    """Of groupings in which the dog is at times a tree, and the coin in no group."""
    rows = [[[1, 0], [0, 1], [1, 0], [0, 1], [0, 0]]] * 3 + [
        [[1, 0], [0, 1], [0, 1], [0, 1], [0, 0]]
    ]
    frames = [pd.DataFrame(r, index=NAMES) for r in rows]
    return GroupStability.from_memberships(frames, random_state=0)


def test_tasks_stand_by_group_with_the_surest_first():
    display = CoMembershipDisplay.from_estimator(stability())
    assert names_of(display.ax_.yaxis) == ["cat", "dog", "oak", "elm", "coin"]
    assert names_of(display.ax_.xaxis) == names_of(display.ax_.yaxis)
    shown = display.ax_.images[0].get_array()
    np.testing.assert_allclose(shown[1, :4], [0.75, 1, 0.25, 0.25])
    assert not shown[4].any()
    # A line on each side of a group.
    assert sorted(line.get_ydata()[0] for line in display.ax_.lines[::2]) == [1.5, 3.5]


def test_given_shares_are_grouped_or_come_with_groups():
    shares = pd.DataFrame([[1, 0.2, 0.9], [0.2, 1, 0.1], [0.9, 0.1, 1]], index=list("abc"))
    by_linkage = CoMembershipDisplay.from_co_membership(shares, n_groups=2)
    assert names_of(by_linkage.ax_.yaxis) == ["a", "c", "b"]
    given = CoMembershipDisplay.from_co_membership(shares, labels=[1, 0, 1], values=True)
    assert given.order_.tolist() == [1, 0, 2]
    assert {t.get_text() for t in given.ax_.texts} == {"1.00", "0.90", "0.20", "0.10"}


@pytest.mark.parametrize(
    ("shares", "params", "message"),
    [
        (np.ones((2, 3)), {"n_groups": 1}, r"symmetric.* Got shape \(2, 3\)"),
        ([[1, 0.2], [0.3, 1]], {"n_groups": 1}, "symmetric"),
        ([[1, 2], [2, 1]], {"n_groups": 1}, "from 0 to 1"),
        (np.eye(2), {}, "Exactly one of labels and n_groups"),
        (np.eye(2), {"n_groups": 3}, "Got 3"),
        (np.eye(2), {"labels": [0.5, 1]}, "2 ints"),
    ],
)
def test_what_is_no_share_is_refused(shares, params, message):
    with pytest.raises(ValueError, match=message):
        CoMembershipDisplay.from_co_membership(shares, **params)


def test_what_has_no_co_membership_is_refused():
    with pytest.raises(NotFittedError):
        CoMembershipDisplay.from_estimator(GroupStability())
    from sklearn.cluster import KMeans

    with pytest.raises(ValueError, match=r"co_membership_.* Got KMeans"):
        CoMembershipDisplay.from_estimator(KMeans(2, n_init=1).fit(np.eye(3)))
