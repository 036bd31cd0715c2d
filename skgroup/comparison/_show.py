"""A comparison as text, as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from skgroup._tables import html_table, markdown_table, markdown_text, text_table
from skgroup.comparison._figures import Figures, mean_of_known

_DIFFERENCE = "to the best baseline (95 %)"
_COSTS = ["nets", "seconds", "time ratio"]
_WITHOUT_NETS = _COSTS[1:]


@dataclass(frozen=True)
class ScoreTable:
    """What is shown of a comparison, as texts.

    Attributes
    ----------
    title : str
        What the scores are, and of how many splits.
    head : list of str
    rows : list of list of str, one a candidate
    notes : list of str
        What limits the scores, a sentence each.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    notes: list[str]

    @classmethod
    def of(cls, figures: Figures) -> ScoreTable:
        return cls(_title(figures), _head(figures), _cells(figures), _notes(figures))


def as_text(figures: Figures, verdicts: list[str]) -> str:
    table = text_table(_head(figures), _cells(figures))
    return "\n".join([_title(figures), "", table, "* baseline", "", *verdicts, *_notes(figures)])


def as_html(figures: Figures, verdicts: list[str]) -> str:
    head = [escape(cell) for cell in _head(figures)]
    notes = "".join(f"<p>{escape(note)}</p>" for note in [*verdicts[1:], *_notes(figures)])
    details = "".join(
        f"<details><summary>Each {_noun(figures)}{escape(by)}</summary>"
        f"{html_table(*_task_cells(of, escape, '<b>{}</b>'))}</details>"
        for by, of in _each(figures)
    )
    return (
        f"<div><p><b>{escape(verdicts[0])}</b></p><p>{escape(_title(figures))}</p>"
        f"{html_table(head, [[escape(cell) for cell in row] for row in _cells(figures)])}"
        f"<p>* baseline</p>{notes}{details}</div>"
    )


def as_markdown(figures: Figures, verdicts: list[str], *, tasks: bool) -> str:
    head = [markdown_text(cell) for cell in _head(figures)]
    rows = [[markdown_text(cell) for cell in row] for row in _cells(figures)]
    first, *others = map(markdown_text, verdicts)
    parts = [f"**{first}**", markdown_text(_title(figures)), markdown_table(head, rows)]
    parts += ["\\* baseline", *others, *map(markdown_text, _notes(figures))]
    for by, of in _each(figures) if tasks else ():
        parts += [
            markdown_text(f"Each {_noun(figures)}{by}:"),
            markdown_table(*_task_cells(of, markdown_text, "**{}**")),
        ]
    return "\n\n".join(parts)


def _each(figures: Figures) -> list[tuple[str, Figures]]:
    """The figures by each scoring, and how they are told apart where there are several."""
    if not figures.others:
        return [("", figures)]
    return [(f" by {name}", figures.by_scoring(name)) for name in figures.scorings]


def _task_cells(
    figures: Figures, write: Callable[[str], str], bold: str
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of tasks; the best score of each is bold."""
    rows = []
    for t, task in enumerate(figures.tasks):
        means = [mean_of_known(of_candidate[:, t]) for of_candidate in figures.values]
        best = np.nanmax(means) if np.isfinite(means).any() else np.nan
        shown = ["" if np.isnan(m) else f"{m:{figures.form(t)}}" for m in means]
        marked = [bold.format(x) if m == best else x for m, x in zip(means, shown, strict=True)]
        rows.append([write(task), *marked])
    return [_noun(figures), *map(write, figures.candidates)], rows


def _noun(figures: Figures) -> str:
    """What a task is called."""
    return "population" if figures.of_populations else "task"


def _title(figures: Figures) -> str:
    n_seeds = len(np.unique(figures.seeds))
    n_splits = len(figures.seeds) // n_seeds
    several = bool(figures.others) and not figures.is_mixed
    scores = " and ".join(
        f"{figures.scoring_name if several else name}, "
        f"mean over {len(tasks)} {_noun(figures)}{'s' * (len(tasks) != 1)},"
        for name, tasks in figures.tasks_by_score
    )
    return (
        f"Test {scores} of {n_seeds} seed{'s' * (n_seeds != 1)}, {n_splits} "
        f"split{'s' * (n_splits != 1)} each"
    )


def _notes(figures: Figures) -> list[str]:
    notes = [*figures.remarks]
    if figures.others:
        notes.append(
            "In brackets after a score, the difference to the best baseline by that score; "
            "by_scoring(name) has its interval."
        )
    if figures.is_mixed:
        over = "candidates" if len(figures.seeds) == 1 else "splits"
        notes.append(
            "Standardised: each task's difference divided by the standard deviation of its score "
            f"over {over}, mean over tasks. In brackets after a score, the difference of its mean."
        )
    if figures.same_splits:
        notes.append("Splits are the same for several seeds: this speaks of these splits.")
    if figures.lacking:
        notes.append(f"Not compared with {' nor '.join(figures.lacking)}.")
    for _, of in _each(figures):
        notes += _undefined(of)
    for name, groupings in figures.groupings.items():
        if figures.of_populations:
            numbers = ", ".join(f"{k} in {times}" for k, times in groupings.numbers)
            notes.append(
                f"Models of groups that “{name}” has chosen, of {len(figures.tasks)} populations: "
                f"{numbers} of {len(groupings.found)} fits."
            )
            if groupings.is_one_answer:
                continue
        if groupings.can_be_judged:
            rand, by_chance = groupings.agreement()
            notes.append(
                f"Groups of “{name}” on different splits: adjusted Rand index {rand:.2f}, by "
                f"chance at most {by_chance:.2f}; as splits share samples, 'stability' says more."
            )
    if figures.interrupted:
        n_done = figures.n_finished
        notes.append(f"Interrupted after {n_done} of {figures.seconds.size} fits.")
    if len({figures.summary(candidate)["n_splits"] for candidate in figures.candidates}) > 1:
        notes.append(
            "Scores are of the splits that each has finished, differences of those that both have."
        )
    notes += _failures(figures, figures.errors, "failed")
    for _, of in _each(figures):
        notes += _failures(of, of.scoring_errors, f"was not scored by {of.scoring_name!r}")
    return notes


def _failures(figures: Figures, errors: dict[tuple[str, int, int], str], what: str) -> list[str]:
    of_candidates: dict[str, list[str]] = {}
    for (candidate, _, _), error in errors.items():
        of_candidates.setdefault(candidate, []).append(error)
    n_fits = len(figures.seeds)
    return [
        f"“{candidate}” {what} in {len(of)} of {n_fits} fits, first with {of[0]}"
        for candidate, of in of_candidates.items()
    ]


def _undefined(figures: Figures) -> list[str]:
    undefined = np.atleast_1d(np.isnan(figures.values[figures.scored]).any(axis=0))
    notes = []
    for score, tasks in figures.tasks_by_score:
        names = [figures.tasks[t] for t in tasks if undefined[t]]
        if names:
            notes.append(
                f"{score} is not defined in some split, and left out there, for {', '.join(names)}."
            )
    return notes


def _head(figures: Figures) -> list[str]:
    others = [
        f"{name}: {score}" if of.is_mixed else name
        for name in figures.others
        for of in [figures.by_scoring(name)]
        for score, _ in of.tasks_by_score
    ]
    if not figures.is_mixed:
        name = figures.scoring_name if figures.others else "score"
        costs = _WITHOUT_NETS if figures.of_populations else _COSTS
        return ["candidate", f"{name} ± sd", _DIFFERENCE, *others, *costs]
    scores = [f"{name} ± sd (difference)" for name, _ in figures.tasks_by_score]
    standardised = f"standardised, {_DIFFERENCE}"
    return ["candidate", *scores, "tasks better", standardised, *others, *_COSTS]


def _cells(figures: Figures) -> list[list[str]]:
    """The rows of the overall table, as text."""
    rows = []
    others = [figures.by_scoring(name) for name in figures.others]
    for candidate in figures.candidates:
        row = figures.summary(candidate)
        rows.append(
            [
                candidate + (" *" if candidate in figures.baselines else ""),
                *_score_cells(figures, candidate, row),
                _difference(figures, candidate, row),
                *[
                    _score_of(of, candidate, tasks, spread=False)
                    for of in others
                    for _, tasks in of.tasks_by_score
                ],
                *([] if figures.of_populations else [write_nets(row["nets"])]),
                "" if np.isnan(row["seconds"]) else f"{row['seconds']:.3g}",
                "" if np.isnan(row["time_ratio"]) else f"{row['time_ratio']:.2g}",
            ]
        )
    return rows


def _score_cells(figures: Figures, candidate: str, row: dict[str, Any]) -> list[str]:
    """The score, or each of several and how many tasks are better."""
    nothing = "failed" if candidate in figures.failed else "not run"
    if not figures.is_mixed:
        return [_score(row, figures.form()) or nothing]
    cells = [_score_of(figures, candidate, tasks) for _, tasks in figures.tasks_by_score]
    cells = [cell or (nothing if np.isnan(row["mean"]) else "") for cell in cells]
    if candidate == figures.best_baseline or figures.best_baseline is None:
        return [*cells, ""]
    better = figures.better(candidate, figures.best_baseline)
    better = better[np.isfinite(better)]
    return [*cells, f"{int(better.sum())} of {len(better)}" if len(better) else ""]


def _score_of(figures: Figures, candidate: str, tasks: Any, *, spread: bool = True) -> str:
    """The mean score of some tasks, with its difference to the best baseline in brackets."""
    row, form = figures.summary(candidate, tasks), figures.form(tasks)
    cell = _score(row if spread else {**row, "sd": np.nan}, form)
    if candidate == figures.best_baseline or np.isnan(row["difference"]):
        return cell
    return f"{cell} ({row['difference']:+{form}})"


def _difference(figures: Figures, candidate: str, row: dict[str, Any]) -> str:
    if candidate == figures.best_baseline:
        return "best baseline"
    form = figures.form()
    difference, low, high = (f"{row[key]:+{form}}" for key in ("difference", "low", "high"))
    if np.isnan(row["difference"]):
        return ""
    return difference if np.isnan(row["low"]) else f"{difference} ({low}, {high})"


def _score(row: dict[str, Any], form: str) -> str:
    if np.isnan(row["mean"]):
        return ""
    return f"{row['mean']:{form}}" + ("" if np.isnan(row["sd"]) else f" ± {row['sd']:{form}}")


def write_nets(number: float) -> str:
    """A number of nets, nothing for NaN."""
    return "" if np.isnan(number) else f"{round(number, 1):g}"
