"""Sections of a report about the groups: which there are, how sure they are, what serves a task."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.cluster.memberships import one_hot
from skgroup.inspection._membership import MembershipDisplay
from skgroup.inspection._report_blocks import Block, Call, Items, Picture, Section, Table, Text
from skgroup.inspection._report_facts import Facts

#: Tasks of a group that an answer names, where there are many.
_NAMED = 6
#: Members of a smaller share in a task's prediction are not listed.
_SMALL_SHARE = 0.05


def membership_of(facts: Facts) -> NDArray[np.float64] | None:
    """Memberships (n_tasks, n_groups) of the estimator, or of the first member of a portfolio that
    groups; None if nothing groups."""
    found = facts.find("membership_", "labels_")
    if found is None and (member := grouping_member(facts)) is not None:
        found = member[1].membership_
    if found is None:
        return None
    membership = np.asarray(found, dtype=np.float64)
    return one_hot(found) if membership.ndim == 1 else membership


def grouping_member(facts: Facts) -> tuple[str, Any] | None:
    """The first member of a portfolio that groups all the tasks, and its name."""
    names, members = facts.find("member_names_"), facts.find("members_")
    if names is None or members is None:
        return None
    for name, member in zip(names, members, strict=True):
        if len(getattr(member, "membership_", ())) == facts.n_tasks:
            return str(name), member
    return None


def kind_of_groups(membership: NDArray[np.float64] | None) -> str:
    """ "none" without groups; "one" where all tasks are alike in all groups, "alone" where each is
    for itself, else "groups"."""
    if membership is None:
        return "none"
    rows = membership[membership.any(axis=1)]
    if (rows == rows[:1]).all():
        return "one"
    held = rows > 0
    alone = (held.sum(axis=0) == 1).all() and (held.sum(axis=1) == 1).all()
    return "alone" if alone else "groups"


def answer_groups(facts: Facts) -> str:
    """Which tasks belong together, in a sentence."""
    membership = membership_of(facts)
    kind = kind_of_groups(membership)
    if membership is None or kind == "none":
        return "not known: no grouping of the tasks is given."
    if kind == "one":
        nets = membership.shape[1]
        each = "one net" if nets == 1 else f"each of {nets} nets"
        return f"not asked: {each} learns all {facts.n_tasks} tasks, without groups."
    if kind == "alone":
        return "not asked: each task is learned alone."
    most = facts.n_tasks if facts.n_tasks <= facts.most else _NAMED
    groups = [
        listed([facts.tasks[t] for t in sorted(tasks[:most])] + [""] * len(tasks[most:]), most)
        for tasks in tasks_of_groups(membership)
    ]
    groups = [group for group in groups if group]
    return f"{len(groups)} group{'s' * (len(groups) != 1)}: {'; '.join(groups)}."


def answer_stability(facts: Facts) -> str:
    """How sure the groups are, in a sentence."""
    if facts.stability is not None:
        return str(facts.stability.verdict_)
    if kind_of_groups(membership_of(facts)) != "groups":
        return "there are no groups to be sure of."
    return (
        "not measured. Memberships do not say it: those of tasks that have nothing in common can "
        "be high too."
    )


def groups_section(facts: Facts) -> Section:
    membership = membership_of(facts)
    kind = kind_of_groups(membership)
    blocks: list[Block] = []
    if membership is None or kind != "groups":
        blocks.append(Text(_sentence(answer_groups(facts))))
    else:
        if (member := grouping_member(facts)) is not None:
            blocks.append(Text(f"Those of the member “{member[0]}”."))
        blocks += _groups(facts, membership)
    blocks += _stability(facts, kind)
    return Section("The groups", blocks)


def _groups(facts: Facts, membership: NDArray[np.float64]) -> list[Block]:
    strongest = membership.max(axis=1)
    held = strongest > 0
    names = group_names(facts, membership.shape[1])
    low, high = strongest[held].min(), strongest[held].max()
    items = []
    for name, tasks in zip(names, tasks_of_groups(membership), strict=True):
        written = [f"{facts.tasks[t]} ({strongest[t]:.2f})" for t in tasks]
        number = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
        rest = listed(written, facts.most) if written else "no task belongs to it most"
        items.append((f"{name}, {number}:" if written else f"{name}:", rest))
    if not held.all():
        items.append(("no group:", listed([facts.tasks[t] for t in np.flatnonzero(~held)], 20)))
    draw = partial(_draw_memberships, membership, facts.tasks)
    return [
        Text(
            "Each task stands in the group that it belongs to most, with its membership there "
            f"({low:.2f} to {high:.2f}; {1 / membership.shape[1]:.2f} would be no preference)."
        ),
        Items(items),
        Picture("memberships", "How much each task (row) belongs to each group (column).", draw),
    ]


def _stability(facts: Facts, kind: str) -> list[Block]:
    stability = facts.stability
    if stability is None:
        if kind != "groups":
            return []
        return [
            Call(
                "How sure the groups are has not been measured. This groups the tasks again and "
                "again, on other samples and with other seeds:",
                "stability = GroupStability().fit(X, Y)\nreport(clf, comparison, "
                "stability=stability)",
            )
        ]
    frame = stability.frame_
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    rows = [
        [str(name), *(_number(value) for value in row)]
        for name, row in zip(frame.index, frame.itertuples(index=False), strict=True)
    ]
    return [Text(str(stability.verdict_)), Table(head, rows)]


def serving_section(facts: Facts) -> Section:
    title = "What serves each task"
    weights = facts.find("serving_weights_")
    if weights is None:
        text = (
            "Not known: no fitted classifier or regressor is given."
            if facts.estimator is None
            else f"One {type(facts.estimator).__name__} predicts all tasks."
        )
        return Section(title, [Text(text)])
    weights = np.asarray(weights)
    members = facts.find("member_names_")
    noun = "specialist" if members is None else "member"
    names = group_names(facts, weights.shape[1]) if members is None else list(map(str, members))
    kind = kind_of_groups(membership_of(facts)) if members is None else "groups"
    if weights.shape[1] == 1:
        return Section(
            title, [Text(f"One {'net' if members is None else names[0]} predicts all tasks.")]
        )
    if kind == "alone":
        return Section(title, [Text("Each task has a net of its own.")])
    if kind == "one":
        text = f"All {weights.shape[1]} nets, each of all tasks, count equally for every task."
        return Section(title, [Text(text)])
    if members is None and _weighs_by_membership(facts, weights):
        text = (
            f"A prediction is a weighted mean of those of the {len(names)} specialists, the nets "
            "of the groups: each weighs as much as the task belongs to its group."
        )
        return Section(title, [Text(text), _weights(facts, weights, names)])
    text = f"A prediction is a weighted mean of those of the {len(names)} {noun}s"
    if members is not None:
        text += ", with weights that were learned on held-out samples"
    return Section(
        title,
        [Text(f"{text}."), _members(facts, weights, names, noun), _weights(facts, weights, names)],
    )


def _members(facts: Facts, weights: NDArray[np.float64], names: list[str], noun: str) -> Table:
    """How much each member counts over all tasks, and where it counts most."""
    strongest = np.where(weights.any(axis=1), weights.argmax(axis=1), -1)
    rows = []
    for m, name in enumerate(names):
        tasks = [facts.tasks[t] for t in np.flatnonzero(strongest == m)]
        number = f"{len(tasks)}: {listed(tasks, _NAMED)}" if tasks else "none"
        rows.append([name, f"{weights[:, m].mean():.2f}", number])
    return Table([noun, "mean weight", "tasks where it counts most"], rows)


def _weights(facts: Facts, weights: NDArray[np.float64], names: list[str]) -> Table:
    """The weights of each task; of many, of those that a single member serves most."""
    shown = np.argsort(-weights.max(axis=1), kind="stable")[: facts.most]
    rows = []
    for t in np.sort(shown):
        order = np.argsort(-weights[t], kind="stable")
        order = order[weights[t, order] >= _SMALL_SHARE]
        parts = [f"{names[m]} {weights[t, m]:.2f}" for m in order]
        rows.append([facts.tasks[t], ", ".join(parts) or "its only class, nothing is learned"])
    note = f"Weights below {_SMALL_SHARE} are left out."
    if len(shown) < facts.n_tasks:
        note += (
            f" {facts.n_tasks - len(shown)} of {facts.n_tasks} tasks, whose weights are spread "
            "more evenly, are left out too."
        )
    return Table(["task", "weights"], rows, note)


def _weighs_by_membership(facts: Facts, weights: NDArray[np.float64]) -> bool:
    membership = membership_of(facts)
    if membership is None or membership.shape != weights.shape:
        return False
    total = membership.sum(axis=1, keepdims=True)
    shares = np.divide(membership, total, out=np.zeros_like(membership), where=total > 0)
    return bool(np.allclose(shares, weights, atol=1e-6))


def group_names(facts: Facts, n_groups: int) -> list[str]:
    return [f"group {j}" for j in range(n_groups)]


def tasks_of_groups(membership: NDArray[np.float64]) -> list[list[int]]:
    """The tasks that belong to each group most, strongest first."""
    group = np.where(membership.any(axis=1), membership.argmax(axis=1), -1)
    order = np.argsort(-membership.max(axis=1), kind="stable")
    return [[int(t) for t in order if group[t] == j] for j in range(membership.shape[1])]


def listed(names: Iterable[str], most: int) -> str:
    """Names with commas, and how many more there are."""
    names = list(names)
    if len(names) <= most + 1:  # the last one is no longer than to say that it is left out
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.2f}"
    return str(value)


def _draw_memberships(membership: NDArray[np.float64], names: list[str]) -> Any:
    return MembershipDisplay.from_membership(membership, task_names=names).figure_
