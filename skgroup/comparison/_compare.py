"""`compare`: candidates on the same splits, against the best baseline."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_clusterer, is_regressor
from sklearn.exceptions import FitFailedWarning
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, LoadInitState, TrainEndCheckpoint
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._estimators import named_steps, parts_of, steps_of
from skgroup._validation import TaskTable, check_tasks
from skgroup.comparison._comparison import INTERVALS, Comparison
from skgroup.comparison._fit_store import FitStore, key_of
from skgroup.comparison._task_scores import TaskScores
from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._grouped import GroupedMTLClassifier
from skgroup.ensemble._groupers import base_net
from skgroup.exceptions import NotWrittenWarning, TrainingInterruptedWarning
from skgroup.training import MultiTaskNet
from skgroup.training._data import labels_of, n_samples_of, take_samples
from skgroup.training._held_out import Split, held_out_splits
from skgroup.training._processes import in_parallel
from skgroup.training._random import draw_seeds, open_seed

__all__ = ["compare"]


def compare(
    X: Any,
    Y: Any = None,
    candidates: Any = None,
    *,
    baselines: str | Sequence[str] | None = None,
    cv: Any = 0.25,
    seeds: int | Sequence[int] = 5,
    scoring: Any = "f1_macro",
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
        Classifiers by name: `GroupedMTLClassifier`, `MultiTaskNet` with any architecture,
        scikit-learn's multi-output classifiers, pipelines of these. Where none of them is a
        baseline, baselines are made of the first `GroupedMTLClassifier` (also as the last step of
        a pipeline), with its net, thresholds and preprocessing: "MTL", "STL" and the MTL ensemble
        of as many nets (left out if their number is known only after fit). One estimator alone
        is the candidate "grouped" (or has the name of its class, if it does not group), a
        `MultiTaskNet` alone stands for the `GroupedMTLClassifier` of this net, and None for that
        of a net of defaults.
    baselines : str or sequence of str, default=None
        Names of the candidates that the others are measured by, of those made here too. None is
        all that do not group the tasks: single nets of any architecture,
        `GroupedMTLClassifier.mtl`, `.stl` and `.mtl_ensemble`, other classifiers.
    cv : float, int, splitter or iterable of (train, test), default=0.25
        A share of samples to test on, drawn anew for each seed; or a number of folds, shuffled
        for each seed; or a splitter, whose `random_state` is set to the seed if it is None; or
        the splits, the same for all seeds. Every training part holds every class of every task:
        a sample that holds the only label of a class moves there.
    seeds : int or sequence of int, default=5
        A number n stands for 0, ..., n - 1. A seed makes the splits and sets every `random_state`
        of every candidate, nested ones too.
    scoring : str or callable, default="f1_macro"
        A score of each task, higher for better. "f1_macro" (or "f1") is
        `skgroup.metrics.multitask_f1_score`, "roc_auc" is `multitask_roc_auc_score`. Else a scorer
        of scikit-learn (a name, or called with an estimator, X and y), which sees the observed
        labels of one task as 0, ..., k - 1, the positive class of a binary task as 1. Positive
        classes are those of the first candidate with a `pos_label`. Where a score is not defined
        (a test part lacks a class), it is NaN for this task and split alone.
    interval : {"corrected", "seeds"}, default="corrected"
        How the 95 % intervals of paired differences are made. "corrected": Student's t over all
        splits, with variance s² (1/n + n_test/n_train) in place of s²/n, as splits that share
        training samples are not independent [1]_ [2]_. "seeds": Student's t over the means of
        seeds; too narrow for new data, as the seeds split the same samples.
    results : path-like, default=None
        A file that gets a line a fit, as soon as it is finished. Where it exists, fits that it
        holds are not made again; what is a different fit is told by the parameters of the
        candidate, the data, the split, the seed and the scoring. (The code of an estimator's
        class is not looked at, nor more of a Dataset than its first and last sample and its
        length: take a new file after changing these.) Failed fits are tried again. Several
        processes may write to one file at once. A file that `compare` has not written is refused,
        and stays as it is.
    error_score : "raise" or np.nan, default=np.nan
        What a candidate scores where its fit or its predictions raise an error: NaN, with a
        warning, while the others go on.
    n_jobs : int, default=None
        Processes (joblib), each with a fit at a time. Times are then those of fits that compete.
    verbose : int, default=0
        1 shows a progress bar over the fits.

    Returns
    -------
    comparison : Comparison
        With the DataFrames `frame` (a row a candidate and task: mean, standard deviation, paired
        difference to the best baseline with its interval, nets, time), `scores` and `fits`; the
        name of the `best_baseline`; and the `verdict`, a sentence. Printed, or shown in a
        notebook, it is a table with the verdict.

    Raises
    ------
    ValueError
        Before any training, if a parameter or the data are not right, as far as that can be seen
        then; if all fits failed.
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
    The best baseline is that of the highest mean *test* score, which favours the baselines: it is
    the best of several by chance too. All tasks are compared with this one baseline. On the other
    hand, intervals do not allow for the choice among several candidates, nor among tasks: where
    there are many, some intervals lie above 0 by chance.

    Where `cv` gives the same split for several seeds, the split counts once, by the mean over
    its seeds, and the verdict speaks of these splits.

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
    >>> found = compare(X, Y, GroupedMTLClassifier(net, n_groups=2), seeds=2)
    >>> found.candidates, found.baselines
    (['MTL', 'STL', 'MTL ensemble, 3 nets', 'grouped'], ['MTL', 'STL', 'MTL ensemble, 3 nets'])
    >>> found.values.shape  # candidates, splits, tasks
    (4, 2, 3)
    >>> found.frame.columns.tolist()[:6]
    ['mean', 'sd', 'n_splits', 'difference', 'low', 'high']
    >>> found.verdict
    'Grouping ...'
    """
    if Y is None and isinstance(X, Dataset):
        Y = labels_of(X)
    table = check_tasks(Y, pos_label=pos_label_of(candidates))
    _check_n_samples(X, table)
    if interval not in INTERVALS:
        raise ValueError(
            f"The 'interval' parameter of compare must be one of {INTERVALS}. Got {interval!r}."
        )
    if not _is_nan(error_score) and not (isinstance(error_score, str) and error_score == "raise"):
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
    seed_list = _check_seeds(seeds)
    estimators = _check_candidates(candidates, table, baselines)
    names = list(estimators)
    kinds = [_kind(estimator, table.n_tasks) for estimator in estimators.values()]
    ungrouped = [name for name, kind in zip(names, kinds, strict=True) if kind != "grouped"]
    found = ungrouped if baselines is None else baselines
    of_baselines = _check_baselines(found, names)
    scores = TaskScores(scoring, table)
    splits = [
        (seed, fold, *split)
        for seed in seed_list
        for fold, split in enumerate(_splits(cv, table, seed))
    ]
    for name, estimator in estimators.items():
        _check_estimator(name, estimator, X, Y, table, splits[0][2], scores)
    if n_jobs not in (None, 1):
        for name, estimator in estimators.items():
            _check_no_files(name, estimator)
    store = FitStore(results)
    jobs = []
    of_data = None if results is None else _key("X", X, table.codes, table.classes, scoring)
    for s, (seed, fold, train, test) in enumerate(splits):
        for i, name in enumerate(names):
            key = f"{s}-{i}"
            if results is not None:
                seeded = _seeded(estimators[name], seed)
                key = _key(f"candidate {name!r}", seeded, seed, train, test, of_data)
            jobs.append(_Job(key, i, s, name, seed, fold, estimators[name], train, test))

    shape = len(names), len(splits)
    filled = _Filled(
        np.full((*shape, table.n_tasks), np.nan), np.full(shape, np.nan), np.full(shape, np.nan), {}
    )
    interrupted = _run(
        jobs, filled, store, X, Y, scores, error_score, n_jobs=n_jobs, verbose=verbose
    )
    n_done = int(np.isfinite(filled.seconds).sum())
    if interrupted and n_done == 0:
        raise KeyboardInterrupt
    if n_done == 0:
        raise ValueError(
            f"All {len(jobs)} fits of the comparison failed, the first with: "
            f"{next(iter(filled.errors.values()))}"
        )
    if store.unwritten:
        warnings.warn(
            f"The 'results' parameter of compare: {len(store.unwritten)} of {n_done} fits are in "
            f"the comparison that is returned, but not in {results}, which could not be written.",
            NotWrittenWarning,
            stacklevel=2,
        )
    if interrupted:
        warnings.warn(
            f"The comparison was interrupted after {n_done} of {len(jobs)} fits; it holds what was "
            "finished.",
            TrainingInterruptedWarning,
            stacklevel=2,
        )
    return Comparison(
        candidates=names,
        baselines=of_baselines,
        tasks=_task_names(table),
        scoring=scores.name,
        seeds=np.array([seed for seed, *_ in splits]),
        folds=np.array([fold for _, fold, *_ in splits]),
        split_ids=_split_ids(splits),
        values=filled.values,
        seconds=filled.seconds,
        nets=filled.nets,
        test_to_train=float(np.mean([len(test) / len(train) for *_, train, test in splits])),
        interval=interval,
        errors=filled.errors,
        interrupted=interrupted,
        kinds=kinds,
    )


@dataclass(frozen=True)
class _Filled:
    """What fits have found so far; see the attributes of `Comparison`."""

    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nets: NDArray[np.float64]
    errors: dict[tuple[str, int, int], str]


@dataclass(frozen=True)
class _Job:
    """One fit: a candidate, unfitted, its seed and its split."""

    key: str
    candidate: int
    split: int
    name: str
    seed: int
    fold: int
    estimator: Any
    train: NDArray[np.intp]
    test: NDArray[np.intp]


@dataclass(frozen=True)
class _Done:
    """What came of a fit: scores, an error, or an interruption."""

    job: int
    scores: list[float] | None = None
    seconds: float = math.nan
    nets: float = math.nan
    error: str | None = None


def _run(
    jobs: list[_Job],
    filled: _Filled,
    store: FitStore,
    X: Any,
    Y: Any,
    scores: TaskScores,
    error_score: Any,
    *,
    n_jobs: int | None,
    verbose: int,
) -> bool:
    """Make the fits that the store lacks; whether the user interrupted."""

    def keep(job: _Job, record: Mapping[str, Any]) -> None:
        filled.values[job.candidate, job.split] = record["scores"]
        filled.seconds[job.candidate, job.split] = record["seconds"]
        filled.nets[job.candidate, job.split] = record["nets"]

    left = []
    for k, job in enumerate(jobs):
        record = store.find(job.key, scores.table.n_tasks)
        if record is None:
            left.append(k)
        else:
            keep(job, record)
    if left:
        store.begin()
    calls = (
        delayed(_fit_and_score)(
            k,
            jobs[k].estimator,
            jobs[k].seed,
            X,
            Y,
            jobs[k].train,
            jobs[k].test,
            scores,
            error_score,
        )
        for k in left
    )
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="fit", disable=not verbose)
    with bar:
        try:
            outcomes = in_parallel(calls, n_jobs, ordered=False)
            for done in outcomes:
                job = jobs[done.job]
                if done.error is not None:
                    _report(job, done.error, filled)
                elif done.scores is None:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # joblib tells of tasks left undone
                        outcomes.close()
                    return True
                else:
                    record = {
                        "key": job.key,
                        "candidate": job.name,
                        "seed": job.seed,
                        "fold": job.fold,
                        "scores": done.scores,
                        "seconds": done.seconds,
                        "nets": done.nets,
                    }
                    keep(job, record)
                    store.add(record)
                bar.set_postfix_str(job.name, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            return True
    return False


def _report(job: _Job, error: str, filled: _Filled) -> None:
    filled.errors[job.name, job.seed, job.fold] = error
    warnings.warn(
        f"Candidate {job.name!r} failed in fold {job.fold} of seed {job.seed}, which counts as a "
        f"score of NaN, with {error}",
        FitFailedWarning,
        stacklevel=4,
    )


def _fit_and_score(
    job: int,
    estimator: Any,
    seed: int,
    X: Any,
    Y: Any,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    scores: TaskScores,
    error_score: Any,
) -> _Done:
    try:
        estimator = _seeded(estimator, seed)
        # What has no random_state of its own draws from the global generators.
        with open_seed(seed):
            start = time.perf_counter()
            estimator = estimator.fit(take_samples(X, train), take_samples(Y, train))
            seconds = time.perf_counter() - start
            found = scores(estimator, take_samples(X, test), take_samples(Y, test))
        nets = _count_nets(estimator, scores.table.n_tasks)
        return _Done(job, [float(score) for score in found], seconds, nets)
    except KeyboardInterrupt:
        return _Done(job)
    except Exception as error:
        if error_score == "raise":
            raise
        return _Done(job, error=f"{type(error).__name__}: {error}")


# -- what is compared --------------------------------------------------------------------------


def pos_label_of(candidates: Any) -> Any:
    """The positive classes that the first candidate with any names, or None."""
    for estimator in candidates.values() if isinstance(candidates, Mapping) else [candidates]:
        if not hasattr(estimator, "get_params") or isinstance(estimator, type):
            continue
        for name, value in estimator.get_params(deep=True).items():
            if value is not None and name.rpartition("__")[2] == "pos_label":
                return value
    return None


def _check_no_files(name: str, estimator: Any) -> None:
    """Refuse callbacks that keep files, which fits in several processes would share."""
    for part in parts_of(estimator):
        if not isinstance(part, NeuralNet):
            continue
        callbacks = part.callbacks if isinstance(part.callbacks, list | tuple) else []
        for given in callbacks:
            callback = given[-1] if isinstance(given, tuple) else given
            kind = callback if isinstance(callback, type) else type(callback)
            if issubclass(kind, Checkpoint | TrainEndCheckpoint | LoadInitState):
                raise ValueError(
                    "The 'n_jobs' parameter of compare must be None or 1 where callbacks keep "
                    "files, as fits that run at the same time would read each other's. Got "
                    f"{kind.__name__} in the callbacks of candidate {name!r}."
                )


def _check_candidates(candidates: Any, table: TaskTable, baselines: Any) -> dict[str, Any]:
    """Unfitted clones by name, with baselines if there is none (and none is among `baselines`)."""
    if candidates is None:
        candidates = MultiTaskNet()
    if isinstance(candidates, MultiTaskNet):
        candidates = GroupedMTLClassifier(candidates)
    if not isinstance(candidates, Mapping):
        if isinstance(candidates, type):
            raise ValueError(
                "The 'candidates' parameter of compare must be an estimator or a dict of them. Got "
                f"the class {candidates.__name__}; a call makes an estimator of it."
            )
        groups = hasattr(candidates, "get_params") and _kind(candidates, table.n_tasks) == "grouped"
        candidates = {"grouped" if groups else type(candidates).__name__: candidates}
    rule = "The 'candidates' parameter of compare must be a dict of names to classifiers"
    if not candidates:
        raise ValueError(f"{rule}. Got an empty one.")
    found = {}
    for name, estimator in candidates.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{rule}, the names non-empty strings. Got the name {name!r}.")
        lacks = [m for m in ("get_params", "fit", "predict") if not hasattr(estimator, m)]
        if isinstance(estimator, type) or lacks or is_clusterer(estimator):
            raise ValueError(
                f"{rule}, with fit and predict. Got {estimator!r} as {name!r}. A grouper becomes a "
                "classifier by GroupedMTLClassifier(net, grouper), a class by a call."
            )
        if is_regressor(estimator):
            raise ValueError(f"{rule}. Got the regressor {estimator!r} as {name!r}.")
        try:
            found[name] = clone(estimator)
        except Exception as error:
            raise ValueError(f"{rule} that can be cloned. Got {name!r}: {error}") from error
    wanted = [baselines] if isinstance(baselines, str) else baselines
    if wanted is not None and not (
        isinstance(wanted, Sequence) and all(isinstance(name, str) for name in wanted)
    ):
        raise ValueError(
            "The 'baselines' parameter of compare must be a name of a candidate, a list of them "
            f"or None. Got {baselines!r}."
        )
    add = wanted is None or not set(wanted) <= set(found)
    if add and all(_kind(estimator, table.n_tasks) == "grouped" for estimator in found.values()):
        made = _make_baselines(found, table)
        taken = [name for name in made if name in found]
        if taken:
            raise ValueError(
                f"{rule}; {taken[0]!r} must be another name, as baselines are added to the dict "
                "and this is what one of them is called."
            )
        found = made | found
    return found


def _make_baselines(candidates: dict[str, Any], table: TaskTable) -> dict[str, Any]:
    """MTL, STL and the MTL ensemble that are like the first candidate but for the groups."""
    for template in candidates.values():
        if isinstance(steps_of(template)[-1], GroupedMTLClassifier):
            break
    else:
        raise ValueError(
            "The 'candidates' parameter of compare must hold a baseline, something that does not "
            "group the tasks, or a GroupedMTLClassifier to make one of. Got "
            f"{list(candidates)} (a meta-estimator needs baselines of yours)."
        )

    def like(grouper: Any) -> Any:
        copied = clone(template)
        steps_of(copied)[-1].set_params(
            grouper=grouper,
            n_groups=None,
            n_mtl_nets=0,
            stl_nets=False,
            serving="membership",
            min_membership=0.0,
            specialist_init="fresh",
            specialist_epochs=None,
        )
        return copied

    made = {"MTL": like(AllTasks())}
    if table.n_tasks > 1:
        made["STL"] = like(SingleTasks())
    # Where thresholds are tuned, each net of the ensemble is trained on several parts.
    wanted, each = (_count_nets(e, table.n_tasks) for e in (template, made["MTL"]))
    if not math.isnan(wanted) and (n_nets := int(wanted // each)) > 1:
        made[f"MTL ensemble, {n_nets} nets"] = like(AllTasks(n_nets))
    return made


def _ungrouped(clf: GroupedMTLClassifier, n_tasks: int) -> str | None:
    """What a classifier is that does not group: "STL", or "MTL" with one net or several (and with
    single-task nets beside them); None if it groups."""
    if clf.grouper is None:
        one = n_tasks == 1 or (isinstance(clf.n_groups, Integral) and clf.n_groups == 1)
        return "MTL" if one else None
    if isinstance(clf.grouper, AllTasks | SingleTasks):
        return "STL" if isinstance(clf.grouper, SingleTasks) else "MTL"
    if hasattr(clf.grouper, "fit"):
        return None
    held = np.asarray(clf.grouper, dtype=np.float64)
    if held.ndim != 2:
        return None  # which fit, and the check before it, find a word for
    if ((held > 0).sum(axis=0) == 1).all() and ((held > 0).sum(axis=1) == 1).all():
        return "STL"
    return "MTL" if (held == held[:1]).all() else None


def _kind(estimator: Any, n_tasks: int) -> str:
    """What a candidate is: "grouped", "STL", "MTL" or "other"."""
    parts = parts_of(estimator)
    kinds = [_ungrouped(p, n_tasks) for p in parts if isinstance(p, GroupedMTLClassifier)]
    if None in kinds:
        return "grouped"
    if kinds:
        return str(kinds[0])
    if not any(isinstance(part, NeuralNet) for part in parts):
        return "other"
    return "STL" if any(isinstance(part, MultiOutputClassifier) for part in parts) else "MTL"


def _check_baselines(baselines: str | Sequence[str], names: list[str]) -> list[str]:
    found = [baselines] if isinstance(baselines, str) else list(baselines)
    unknown = [name for name in found if name not in names]
    if unknown or not found:
        raise ValueError(
            "The 'baselines' parameter of compare must hold names of candidates. Got "
            f"{unknown[0] if unknown else found!r}; the candidates are {names}."
        )
    return [name for name in names if name in found]


def _check_n_samples(X: Any, table: TaskTable) -> None:
    n_samples = n_samples_of(X)
    if n_samples != len(table.codes):
        raise ValueError(
            f"X and Y must have the same number of samples. Got X with {n_samples} and Y with "
            f"{len(table.codes)}."
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_seeds(seeds: int | Sequence[int], owner: str = "compare") -> list[int]:
    rule = (
        f"The 'seeds' parameter of {owner} must be an int >= 1 or a sequence of different ints >= 0"
    )
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        if seeds < 1:
            raise ValueError(f"{rule}. Got {seeds}.")
        return list(range(int(seeds)))
    try:
        found = list(seeds)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{rule}. Got {seeds!r}.") from None
    good = all(isinstance(s, Integral) and not isinstance(s, bool) for s in found)
    if not good or not found or not all(0 <= s < 2**32 for s in found):
        raise ValueError(f"{rule}, below 2**32. Got {seeds!r}.")
    if len(set(found)) < len(found):
        raise ValueError(f"{rule}. Got {seeds!r}.")
    return [int(s) for s in found]


def _splits(cv: Any, table: TaskTable, seed: int, owner: str = "compare") -> list[Split]:
    if hasattr(cv, "split"):
        cv = copy.deepcopy(cv)  # a RandomState of the user's stays as it is
        if getattr(cv, "random_state", seed) is None:
            cv.random_state = seed
    return held_out_splits(cv, table, seed, owner=owner)


def _split_ids(splits: list[tuple[int, int, NDArray[np.intp], NDArray[np.intp]]]) -> Any:
    """A number a split, equal for equal ones."""
    known: dict[tuple[bytes, bytes], int] = {}
    keys = [(np.sort(train).tobytes(), np.sort(test).tobytes()) for *_, train, test in splits]
    return np.array([known.setdefault(key, len(known)) for key in keys])


def _seeded(estimator: Any, seed: int) -> Any:
    """A clone whose every `random_state` comes from the seed; the outermost one first, so that it
    is the same for all candidates."""
    seeded = clone(estimator)
    names = [n for n in seeded.get_params(deep=True) if f"__{n}".endswith("__random_state")]
    names.sort(key=lambda name: (name.count("__"), name))
    return seeded.set_params(**dict(zip(names, draw_seeds(seed, len(names)), strict=True)))


def _check_estimator(
    name: str,
    estimator: Any,
    X: Any,
    Y: Any,
    table: TaskTable,
    train: NDArray[np.intp],
    scores: TaskScores,
    owner: str = "compare",
) -> None:
    """What can be seen of a candidate before any candidate trains."""
    try:
        for part in parts_of(estimator):
            if hasattr(part, "_parameter_constraints"):
                part._validate_params()
            elif isinstance(part, MultiTaskNet):
                part._check_parameters()
        last = steps_of(estimator)[-1]
        if last is not estimator:  # steps before it change X
            if isinstance(last, GroupedMTLClassifier):
                net = MultiTaskNet() if last.estimator is None else clone(last.estimator)
                last._check_grouper(net, table.n_tasks, table.names)
        elif isinstance(last, GroupedMTLClassifier | MultiTaskNet):
            of_train = take_samples(X, train), take_samples(Y, train), None
            if isinstance(last, MultiTaskNet):
                net = clone(last)
                net._prepare(net._check_data(*of_train), seed=0)
            else:
                last._try(*last._check(*of_train), [])
        if scores.needs_proba and not hasattr(estimator, "predict_proba"):
            raise ValueError(f"it has no predict_proba, which the score {scores.name} needs.")
    except Exception as error:
        raise ValueError(f"Candidate {name!r} of {owner} cannot be fitted: {error}") from error


def _count_nets(estimator: Any, n_tasks: int) -> float:
    """Nets that `fit` trains, or has trained; NaN if it is not known."""
    if isinstance(estimator, Pipeline):
        return sum(_count_nets(step, n_tasks) for _, step in named_steps(estimator))
    if isinstance(estimator, GroupedMTLClassifier):
        try:
            return estimator.count_nets(n_tasks)["total"]
        except ValueError:  # the grouper finds the number of groups
            if not hasattr(estimator, "membership_"):
                return math.nan
        groups = clone(estimator).set_params(
            grouper=estimator.membership_, specialist_init="fresh", n_groups=None
        )
        grouper = estimator.grouper_
        relation = [s.count_nets(n_tasks) for s in steps_of(grouper) if hasattr(s, "count_nets")]
        reused = int(estimator.n_mtl_nets > 0 and base_net(grouper) is not None)
        return groups.count_nets(n_tasks)["total"] + sum(relation) - reused
    if isinstance(estimator, NeuralNet):
        return 1
    if not hasattr(estimator, "get_params"):  # "passthrough"
        return 0
    parts = parts_of(estimator)
    # How often a meta-estimator trains its nets is its own affair.
    return math.nan if any(isinstance(p, NeuralNet | GroupedMTLClassifier) for p in parts) else 0


def _key(what: str, *parts: Any) -> str:
    try:
        return key_of(*parts)
    except TypeError as error:
        raise ValueError(
            f"The 'results' parameter of compare must be None where fits cannot be told apart: "
            f"{what} cannot be pickled ({error})."
        ) from error


def _task_names(table: TaskTable) -> list[str]:
    if table.names is not None:
        return [str(name) for name in table.names]
    return [f"task {t}" for t in range(table.n_tasks)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
