"""`Comparison`: what `compare` learned, as tables, as one sentence, and in a notebook."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._figures import Figures
from skgroup.comparison._show import ScoreTable, as_html, as_markdown, as_text
from skgroup.comparison._verdict import advised_by, write_verdict
from skgroup.selection import GroupStability

#: What the rows of all tasks together are called; where their scores are of several kinds, in
#: standard deviations.
OVERALL = "mean over tasks"
STANDARDISED = "mean over tasks, standardised"


class Comparison(Figures):
    """Scores of candidates on the same splits; what `compare` returns.

    Attributes
    ----------
    candidates : list of str
    baselines : list of str
        Those of the candidates that the others are measured by.
    kinds : list of str
        What each candidate is: "grouped" (the tasks), "STL" (single-task nets), "MTL" (one or more
        multi-task nets), "balanced" (the same with a `balancing`) or "other".
    tasks : list of str
        Where candidates learn populations, these; so wherever tasks are spoken of here.
    scorings : list of str
        The names of all scorings; everything here is of the first, and `by_scoring` gives the
        same of another.
    scoring : str or dict of str to str
        What the scores are; by "classes" and "regression" where some tasks have classes and others
        are regression tasks.
    seeds, folds : ndarray of int, of shape (n_splits,)
        Of each split.
    split_ids : ndarray of int, of shape (n_splits,)
        Equal where seeds share a split: such a split counts once, by its mean.
    values : ndarray of shape (n_candidates, n_splits, n_tasks)
        Test scores; NaN where a fit failed or did not run, or where a task has no score.
    seconds : ndarray of shape (n_candidates, n_splits)
        Of each fit; NaN where it did not finish.
    nets : ndarray of shape (n_candidates, n_splits)
        Nets trained by each fit; NaN where it is not known.
    test_to_train : float
        Test samples of a split per training sample.
    interval : {"corrected", "seeds"}
    errors : dict of (candidate, seed, fold) to str
        Why fits failed.
    interrupted : bool
        Whether fits are missing because the user interrupted.
    task_kinds : list of str, one a task
        "classes" or "regression".
    scoring_name : str
        The first of `scorings`.
    others : dict of str to (scoring, values)
        Of each other scoring, by its name.
    remarks : list of str
        What the table says of the candidates: which learned one estimator a task, which baselines
        could not be made.
    groupings : dict of str to Groupings
        What the candidates that look for groups have found; see `memberships` and `stability`.
    unscored : dict of str to dict of (candidate, seed, fold) to str
        Of several scorings, by their names, why one has no score of fits that finished.
    of_populations : bool
        Whether the tasks are populations, sets of rows.
    """

    @property
    def frame(self) -> Any:
        """A row a candidate and task, the mean over tasks first (a pandas DataFrame).

        The index is (candidate, task). Columns: `mean` and `sd` (standard deviation over splits:
        all folds of all seeds) of the test score; `n_splits` that they are of; `difference` to
        the best baseline, paired over the splits that both have, with its 95 % interval from
        `low` to `high`; `nets` trained, `seconds` (median) and `time_ratio` (to the first
        baseline) of a fit of all tasks; `better`, the share of tasks that score more than with
        the best baseline; and `scoring`, what the scores of the row are.

        Where scores are of several kinds, the first row is the mean over tasks of standardised
        scores (less the mean of their task, divided by its `spread`); a row for the mean of each
        score follows.
        """
        pd = _pandas()
        rows: list[tuple[str, Any, str]] = [(OVERALL, None, str(self.scoring))]
        if self.is_mixed:
            rows = [(STANDARDISED, None, "standard deviations")]
            rows += [(f"mean {name} over tasks", t, name) for name, t in self.tasks_by_score]
        score_of = {t: name for name, tasks in self.tasks_by_score for t in tasks.tolist()}
        rows += [(task, t, score_of[t]) for t, task in enumerate(self.tasks) if t in score_of]
        index = pd.MultiIndex.from_product(
            [self.candidates, [label for label, *_ in rows]], names=["candidate", "task"]
        )
        return pd.DataFrame(
            [
                {**self.summary(candidate, tasks), "scoring": name}
                for candidate in self.candidates
                for _, tasks, name in rows
            ],
            index=index,
        )

    @property
    def table(self) -> ScoreTable:
        """What is printed, as texts: its `title`, `head`, `rows` and `notes`."""
        return ScoreTable.of(self)

    @property
    def scores(self) -> Any:
        """A row a test score, for plots (a pandas DataFrame).

        Columns: `candidate`, `seed`, `fold`, `task`, `score`; with several scorings also
        `scoring`, their names. A failed fit has scores of NaN, one that did not run has no rows.
        """
        pd = _pandas()
        parts = []
        values = {self.scoring_name: self.values}
        values |= {name: measure.values for name, measure in self.others.items()}
        for i, s in self._attempted():
            where = {"candidate": self.candidates[i], "seed": self.seeds[s], "fold": self.folds[s]}
            for name, of_scoring in values.items():
                told = {"scoring": name} if self.others else {}
                rows = {**where, "task": self.tasks, **told, "score": of_scoring[i, s]}
                parts.append(pd.DataFrame(rows))
        return pd.concat(parts, ignore_index=True)

    @property
    def fits(self) -> Any:
        """A row a fit: `candidate`, `seed`, `fold`, `seconds`, `nets`, `error` (None if it did
        not fail); a pandas DataFrame."""
        pd = _pandas()
        rows = [
            {
                "candidate": self.candidates[i],
                "seed": self.seeds[s],
                "fold": self.folds[s],
                "seconds": self.seconds[i, s],
                "nets": self.nets[i, s],
                "error": self.errors.get(self._key(i, s)),
            }
            for i, s in self._attempted()
        ]
        return pd.DataFrame(rows)

    def _key(self, candidate: int, split: int) -> tuple[str, int, int]:
        return self.candidates[candidate], int(self.seeds[split]), int(self.folds[split])

    def _attempted(self) -> list[tuple[int, int]]:
        """Candidate and split of each fit that finished or failed."""
        return [
            (i, s)
            for i in range(len(self.candidates))
            for s in range(len(self.seeds))
            if np.isfinite(self.seconds[i, s]) or self._key(i, s) in self.errors
        ]

    @property
    def verdict(self) -> str:
        """What to use, in one sentence; where fits are missing, of what has finished.

        Grouping helps where the whole interval of a candidate's difference to the best baseline
        is above 0. The advice is the cheapest way within noise of the best: of those that help, if
        any does, else of all candidates, the highest score, or the one with the shortest fits of
        those whose scores are within a standard error of it (that of their difference), whose fits
        take at most 0.8 of its time, and which nothing else clearly beats. Each verdict says
        whether there is such a one; where grouping helps, also whether something cheaper is as
        near, but not clearly above the best baseline. With fewer than four splits a standard error
        says little, and the advice is the highest score. A candidate with a fit that failed, or
        was not scored, is not advised.
        """
        return write_verdict(self)

    @property
    def advised(self) -> str | None:
        """The candidate that the verdict says to use; None where nothing can be said."""
        return advised_by(self)

    @property
    def _verdicts(self) -> list[str]:
        """The verdict by each scoring, which is named where there are several; equal ones once."""
        if not self.others:
            return [self.verdict]
        names: dict[str, list[str]] = {}
        for name in self.scorings:
            names.setdefault(self.by_scoring(name).verdict, []).append(name)
        return [f"By {', '.join(by)}: {verdict}" for verdict, by in names.items()]

    def plot(
        self, *, baseline: str | None = None, max_tasks: int | None = 40, ax: Any = None
    ) -> Any:
        """Draw the differences to the best baseline with their intervals, overall and of each task.

        Parameters
        ----------
        ax : matplotlib Axes, or one a candidate, default=None
            A new figure if None.
        baseline : str, default=None
            The candidate that the others are compared with; the best baseline if None.
        max_tasks : int, default=40
            Of more tasks, those of the largest differences are shown. None shows all.

        Returns
        -------
        display : skgroup.inspection.ComparisonDisplay
        """
        from skgroup.inspection import ComparisonDisplay

        return ComparisonDisplay.from_comparison(
            self, baseline=baseline, max_tasks=max_tasks, ax=ax
        )

    def to_markdown(self, *, tasks: bool = True) -> str:
        """What is printed, in GitHub's Markdown: the verdict, the table of candidates, its notes.

        Parameters
        ----------
        tasks : bool, default=True
            Whether a table of the scores of each task follows, the best of each bold.

        Returns
        -------
        markdown : str
        """
        return as_markdown(self, self._verdicts, tasks=tasks)

    @property
    def memberships(self) -> dict[str, list[NDArray[np.float64] | None]]:
        """The groups that were found: by candidate, a list of (n_tasks, n_groups), one a split;
        None where a fit failed or did not run."""
        return {name: list(of.memberships) for name, of in self.groupings.items()}

    @cached_property
    def stability(self) -> dict[str, GroupStability]:
        """How sure the groups are: by candidate, a fitted `GroupStability` of those of all splits.

        Of candidates that found groups of at least three tasks on two splits. Where these were
        clusters of a relation, other numbers of groups are looked at too, and all are compared
        with tasks without structure, and differences between splits are scaled to those of
        independent samples, as splits share most of their samples (`from_memberships`); nothing is
        trained. It takes seconds, the first time.
        """
        judged = {name: of for name, of in self.groupings.items() if of.can_be_judged}
        return {
            name: of.judge(self.tasks, 1 / (1 + self.test_to_train)) for name, of in judged.items()
        }

    def __repr__(self) -> str:
        return as_text(self, self._verdicts)

    def _repr_html_(self) -> str:
        return as_html(self, self._verdicts)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "The tables of a Comparison are pandas DataFrames: install pandas. Without it, print "
            "the Comparison, or read its 'values', 'overall' and 'verdict'."
        ) from error
    return pandas
