"""Sections of a report about scores: what each task gains, what candidates cost, what to use."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison import Comparison
from skgroup.comparison.intervals import paired_interval
from skgroup.inspection._intervals import draw_intervals
from skgroup.inspection._panels import make_panels
from skgroup.inspection._report_blocks import Block, Call, Picture, Section, Table, Text
from skgroup.inspection._report_calls import report_call
from skgroup.inspection._report_facts import Facts
from skgroup.inspection._writing import listed, short
from skgroup.training.costs import count_nets

#: What candidates are, by their kinds.
_KINDS = {
    "grouped": "groups the tasks",
    "STL": "learns each task alone, with a net of its own",
    "MTL": "learns all tasks alike, in one net or several",
    "balanced": "learns all tasks in one net, weighed anew in each step",
    "other": "uses no neural network",
}
#: What scores say, by their names; and what guessing gets by them.
_MEANING = {
    "F1": "F1 is the harmonic mean of precision and recall: 1 is perfect, 0 the worst",
    "ROC AUC": "ROC AUC is how often a positive sample is ranked above a negative one: 1 is "
    "perfect, 0.5 is guessing",
    "accuracy": "accuracy is the share of samples that are predicted right",
    "average precision": "average precision is the mean precision over all recalls: 1 is perfect, "
    "the share of positives is guessing",
    "balanced accuracy": "balanced accuracy is the mean over classes of the share that is "
    "predicted right: 1 is perfect, one by the number of classes is guessing",
    "R²": "R² is the share of the variance that is predicted: 1 is perfect, 0 is guessing the mean",
    "negative normalised entropy": "negative normalised entropy is the log loss, with its sign "
    "turned, by that of guessing how frequent the classes are: 0 is perfect, -1 is guessing",
}
_GUESSING = {"ROC AUC": 0.5, "R²": 0.0, "negative normalised entropy": -1.0}
#: Share of tasks whose interval lies above 0 by chance alone, and as many below.
_BY_CHANCE = 0.025


def answer_gain(facts: Facts) -> str:
    if facts.comparison is None:
        return "not known: nothing was compared."
    comparison = facts.comparison
    nothing = ""
    if _better_than_guessing(comparison, None) is False:
        nothing = (
            "by the mean over tasks no candidate is clearly better than guessing: there may be "
            "nothing to learn. "
        )
    if len(comparison.scorings) == 1:
        return nothing + comparison.verdict
    by: dict[str, list[str]] = {}
    for name in comparison.scorings:
        by.setdefault(comparison.by_scoring(name).verdict, []).append(name)
    return nothing + " ".join(
        f"By {' and '.join(names)}: {verdict}" for verdict, names in by.items()
    )


def what_scores_are(comparison: Comparison) -> str:
    """A sentence about the scores; empty where there is nothing to say."""
    said = [_MEANING[name] for name, _ in comparison.tasks_by_score if name in _MEANING]
    return "; ".join(said) + "." if said else ""


def _guessed(facts: Facts) -> list[int]:
    """The tasks in which no candidate is clearly better than guessing, as far as that is known."""
    comparison = facts.comparison
    assert comparison is not None
    return [
        t
        for t, place in enumerate(_places(facts))
        if _better_than_guessing(comparison, np.array([place])) is False
    ]


def _better_than_guessing(comparison: Comparison, tasks: NDArray[np.intp] | None) -> bool | None:
    """Whether a candidate is, by the whole interval of the mean over tasks of one score (all of
    None); None if that is not known."""
    better = None
    for name, of_score in comparison.tasks_by_score:
        some = of_score if tasks is None else tasks
        if name not in _GUESSING or not np.isin(some, of_score).all():
            continue
        for of_candidate in comparison.mean_over(some) - _GUESSING[name]:
            low = paired_interval(
                of_candidate, comparison.units, comparison.test_to_train, comparison.interval
            ).low
            if np.isfinite(low):
                better = bool(better) or low > 0
    return better


def answer_cost(facts: Facts) -> str:
    comparison = facts.comparison
    if comparison is None or facts.candidate is None:
        nets = _nets_of(facts)
        return f"{nets}; the time is not known." if nets else "not known."
    costs = comparison.summary(facts.candidate)
    if np.isnan(costs["seconds"]):
        return f"not known: “{facts.candidate}” has finished no fit."
    nets = _count(comparison.nets_of(facts.candidate))
    sentence = f"“{facts.candidate}” {f'trains {nets} and ' if nets else ''}takes "
    sentence += f"{costs['seconds']:.2g} s a fit"
    first, best = comparison.baselines[0], comparison.best_baseline
    ratios = [
        f"{_times(costs['seconds'] / comparison.seconds_of(name))} as long as “{name}”"
        for name in dict.fromkeys([first, best])
        if name not in (None, facts.candidate) and np.isfinite(comparison.seconds_of(name))
    ]
    return sentence + (f", {' and '.join(ratios)}." if ratios else ".")


def _times(ratio: float) -> str:
    return "about" if 0.9 < ratio < 1.1 else f"{ratio:.2g} times"


def what_candidates_are(comparison: Comparison, names: Iterable[str | None]) -> str:
    """A sentence about the kinds of some candidates, the first one first."""
    what: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if name is not None:
            kind = comparison.kinds[comparison.candidates.index(name)]
            what.setdefault(kind, []).append(f"“{name}”")
    return "; ".join(f"{', '.join(of)}: {_KINDS[kind]}" for kind, of in what.items()) + "."


def gains_section(facts: Facts) -> Section:
    title = "What each task gains"
    comparison, candidate = facts.comparison, facts.candidate
    if comparison is None:
        text = "Not known. This sets the classifier beside single-task and multi-task nets:"
        code = f"comparison = compare(X, Y, clf)\n{report_call(facts, compared=True)}"
        return Section(title, [Call(text, code)])
    best = comparison.best_baseline
    if candidate is None or best is None or candidate == best:
        why = (
            "no baseline has finished a fit"
            if best is None
            else f"“{best}” is the best baseline itself"
            if candidate == best
            else "only baselines were compared"
        )
        return Section(title, [Text(f"Not known: {why}."), *_best_ways(facts, comparison)])
    rows = [comparison.summary(candidate, int(t)) for t in _places(facts)]
    difference, low, high = (
        np.array([row[key] for row in rows]) for key in ("difference", "low", "high")
    )
    clear = np.where(low > 0, 1, np.where(high < 0, -1, 0))
    shown = _clearest(difference, low, high, facts.most)
    if len(comparison.scorings) > 1:
        by = f"by {comparison.scorings[0]}, the first of the scorings"
    else:
        by = f"{comparison.table.title[0].lower()}{comparison.table.title[1:]}"
    blocks: list[Block] = [
        Text(f"“{candidate}” beside the best baseline, “{best}”, on test samples ({by})."),
        Text(_counts(facts, clear, np.isfinite(low))),
        *_best_ways(facts, comparison),
    ]
    if guessed := _guessed(facts):
        which = listed([facts.tasks[t] for t in guessed], facts.most)
        blocks.append(Text(f"No candidate is clearly better than guessing in: {which}."))
    cells = []
    for t in shown:
        place = int(_places(facts)[t])
        form = comparison.form(place)
        baseline = comparison.summary(best, place)["mean"]
        verdict = {1: "gains", -1: "loses", 0: ""}[int(clear[t])]
        between = "" if np.isnan(low[t]) else f"{low[t]:+{form}} to {high[t]:+{form}}"
        cells.append(
            [
                facts.tasks[t],
                _written(baseline, form),
                _written(rows[t]["mean"], form),
                _written(difference[t], f"+{form}"),
                between,
                verdict,
            ]
        )
    head = ["task", best, candidate, "difference", "95 % interval", "clearly"]
    note = ""
    if len(shown) < facts.n_tasks:
        note = (
            f"Those of the clearest differences; {facts.n_tasks - len(shown)} of {facts.n_tasks} "
            "tasks are left out."
        )
    blocks.append(Table(head, cells, note))
    names = [facts.tasks[t] for t in shown]
    label = f"{candidate} less {best}"
    draw = partial(_draw_gains, names, difference[shown], low[shown], high[shown], label)
    caption = f"Each task's difference, “{candidate}” less “{best}”, with its 95 % interval."
    blocks.append(Picture("gains", caption, draw))
    return Section(title, blocks)


def costs_section(facts: Facts) -> Section:
    title = "Scores and costs"
    comparison = facts.comparison
    if comparison is None:
        nets = _nets_of(facts)
        return Section(title, [Text(f"Scores are not known. A fit trains {nets or 'no net'}.")])
    table = comparison.table
    what = what_candidates_are(comparison, comparison.candidates)
    blocks = [
        Text(f"{table.title}; more is better. An asterisk marks a baseline."),
        Table(table.head, table.rows),
        Text(f"{what} Nets and seconds are those of one fit of all tasks."),
    ]
    return Section(title, blocks)


def reading_section(facts: Facts) -> Section | None:
    """What limits the figures; None where there are none."""
    comparison = facts.comparison
    if comparison is None:
        return None
    blocks = [
        Text(
            "Differences are paired: candidates are trained and tested on the same splits, and an "
            "interval covers the true mean difference with 95 % confidence, allowing for splits "
            "that share samples. It does not allow for the choice of the best among several "
            "candidates or tasks. All tasks are compared with the one baseline of the highest mean "
            "score, which may not be the best one of each task."
        ),
        *(Text(note) for note in comparison.table.notes),
    ]
    return Section("How to read this", blocks)


def _places(facts: Facts) -> NDArray[np.intp]:
    assert facts.at is not None
    return facts.at


def _counts(facts: Facts, clear: NDArray[np.intp], known: NDArray[np.bool_]) -> str:
    if not known.any():
        return "One split cannot tell merit from chance: there are no intervals."
    n = int(known.sum())
    sides = []
    for sign, text in ((1, "gain"), (-1, "lose")):
        tasks = np.flatnonzero(clear == sign)
        names = f" ({listed([facts.tasks[t] for t in tasks], 6)})" if len(tasks) else ""
        sides.append(f"{len(tasks)} {text} clearly{names}")
    return (
        f"Of {n} task{'s' * (n != 1)}, {sides[0]} and {sides[1]}: their whole 95 % interval is on "
        f"one side of 0. By chance alone {_BY_CHANCE * n:.1f} would be on each side, on average."
    )


def _best_ways(facts: Facts, comparison: Comparison) -> list[Block]:
    """How many tasks each candidate serves best, by mean scores."""
    places = _places(facts)
    known = np.isfinite(comparison.overall)
    ran = np.flatnonzero(np.asarray(known.any(axis=1)))
    common = np.flatnonzero(np.asarray(known[ran].all(axis=0)))
    if len(ran) < 2 or not len(common):
        return []
    values = comparison.values[ran][:, common][:, :, places]
    scored = np.isfinite(values).all(axis=0)
    means = np.where(scored, values, 0.0).sum(axis=1)  # of the same splits, so sums tell as much
    best = np.where(scored.any(axis=0), means.argmax(axis=0), -1)
    names = np.array(comparison.candidates)[ran]
    number = np.array([(best == i).sum() for i in range(len(names))])
    order = [i for i in np.argsort(-number, kind="stable") if number[i]]
    ways = ", ".join(f"“{names[i]}” for {number[i]}" for i in order)
    return [Text(f"The highest score of a task is that of {ways}; some of them by chance.")]


def _clearest(
    difference: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    most: int,
) -> NDArray[np.intp]:
    """The tasks of the clearest differences, largest gain first."""
    half = (high - low) / 2
    scale = np.where(np.isfinite(half) & (half > 0), half, np.nanmax(half, initial=0.0) or 1.0)
    clearness = np.nan_to_num(np.abs(difference) / scale, nan=-1.0)
    shown = np.argsort(-clearness, kind="stable")[:most]
    return shown[np.argsort(-np.nan_to_num(difference[shown], nan=-np.inf), kind="stable")]


def _nets_of(facts: Facts) -> str:
    """How many nets a fit of the estimator trains; nothing if that is not known, or none."""
    if facts.estimator is None:
        return ""
    try:
        number = count_nets(facts.estimator, facts.n_tasks)
    except ValueError:  # known only after a fit of it
        return ""
    return _count(number)


def _count(number: float) -> str:
    if np.isnan(number) or number == 0:
        return ""
    return f"{round(number, 1):g} net{'s' * (number != 1)}"


def _written(value: float, form: str) -> str:
    return "" if np.isnan(value) else f"{value:{form}}"


def _draw_gains(
    names: list[str],
    difference: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    label: str,
) -> Any:
    """Points with intervals, a row a task."""
    size = 7.0, 1.0 + 0.26 * len(names)
    (ax,) = make_panels("report", None, 1, 1, size)
    rows = np.arange(len(names))
    draw_intervals(ax, difference, low, high)
    ax.set_yticks(rows, labels=[short(name) for name in names], parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(short(label, 60), parse_math=False)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax.figure
