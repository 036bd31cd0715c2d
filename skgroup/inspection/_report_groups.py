"""Sections of a report about the groups: which there are, how sure they are, what serves a task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.cluster.memberships import one_hot
from skgroup.inspection._co_membership import CoMembershipDisplay
from skgroup.inspection._fitted import find_fitted
from skgroup.inspection._membership import MembershipDisplay
from skgroup.inspection._report_blocks import Block, Call, Items, Picture, Section, Table, Text
from skgroup.inspection._report_calls import report_call, stability_call
from skgroup.inspection._report_facts import Facts
from skgroup.inspection._writing import listed

#: Tasks of a group that an answer names, where there are many.
_NAMED = 6
#: Members of a smaller share in a task's prediction are not listed.
_SMALL_SHARE = 0.05
#: Columns of a table of stability, and their heads.
_STABILITY = {
    "adjusted_rand": "agreement",
    "chance_high": "by chance",
    "explained": "explained",
    "explained_without_structure_high": "without structure",
    "p_value": "p",
    "stable": "stable",
}


@dataclass(frozen=True)
class Groups:
    """The groups of the estimator, of the first member of a portfolio that groups, or those that a
    stability has found together most often.

    Attributes
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    names : list of str, one a group
    whose : str
        A sentence, where they are not those of the estimator itself.
    given : bool
        Whether they were given, not found.
    """

    membership: NDArray[np.float64]
    names: list[str]
    whose: str = ""
    given: bool = False

    @classmethod
    def of(cls, facts: Facts) -> Groups | None:
        """None if nothing groups."""
        estimator, whose = facts.estimator, ""
        if facts.find("membership_", "labels_") is None:
            found = facts.grouping_member()
            estimator = None if found is None else found[1]
            if found is not None:
                whose = f"Those of the member “{facts.find('member_names_')[found[0]]}”. "
        fitted = None if estimator is None else find_fitted(estimator, "membership_", "labels_")
        if fitted is None and facts.most_often is not None:
            numbers = np.arange(facts.most_often.max() + 1)
            membership = (facts.most_often[:, None] == numbers).astype(np.float64)
            called = [f"group {j}" for j in numbers]
            return cls(membership, called, "Those that are together most often in many groupings. ")
        if fitted is None:
            return None
        values = np.asarray(getattr(*fitted))
        membership = one_hot(values) if values.ndim == 1 else values.astype(np.float64)
        names = getattr(fitted[0], "group_names_", None)
        if names is None:
            names = [f"group {j}" for j in range(membership.shape[1])]
        given = getattr(fitted[0], "grouper_", "") is None
        return cls(membership, [str(name) for name in names], whose, given)

    @cached_property
    def kind(self) -> str:
        """Of the groups: "one" where all tasks are alike in all of them, "alone" where each is for
        itself, else "groups"."""
        rows = self.membership[self.membership.any(axis=1)]
        if (rows == rows[:1]).all():
            return "one"
        held = rows > 0
        alone = (held.sum(axis=0) == 1).all() and (held.sum(axis=1) == 1).all()
        return "alone" if alone else "groups"

    @property
    def tasks(self) -> list[list[int]]:
        """The tasks that belong to each group most (to several, where equally), strongest first."""
        most = self.membership.max(axis=1, keepdims=True)
        strongest = (self.membership == most) & (most > 0)
        order = np.argsort(-most[:, 0], kind="stable")
        return [[int(t) for t in order if strongest[t, j]] for j in range(len(self.names))]


def answer_groups(facts: Facts) -> str:
    """Which tasks belong together, in a sentence."""
    groups = Groups.of(facts)
    if groups is None:
        return "not known: no grouping of the tasks is given."
    if groups.kind == "one":
        nets = len(groups.names)
        each = "one net" if nets == 1 else f"each of {nets} nets"
        return f"not asked: {each} learns all {facts.n_tasks} tasks, without groups."
    if groups.kind == "alone":
        return "not asked: each task is learned alone."
    found = _written(facts, groups.tasks)
    stability = facts.stability
    if stability is None or facts.judged_other:
        return found
    this = "This fit put together" if facts.estimator is not None else "Most often together are"
    if not stability.stable_:
        return f"none for certain. {this}, in {found}"
    if stability.n_groups_ != sum(map(bool, groups.tasks)):
        assert facts.most_often is not None
        stable = [np.flatnonzero(facts.most_often == j) for j in range(stability.n_groups_)]
        return f"{_written(facts, [of.tolist() for of in stable])} {this}, in {found}"
    return found


def _written(facts: Facts, groups: list[list[int]]) -> str:
    """Groups of tasks, strongest first, in a sentence."""
    most = facts.n_tasks if facts.n_tasks <= facts.most else _NAMED
    written = []
    for tasks in filter(None, groups):
        shown = tasks if len(tasks) <= most + 1 else tasks[:most]
        names = ", ".join(facts.tasks[t] for t in sorted(shown))
        more = len(tasks) - len(shown)
        written.append(f"{names} and {more} more" if more else names)
    return f"{len(written)} group{'s' * (len(written) != 1)}: {'; '.join(written)}."


def answer_stability(facts: Facts) -> str:
    """How sure the groups are, in a sentence."""
    if facts.judged_other:
        other = f"not measured: the stability is of what {facts.judged_other} find, not of these."
        return f"{other} {facts.stability.verdict_}"
    if facts.stability is not None:
        return str(facts.stability.verdict_)
    groups = Groups.of(facts)
    if groups is None or groups.kind != "groups":
        return "there are no groups to be sure of."
    if groups.given:
        return "the groups were given, not found."
    return (
        "not measured. Memberships do not say it: those of tasks that have nothing in common can "
        "be high too."
    )


def groups_section(facts: Facts) -> Section:
    groups = Groups.of(facts)
    if groups is None or groups.kind != "groups":
        answer = answer_groups(facts)
        blocks: list[Block] = [Text(answer[:1].upper() + answer[1:])]
    else:
        blocks = _groups(facts, groups)
    if facts.stability is not None and not facts.judged_other:
        blocks.insert(0, Text(str(facts.stability.verdict_)))
    return Section("The groups", [*blocks, *_stability(facts, groups)])


def _groups(facts: Facts, groups: Groups) -> list[Block]:
    strongest = groups.membership.max(axis=1)
    held = strongest > 0
    hard = np.isin(groups.membership, [0, 1]).all()
    items = []
    for name, tasks in zip(groups.names, groups.tasks, strict=True):
        written = [facts.tasks[t] + ("" if hard else f" ({strongest[t]:.2f})") for t in tasks]
        number = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
        rest = listed(written, facts.most) if written else "no task belongs to it most"
        items.append((f"{name}, {number}:" if written else f"{name}:", rest))
    if not held.all():
        rest = listed([facts.tasks[t] for t in np.flatnonzero(~held)], facts.most)
        items.append(("in no group:", rest))
    low, high = strongest[held].min(), strongest[held].max()
    text = (
        "Each task is in a group wholly, or not at all."
        if hard
        else "Each task stands in the group that it belongs to most, with its membership there "
        f"({low:.2f} to {high:.2f}; {1 / len(groups.names):.2f} would be no preference)."
    )
    if _parts_kinds(facts, groups):
        text += (
            " Each group holds tasks of one kind alone (binary, multiclass or regression), so that "
            "groups may tell of what kind tasks are, instead of which help each other."
        )
    draw = partial(_draw_memberships, groups, facts.tasks)
    caption = "How much each task (row) belongs to each group (column)."
    return [Text(groups.whose + text), Items(items), Picture("memberships", caption, draw)]


def _parts_kinds(facts: Facts, groups: Groups) -> bool:
    """Whether tasks of several kinds are in groups of one kind each, that were found."""
    if facts.task_types is None or groups.given:
        return False
    kinds = [{facts.task_types[t] for t in tasks} for tasks in groups.tasks if tasks]
    return all(len(of_one) == 1 for of_one in kinds) and len(set().union(*kinds)) > 1


def _stability(facts: Facts, groups: Groups | None) -> list[Block]:
    stability = facts.stability
    if stability is None and (groups is None or groups.kind != "groups"):
        return []
    if stability is None:
        assert groups is not None
        if groups.given:
            return [Text("They were given, not found: how sure they are is not asked.")]
        return [
            Call(
                "How sure the groups are has not been measured. This groups the tasks again and "
                "again, on other samples and with other seeds:",
                f"stability = {stability_call(facts)}\n{report_call(facts, 'stability=stability')}",
            )
        ]
    blocks: list[Block] = []
    if facts.judged_by_comparison:
        blocks.append(
            Text(
                f"Judged by the groups that “{facts.candidate}” found in all fits of the "
                "comparison, whose training samples overlap, so that groups look somewhat stabler "
                "than they are."
            )
        )
    if facts.judged_other:
        blocks.append(
            Text(
                f"What follows is of groups that {facts.judged_other} find, not of those above, "
                f"which were found by something else. {facts.stability.verdict_}"
            )
        )
    if groups is not None and groups.kind == "groups":
        blocks += _together(facts, groups)
    frame = stability.frame_
    columns = {name: head for name, head in _STABILITY.items() if frame[name].notna().any()}
    rows = [
        [str(number), *(_number(row[name]) for name in columns)] for number, row in frame.iterrows()
    ]
    note = (
        "Agreement is the adjusted Rand index between repetitions: 1 where the same groups come "
        "back, about 0 where they are drawn at random. “By chance” is its 95 % quantile with the "
        "tasks dealt out at random."
    )
    if "explained" in columns:
        note += (
            " “Explained” is how much of the lasting differences between tasks is between the "
            "groups; p, how often groups explain as much where tasks have no structure."
        )
    draw = partial(_draw_together, facts.together, facts.most_often, facts.tasks)
    caption = (
        f"The share of groupings that have two tasks together, of {stability.n_groups_} groups."
    )
    return [
        *blocks,
        Picture("together", caption, draw),
        Table(["groups", *columns.values()], rows, note),
    ]


def _together(facts: Facts, groups: Groups) -> list[Block]:
    """How often tasks of one group are together in other groupings, and the least sure ones."""
    if (number := facts.stability.n_groups_) != len(groups.names):
        return [Text(f"The groups above are {len(groups.names)}; what follows is about {number}.")]
    share = facts.together
    assert share is not None
    labels = groups.membership.argmax(axis=1)
    same = labels[:, None] == labels
    held: NDArray[np.bool_] = np.any(groups.membership > 0, axis=1)
    beside = ~np.eye(len(labels), dtype=bool) & held & held[:, None]
    inside, outside = same & beside, ~same & beside
    if not inside.any() or not outside.any():
        return []
    text = (
        f"Two tasks of one group above are together in {share[inside].mean():.0%} of the "
        f"groupings, two of different groups in {share[outside].mean():.0%}."
    )
    with_others = {
        facts.tasks[t]: share[t, inside[t]].mean() for t in np.flatnonzero(inside.any(axis=1))
    }
    unsure = [name for name, of_one in with_others.items() if of_one < 1]
    if unsure:
        least = sorted(unsure, key=with_others.__getitem__)[:3]
        rest = ", ".join(f"{name} ({with_others[name]:.0%})" for name in least)
        text += f" Least sure of their group: {rest}."
    return [Text(text)]


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
    groups = Groups.of(facts) if members is None else None
    names = (
        list(map(str, members))
        if members is not None
        else groups.names
        if groups is not None
        else [f"net {m}" for m in range(weights.shape[1])]
    )
    kind = "groups" if groups is None else groups.kind
    if weights.shape[1] == 1:
        return Section(
            title, [Text(f"One {'net' if members is None else names[0]} predicts all tasks.")]
        )
    if kind == "alone":
        return Section(title, [Text("Each task has a net of its own.")])
    if kind == "one":
        text = f"All {weights.shape[1]} nets, each of all tasks, count equally for every task."
        return Section(title, [Text(text)])
    if groups is not None and _weighs_by_membership(groups.membership, weights):
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


def _weighs_by_membership(membership: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    if membership.shape != weights.shape:
        return False
    total = membership.sum(axis=1, keepdims=True)
    shares = np.divide(membership, total, out=np.zeros_like(membership), where=total > 0)
    return bool(np.allclose(shares, weights, atol=1e-6))


def _number(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return "" if np.isnan(value) else f"{value:.2f}"


def _draw_together(shares: Any, labels: Any, names: list[str]) -> Any:
    display = CoMembershipDisplay.from_co_membership(shares, labels=labels, task_names=names)
    return display.figure_


def _draw_memberships(groups: Groups, tasks: list[str]) -> Any:
    names = [name.removeprefix("group ") for name in groups.names]  # as the axis says
    display = MembershipDisplay.from_membership(
        groups.membership, task_names=tasks, group_names=names
    )
    return display.figure_
