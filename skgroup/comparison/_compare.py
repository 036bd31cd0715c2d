"""`compare`: candidates on the same splits, against the best baseline."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from numbers import Integral
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from skgroup._estimators import pos_label_of
from skgroup.comparison._candidates import (
    Candidates,
    check_n_samples,
    try_candidate,
)
from skgroup.comparison._comparison import Comparison
from skgroup.comparison._figures import Measure
from skgroup.comparison._fit_params import check_params, params_of_fits, params_of_samples
from skgroup.comparison._fit_store import FitStore
from skgroup.comparison._fits import Fit, Outcomes, list_fits, run_fits
from skgroup.comparison._forecast import Forecast, make_forecast
from skgroup.comparison._groupings import groupings_of
from skgroup.comparison._kinds import task_types_of
from skgroup.comparison._populations import (
    are_of_populations,
    candidates_of_populations,
    check_for_populations,
    populations_of,
    scoring_of_populations,
    try_of_rows,
)
from skgroup.comparison._scorings import Scorings
from skgroup.comparison._splits import (
    SeededSplit,
    check_groups,
    check_seeds,
    draw_splits,
    number_splits,
)
from skgroup.comparison._thresholds import check_threshold
from skgroup.comparison.intervals import INTERVALS
from skgroup.exceptions import NotWrittenWarning, TrainingInterruptedWarning
from skgroup.tasks import TaskTable, check_tasks
from skgroup.training.data import labels_of, take_samples


def compare(
    X: Any,
    Y: Any = None,
    candidates: Any = None,
    *,
    baselines: str | Sequence[str] | None = None,
    cv: Any = 0.25,
    groups: Any = None,
    params: Any = None,
    seeds: int | Sequence[int] = 5,
    scoring: Any = None,
    threshold: str = "default",
    interval: str = "corrected",
    results: Any = None,
    error_score: Any = np.nan,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Comparison:
    """Does grouping help here? Fit candidates on the same splits and set them side by side.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...), or what else the candidates take
    Y : array-like of shape (n_samples, n_tasks) or (n_samples,)
        The task table, NaN or None where a label is missing. May be left out where `X` is a torch
        Dataset that yields labels.
    candidates : dict of str to estimator, or an estimator, default=None
        Estimators by name: `GroupedMTLClassifier` (of regression tasks `GroupedMTLRegressor`, of
        tasks of several kinds `GroupedMTLEstimator`), `MultiTaskNet` with any architecture and
        `balancing` (`{"PCGrad": MultiTaskNet(balancing="pcgrad"), ...}`), classifiers or regressors
        of scikit-learn, pipelines of these, and for tasks of several kinds a dict of a classifier
        for "classes" and a regressor for "regression". One estimator alone is the candidate
        "grouped" (or has the name of its class, if it does not group), a `MultiTaskNet` alone
        stands for the grouping of this net, or with `balancing` for itself, as "balanced", and
        None for the grouping of a net of defaults.

        Those of scikit-learn, and others whose tags say what targets they take, learn all tasks at
        once where they can and no label is missing, else a clone learns each task on the samples
        that have a label of it, which the table says. As in `PortfolioClassifier`, they see encoded
        labels. An estimator of your own that says nothing is given `Y` as it is.

        Where one ends in a `PooledTasksClassifier` or a `PooledTasksRegressor`, tasks are
        populations of rows, those of its column `task` (one column for all); see Notes.

        They decide once, for all samples, what kinds the tasks of `Y` are: by the first
        `task_types` that one of them has; all tasks are regression tasks if all candidates (nets
        aside) are regressors; else floats that are not all whole numbers are.
    baselines : str or sequence of str, default=None
        Names of the candidates that the others are measured by, of those made here too. None is
        all that neither group nor balance the tasks: single nets of any architecture,
        `GroupedMTLClassifier.mtl`, `.stl` and `.mtl_ensemble`, others of scikit-learn.

        Where no candidate is a multi-task net, nor single-task nets, baselines are made: of the
        first candidate that groups (also as the last step of a pipeline) or is a `MultiTaskNet`,
        with its net (without `balancing`), thresholds and preprocessing "MTL", "STL" and the MTL
        ensemble of as many nets (left out if their number is known only after fit); and, where `X`
        holds vectors of numbers, a "forest" of 300 trees behind the same preprocessing, unless a
        candidate is one. If no candidate groups or balances, these are the baselines and the
        candidates are measured by them, "MTL" and "STL" then being nets of defaults. What cannot
        be made, the table says. None is made where all names are those of candidates; an empty
        list makes none and is else as None.
    cv : float, int, splitter or iterable of (train, test), default=0.25
        A share of samples to test on, drawn anew for each seed; or a number of folds, shuffled
        for each seed; or a splitter, whose `random_state` is set to the seed if it is None; or
        the splits (a generator is read once), the same for all seeds. Shares and folds have their
        parts of rare and of missing labels (`skgroup.metrics.MultiTaskShuffleSplit`,
        `MultiTaskKFold`), unless there are groups. Every training part holds every class of every
        task: a sample that holds the only label of a class moves there.
    groups : array-like of shape (n_samples,), default=None
        Samples of the same group (a patient, a day) are trained on or tested on together: a share
        is one of groups, folds are made of whole ones, and a splitter is given them, which some
        need (`GroupKFold`). A sample that moves takes its group along.
    params : dict of str to object, default=None
        Parameters of `fit`, such as `{"sample_weight": weights}`; what holds something for each
        sample is cut to those of a split. Every candidate gets all of them, a pipeline in its last
        step (or in the step that `name__` says), and one that cannot take one is refused. Where
        `sample_weight` is a weight a label, those of scikit-learn learn each task alone. With
        scikit-learn's metadata routing enabled, candidates, and scorers, get what they request.
        Scores are not weighted else, and nested splits do not know `groups` unless they are here.
    seeds : int or sequence of int, default=5
        A number n stands for 0, ..., n - 1. A seed makes the splits; seeds drawn from it, one a
        candidate, set every `random_state`, nested ones too.
    scoring : str, callable, dict or list, default=None
        A score of each task, higher for better; where some tasks have classes and others are
        regression tasks, a dict with a score for "classes" and one for "regression". None, or a
        key that is left out, is "f1_macro" and "r2".

        Of tasks with classes, "f1_macro" (or "f1"), "roc_auc", "accuracy", "balanced_accuracy",
        "average_precision", "neg_log_loss", "neg_brier_score" and "normalized_entropy" (its sign
        turned, too); of regression tasks, "r2", "neg_mean_absolute_error",
        "neg_mean_squared_error" and "neg_root_mean_squared_error": the metrics of
        `skgroup.metrics`. Else a scorer of scikit-learn (another name, or called with an estimator,
        X and y), which sees the observed labels of one task as 0, ..., k - 1, the positive class of
        a binary task as 1, and the numbers of a regression task as they are. Positive classes are
        those of the first candidate with a `pos_label`. Where a score is not defined (a test part
        lacks a class), it is NaN for this task and split alone.

        Several at once are a list of names, or a dict of a name to each, which is any of the above:
        `{"F1": "f1_macro", "AUC": "roc_auc"}` (the names "classes" and "regression" are those of
        the dict of one score by kind of task). Each fit is made once and scored by all. `frame` and
        `verdict` are of the first, `by_scoring(name)` of what is returned gives those of another.
        A scorer among several that raises for every task of a split is NaN there, with a warning.
    threshold : {"default", "tuned"}, default="default"
        "default" lets each candidate decide as it does: a net, and scikit-learn's classifiers, for
        the more probable class; portfolios tune a threshold for each binary task, and nets weigh
        rare classes up, which the table says where others do not. "tuned" tunes those of all
        candidates alike, for F1: each becomes the only member of a `PortfolioClassifier(cv=3)`
        (`PortfolioEstimator` for tasks of several kinds), which takes about four times its time,
        and gives probabilities on the scale of the observed shares; portfolios tune theirs
        themselves.
    interval : {"corrected", "seeds"}, default="corrected"
        How the 95 % intervals of paired differences are made. "corrected": Student's t over all
        splits, with variance s² (1/n + n_test/n_train) in place of s²/n, as splits that share
        training samples are not independent [1]_ [2]_. "seeds": Student's t over the means of
        seeds; too narrow for new data, as the seeds split the same samples.
    results : path-like, default=None
        A file that gets a line a fit, as soon as it is finished. Where it exists, fits that it
        holds are not made again; what is a different fit is told by the parameters of the
        candidate, the data, the split and the seed. (The code of an estimator's class is not looked
        at, nor more of a Dataset than its first and last sample and its length: take a new file
        after changing these.) A fit is kept with its scores by all scorings: a run with some of
        these reads them, one with others makes the fit anew. Failed fits are tried again. Several
        processes may write to one file at once. A file that `compare` has not written is refused,
        and stays as it is.
    error_score : "raise" or np.nan, default=np.nan
        What a candidate scores where its fit or its predictions raise an error: NaN, with a
        warning, while the others go on.
    n_jobs : int, default=None
        Processes (joblib, or a cluster by its `parallel_config`), each with a fit at a time. Times
        are then those of fits that compete.
    verbose : int, default=0
        1 prints a forecast of the fits, nets and minutes that are left (see
        `skgroup.comparison.forecast`, for which a part of a fit of each candidate is timed), and
        shows a progress bar over the fits.

    Returns
    -------
    comparison : Comparison
        With the DataFrames `frame` (a row a candidate and task: mean, standard deviation, paired
        difference to the best baseline with its interval, nets, time), `scores` and `fits`; the
        name of the `best_baseline`; the `verdict`, a sentence, and the candidate that is `advised`;
        and `plot()`, a picture of the differences. Printed, by `to_markdown()`, or shown in a
        notebook, it is a table with the verdict.

    Raises
    ------
    ValueError
        Before any training, if a parameter or the data are not right, or a candidate does not
        learn tasks of these kinds, as far as that can be seen then; if all fits failed.
    FileFormatError
        A ValueError: if `results` is a file of something else, or damaged.
    OSError
        If `results` cannot be written, before any training. Later (a full disk) this is a
        `NotWrittenWarning`: no fit is lost from what is returned, and what was written stays.
    KeyboardInterrupt
        If interrupted before the first fit has finished. Later, what is finished is returned,
        with a `TrainingInterruptedWarning`; a fit that an interruption cut short does not count.

    Notes
    -----
    Scores of tasks with classes and of regression tasks are means and differences of their own,
    never of both together. Where a table holds both, candidates are compared over all tasks by the
    mean standardised difference: each task's difference divided by the standard deviation of its
    score over splits (the median of those of the candidates); beside it stands the share of tasks
    that are better.

    The best baseline is that of the highest mean *test* score (standardised, where it is of several
    kinds), which favours the baselines: it is
    the best of several by chance too. All tasks are compared with this one baseline. On the other
    hand, intervals do not allow for the choice among several candidates, nor among tasks: where
    there are many, some intervals lie above 0 by chance.

    Where `cv` gives the same split for several seeds, the split counts once, by the mean over
    its seeds, and the verdict speaks of these splits.

    *Populations.* Scores are those of each population's test rows, and their mean: if `scoring` is
    None, "neg_log_loss", or "neg_mean_squared_error", as R² of few rows is noisy. Splits are drawn
    within populations; a splitter is shown `Y`. All candidates learn `Y` of shape (n_samples,);
    none may be of a table of tasks, and others than `PooledTasksClassifier` and kin see `X` as it
    is, with the column of the populations. Baselines have the estimator of the first candidate that
    groups: "one for all"; the same with the population as a feature, one-hot; "one each"; "shrunk",
    one for all mixed with each population's own; "random groups", as many and as large as the
    candidate finds in this fit, with its shrinkage; and histogram boosting for all with the
    population as a category. `threshold` and `params` do not apply.

    Global random states and inputs are left as they were, and the same seeds give the same
    scores.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003, doi:10.1023/A:1024068626366.
    .. [2] R. R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests for
       comparing learning algorithms", PAKDD 2004, doi:10.1007/978-3-540-24775-3_3.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> net = MultiTaskNet(max_epochs=5, lr=0.01)
    >>> comparison = compare(X, Y, GroupedMTLClassifier(net, n_groups=2), seeds=2)
    >>> comparison.candidates, comparison.baselines
    (['MTL', 'STL', 'MTL ensemble, 3 nets', 'forest', 'grouped'],
     ['MTL', 'STL', 'MTL ensemble, 3 nets', 'forest'])
    >>> comparison.values.shape  # candidates, splits, tasks
    (5, 2, 3)
    >>> comparison.frame.columns.tolist()[:6]
    ['mean', 'sd', 'n_splits', 'difference', 'low', 'high']
    >>> comparison.verdict
    'Grouping ...'
    """
    plan = _prepare(
        X,
        Y,
        candidates,
        baselines=baselines,
        cv=cv,
        groups=groups,
        seeds=seeds,
        scoring=scoring,
        threshold=threshold,
        params=params,
        interval=interval,
        results=results,
        error_score=error_score,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    Y, table, compared, scores, splits = plan.Y, plan.table, plan.compared, plan.scores, plan.splits
    store, fits = plan.store, plan.fits
    if verbose:
        print(plan.forecast(X, n_jobs))
    outcomes = Outcomes.empty(scores, len(compared.estimators), len(splits))
    interrupted = run_fits(
        fits,
        outcomes,
        store,
        X,
        Y,
        scores,
        plan.params,
        error_score=error_score,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    _check_outcomes(outcomes, len(fits), store, results, interrupted=interrupted)
    (first, of_first), *others = scores.by_name.items()
    return Comparison(
        candidates=list(compared.estimators),
        baselines=compared.baselines,
        tasks=_task_names(table),
        scoring=of_first.name,
        task_kinds=of_first.task_kinds,
        seeds=np.array([split.seed for split in splits]),
        folds=np.array([split.fold for split in splits]),
        split_ids=number_splits(splits),
        values=outcomes.values[first],
        seconds=outcomes.seconds,
        nets=outcomes.nets,
        test_to_train=float(np.mean([len(s.test) / len(s.train) for s in splits])),
        interval=interval,
        errors=outcomes.errors,
        unscored=outcomes.unscored,
        interrupted=interrupted,
        kinds=compared.kinds,
        remarks=compared.said,
        scoring_name=first,
        others={name: Measure(of.name, outcomes.values[name]) for name, of in others},
        groupings={
            name: groupings_of(compared.estimators[name], of_splits, len(splits))
            for name, of_splits in outcomes.groups.items()
        },
        of_populations=plan.of_populations,
    )


def forecast(X: Any, Y: Any = None, candidates: Any = None, **params: Any) -> Forecast:
    """What will `compare` cost? Count its fits and nets, and time a part of one fit a candidate.

    Parameters
    ----------
    X, Y, candidates, **params
        As `compare` takes them. Fits that the file `results` holds do not count.

    Returns
    -------
    forecast : Forecast
        With `frame`, a row a candidate, and `minutes`; printed, it is a sentence. `compare` prints
        it where `verbose` is not 0.

    Raises
    ------
    ValueError, FileFormatError
        As `compare` does before any training.

    Notes
    -----
    Estimators of this package are fitted for a sixteenth, an eighth, ... of their epochs until one
    fit takes .3 seconds, and further epochs are taken to last as long as these. Of others, and of
    portfolios, as many samples are tried, and the times of more follow a power of their number.
    Early stopping is not foreseen, and with `n_jobs` processes are taken not to wait for each
    other. Candidates, inputs and global random states stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
    >>> from skgroup.comparison import forecast
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> clf = GroupedMTLClassifier(MultiTaskNet(max_epochs=5), n_groups=2)
    >>> print(forecast(X, X > 0, {"grouped": clf, "MTL": GroupedMTLClassifier.mtl()}, seeds=3))
    6 fits (12 nets) in about ...
    """
    given = signature(compare).bind(X, Y, candidates, **params)
    given.apply_defaults()
    return _prepare(**given.arguments).forecast(X, given.arguments["n_jobs"])


@dataclass(frozen=True)
class _Plan:
    """What is compared on what, checked; nothing has been trained."""

    Y: Any
    table: TaskTable
    compared: Candidates
    scores: Scorings
    splits: list[SeededSplit]
    params: dict[str, Any]
    store: FitStore
    fits: list[Fit]
    of_populations: bool

    def forecast(self, X: Any, n_jobs: int | None) -> Forecast:
        n_tasks = self.table.n_tasks
        left = [fit for fit in self.fits if self.store.find(fit.key, n_tasks) is None]
        return make_forecast(self.fits, left, X, self.Y, self.table, n_jobs)


def _prepare(
    X: Any,
    Y: Any,
    candidates: Any,
    *,
    baselines: Any,
    cv: Any,
    groups: Any,
    seeds: Any,
    scoring: Any,
    threshold: Any,
    params: Any,
    interval: Any,
    results: Any,
    error_score: Any,
    n_jobs: Any,
    verbose: Any,
) -> _Plan:
    """Check everything, before anything trains; the parameters are those of `compare`."""
    _check_options(interval, error_score, n_jobs, verbose)
    seed_list = check_seeds(seeds, "compare")
    of_populations = are_of_populations(candidates)
    if of_populations:
        check_for_populations(threshold, params)
        table = populations_of(X, Y, candidates)
        compared = candidates_of_populations(candidates, baselines, X, table)
        scores = Scorings(scoring_of_populations(scoring, table), table, "compare")
    else:
        if Y is None and isinstance(X, Dataset):
            Y = labels_of(X)
        types = task_types_of(candidates)
        table = check_tasks(Y, pos_label=pos_label_of(candidates), task_types=types)
        check_n_samples(X, table)
        compared = Candidates.of(candidates, baselines, X, Y, table)
        scores = Scorings(scoring, table, "compare")
        check_threshold(threshold, scores, table, Y)
        compared = compared.deciding(threshold, table, scores)
    estimators = compared.estimators
    groups = check_groups(groups, len(table.codes), "compare")
    shown = np.asarray(Y) if of_populations else None
    splits = draw_splits(cv, table, seed_list, "compare", groups, shown)
    params = check_params(params, table)
    of_fits = params_of_fits(estimators, params, scores.scorers)
    train = splits[0].train
    training_data = take_samples(X, train), take_samples(Y, train)
    # Baselines are made of a candidate, whose faults are told as its own.
    for name in sorted(estimators, key=compared.baselines.__contains__):
        estimator = estimators[name]
        if of_populations:
            try_of_rows(name, estimator, training_data, scores)
        else:
            given = params_of_samples(of_fits[name], train, len(table.codes))
            weight = given.get("sample_weight")
            try_candidate(name, estimator, (*training_data, weight), scores, "compare")
    store = FitStore(results, {} if results is None else scores.keys())
    fits = list_fits(estimators, splits, X, scores, params, of_fits, stored=results is not None)
    return _Plan(Y, table, compared, scores, splits, params, store, fits, of_populations)


def _check_options(interval: Any, error_score: Any, n_jobs: Any, verbose: Any) -> None:
    """Check the parameters that can be checked alone."""
    if interval not in INTERVALS:
        raise ValueError(
            f"The 'interval' parameter of compare must be one of {INTERVALS}. Got {interval!r}."
        )
    is_nan = isinstance(error_score, float) and math.isnan(error_score)
    if not is_nan and not (isinstance(error_score, str) and error_score == "raise"):
        raise ValueError(
            "The 'error_score' parameter of compare must be np.nan or 'raise'. Got "
            f"{error_score!r}."
        )
    if not (n_jobs is None or (_is_int(n_jobs) and n_jobs != 0)):
        raise ValueError(
            "The 'n_jobs' parameter of compare must be None or an int other than 0 (-1: all "
            f"cores). Got {n_jobs!r}."
        )
    if not isinstance(verbose, bool | np.bool_) and not (_is_int(verbose) and verbose >= 0):
        raise ValueError(
            f"The 'verbose' parameter of compare must be a bool or an int >= 0. Got {verbose!r}."
        )


def _check_outcomes(
    outcomes: Outcomes, n_fits: int, store: FitStore, results: Any, *, interrupted: bool
) -> None:
    """Say what is missing; an error where everything is."""
    n_finished = outcomes.n_finished
    if not n_finished:
        if interrupted:
            raise KeyboardInterrupt
        raise ValueError(
            f"All {n_fits} fits of the comparison failed, the first with: "
            f"{next(iter(outcomes.errors.values()))}"
        )
    if store.unwritten:
        warnings.warn(
            f"The 'results' parameter of compare: {len(store.unwritten)} of {n_finished} fits are "
            f"in the comparison that is returned, but not in {results}, which could not be "
            "written.",
            NotWrittenWarning,
            stacklevel=3,
        )
    if interrupted:
        warnings.warn(
            f"The comparison was interrupted after {n_finished} of {n_fits} fits; it holds what "
            "was finished.",
            TrainingInterruptedWarning,
            stacklevel=3,
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _task_names(table: TaskTable) -> list[str]:
    if table.names is not None:
        return [str(name) for name in table.names]
    return [f"task {t}" for t in range(table.n_tasks)]
