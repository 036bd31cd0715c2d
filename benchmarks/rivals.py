"""What else learns a table of tasks: each way, and how its settings are chosen.

Every way is one `Way`. What it makes is fitted by `fit(X, Y)`, Y of 0 and 1 with NaN where a label
is missing, and predicts the probabilities of 1, (n_samples, n_tasks). Everything runs in one
thread.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.defaults import OneForestATask
from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier, TaskGrouper
from skgroup.cluster import FuzzyKMeans
from skgroup.training.costs import count_nets


class OneATask:
    """A classifier a task, on its observed rows."""

    def __init__(self, make):
        self.make = make

    def fit(self, X, Y):
        observed = ~np.isnan(Y)
        self.of_tasks = [
            self.make().fit(X[rows], y[rows].astype(int))
            for y, rows in zip(Y.T, observed.T, strict=True)
        ]
        return self

    def predict_proba(self, X, predict=lambda model, X: model.predict_proba(X)):
        return np.column_stack([predict(model, X)[:, 1] for model in self.of_tasks])


class AllTasksAtOnce:
    """One classifier of all tasks, which have all labels."""

    def __init__(self, make):
        self.make = make

    def fit(self, X, Y):
        self.of_all = self.make().fit(X, Y.astype(int))
        return self

    def predict_proba(self, X, predict=lambda model, X: model.predict_proba(X)):
        return np.asarray(predict(self.of_all, X))


class DealtGroups(FuzzyKMeans):
    """The memberships of `FuzzyKMeans`, dealt out to the tasks at random."""

    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight)
        dealt = np.random.default_rng(self.random_state).permutation(len(self.membership_))
        self.membership_ = self.membership_[dealt]
        return self


@dataclass(frozen=True)
class Way:
    """One way to learn the tasks.

    Parameters
    ----------
    make : callable
        Makes what is fitted, of a seed, the number of tasks, whether all labels are there, and a
        setting.
    single : bool
        Whether it is one estimator, and so among those that validation chooses from.
    settings : tuple of dict
        What is tried on held-out samples.
    predict : callable, default=None
        Of boosting: probabilities of a fitted model by its first so many trees.
    stages : tuple of int
        The numbers of trees that boosting is tried with, all from one fit.
    library : str, default=None
        What must be installed.
    incomplete : bool
        Whether it takes missing labels.
    validates : bool
        Whether it has tuned its thresholds and the scale of its probabilities itself.
    """

    make: Callable[..., Any]
    single: bool = True
    settings: tuple[dict[str, Any], ...] = ({},)
    predict: Callable[..., Any] | None = None
    stages: tuple[int, ...] = (25, 50, 100, 200)
    library: str | None = None
    incomplete: bool = True
    validates: bool = False

    @property
    def missing(self):
        return self.library is not None and importlib.util.find_spec(self.library) is None

    def candidates(self):
        """Settings that are fitted, each with the settings that this one fit stands for."""
        if self.predict is None:
            return [(setting, [setting]) for setting in self.settings]
        return [
            ({**setting, "trees": max(self.stages)}, [{**setting, "trees": n} for n in self.stages])
            for setting in self.settings
        ]

    def proba(self, fitted, X, setting):
        if self.predict is None:
            return np.asarray(fitted.predict_proba(X), dtype=float)
        return fitted.predict_proba(X, lambda model, X: self.predict(model, X, setting["trees"]))


def _forest(kind):
    return lambda seed, n_tasks, complete: OneForestATask(
        kind(n_estimators=300, n_jobs=1, random_state=seed)
    )


def _logistic(seed, n_tasks, complete, C):
    return OneATask(lambda: make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)))


def _chain(seed, n_tasks, complete, C):
    linear = LogisticRegression(C=C, max_iter=1000)
    chain = ClassifierChain(linear, order="random", random_state=seed)
    return AllTasksAtOnce(lambda: make_pipeline(StandardScaler(), chain))


def _hist(seed, n_tasks, complete, trees, **setting):
    return OneATask(
        lambda: HistGradientBoostingClassifier(
            max_iter=trees, early_stopping=False, random_state=seed, **setting
        )
    )


def _lightgbm(seed, n_tasks, complete, trees, **setting):
    from lightgbm import LGBMClassifier

    options = {"n_estimators": trees, "random_state": seed, "n_jobs": 1, "verbose": -1}
    return OneATask(lambda: LGBMClassifier(**options, **setting))


def _xgboost(seed, n_tasks, complete, trees, **setting):
    from xgboost import XGBClassifier

    options = {"n_estimators": trees, "random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    if complete:
        options |= {"multi_strategy": "multi_output_tree", "max_bin": 64}
    of = AllTasksAtOnce if complete else OneATask
    return of(lambda: XGBClassifier(**options, **setting))


def _catboost(seed, n_tasks, complete, trees, **setting):
    from catboost import CatBoostClassifier

    options = {"iterations": trees, "random_seed": seed, "thread_count": 1, "verbose": False}
    options |= {"allow_writing_files": False}
    if complete:
        options |= {"loss_function": "MultiLogloss", "border_count": 64}
    of = AllTasksAtOnce if complete else OneATask
    return of(lambda: CatBoostClassifier(**options, **setting))


def _recipe(seed, n_tasks, complete):
    return make_pipeline(StandardScaler(), MultiTaskNet.stg_mtl(random_state=seed))


def _net(seed, n_tasks, complete):
    return MultiTaskNet(random_state=seed)


def _stl(seed, n_tasks, complete):
    return GroupedMTLClassifier.stl(random_state=seed)


def n_groups(n_tasks):
    """Three, but fewer than tasks: else they would be single-task nets."""
    return min(3, n_tasks - 1)


def _grouped(seed, n_tasks, complete):
    return GroupedMTLClassifier(n_groups=n_groups(n_tasks), random_state=seed)


def _random_groups(seed, n_tasks, complete):
    # As the default grouper, seeds included: the same memberships, but for whose they are.
    relation = TaskGrouper(MultiTaskNet(), output="isometric")
    grouper = make_pipeline(relation, DealtGroups(n_groups(n_tasks)))
    return GroupedMTLClassifier(grouper=grouper, random_state=seed)


def _ensemble(seed, n_tasks, complete):
    n_nets = int(count_nets(_grouped(seed, n_tasks, complete), n_tasks))
    return GroupedMTLClassifier.mtl_ensemble(n_nets, random_state=seed)


def _portfolio(seed, n_tasks, complete):
    return PortfolioClassifier(random_state=seed)


def _portfolio_of_nets(seed, n_tasks, complete):
    groups = GroupedMTLClassifier(n_groups=n_groups(n_tasks))
    members = [("net", MultiTaskNet()), ("groups", groups)]
    return PortfolioClassifier(members, random_state=seed)


_DEPTHS = tuple({"learning_rate": 0.1, "max_depth": depth} for depth in (2, 5))
_PENALTIES = tuple({"C": C} for C in (0.001, 0.01, 0.1, 1.0))
_FEW_LEAVES = {"learning_rate": 0.05, "num_leaves": 7, "min_child_samples": 5}
_FEW_LEAVES |= {"colsample_bytree": 0.5, "subsample": 0.8, "subsample_freq": 1}

WAYS = {
    "random forest": Way(_forest(RandomForestClassifier)),
    "extra trees": Way(_forest(ExtraTreesClassifier)),
    "histogram boosting": Way(
        _hist,
        settings=(
            {"learning_rate": 0.1},
            {"learning_rate": 0.1, "max_leaf_nodes": 7, "max_features": 0.5},
        ),
        predict=lambda model, X, n: next(islice(model.staged_predict_proba(X), n - 1, None)),
    ),
    "LightGBM": Way(
        _lightgbm,
        settings=({"learning_rate": 0.05, "num_leaves": 15}, _FEW_LEAVES),
        predict=lambda model, X, n: model.predict_proba(X, num_iteration=n),
        stages=(25, 50, 100, 200, 400),
        library="lightgbm",
    ),
    "XGBoost": Way(
        _xgboost,
        settings=_DEPTHS,
        predict=lambda model, X, n: model.predict_proba(X, iteration_range=(0, n)),
        library="xgboost",
    ),
    "CatBoost": Way(
        _catboost,
        settings=_DEPTHS,
        predict=lambda model, X, n: model.predict_proba(X, ntree_end=n),
        library="catboost",
    ),
    "logistic regression": Way(_logistic, settings=_PENALTIES),
    "classifier chain": Way(_chain, settings=_PENALTIES, incomplete=False),
    "the paper's recipe, scaled": Way(_recipe),
    "MultiTaskNet()": Way(_net),
    "single-task nets": Way(_stl),
    "as many nets": Way(_ensemble, single=False),
    "grouped": Way(_grouped, single=False),
    "random groups": Way(_random_groups, single=False),
    "PortfolioClassifier()": Way(_portfolio, single=False, validates=True),
    "portfolio of nets": Way(_portfolio_of_nets, single=False, validates=True),
}
FORESTS = ("random forest", "extra trees")
