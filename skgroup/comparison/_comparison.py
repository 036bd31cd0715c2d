"""`Comparison`: what `compare` found, as tables, as one sentence, and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["INTERVALS", "OVERALL", "Comparison", "Paired", "paired_interval"]

INTERVALS = ("corrected", "seeds")
#: What the rows of all tasks together are called.
OVERALL = "mean over tasks"
_LEVEL = 0.95
#: With fewer splits, intervals are so wide that nearly nothing can be told apart.
_FEW = 4
#: A fit is clearly cheaper than another if it takes at most this share of its time.
_CHEAPER = 0.8


@dataclass(frozen=True)
class Paired:
    """A mean difference over splits, its standard error, and the ends of its 95 % interval (NaN if
    unknown)."""

    difference: float
    low: float
    high: float
    error: float


def paired_interval(
    differences: NDArray[np.float64],
    units: NDArray[np.intp],
    test_to_train: float,
    interval: str,
) -> Paired:
    """The mean of differences, one a split, and its 95 % interval of Student's t.

    Parameters
    ----------
    differences : ndarray of shape (n_splits,)
        NaN where one of the two has no score; such splits do not count.
    units : ndarray of shape (n_splits,)
        What each split counts to, its seed or the distinct split that it is: differences of a
        unit count by their mean.
    test_to_train : float
        Test samples of a split per training sample.
    interval : {"corrected", "seeds"}
        See `compare`.
    """
    known = np.isfinite(differences)
    d, units = differences[known], units[known]
    d = np.array([d[units == unit].mean() for unit in np.unique(units)])
    if len(d) == 0:
        return Paired(np.nan, np.nan, np.nan, np.nan)
    mean = float(d.mean())
    if len(d) == 1:
        return Paired(mean, np.nan, np.nan, np.nan)
    share = 1 / len(d) + (test_to_train if interval == "corrected" else 0.0)
    error = float(np.sqrt(share * d.var(ddof=1)))
    width = float(stats.t.ppf((1 + _LEVEL) / 2, len(d) - 1)) * error
    return Paired(mean, mean - width, mean + width, error)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Scores of candidates on the same splits; what `compare` returns.

    Attributes
    ----------
    candidates : list of str
    baselines : list of str
        Those of the candidates that the others are measured by.
    kinds : list of str
        What each candidate is: "grouped" (the tasks), "STL" (single-task nets), "MTL" (one or more
        multi-task nets) or "other".
    tasks : list of str
    scoring : str
        What the scores are.
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
    """

    candidates: list[str]
    baselines: list[str]
    kinds: list[str]
    tasks: list[str]
    scoring: str
    seeds: NDArray[np.intp]
    folds: NDArray[np.intp]
    split_ids: NDArray[np.intp]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nets: NDArray[np.float64]
    test_to_train: float
    interval: str = "corrected"
    errors: dict[tuple[str, int, int], str] = field(default_factory=dict)
    interrupted: bool = False

    # -- figures -------------------------------------------------------------------------------

    @cached_property
    def overall(self) -> NDArray[np.float64]:
        """Mean over tasks, (n_candidates, n_splits).

        A task counts in a split where all candidates that finished have a score of it.
        """
        scored = np.isfinite(self.values)
        finished = scored.any(axis=2, keepdims=True)
        counted = (scored | ~finished).all(axis=0) & finished
        total = np.where(counted, self.values, 0.0).sum(axis=2)
        number = counted.sum(axis=2)
        return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)

    @cached_property
    def best_baseline(self) -> str | None:
        """The baseline of the highest mean over tasks, on the splits that all have finished."""
        scores = {name: self.overall[self.candidates.index(name)] for name in self.baselines}
        scores = {name: s for name, s in scores.items() if np.isfinite(s).any()}
        if not scores:
            return None
        common = np.isfinite(list(scores.values())).all(axis=0)
        common = common if common.any() else np.ones_like(common)
        return max(scores, key=lambda name: _mean(scores[name][common]))

    @property
    def grouped(self) -> list[str]:
        """Those of the candidates that group the tasks."""
        return [c for c, kind in zip(self.candidates, self.kinds, strict=True) if kind == "grouped"]

    @property
    def lacking(self) -> list[str]:
        """What a grouping should be set beside and is not, or has not finished a fit: single-task
        nets, an ensemble of as many multi-task nets (within a tenth)."""
        if len(self.tasks) == 1 or not self.grouped:
            return []
        nets: dict[str, list[float]] = {"STL": [], "MTL": [], "grouped": [], "other": []}
        for i, kind in enumerate(self.kinds):
            if np.isfinite(self.overall[i]).any():
                nets[kind].append(_mean(self.nets[i]))
        found = [] if nets["STL"] else ["single-task nets (GroupedMTLClassifier.stl)"]
        known = [n for n in nets["grouped"] if np.isfinite(n)]
        # Where the number of nets of an ensemble is not known, it may be as many.
        if not any(np.isnan(n) or n >= 0.9 * max(known, default=2) for n in nets["MTL"]):
            found.append(
                "an ensemble of as many multi-task nets (GroupedMTLClassifier.mtl_ensemble)"
            )
        return found

    def paired(self, candidate: str, other: str, task: int | None = None) -> Paired:
        """How much better a candidate is than another, over the splits that both have finished.

        Parameters
        ----------
        candidate, other : str
        task : int, default=None
            Position of a task; the mean over tasks if None.

        Returns
        -------
        paired : Paired
            With `difference`, its standard `error`, `low` and `high`.
        """
        scores = self.overall if task is None else self.values[:, :, task]
        ours, theirs = (scores[self.candidates.index(name)] for name in (candidate, other))
        return paired_interval(ours - theirs, self._units, self.test_to_train, self.interval)

    @property
    def _same_splits(self) -> bool:
        return len(np.unique(self.split_ids)) < len(self.split_ids)

    @property
    def _units(self) -> NDArray[np.intp]:
        return self.seeds if self.interval == "seeds" else self.split_ids

    def _row(self, candidate: str, task: int | None) -> dict[str, Any]:
        i = self.candidates.index(candidate)
        scores = self.overall[i] if task is None else self.values[i, :, task]
        scores = scores[np.isfinite(scores)]
        best = self.best_baseline
        if best is None:
            paired = Paired(np.nan, np.nan, np.nan, np.nan)
        else:
            paired = self.paired(candidate, best, task)
        return {
            "mean": _mean(scores),
            "sd": float(scores.std(ddof=1)) if len(scores) > 1 else np.nan,
            "n_splits": len(scores),
            "difference": paired.difference,
            "low": paired.low,
            "high": paired.high,
            "nets": _mean(self.nets[i]),
            "seconds": self._seconds(candidate),
            "time_ratio": self._seconds(candidate) / self._seconds(self.baselines[0]),
        }

    def _seconds(self, candidate: str) -> float:
        # Of all fits the first takes longest, and not because of its candidate.
        seconds = self.seconds[self.candidates.index(candidate)]
        finished = seconds[np.isfinite(seconds)]
        return float(np.median(finished)) if len(finished) else float("nan")

    # -- tables --------------------------------------------------------------------------------

    @property
    def frame(self) -> Any:
        """A row a candidate and task, the mean over tasks first (a pandas DataFrame).

        The index is (candidate, task). Columns: `mean` and `sd` (standard deviation over splits:
        all folds of all seeds) of the test score; `n_splits` that they are of; `difference` to
        the best baseline, paired over the splits that both have, with its 95 % interval from
        `low` to `high`; `nets` trained, `seconds` (median) and `time_ratio` (to the first
        baseline) of a fit of all tasks.
        """
        pd = _pandas()
        keys = [(c, t) for c in self.candidates for t in (None, *range(len(self.tasks)))]
        index = pd.MultiIndex.from_tuples(
            [(c, OVERALL if t is None else self.tasks[t]) for c, t in keys],
            names=["candidate", "task"],
        )
        return pd.DataFrame([self._row(*key) for key in keys], index=index)

    @property
    def scores(self) -> Any:
        """A row a test score, for plots (a pandas DataFrame).

        Columns: `candidate`, `seed`, `fold`, `task`, `score`. A failed fit has scores of NaN, one
        that did not run has no rows.
        """
        pd = _pandas()
        parts = []
        for i, s in self._attempted():
            where = {"candidate": self.candidates[i], "seed": self.seeds[s], "fold": self.folds[s]}
            parts.append(pd.DataFrame({**where, "task": self.tasks, "score": self.values[i, s]}))
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

    # -- words ---------------------------------------------------------------------------------

    @property
    def verdict(self) -> str:
        """What to use, in one sentence; where fits are missing, of what has finished.

        Grouping helps where the whole interval of a candidate's difference to the best baseline
        is above 0. The advice is the candidate of the highest score (of those that help, if any
        does), or else the one with the shortest fits of those whose scores are within a standard
        error of it (that of their difference), whose fits take at most 0.8 of its time, and which
        nothing else clearly beats. With fewer than four splits a standard error says little, and
        the advice is the highest score. A candidate with a fit that failed is not advised.
        """
        if not self.interrupted:
            return self._verdict()
        n_done = int(np.isfinite(self.seconds).sum())
        return f"After {n_done} of {self.seconds.size} fits: {self._verdict()}"

    def _verdict(self) -> str:
        means, n_units = self._means_and_units()
        finished = list(means)
        others = [c for c in finished if c not in self.baselines]
        best = self.best_baseline
        if best is None and np.isfinite(self.seconds).any() and np.isnan(self.overall).all():
            return (
                f"{self.scoring} is defined for no task in any split (its test samples lack "
                "classes), so that nothing can be said: use other splits (cv) or another scoring."
            )
        if best is None:
            return "No baseline has finished a fit, so that nothing can be said."
        if not finished:
            return "No candidate has finished all its fits, so that nothing is advised."
        top = max(finished, key=means.__getitem__)
        unit = "seed" if self.interval == "seeds" else "split"
        if n_units <= 1:
            more = "let 'cv' draw more" if self._same_splits else "raise 'seeds'"
            if self.interrupted and len(np.unique(self._units)) > 1:
                more = "let more fits finish"
            return (
                f"“{top}” has the highest score, {means[top]:.3f}, but one {unit} cannot tell "
                f"merit from chance: {more}."
            )
        subject = "Grouping" if set(others) <= set(self.grouped) else "What is no baseline"
        helping = [c for c in others if self.paired(c, best).low > 0]
        if helping:
            first = max(helping, key=means.__getitem__)
            use = first if n_units < _FEW else self._cheapest(helping, first)
            limits = []
            if use != first:
                limits.append(f"the cheapest of those within a standard error of “{first}”")
            if len(others) > 1:
                limits.append(f"of {len(others)} candidates tried, for which no interval allows")
            if self.lacking:
                limits.append(f"not compared with {' nor '.join(self.lacking)}")
            said = [f"{self._against(use, best)}", *limits]
            return f"{subject} helps here: use “{use}” ({self._cost(use)}), {'; '.join(said)}."
        use = top if n_units < _FEW else self._cheapest(finished, top)
        if n_units < _FEW:
            advice = f"the highest score; {n_units} {unit}s are too few to advise anything cheaper"
        elif use == top:
            cheaper = any(self._seconds(c) < self._seconds(use) for c in finished)
            advice = (
                "the highest score, and nothing clearly cheaper is within a standard error of it"
                if cheaper
                else "the best and the cheapest"
            )
        else:
            advice = f"the cheapest of those within a standard error of the best, “{top}”"
        if self.errors and n_units >= _FEW:
            advice += " (of those whose fits have not failed)"
        advice = f"use “{use}” ({self._cost(use)}), {advice}"
        if not others:
            alone = set(self.candidates) == set(self.baselines)
            what = "were compared" if alone else "have finished their fits"
            what = f"Only baselines {what}"
            return f"{what}: {advice}."
        leader = max(others, key=means.__getitem__)
        figures = f"“{leader}” is {self._against(leader, best)}"
        level = use in others and n_units >= _FEW and self.paired(use, best).high >= 0
        if level and self._seconds(use) <= _CHEAPER * self._seconds(best):
            return f"{subject} does not clearly score more here, but costs less: {advice}."
        clearly = "" if all(self.paired(c, best).high < 0 for c in others) else " clearly"
        return f"{subject} does not{clearly} help here ({figures}): {advice}."

    def _against(self, candidate: str, best: str) -> str:
        p = self.paired(candidate, best)
        side = "above" if p.difference >= 0 else "below"
        return (
            f"{abs(p.difference):.3f} {side} the best baseline, “{best}” (95 % interval of the "
            f"difference {p.low:+.3f} to {p.high:+.3f})"
        )

    def _cheapest(self, candidates: list[str], top: str) -> str:
        """The one with the shortest fits of those that score about as much as `top`; `top` if none
        is clearly cheaper."""
        near = [top]
        for candidate in candidates:
            p = self.paired(candidate, top)
            about = p.difference + p.error >= 0
            beaten = any(self.paired(candidate, other).high < 0 for other in candidates)
            if about and not beaten and self._seconds(candidate) <= _CHEAPER * self._seconds(top):
                near.append(candidate)
        return min(near, key=lambda c: (self._seconds(c), c))

    def _means_and_units(self) -> tuple[dict[str, float], int]:
        """Scores of the candidates whose fits have not failed, on the splits that all of them
        have finished, and how many independent splits (or seeds) these are."""
        failed = {candidate for candidate, _, _ in self.errors}
        scores = dict(zip(self.candidates, self.overall, strict=True))
        scores = {c: s for c, s in scores.items() if np.isfinite(s).any() and c not in failed}
        if not scores:
            return {}, 0
        common = np.isfinite(list(scores.values())).all(axis=0)
        n_units = len(np.unique(self._units[common]))
        common = common if common.any() else np.ones_like(common)
        return {c: _mean(s[common]) for c, s in scores.items()}, n_units

    def _cost(self, candidate: str) -> str:
        i = self.candidates.index(candidate)
        nets = _nets(_mean(self.nets[i]))
        seconds = f"{self._seconds(candidate):.2g} s a fit"
        if nets in ("", "0"):
            return seconds
        return f"{nets} net{'' if nets == '1' else 's'}, {seconds}"

    @property
    def _title(self) -> str:
        n_seeds = len(np.unique(self.seeds))
        n_splits = len(self.seeds) // n_seeds
        return (
            f"Test {self.scoring}, mean over {len(self.tasks)} tasks, of {n_seeds} "
            f"seed{'s' * (n_seeds != 1)}, {n_splits} split{'s' * (n_splits != 1)} each"
        )

    @property
    def _notes(self) -> list[str]:
        notes = []
        if self._same_splits:
            notes.append("Splits are the same for several seeds: this speaks of these splits.")
        if self.lacking:
            notes.append(f"Not compared with {' nor '.join(self.lacking)}.")
        ran = np.isfinite(self.seconds)
        undefined = np.flatnonzero(np.isnan(self.values[ran]).any(axis=0))
        if len(undefined):
            names = [self.tasks[t] for t in undefined]
            notes.append(
                f"{self.scoring} is not defined in some split, and left out there, for "
                f"{', '.join(names)}."
            )
        if self.interrupted:
            n_done = int(np.isfinite(self.seconds).sum())
            notes.append(f"Interrupted after {n_done} of {self.seconds.size} fits.")
        if len({self._row(candidate, None)["n_splits"] for candidate in self.candidates}) > 1:
            notes.append(
                "Scores are of the splits that each has finished, differences of those that both "
                "have."
            )
        failed: dict[str, list[str]] = {}
        for (candidate, _, _), error in self.errors.items():
            failed.setdefault(candidate, []).append(error)
        notes += [
            f"“{candidate}” failed in {len(errors)} of {len(self.seeds)} fits, first with "
            f"{errors[0]}"
            for candidate, errors in failed.items()
        ]
        return notes

    def _cells(self) -> list[list[str]]:
        """The rows of the overall table, as text."""
        failed = {candidate for candidate, _, _ in self.errors}
        rows = []
        for candidate in self.candidates:
            row = self._row(candidate, None)
            if candidate == self.best_baseline:
                difference = "best baseline"
            elif np.isnan(row["difference"]):
                difference = ""
            elif np.isnan(row["low"]):
                difference = f"{row['difference']:+.3f}"
            else:
                difference = f"{row['difference']:+.3f} ({row['low']:+.3f}, {row['high']:+.3f})"
            rows.append(
                [
                    candidate + (" *" if candidate in self.baselines else ""),
                    _score(row["mean"], row["sd"])
                    or ("failed" if candidate in failed else "not run"),
                    difference,
                    _nets(row["nets"]),
                    "" if np.isnan(row["seconds"]) else f"{row['seconds']:.3g}",
                    "" if np.isnan(row["time_ratio"]) else f"{row['time_ratio']:.2g}",
                ]
            )
        return rows

    def __repr__(self) -> str:
        cells = [_HEAD, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([self._title, "", *lines, "* baseline", "", self.verdict, *self._notes])

    def _repr_html_(self) -> str:
        of_tasks = [
            [_mean(self.values[i, :, t]) for i in range(len(self.candidates))]
            for t in range(len(self.tasks))
        ]
        rows = []
        for task, means in zip(self.tasks, of_tasks, strict=True):
            best = np.nanmax(means) if np.isfinite(means).any() else np.nan
            shown = ["" if np.isnan(m) else f"{m:.3f}" for m in means]
            marked = [f"<b>{x}</b>" if m == best else x for m, x in zip(means, shown, strict=True)]
            rows.append([escape(task), *marked])
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes)
        return (
            f"<div><p><b>{escape(self.verdict)}</b></p><p>{escape(self._title)}</p>"
            f"{_table(_HEAD, [[escape(cell) for cell in row] for row in self._cells()])}"
            f"<p>* baseline</p>{notes}<details><summary>Each task</summary>"
            f"{_table(['task', *map(escape, self.candidates)], rows)}</details></div>"
        )


_HEAD = ["candidate", "score ± sd", "to the best baseline (95 %)", "nets", "seconds", "time ratio"]


def _table(head: list[str], rows: list[list[str]]) -> str:
    """HTML of cells that are escaped already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _score(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return ""
    return f"{mean:.3f}" + ("" if np.isnan(sd) else f" ± {sd:.3f}")


def _nets(number: float) -> str:
    return "" if np.isnan(number) else f"{round(number, 1):g}"


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN if there is nothing."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "The tables of a Comparison are pandas DataFrames: install pandas. Without it, print "
            "the Comparison, or read its 'values', 'overall' and 'verdict'."
        ) from error
    return pandas
