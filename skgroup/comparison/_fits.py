"""All fits of a comparison: those that a file has, and those that are made."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.exceptions import FitFailedWarning
from tqdm.auto import tqdm

from skgroup._fit_parts import call_named
from skgroup._random import open_seed
from skgroup.comparison._candidates import seeded
from skgroup.comparison._fit_params import params_of_samples
from skgroup.comparison._fit_store import FitStore
from skgroup.comparison._groupings import groups_of
from skgroup.comparison._kinds import nets_of
from skgroup.comparison._scorings import Scorings
from skgroup.comparison._splits import SeededSplit
from skgroup.store import key_of
from skgroup.tasks import single_classes_said
from skgroup.training.data import take_samples
from skgroup.training.processes import in_parallel


@dataclass(frozen=True)
class Fit:
    """One fit: a candidate, unfitted, and its split.

    Attributes
    ----------
    key : str
        What the fit is told by in a file.
    place : tuple of int
        Positions of the candidate and of the split.
    name : str
        Of the candidate.
    estimator : estimator
    split : SeededSplit
    params : dict of str to object
        What `fit` is given besides, of all samples, by the names that it has for it.
    """

    key: str
    place: tuple[int, int]
    name: str
    estimator: Any
    split: SeededSplit
    params: dict[str, Any]

    @property
    def label(self) -> str:
        """What callbacks are told that it is."""
        return f"candidate {self.name}, seed {self.split.seed}, fold {self.split.fold}"


@dataclass(frozen=True)
class Outcomes:
    """Scores (by scoring), costs and errors of fits so far; see the attributes of `Comparison`.

    `unscored` says by scoring why fits have no score of it, `groups` is what `groups_of` gave of
    each fit, by candidate and split.
    """

    values: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]
    nets: NDArray[np.float64]
    errors: dict[tuple[str, int, int], str] = field(default_factory=dict)
    unscored: dict[str, dict[tuple[str, int, int], str]] = field(default_factory=dict)
    groups: dict[str, dict[int, Any]] = field(default_factory=dict)

    @classmethod
    def empty(cls, scores: Scorings, n_candidates: int, n_splits: int) -> Outcomes:
        shape = n_candidates, n_splits
        values = {name: np.full((*shape, scores.table.n_tasks), np.nan) for name in scores.by_name}
        return cls(values, np.full(shape, np.nan), np.full(shape, np.nan))

    @property
    def n_finished(self) -> int:
        return int(np.isfinite(self.seconds).sum())

    def add(self, fit: Fit, record: Mapping[str, Any]) -> None:
        for name, of_tasks in record["scores"].items():
            self.values[name][fit.place] = of_tasks
        self.seconds[fit.place] = record["seconds"]
        self.nets[fit.place] = record["nets"]
        if record.get("groups") is not None:
            self.groups.setdefault(fit.name, {})[fit.place[1]] = record["groups"]


def list_fits(
    estimators: Mapping[str, Any],
    splits: list[SeededSplit],
    X: Any,
    scores: Scorings,
    params: Mapping[str, Any],
    of_fits: Mapping[str, dict[str, Any]],
    *,
    stored: bool,
) -> list[Fit]:
    """A fit of each candidate on each split, with `of_fits`, what it is given of `params`; with a
    key of what is fitted on what, if `stored`.

    Raises
    ------
    ValueError
        If fits cannot be told apart.
    """
    table = scores.table
    tasks = [table.codes, table.classes]
    if table.values is not None:
        tasks += [table.values, table.task_types]
    of_data = _key("X", X, *tasks) if stored else ""
    of_params = {
        name: [_key("params", params, given)] if stored and params else []
        for name, given in of_fits.items()
    }
    fits = []
    for s, split in enumerate(splits):
        for i, (name, estimator) in enumerate(estimators.items()):
            key = f"{s}-{i}"
            if stored:
                of_seed = seeded(estimator, split.seed)
                key = _key(
                    f"candidate {name!r}",
                    of_seed,
                    split.seed,
                    split.train,
                    split.test,
                    of_data,
                    *of_params[name],
                )
            fits.append(Fit(key, (i, s), name, estimator, split, of_fits[name]))
    return fits


def _key(subject: str, *parts: Any) -> str:
    try:
        return key_of(*parts)
    except TypeError as error:
        raise ValueError(
            f"The 'results' parameter of compare must be None where fits cannot be told apart: "
            f"{subject} cannot be pickled ({error})."
        ) from error


def run_fits(
    fits: list[Fit],
    outcomes: Outcomes,
    store: FitStore,
    X: Any,
    Y: Any,
    scores: Scorings,
    params: Mapping[str, Any],
    *,
    error_score: Any,
    n_jobs: int | None,
    verbose: int,
) -> bool:
    """Make the fits that the store lacks; whether the user interrupted. Scorers may ask for
    `params`."""
    left = []
    for f, fit in enumerate(fits):
        record = store.find(fit.key, scores.table.n_tasks)
        if record is None:
            left.append(f)
        else:
            outcomes.add(fit, record)
    if left:
        store.begin()
    calls = (
        delayed(call_named)(
            fits[f].label, _fit_and_score, f, fits[f], X, Y, scores, params, error_score
        )
        for f in left
    )
    bar = tqdm(total=len(fits), initial=len(fits) - len(left), unit="fit", disable=not verbose)
    with bar:
        try:
            made = in_parallel(calls, n_jobs, ordered=False)
            for f, record, error in made:
                if error is not None:
                    _report(fits[f], error, outcomes)
                elif record is not None:
                    _report_unscored(fits[f], record.pop("unscored"), outcomes)
                    outcomes.add(fits[f], record)
                    store.add(record)
                else:
                    made.throw(KeyboardInterrupt())  # ends the others; closing would warn of them
                bar.set_postfix_str(fits[f].name, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            return True
    return False


def _report(fit: Fit, error: str, outcomes: Outcomes) -> None:
    seed, fold = fit.split.seed, fit.split.fold
    outcomes.errors[fit.name, seed, fold] = error
    warnings.warn(
        f"Candidate {fit.name!r} failed in fold {fold} of seed {seed}, which counts as a score of "
        f"NaN, with {error}",
        FitFailedWarning,
        stacklevel=4,
    )


def _report_unscored(fit: Fit, errors: dict[str, str], outcomes: Outcomes) -> None:
    seed, fold = fit.split.seed, fit.split.fold
    for scoring, error in errors.items():
        outcomes.unscored.setdefault(scoring, {})[fit.name, seed, fold] = error
        warnings.warn(
            f"Candidate {fit.name!r} was not scored by {scoring!r} in fold {fold} of seed {seed}, "
            f"which counts as NaN, with {error}",
            FitFailedWarning,
            stacklevel=4,
        )


def _fit_and_score(
    number: int,
    fit: Fit,
    X: Any,
    Y: Any,
    scores: Scorings,
    params: Mapping[str, Any],
    error_score: Any,
) -> tuple[int, dict[str, Any] | None, str | None]:
    """The number of the fit, and its record or an error; neither if the user interrupted."""
    split = fit.split
    try:
        estimator = seeded(fit.estimator, split.seed)
        # What has no random_state of its own draws from the global generators.
        with single_classes_said(scores.table), open_seed(split.seed):
            given = params_of_samples(fit.params, split.train, len(scores.table.codes))
            start = time.perf_counter()
            training = take_samples(X, split.train), take_samples(Y, split.train)
            estimator = estimator.fit(*training, **given)
            seconds = time.perf_counter() - start
            inputs = take_samples(X, split.test)
            of_tasks, unscored = scores(estimator, inputs, split.test, params)
        if unscored and error_score == "raise":
            raise next(iter(unscored.values()))
        record = {
            "key": fit.key,
            "candidate": fit.name,
            "seed": split.seed,
            "fold": split.fold,
            "scores": {scoring: values.tolist() for scoring, values in of_tasks.items()},
            "seconds": seconds,
            "nets": nets_of(estimator, scores.table.n_tasks),
            "unscored": {name: f"{type(e).__name__}: {e}" for name, e in unscored.items()},
            "groups": groups_of(estimator),
        }
        return number, record, None
    except KeyboardInterrupt:
        return number, None, None
    except Exception as error:
        if error_score == "raise":
            raise
        return number, None, f"{type(error).__name__}: {error}"
