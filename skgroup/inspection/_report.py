"""`report`: one page about a grouping, for someone who was not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from skgroup._tables import markdown_text
from skgroup.inspection._report_blocks import Block, Call, Items, Section, Text
from skgroup.inspection._report_facts import Facts, gather_facts
from skgroup.inspection._report_groups import (
    answer_groups,
    answer_stability,
    groups_section,
    serving_section,
)
from skgroup.inspection._report_partners import partners_section
from skgroup.inspection._report_scores import (
    answer_cost,
    answer_gain,
    costs_section,
    gains_section,
    reading_section,
    what_candidates_are,
    what_scores_are,
)
from skgroup.inspection._writing import listed
from skgroup.store import path_of, replaced_file
from skgroup.tasks import MISSING

_STYLE = """
.skgroup-report { max-width: 60em; line-height: 1.45; }
.skgroup-report table { border-collapse: collapse; margin: 0.6em 0; }
.skgroup-report th, .skgroup-report td {
  text-align: left; vertical-align: top; padding: 2px 10px; border-bottom: 1px solid #ccc; }
.skgroup-report img { max-width: 100%; }
.skgroup-report figure { margin: 0.8em 0; }
.skgroup-report figcaption { font-size: 90%; }
"""


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A page in sections, what `report` returns.

    `print` shows it as text, a notebook as HTML with pictures.

    Attributes
    ----------
    title : str
    sections : list of Section
        Each with a `title` and `blocks`: texts, lists, tables and pictures.
    """

    title: str
    sections: list[Section]

    def __str__(self) -> str:
        head = f"{self.title}\n{'=' * len(self.title)}"
        return "\n\n".join([head, *(section.to_text() for section in self.sections)])

    __repr__ = __str__

    def to_markdown(self, path: Any = None) -> str:
        """The report in Markdown, as GitHub shows it.

        Parameters
        ----------
        path : path-like, default=None
            A file to write; its pictures stand beside it, as "<name>-<picture>.png". Without a
            file there are no pictures.

        Returns
        -------
        text : str

        Raises
        ------
        ImportError
            If there is a path, and matplotlib is missing.
        OSError
            If a file cannot be written.
        """
        files: dict[str, str] = {}
        if path is not None:
            path = path_of(path, "The 'path' parameter of to_markdown")
            for picture in [picture for section in self.sections for picture in section.pictures]:
                file = path.with_name(f"{path.stem}-{picture.name}.png")
                _write(file, picture.png())
                files[picture.name] = file.name
        parts = [f"# {markdown_text(self.title)}"]
        text = "\n\n".join(parts + [section.to_markdown(files) for section in self.sections]) + "\n"
        if path is not None:
            _write(path, text.encode())
        return text

    def to_html(self, path: Any = None) -> str:
        """The report as one HTML page that needs no other file: pictures are inside.

        Without matplotlib their captions stand in their place.

        Parameters
        ----------
        path : path-like, default=None
            A file to write.

        Returns
        -------
        html : str

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        html = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(self.title)}</title></head>\n"
            f'<body style="font-family: sans-serif; margin: 2em">{self._repr_html_()}</body></html>'
            "\n"
        )
        if path is not None:
            _write(path_of(path, "The 'path' parameter of to_html"), html.encode())
        return html

    def _repr_html_(self) -> str:
        sections = "\n".join(section.to_html() for section in self.sections)
        return (
            f'<div class="skgroup-report"><style>{_STYLE}</style>'
            f"<h1>{escape(self.title)}</h1>\n{sections}</div>"
        )


def report(
    estimator: Any = None,
    comparison: Any = None,
    *,
    X: Any = None,
    Y: Any = None,
    stability: Any = None,
    partners: Any = None,
    candidate: str | None = None,
    task_names: Sequence[str] | None = None,
    max_tasks: int | None = 20,
    title: str | None = None,
) -> Report:
    """Which tasks belong together, how sure, what it gains and what it costs: one page.

    Whatever is known is joined; for the rest, the page says by which call it would be.

    Parameters
    ----------
    estimator : fitted estimator or Comparison, default=None
        `GroupedMTLClassifier` and kin, portfolios, `MultiTaskNet`, groupers, pipelines and
        searches of these. A comparison may stand in its place.
    comparison : Comparison, default=None
        What `compare` returned for the same tasks.
    X : array-like of shape (n_samples, ...), default=None
        For the number of features.
    Y : array-like of shape (n_samples, n_tasks), default=None
        The task table, for numbers of samples and shares of missing labels.
    stability : fitted GroupStability, default=None
        How sure the groups are. None is that of the candidate in the comparison, if it groups.
    partners : DataFrame, default=None
        Who helps and who hurts each task, what `partners(estimator, X, Y)` returned. None is what
        the estimator holds itself: nothing is trained.
    candidate : str, default=None
        The candidate whose gains are shown. None is the best of those that group the tasks, or
        where none does, of those that are no baselines.
    task_names : sequence of str, default=None
        Names to be shown, in the order of the estimator's tasks (or the comparison's, alone).
        None is those that these know.
    max_tasks : int, default=20
        Of more tasks, tables and lists show those of the clearest differences, and say how many
        are left out. None shows all.
    title : str, default=None

    Returns
    -------
    report : Report
        With `to_markdown` and `to_html`; `print` shows it as text.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If there is neither an estimator nor a comparison, they are of other tasks, or of
        populations, or another parameter is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
    >>> from skgroup.inspection import report
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> net = MultiTaskNet(max_epochs=5, lr=0.01)
    >>> clf = GroupedMTLClassifier(net, n_groups=2, random_state=0).fit(X, Y)
    >>> page = report(clf, Y=Y, title="Three tasks")
    >>> [section.title for section in page.sections]
    ['In short', 'The question', 'The groups', ...]
    >>> page.to_markdown().splitlines()[0]
    '# Three tasks'
    """
    if title is not None and not isinstance(title, str):
        raise ValueError(f"The 'title' parameter of report must be a str, or None. Got {title!r}.")
    facts = gather_facts(
        estimator,
        comparison,
        X=X,
        Y=Y,
        stability=stability,
        partners=partners,
        candidate=candidate,
        task_names=task_names,
        max_tasks=max_tasks,
    )
    if title is None:
        title = f"{facts.n_tasks} task{'s' * (facts.n_tasks != 1)}: which belong together?"
    sections = [
        _answers(facts),
        _question(facts),
        groups_section(facts),
        partners_section(facts),
        gains_section(facts),
        serving_section(facts),
        costs_section(facts),
        reading_section(facts),
    ]
    return Report(title, [section for section in sections if section is not None])


def _answers(facts: Facts) -> Section:
    """The first screen."""
    answers = [
        ("Does it pay?", answer_gain(facts)),
        ("Which tasks belong together?", answer_groups(facts)),
        ("How sure is that?", answer_stability(facts)),
        ("What does it cost?", answer_cost(facts)),
    ]
    blocks: list[Block] = [Items([(ask, _sentence(answer)) for ask, answer in answers])]
    if facts.comparison is not None:
        best = facts.comparison.best_baseline
        names = [facts.candidate, best, facts.comparison.baselines[0]]
        what = what_candidates_are(facts.comparison, names)
        blocks.append(Text(f"{what} {what_scores_are(facts.comparison)}".strip()))
    return Section("In short", blocks)


def _question(facts: Facts) -> Section:
    blocks: list[Block] = [
        Text(
            "Are these tasks better learned together, in groups, or each alone? A task is a column "
            "of the table of labels; tasks that are learned together share a neural network."
        )
    ]
    rows = [("tasks:", _kinds(facts))]
    if facts.estimator is not None:
        rows.append(("fitted:", type(facts.estimator).__name__))
    table = facts.table
    if table is not None:
        missing = (table.codes == MISSING).mean(axis=0)
        rows.append(("samples:", f"{len(table.codes):,}"))
        cell = f"{missing.mean():.1%}" if missing.any() else "none"
        if missing.any():
            t = int(missing.argmax())
            cell += f" of all, at most {missing[t]:.1%} (of {facts.tasks[t]})"
        rows.append(("missing labels:", cell))
        rows += _rarest(facts)
    if facts.shape is not None:
        rows.append(("features of a sample:", " by ".join(f"{n:,}" for n in facts.shape)))
    comparison = facts.comparison
    if comparison is not None:
        share = comparison.test_to_train / (1 + comparison.test_to_train)
        rows.append(
            ("compared by:", f"{comparison.table.title}; {share:.0%} of samples to test on")
        )
    blocks.append(Items(rows))
    if table is None:
        blocks.append(
            Call("How many samples and missing labels there are:", "report(..., X=X, Y=Y)")
        )
    return Section("The question", blocks)


def _kinds(facts: Facts) -> str:
    """How many tasks there are, of which kinds."""
    types = facts.task_types
    if types is None and facts.comparison is not None:
        types = facts.comparison.task_kinds
    kinds, numbers = np.unique([] if types is None else list(types), return_counts=True)
    if len(kinds) == 0:
        return str(facts.n_tasks)
    if len(kinds) == 1:
        return f"{facts.n_tasks}, all {kinds[0]}" if facts.n_tasks > 1 else f"1, {kinds[0]}"
    each = listed([f"{n} {kind}" for kind, n in zip(kinds, numbers, strict=True)], 5)
    return f"{facts.n_tasks}: {each}"


def _rarest(facts: Facts) -> list[tuple[str, str]]:
    """The class of the fewest samples, of all tasks."""
    table = facts.table
    assert table is not None
    numbers = {
        t: np.bincount(table.codes[table.codes[:, t] != MISSING, t], minlength=len(classes)).min()
        for t, classes in enumerate(table.classes)
        if table.has_classes[t] and table.learnable[t]
    }
    if not numbers:
        return []
    t = min(numbers, key=numbers.__getitem__)
    return [("rarest class:", f"{numbers[t]:,} samples (of {facts.tasks[t]})")]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _write(path: Path, data: bytes) -> None:
    with replaced_file(path) as file:
        file.write(data)
