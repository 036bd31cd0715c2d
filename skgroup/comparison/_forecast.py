"""What a comparison will cost, before it starts: fits are timed on little and counted."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone

from skgroup._estimators import parts_of, steps_of
from skgroup._random import open_seed
from skgroup.comparison._candidates import file_keeper, seeded
from skgroup.comparison._fit_params import params_of_samples
from skgroup.comparison._fits import Fit
from skgroup.comparison._kinds import name_default_nets, nets_of
from skgroup.ensemble import GroupedMTLEstimator
from skgroup.tasks import TaskTable, single_classes_said
from skgroup.training import MultiTaskNet
from skgroup.training.data import take_samples

#: Shares of the epochs, or of the samples, that are tried until one takes so many seconds.
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
_ENOUGH = 0.3
#: Samples that something can be learned of.
_FEWEST = 50


@dataclass(frozen=True)
class Forecast:
    """About what a comparison will cost; printed, it is a sentence.

    Attributes
    ----------
    candidates : list of str
    fits : list of int
        Of each candidate, the fits that are not in the file of results.
    nets : list of float
        Nets that a fit of each trains; NaN where it is known only after the fit.
    seconds : list of float
        About how long a fit takes; NaN where that is not known, and where no fit is left.
    n_jobs : int
        Fits that are made at a time.
    """

    candidates: list[str]
    fits: list[int]
    nets: list[float]
    seconds: list[float]
    n_jobs: int = 1

    @property
    def minutes(self) -> float:
        """About how many minutes all fits take that are left, of those whose time is known."""
        times = zip(self.fits, self.seconds, strict=True)
        total = sum(n * seconds for n, seconds in times if n and not math.isnan(seconds))
        return total / 60 / min(self.n_jobs, max(1, sum(self.fits)))

    @property
    def frame(self) -> Any:
        """A row a candidate (a pandas DataFrame): `fits` that are left, `nets` and `seconds` of
        one, and `minutes` of all, one after another."""
        import pandas as pd

        fits, seconds = np.array(self.fits), np.array(self.seconds)
        return pd.DataFrame(
            {
                "fits": fits,
                "nets": self.nets,
                "seconds": seconds,
                "minutes": np.where(fits > 0, fits * seconds / 60, 0.0),
            },
            index=pd.Index(self.candidates, name="candidate"),
        )

    def __str__(self) -> str:
        n_fits = sum(self.fits)
        if not n_fits:
            return "Nothing is left to fit: the results hold all fits."
        left = [i for i, n in enumerate(self.fits) if n]
        nets = sum(self.fits[i] * self.nets[i] for i in left)
        unknown = [self.candidates[i] for i in left if math.isnan(self.seconds[i])]
        known = [i for i in left if not math.isnan(self.seconds[i])]
        sentence = f"{n_fits} fit{'s' * (n_fits != 1)}"
        sentence += "" if math.isnan(nets) else f" ({nets:g} nets)"
        if known:
            longest = max(known, key=lambda i: self.fits[i] * self.seconds[i])
            sentence += (
                f" in about {_duration(60 * self.minutes)}, the most for "
                f"“{self.candidates[longest]}” ({_duration(self.seconds[longest])} a fit)"
            )
        if unknown:
            names = ", ".join(f"“{name}”" for name in unknown)
            sentence += f"; how long {names} will take is not known"
        return sentence + "."


def make_forecast(
    fits: list[Fit], left: list[Fit], X: Any, Y: Any, table: TaskTable, n_jobs: int | None
) -> Forecast:
    """Time a part of one fit of each candidate that has fits left."""
    candidates = {fit.name: fit.estimator for fit in fits}
    n_left = dict.fromkeys(candidates, 0)
    seconds = dict.fromkeys(candidates, math.nan)
    for fit in left:
        if not n_left[fit.name]:
            seconds[fit.name] = _seconds(fit, X, Y, table)
        n_left[fit.name] += 1
    return Forecast(
        list(candidates),
        list(n_left.values()),
        [nets_of(estimator, table.n_tasks) for estimator in candidates.values()],
        list(seconds.values()),
        effective_n_jobs(n_jobs),
    )


def _seconds(fit: Fit, X: Any, Y: Any, table: TaskTable) -> float:
    """About how long a fit takes; NaN if its parts fail, or would write files."""
    if file_keeper(fit.estimator) is not None:
        return math.nan
    has_epochs = isinstance(steps_of(fit.estimator)[-1], MultiTaskNet | GroupedMTLEstimator)
    parts = _of_epochs(fit) if has_epochs else _of_samples(fit)
    times: list[tuple[float, float]] = []
    try:
        for share, estimator, samples in parts:
            of_part = take_samples(X, samples), take_samples(Y, samples)
            given = params_of_samples(fit.params, samples, len(table.codes))
            seconds = _timed(estimator, of_part, given, fit.split.seed, table)
            if not times:  # the first fit of all takes longest, and not because of its candidate
                again = _timed(estimator, of_part, given, fit.split.seed, table)
                seconds = min(seconds, again)
            times.append((share, seconds))
            if len(times) > 1 and seconds > _ENOUGH:
                break
    except Exception:
        return math.nan
    (share, seconds), (before, less) = times[-1], times[-2] if len(times) > 1 else (0.0, 0.0)
    if has_epochs:  # beside what takes as long whatever their number
        return seconds + max(seconds - less, 0.0) / (share - before) * (1 - share)
    if share == 1 or len(times) == 1:
        return seconds
    power = np.clip(np.log(seconds / less) / np.log(share / before), 0, 2)
    return float(seconds * share**-power)


def _of_epochs(fit: Fit) -> Iterator[tuple[float, Any, Any]]:
    """Shares of the epochs, candidates that train for so many, and all samples."""
    done = 0.0
    whole = clone(fit.estimator)
    name_default_nets(whole)
    for share in _SHARES:
        shorter = clone(whole)
        total, kept = 0, 0
        for part in parts_of(shorter):
            for name in ("max_epochs", "specialist_epochs"):
                epochs = getattr(part, name, None)
                if epochs is not None:
                    setattr(part, name, math.ceil(share * epochs))
                    total, kept = total + epochs, kept + math.ceil(share * epochs)
            if hasattr(part, "checkpoint"):
                part.checkpoint = None
        if kept / total > done:
            done = kept / total
            yield done, shorter, fit.split.train


def _of_samples(fit: Fit) -> Iterator[tuple[float, Any, Any]]:
    """Shares of the samples, the candidate, and these samples."""
    order = np.random.default_rng(0).permutation(fit.split.train)
    done = 0
    for share in _SHARES:
        n_samples = min(max(round(share * len(order)), _FEWEST), len(order))
        if n_samples > done:
            done = n_samples
            yield n_samples / len(order), fit.estimator, order[:n_samples]


def _timed(
    estimator: Any, data: tuple[Any, Any], params: dict[str, Any], seed: int, table: TaskTable
) -> float:
    """Seconds of a fit, which changes nothing outside."""
    with warnings.catch_warnings(), single_classes_said(table), open_seed(seed):
        warnings.simplefilter("ignore")
        of_seed = seeded(estimator, seed)
        start = time.perf_counter()
        of_seed.fit(*data, **params)
        return time.perf_counter() - start


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.2g} minutes"
    return f"{seconds / 3600:.2g} hours"
