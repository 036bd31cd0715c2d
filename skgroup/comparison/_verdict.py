"""The verdict: which candidate to use, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skgroup.comparison._figures import Figures, mean_of_known
from skgroup.comparison._scores import R2
from skgroup.comparison._show import write_nets

#: With fewer splits, intervals are so wide that nearly nothing can be told apart.
_FEW = 4
#: A fit is clearly cheaper than another if it takes at most this share of its time.
_CHEAPER = 0.8


def write_verdict(figures: Figures) -> str:
    """The sentence that says which candidate to use, and whether grouping helps.

    It is `Comparison.verdict`, which says by which rules.
    """
    means, n_units = _means_of_finished(figures)
    sentence = _if_nothing_can_be_said(figures, means, n_units) or _advise(figures, means, n_units)
    sentence += _if_nothing_is_learned(figures)
    if not figures.interrupted:
        return sentence
    return f"After {figures.n_finished} of {figures.seconds.size} fits: {sentence}"


def advised_by(figures: Figures) -> str | None:
    """The candidate that the verdict says to use; None where nothing can be said."""
    means, n_units = _means_of_finished(figures)
    if _if_nothing_can_be_said(figures, means, n_units) is not None:
        return None
    return _Choice.of(figures, means, n_units).use


@dataclass(frozen=True)
class _Choice:
    """The candidate to use.

    Attributes
    ----------
    use : str
    top : str
        That of the highest score: of those that help, if any does, else of all.
    others, helping : list of str
        What is no baseline, and what of it is clearly above the best one.
    n_units : int
        Independent splits, or seeds.
    cheaper : str or None
        One that does not clearly help, within a standard error of `top` and cheaper than `use`.
    """

    use: str
    top: str
    others: list[str]
    helping: list[str]
    n_units: int
    cheaper: str | None

    @classmethod
    def of(cls, figures: Figures, means: dict[str, float], n_units: int) -> _Choice:
        others = [c for c in means if c not in figures.baselines]
        best = str(figures.best_baseline)
        helping = [c for c in others if figures.paired(c, best).low > 0]
        pool = helping or list(means)
        use = top = max(pool, key=means.__getitem__)
        cheaper = None
        if n_units >= _FEW:
            use = _cheapest(figures, pool, top)
            of_all = _cheapest(figures, list(means), top)
            shorter = figures.seconds_of(of_all) < figures.seconds_of(use)
            cheaper = of_all if of_all not in pool and shorter else None
        return cls(use, top, others, helping, n_units, cheaper)


def _means_of_finished(figures: Figures) -> tuple[dict[str, float], int]:
    """Scores of the candidates whose fits have not failed, on the splits that all of them have
    finished, and how many independent splits (or seeds) these are."""
    scores = dict(zip(figures.candidates, figures.overall, strict=True))
    scores = {c: s for c, s in scores.items() if np.isfinite(s).any() and c not in figures.failed}
    if not scores:
        return {}, 0
    common = np.isfinite(list(scores.values())).all(axis=0)
    n_units = len(np.unique(figures.units[common]))
    common = common if common.any() else np.ones_like(common)
    return {c: mean_of_known(s[common]) for c, s in scores.items()}, n_units


def _if_nothing_can_be_said(figures: Figures, means: dict[str, float], n_units: int) -> str | None:
    if figures.best_baseline is None:
        of_baselines = [figures.candidates.index(name) for name in figures.baselines]
        if figures.scoring_errors and not figures.scored[of_baselines].any():
            error = next(iter(figures.scoring_errors.values()))
            return (
                f"No baseline was scored by {figures.scoring_name!r}, so that nothing can be said: "
                f"it failed with {error.removesuffix('.')}."
            )
        if figures.n_finished and np.isnan(figures.overall).all():
            names = " and ".join(name for name, _ in figures.tasks_by_score)
            is_are, lack = ("are", "what they need") if figures.is_mixed else ("is", "classes")
            return (
                f"{names} {is_are} defined for no task in any split (its test samples lack "
                f"{lack}), so that nothing can be said: use other splits (cv) or another scoring."
            )
        return "No baseline has finished a fit, so that nothing can be said."
    if not means:
        return "No candidate has finished all its fits, so that nothing is advised."
    if n_units > 1:
        return None
    more = "let 'cv' draw more" if figures.same_splits else "raise 'seeds'"
    if figures.interrupted and len(np.unique(figures.units)) > 1:
        more = "let more fits finish"
    top = max(means, key=means.__getitem__)
    score = "" if figures.is_mixed else f", {means[top]:{figures.form()}}"
    return (
        f"“{top}” has {_highest(figures)}{score}, but one {_unit(figures)} cannot tell merit from "
        f"chance: {more}."
    )


def _if_nothing_is_learned(figures: Figures) -> str:
    """A warning where no candidate is better than the mean of the numbers."""
    for name, tasks in figures.tasks_by_score:
        scores = figures.mean_over(tasks)
        if name == R2 and np.isfinite(scores).any() and (np.nanmean(scores, axis=1) < 0).all():
            return (
                " Every candidate is worse than predicting the mean (R² below 0): look at their "
                "training, and at the scale of X, before comparing them."
            )
    return ""


def _advise(figures: Figures, means: dict[str, float], n_units: int) -> str:
    best = str(figures.best_baseline)
    choice = _Choice.of(figures, means, n_units)
    use, others = choice.use, choice.others
    subject = "Grouping" if set(others) <= set(figures.grouped) else "What is no baseline"
    if choice.helping:
        return f"{subject} helps here: {_of_helping(figures, means, choice)}"
    advice = _of_all(figures, means, choice)
    if not others:
        alone = set(figures.candidates) == set(figures.baselines)
        which = "were compared" if alone else "have finished their fits"
        return f"Only baselines {which}: {advice}."
    level = use in others and n_units >= _FEW and figures.paired(use, best).high >= 0
    if level and figures.seconds_of(use) <= _CHEAPER * figures.seconds_of(best):
        return f"{subject} does not clearly score more here, but costs less: {advice}."
    leader = max(others, key=means.__getitem__)
    difference = f"“{leader}” is {_difference(figures, leader, best)}"
    clearly = "" if all(figures.paired(c, best).high < 0 for c in others) else " clearly"
    return f"{subject} does not{clearly} help here ({difference}): {advice}."


def _of_helping(figures: Figures, means: dict[str, float], choice: _Choice) -> str:
    """Which of the candidates that help to use, and what limits that."""
    use = choice.use
    reasons = [_difference(figures, use, str(figures.best_baseline))]
    if use != choice.top:
        reasons.append(f"the cheapest of those within a standard error of “{choice.top}”")
    elif choice.n_units < _FEW:
        reasons.append(_too_few(figures, choice))
    elif choice.cheaper is None:
        reasons.append(_nothing_cheaper(figures, means, choice))
    if choice.cheaper is not None:
        reasons.append(
            f"“{choice.cheaper}” ({_cost(figures, choice.cheaper)}) is within a standard error of "
            f"“{choice.top}” too and cheaper, but not clearly above the best baseline"
        )
    if len(choice.others) > 1:
        reasons.append(f"of {len(choice.others)} candidates tried, for which no interval allows")
    if figures.lacking:
        reasons.append(f"not compared with {' nor '.join(figures.lacking)}")
    return f"use “{use}” ({_cost(figures, use)}), {'; '.join(reasons)}."


def _of_all(figures: Figures, means: dict[str, float], choice: _Choice) -> str:
    """The candidate to use where none helps, and why."""
    use = choice.use
    if choice.n_units < _FEW:
        why = f"{_highest(figures)}; {_too_few(figures, choice)}"
    elif use != choice.top:
        why = f"the cheapest of those within a standard error of the best, “{choice.top}”"
    else:
        why = f"{_highest(figures)}, and {_nothing_cheaper(figures, means, choice)}"
    if figures.failed and choice.n_units >= _FEW:
        why += " (of those whose fits have not failed)"
    return f"use “{use}” ({_cost(figures, use)}), {why}"


def _too_few(figures: Figures, choice: _Choice) -> str:
    return f"{choice.n_units} {_unit(figures)}s are too few to advise anything cheaper"


def _nothing_cheaper(figures: Figures, means: dict[str, float], choice: _Choice) -> str:
    if any(figures.seconds_of(c) < figures.seconds_of(choice.use) for c in means):
        return "nothing clearly cheaper is within a standard error of it"
    return "nothing is cheaper"


def _cheapest(figures: Figures, candidates: list[str], top: str) -> str:
    """The one with the shortest fits of those that score about as much as `top`; `top` if none is
    clearly cheaper."""
    near = [top]
    for candidate in candidates:
        p = figures.paired(candidate, top)
        about = p.difference + p.error >= 0
        beaten = any(figures.paired(candidate, other).high < 0 for other in candidates)
        cheaper = figures.seconds_of(candidate) <= _CHEAPER * figures.seconds_of(top)
        if about and not beaten and cheaper:
            near.append(candidate)
    return min(near, key=lambda c: (figures.seconds_of(c), c))


def _difference(figures: Figures, candidate: str, best: str) -> str:
    p, form = figures.paired(candidate, best), figures.form()
    side = "above" if p.difference >= 0 else "below"
    away, low, high = f"{abs(p.difference):{form}}", f"{p.low:+{form}}", f"{p.high:+{form}}"
    if figures.is_mixed:
        better = figures.better(candidate, best)
        better = better[np.isfinite(better)]
        return (
            f"{away} standard deviations {side} the best baseline, “{best}” (mean standardised "
            f"difference over tasks, 95 % interval {low} to {high}; better in "
            f"{int(better.sum())} of {len(better)} tasks)"
        )
    return (
        f"{away} {side} the best baseline, “{best}” (95 % interval of the difference {low} to "
        f"{high})"
    )


def _cost(figures: Figures, candidate: str) -> str:
    nets = write_nets(figures.nets_of(candidate))
    seconds = f"{figures.seconds_of(candidate):.2g} s a fit"
    if nets in ("", "0"):
        return seconds
    return f"{nets} net{'' if nets == '1' else 's'}, {seconds}"


def _highest(figures: Figures) -> str:
    return "the highest mean standardised score" if figures.is_mixed else "the highest score"


def _unit(figures: Figures) -> str:
    return "seed" if figures.interval == "seeds" else "split"
