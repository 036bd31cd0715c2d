"""Candidates by name, and what can be seen of them before any of them trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, LoadInitState, TrainEndCheckpoint

from skgroup._estimators import check_parameters, parts_of, steps_of
from skgroup._random import draw_seeds
from skgroup.comparison._baselines import make_baselines
from skgroup.comparison._kinds import NO_BASELINE, grouped_class, kind_of, of_kinds
from skgroup.comparison._scorings import Scorings
from skgroup.comparison._task_scores import TaskScores, check_proba
from skgroup.comparison._thresholds import said_of_thresholds, tuned
from skgroup.ensemble import GroupedMTLEstimator, PortfolioEstimator
from skgroup.ensemble.table_learner import TableLearner, says_its_targets, try_portfolio
from skgroup.ensemble.trial import try_classifier, try_grouper_of
from skgroup.tasks import CLASSES, REGRESSION, TaskTable, single_classes_said
from skgroup.training import MultiTaskNet
from skgroup.training.data import n_samples_of

RULE = "The 'candidates' parameter of compare must be a dict of names to estimators"


@dataclass(frozen=True)
class Candidates:
    """What is compared.

    Attributes
    ----------
    estimators : dict of str to estimator
        Unfitted, of tables of tasks: the baselines that were made, then the user's.
    kinds : list of str, one an estimator
        See `Comparison`.
    baselines : list of str
        Those of them that the others are measured by.
    said : list of str
        Sentences about them that the table shows.
    """

    estimators: dict[str, Any]
    kinds: list[str]
    baselines: list[str]
    said: list[str]

    @classmethod
    def of(cls, candidates: Any, baselines: Any, X: Any, Y: Any, table: TaskTable) -> Candidates:
        """Clones of the candidates, with baselines unless `baselines` names candidates alone."""
        given = _by_name(candidates, table)
        if not given:
            raise ValueError(f"{RULE}. Got an empty one.")
        clones = {
            name: _learning_tables(name, check_candidate(name, estimator), table)
            for name, estimator in given.items()
        }
        found = cls.with_baselines(
            clones,
            baselines,
            lambda: make_baselines(clones, table, X, Y),
            lambda estimator: kind_of(estimator, table.n_tasks),
        )
        with single_classes_said(table):
            alone = [name for name, e in found.estimators.items() if _learns_alone(e, Y)]
        if alone:
            found.said.append(
                "One estimator a task, on the samples that have a label of it: "
                f"{', '.join(f'“{name}”' for name in alone)}."
            )
        return found

    @classmethod
    def with_baselines(
        cls,
        clones: Mapping[str, Any],
        baselines: Any,
        make: Callable[[], tuple[dict[str, Any], list[str]]],
        kind: Callable[[Any], str],
    ) -> Candidates:
        """Candidates that are checked; `make` gives baselines, and what is to be said of those that
        lack, and `kind` says what an estimator is."""
        names = _names_of_baselines(baselines)
        made: dict[str, Any] = {}
        said: list[str] = []
        if names is None or not set(names) <= set(clones):  # [] makes none
            made, said = make()
        taken = [name for name in made if name in clones]
        if taken:
            raise ValueError(
                f"{RULE}; {taken[0]!r} must be another name, as baselines are added to the dict "
                "and this is what one of them is called."
            )
        every = {**made, **clones}
        kinds = [kind(estimator) for estimator in every.values()]
        if not names:
            names = [n for n, k in zip(every, kinds, strict=True) if k not in NO_BASELINE]
            if len(names) == len(every) and made:  # nothing groups: the user's are measured
                names = list(made)
        if not names:
            raise ValueError(
                "The 'baselines' parameter of compare must not be empty where every candidate "
                f"groups or balances the tasks. Got {list(every)}."
            )
        unknown = [name for name in names if name not in every]
        if unknown:
            raise ValueError(
                "The 'baselines' parameter of compare must hold names of candidates. Got "
                f"{unknown[0]!r}; the candidates are {list(every)}."
            )
        return cls(every, kinds, [name for name in every if name in names], said)

    def deciding(self, threshold: str, table: TaskTable, scores: Scorings) -> Candidates:
        """The same, by a way to decide; see `compare`."""
        estimators = self.estimators
        said = [*self.said, *said_of_thresholds(threshold, estimators, table, scores)]
        if threshold == "tuned":
            estimators = {name: tuned(e, table) for name, e in estimators.items()}
        return replace(self, estimators=estimators, said=said)


def _learns_alone(estimator: Any, Y: Any) -> bool:
    last = steps_of(estimator)[-1]
    return isinstance(last, TableLearner) and last.learns_alone(Y)


def _learning_tables(name: str, estimator: Any, table: TaskTable) -> Any:
    """A candidate that learns the whole table, whatever it knows of tables of tasks."""
    if isinstance(estimator, Mapping):
        there = table.has_classes[table.learnable]
        for key, is_needed, learns, sort in (
            (CLASSES, there.any(), is_classifier, "classifier"),
            (REGRESSION.name, not there.all(), is_regressor, "regressor"),
        ):
            given = estimator.get(key)
            if is_needed if given is None else not learns(given):
                raise ValueError(
                    f"Candidate {name!r} of compare cannot be fitted: under {key!r} it must have a "
                    f"{sort}. Got {given!r}."
                )
        estimator = TableLearner(**estimator)
    elif says_its_targets(estimator):
        of_kinds(name, estimator, table, "compare")
        key = CLASSES if table.has_classes.all() else REGRESSION.name
        estimator = TableLearner(**{key: estimator})
    return of_kinds(name, estimator, table, "compare")


def _by_name(candidates: Any, table: TaskTable) -> Mapping[Any, Any]:
    if isinstance(candidates, Mapping):
        return candidates
    if isinstance(candidates, type):
        raise ValueError(
            "The 'candidates' parameter of compare must be an estimator or a dict of them. Got "
            f"the class {candidates.__name__}; a call makes an estimator of it."
        )
    if candidates is None:
        candidates = MultiTaskNet()
    if isinstance(candidates, MultiTaskNet):
        if candidates.balancing is not None:
            return {"balanced": candidates}
        candidates = grouped_class(table)(candidates)
    groups = hasattr(candidates, "get_params") and kind_of(candidates, table.n_tasks) == "grouped"
    return {"grouped" if groups else type(candidates).__name__: candidates}


def check_candidate(name: Any, estimator: Any) -> Any:
    """An unfitted clone; of a classifier and a regressor, a dict of them."""
    if isinstance(estimator, Mapping):
        if not estimator or not set(estimator) <= {CLASSES, REGRESSION.name}:
            raise ValueError(
                f"{RULE}, or to dicts of a classifier for 'classes' and a regressor for "
                f"'regression'. Got {estimator!r} as {name!r}."
            )
        return {key: check_candidate(name, part) for key, part in estimator.items()}
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{RULE}, the names non-empty strings. Got the name {name!r}.")
    lacks = [m for m in ("get_params", "fit", "predict") if not hasattr(estimator, m)]
    if isinstance(estimator, type) or lacks or is_clusterer(estimator):
        raise ValueError(
            f"{RULE}, with fit and predict. Got {estimator!r} as {name!r}. A grouper becomes "
            "one by GroupedMTLClassifier(net, grouper), a class by a call."
        )
    try:
        return clone(estimator)
    except Exception as error:
        raise ValueError(f"{RULE} that can be cloned. Got {name!r}: {error}") from error


def _names_of_baselines(baselines: Any) -> list[str] | None:
    names = [baselines] if isinstance(baselines, str) else baselines
    if names is None:
        return None
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "The 'baselines' parameter of compare must be a name of a candidate, a list of "
            f"them or None. Got {baselines!r}."
        )
    return list(names)


def file_keeper(estimator: Any) -> type | None:
    """The class of a callback of a net that keeps files; None if there is none."""
    for net in parts_of(estimator):
        if not isinstance(net, NeuralNet):
            continue
        callbacks = net.callbacks if isinstance(net.callbacks, list | tuple) else []
        for given in callbacks:
            callback = given[-1] if isinstance(given, tuple) else given
            kind = callback if isinstance(callback, type) else type(callback)
            if issubclass(kind, Checkpoint | TrainEndCheckpoint | LoadInitState):
                return kind
    return None


def check_n_samples(X: Any, table: TaskTable) -> None:
    n_samples = n_samples_of(X)
    if n_samples != len(table.codes):
        raise ValueError(
            f"X and Y must have the same number of samples. Got X with {n_samples} and Y with "
            f"{len(table.codes)}."
        )


def seeded(estimator: Any, seed: int) -> Any:
    """A clone whose every `random_state` comes from the seed; the outermost one first, so that it
    is the same for all candidates."""
    cloned = clone(estimator)
    names = [n for n in cloned.get_params(deep=True) if f"__{n}".endswith("__random_state")]
    names.sort(key=lambda name: (name.count("__"), name))
    return cloned.set_params(**dict(zip(names, draw_seeds(seed, len(names)), strict=True)))


def try_candidate(
    name: str,
    estimator: Any,
    training_data: tuple[Any, ...],
    scores: TaskScores | Scorings,
    owner: str,
) -> None:
    """Raise what can be seen to go wrong with a candidate before any candidate trains."""
    try:
        check_parameters(estimator)
        last = steps_of(estimator)[-1]
        if isinstance(last, TableLearner):
            X, Y, *_ = training_data
            with single_classes_said(scores.table):
                last.check(X if last is estimator else None, Y)
        elif isinstance(last, PortfolioEstimator):
            if last is estimator:
                with single_classes_said(scores.table):
                    try_portfolio(last, *training_data)
        elif last is not estimator:  # steps before it change X
            if isinstance(last, GroupedMTLEstimator):
                try_grouper_of(last, scores.table)
        else:
            with single_classes_said(scores.table):
                try_classifier(last, *training_data)
        check_proba(estimator, scores.names_of_proba)
    except Exception as error:
        raise ValueError(f"Candidate {name!r} of {owner} cannot be fitted: {error}") from error
