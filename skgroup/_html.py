"""The groups of a fitted estimator as HTML, beneath scikit-learn's diagram in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Tasks of a group, and groups, that are seen without a click, at least and at most.
_FEWEST_TASKS, _SHOWN_TASKS = 3, 20
_SHOWN_GROUPS = 12
#: Tasks of a group that are written at all: a clusterer may have had millions of rows.
_MOST_TASKS = 200
_CELL = "text-align: left; vertical-align: top; padding: 2px 10px"


class GroupsReprMixin:
    """Shows `membership_` where a notebook shows the estimator.

    Stands before `BaseEstimator` in the bases of a class.
    """

    def _groups_html(self) -> str:
        """A table of the groups; empty before `fit`."""
        membership = getattr(self, "membership_", None)
        if membership is None:
            return ""
        names = getattr(self, "task_names_in_", None)
        return groups_to_html(membership, names, getattr(self, "group_names_", None))

    @property
    def _repr_html_(self) -> Callable[[], str]:
        # scikit-learn's own; it raises AttributeError where the configured display is text.
        diagram = super()._repr_html_  # type: ignore[misc]
        return lambda: diagram() + self._groups_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._groups_html()
        return bundle


def groups_to_html(
    membership: NDArray[np.float64],
    task_names: Sequence[str] | None = None,
    group_names: Sequence[str] | None = None,
) -> str:
    """A table with a row a group: its tasks with their memberships, strongest first.

    Parameters
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    task_names : sequence of str, of length n_tasks, default=None
        "task 0" and so on if None. Escaped here.
    group_names : sequence of str, of length n_groups, default=None
        "group 0" and so on if None. Escaped here.

    Returns
    -------
    html : str
        A task is bold in the group that it belongs to most (in all, if there are several); it is
        left out of groups where its membership is 0. What is long is behind a `details` element.
    """
    n_tasks, n_groups = membership.shape
    strongest = (membership == membership.max(axis=1, keepdims=True)) & (membership > 0)
    rows = []
    for j in range(n_groups):
        group = f"group {j}" if group_names is None else escape(group_names[j])
        order = np.argsort(-membership[:, j], kind="stable")
        order = order[membership[order, j] > 0]
        tasks = [
            _task(_name(task_names, t), membership[t, j], bold=strongest[t, j])
            for t in order[:_MOST_TASKS]
        ]
        n_strongest = int(strongest[:, j].sum())
        shown = min(max(n_strongest, _FEWEST_TASKS), _SHOWN_TASKS)
        rows.append(
            f'<tr><th style="{_CELL}; white-space: nowrap">{group}</th>'
            f'<td style="{_CELL}">{n_strongest}</td>'
            f'<td style="{_CELL}">{_tasks(tasks, len(order), shown)}</td></tr>'
        )
    of = "1 task" if n_tasks == 1 else f"{n_tasks} tasks"
    parts = "1 group" if n_groups == 1 else f"{n_groups} groups"
    caption = (
        '<div style="font-weight: bold; margin-top: 0.5em">'
        f"{of} in {parts}, with memberships</div>"
        "<div>Strongest first. Each task is bold in the group that it belongs to most; their "
        "number stands beside the group.</div>"
    )
    html = caption + _table(rows[:_SHOWN_GROUPS])
    if len(rows) > _SHOWN_GROUPS:
        more = _table(rows[_SHOWN_GROUPS:])
        html += f"<details><summary>{len(rows) - _SHOWN_GROUPS} more groups</summary>{more}"
        html += "</details>"
    return f'<div class="skgroup-groups">{html}</div>'


def _name(task_names: Sequence[str] | None, task: int) -> str:
    return f"task {task}" if task_names is None else str(task_names[task])


def _task(name: str, membership: float, *, bold: bool) -> str:
    text = f"{escape(name)}&nbsp;<small>{membership:.2f}</small>"
    return f"<b>{text}</b>" if bold else text


def _tasks(tasks: list[str], n_all: int, n_shown: int) -> str:
    shown = ", ".join(tasks[:n_shown])
    if n_all <= n_shown:
        return shown
    rest = ", ".join(tasks[n_shown:])
    if n_all > len(tasks):
        rest += f" and {n_all - len(tasks)} weaker ones"
    return f"{shown}<details><summary>{n_all - n_shown} more</summary>{rest}</details>"


def _table(rows: list[str]) -> str:
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in ("group", "", "tasks"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
