"""The section of a report about pairs: who helps whom, and who hurts whom."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from skgroup.inspection._affinity import AffinityDisplay
from skgroup.inspection._fitted import find_fitted
from skgroup.inspection._report_blocks import Block, Call, Picture, Section, Table, Text
from skgroup.inspection._report_calls import partners_call, report_call
from skgroup.inspection._report_facts import Facts
from skgroup.inspection._writing import format_of


def partners_section(facts: Facts) -> Section:
    title = "Who helps and who hurts whom"
    frame = facts.partners
    if frame is None:
        code = partners_call(facts)
        if not code:
            return Section(title, [Text("Not measured: there is no net that could be watched.")])
        text = "Not measured. This trains one more net and watches it:"
        return Section(title, [Call(text, report_call(facts, f"partners={code}"))])
    best, worst = (frame[f"{which}_effect"].to_numpy(float) for which in ("best", "worst"))
    size = np.nan_to_num(np.maximum(np.abs(best), np.abs(worst)), nan=-1.0)
    shown = np.sort(np.argsort(-size, kind="stable")[: facts.most])
    write = format_of(float(size.max(initial=0.0)))
    rows = []
    for t in shown:
        row = [facts.tasks[t]]
        for which, effects in (("best", best), ("worst", worst)):
            row += [_partner(facts, t, which), write(effects[t])]
        rows.append(row)
    note = "* in the same group." if "best_in_group" in frame else ""
    if len(shown) < facts.n_tasks:
        note += (
            f" Those of the largest effects; {facts.n_tasks - len(shown)} of {facts.n_tasks} tasks "
            "are left out."
        )
    meaning = frame.attrs.get("meaning")
    blocks: list[Block] = [
        Text(
            (f"An effect is the {meaning} (i is the partner, j the task). " if meaning else "")
            + "Above 0 helps, below 0 hurts. The best of many noisy numbers looks better than it "
            "is, and the worst worse."
        ),
        *_in_groups(facts),
        Table(["task", "best partner", "effect", "worst partner", "effect"], rows, note.strip()),
    ]
    if facts.estimator is not None and find_fitted(facts.estimator, "pair_effects", "affinity_"):
        draw = partial(_draw, facts.estimator, facts.tasks)
        caption = f"The {frame.attrs.get('effect', 'effect')} of each pair of tasks."
        blocks.append(Picture("pairs", caption, draw))
    return Section(title, blocks)


def _partner(facts: Facts, task: int, which: str) -> str:
    """The name of a partner, marked where it is in the same group."""
    place = facts.partners[f"{which}_partner"].iloc[task]
    if place < 0:
        return ""
    same = facts.partners.get(f"{which}_in_group")
    marked = same is not None and same.iloc[task] is not None and bool(same.iloc[task])
    return facts.tasks[place] + " *" * marked


def _in_groups(facts: Facts) -> list[Block]:
    """Whether the groups hold the best partners, and what chance would give."""
    frame = facts.partners
    if "best_in_group" not in frame:
        return []
    known = frame["best_in_group"].notna().to_numpy() & frame["group"].notna().to_numpy()
    if not known.any():
        return []
    group = frame["group"].factorize()[0]  # by name, where groups have names
    others = (group[:, None] == group).sum(axis=1) - 1
    chance = float((others[known] / (known.sum() - 1)).sum()) if known.sum() > 1 else 0.0
    best, worst = (
        int(frame[f"{which}_in_group"].to_numpy(bool, na_value=False)[known].sum())
        for which in ("best", "worst")
    )
    n = int(known.sum())
    return [
        Text(
            f"The best partner of {best} of {n} tasks is in the task's own group, and the worst "
            f"one of {worst}; partners drawn at random would be for {chance:.1f}."
        )
    ]


def _draw(estimator: Any, names: list[str]) -> Any:
    return AffinityDisplay.from_estimator(estimator, task_names=names).figure_
