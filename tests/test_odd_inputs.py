"""Parameters of data sets, displays and metrics that are not what they must be, named by errors."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from skgroup.datasets import make_label_tasks
from skgroup.inspection import AffinityDisplay, MembershipDisplay
from skgroup.metrics import multitask_roc_auc_score

matplotlib.use("Agg")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([1, "a", 2], {}, r"labels must .* all of one kind\. Got \['int', 'str'\]"),
        ([True, 2, 3], {}, r"labels must .* all of one kind\. Got \['bool', 'int'\]"),
        ([[1], [2, 3]], {}, r"labels must be one-dimensional .* Got \[\[1\], \[2, 3\]\]"),
        ([2**70, 1], {}, "labels"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), {}, "labels must .* Got a masked entry"),
        ([0, 1, 2], {"unions": {"a": [[0]]}}, r"The union 'a' must hold classes\. Got"),
        ([0, 1, 2], {"unions": [0, 1]}, r"unions must be a dict of names .* Got \[0, 1\]"),
        ([0, 1, 2], {"extra": [0, 1, 0]}, "extra must be a dict"),
        ([0, 1, 2], {"extra": {3: [0, 1, 0]}}, "extra must be a dict of names"),
        ([0, 1, 2], {"extra": {"a": [[0], [1, 2], 0]}}, "The extra task 'a' must be 0 or 1"),
        ([0, 1, 2], {"extra": {"a": [None, 1, 0]}}, r"The extra task 'a' must .*\[None, 1, 0\]"),
        ([0, 1, 2], {"complements": ["a"]}, "complements must be a dict"),
        ([0, 1, 2], {"complements": {"a": ["b"]}}, "The complement 'a' must be that of a task"),
        ([0, 1, 2], {"n_random": True}, "n_random must be an instance of int"),
        ([0, 1, 2], {"class_names": 3}, r"class_names must be a sequence of str, or None\. Got 3"),
        ([0, 1, 2], {"class_names": "abc"}, "class_names must be a sequence of str"),
        ([0, 1, 2], {"class_names": ["a", None, "b"]}, "class_names must be strings"),
    ],
)
def test_what_is_no_task_is_named(labels, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_label_tasks(labels, **options)


@pytest.mark.parametrize("values", ["x", 3, 1, []])
def test_values_of_a_display_are_a_bool(values):
    for display in (MembershipDisplay(np.eye(3)), AffinityDisplay(np.eye(3))):
        with pytest.raises(ValueError, match=r"values must be a bool, or None\. Got"):
            display.plot(values=values)


@pytest.mark.parametrize("vmax", ["a", True, [1], 1j, -1, np.inf])
def test_vmax_is_a_positive_number(vmax):
    with pytest.raises(ValueError, match=r"vmax must be positive and finite, or None\. Got"):
        AffinityDisplay(np.eye(3)).plot(vmax=vmax)


def test_names_of_a_display_are_as_many_as_the_tasks():
    with pytest.raises(ValueError, match=r"task_names must name the 3 tasks.* Got 3\."):
        AffinityDisplay(np.eye(3), task_names=3).plot()


def test_scores_are_real_numbers():
    Y = np.tile([[0, 1], [1, 0]], (5, 1))
    dates = pd.DataFrame(Y).astype("datetime64[ns]")
    for wrong in (Y + 1j, dates, Y.astype(str).astype(object) + "a", [Y + 1j, Y + 1j]):
        with pytest.raises(ValueError, match="Y_score"):
            multitask_roc_auc_score(Y, wrong)
