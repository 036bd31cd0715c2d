"""The types that fitted estimators are made of, for `skops.io.load`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

# Classes that skops asks for. It looks at names alone, and a file may call what they name, with
# what it likes, set attributes of it, and call that again: so each is harmless then, none has
# objects that call what they hold, and what reads or writes files, or runs what it is given, as
# skorch's `NeuralNet` does with bytes of a state, does not belong here.
_ASKED_FOR = {
    "numpy": "dtype",
    "skgroup._state": (
        "StoredConstant StoredDict StoredGenerator StoredHistory StoredObject StoredTensor"
    ),
    "skgroup.cluster._fuzzy_kmeans": "FuzzyKMeans",
    "skgroup.cluster._point_kmeans": "PointKMeans",
    "skgroup.comparison._of_rows": "OfRows",
    "skgroup.ensemble._baselines": "AllTasks SingleTasks",
    "skgroup.ensemble._encoded_tasks": "MemberOutputs",
    "skgroup.ensemble._grouped": "GroupedMTLClassifier GroupedMTLEstimator GroupedMTLRegressor",
    "skgroup.ensemble._members": "_PerTask",
    "skgroup.ensemble._portfolio": "PortfolioEstimator",
    "skgroup.ensemble._portfolio_classifier": "PortfolioClassifier",
    "skgroup.ensemble._portfolio_regressor": "PortfolioRegressor",
    "skgroup.ensemble.table_learner": "TableLearner",
    "skgroup.metrics._scorer": "TaskScorer",
    "skgroup.metrics._splitters": "MultiTaskKFold MultiTaskShuffleSplit",
    "skgroup.populations._later": "Later",
    "skgroup.populations._models": "Deviations FittedModel",
    "skgroup.populations._path": "Path Way",
    "skgroup.populations._pooled": "PooledTasksClassifier PooledTasksRegressor",
    "skgroup.populations._relations": "Coefficients CrossLosses Gradients",
    "skgroup.populations.baselines": (
        "OneEachClassifier OneEachRegressor OneForAllClassifier OneForAllRegressor "
        "RandomGroupsClassifier RandomGroupsRegressor"
    ),
    "skgroup.relations._grad_tag": "GradTAG",
    "skgroup.relations._gradient_cosine": "GradientCosineAffinity",
    "skgroup.relations._inter_task_affinity": "InterTaskAffinity",
    "skgroup.relations._label_correlation": "LabelCorrelationAffinity",
    "skgroup.relations._subset_fits": "SubsetFits",
    "skgroup.relations._task_grouper": "TaskGrouper",
    "skgroup.selection._exhaustive_grouping": "ExhaustiveGrouping",
    "skgroup.selection._grad_tag_grouping": "GradTAGGrouping",
    "skgroup.selection._group_selector": "GroupSelector",
    "skgroup.selection._hoa_grouping": "HOAGrouping",
    "skgroup.selection._mtg_net_grouping": "MTGNetGrouping",
    "skgroup.selection._stability": "GroupStability",
    "skgroup.selection._tag_grouping": "TAGGrouping",
    "skgroup.selection.gains._etap": "ETAP _Splines",
    "skgroup.selection.gains._group_gains": "GroupGains",
    "skgroup.selection.gains._hoa": "HigherOrderApproximation",
    "skgroup.selection.gains._mtg_net": "MTGNet",
    "skgroup.store._checkpoint": "CheckpointFolder",
    "skgroup.tasks._binary": "Binary",
    "skgroup.tasks._layout": "OutputLayout",
    "skgroup.tasks._multiclass": "Multiclass",
    "skgroup.tasks._regression": "Regression TargetScaling",
    "skgroup.tasks._soft": "Soft",
    "skgroup.training._net": "MultiTaskNet",
    "skgroup.training.task_view": "TaskClassifierView TaskRegressorView",
    "skorch.callbacks.logging": "EpochTimer PrintLog ProgressBar",
    "skorch.callbacks.lr_scheduler": "LRScheduler",
    "skorch.callbacks.regularization": "GradientNormClipping",
    "skorch.callbacks.scoring": "BatchScoring EpochScoring PassthroughScoring",
    "skorch.callbacks.training": "EarlyStopping",
    "skorch.dataset": "ValidSplit",
    "skorch.history": "History",
    "torch": "device",
}
# Classes that states of fitted estimators name (`_state.StoredConstant`), of which skops never
# hears, so that a file can neither build nor call one: objects are made of their attributes alone.
_NAMED = {
    "skgroup.nn._adatt": "AdaTT AdaTTSp FusionLevel NativeWeights",
    "skgroup.nn._blocks": "BlockLinear BlockMLP Gates Towers",
    "skgroup.nn._cross_stitch": "CrossStitch Stitch StitchLevel",
    "skgroup.nn._dropout": "Dropout",
    "skgroup.nn._heads": "LinearHeads MemberHeads TaskHeads",
    "skgroup.nn._mlp": "MLP",
    "skgroup.nn._mmoe": "MMoE MixtureLevel MultiLevelMMoE",
    "skgroup.nn._network": "Experts Units",
    "skgroup.nn._ple": "ExtractionLevel PLE",
    "skgroup.nn._resnet": "ResNet18 ResNet34 ResNet50",
    "skgroup.nn._shared_bottom": "SharedBottom",
    "skgroup.nn._small_cnn": "SmallCNN",
    "skgroup.nn._tabm": "MemberLinear TabM",
    "skgroup.relations._linearised": "LinearisedTasks",
    "skgroup.selection.gains._attention": "Attention",
    "skgroup.training._device_net": "OptimizerSetter",
    "skgroup.training._loop": "BatchLabels",
    "skgroup.training._scaling": "RobustScaling",
    "skgroup.training.balancing": "GradNorm OfGramian PCGrad UncertaintyWeighting",
    "skgroup.training.data": "BatchLoader TaskDataset",
    "skgroup.training.loss": "MultiTaskLoss",
    "skorch.callbacks.lr_scheduler": "WarmRestartLR",
    "torchvision.models.resnet": "BasicBlock Bottleneck ResNet",
}


def trusted_types() -> list[str]:
    """Names of the types that fitted estimators are made of, to load them with skops.

    Classes of skgroup and skorch, and few of torch: modules, optimizers and schedulers of torch,
    torchvision and skgroup are named by the states of nets themselves, and made of their attributes
    alone. What is yours (a module class, a callback), what a search tries (classes of modules in
    its grid), what writes files (`Checkpoint` of skorch) and whose numbers nobody checks (an LSTM
    of torch, trees of scikit-learn) you add, after a look at `skops.io.get_untrusted_types`.
    Nothing that a file makes of these types runs code of the file.

    Returns
    -------
    names : list of str
        Sorted.

    Notes
    -----
    skops knows and trusts the estimators of scikit-learn by itself, and has no code for pandas:
    give memberships, weights and the like as arrays or dicts where the estimator is to be stored.
    Nor has it for callbacks that hold methods of their own (skorch's `Freezer`).
    A file says what is loaded, not that it predicts well: take models from those whom you trust in
    that. Parameters are the file's, too: look at them before you fit it again (the `checkpoint`
    names a folder of pickles), or let it load others (`torch_load_kwargs`).

    Examples
    --------
    >>> from skgroup import trusted_types
    >>> "skgroup.training._net.MultiTaskNet" in trusted_types()
    True
    >>> import skops.io as sio  # doctest: +SKIP
    >>> sio.dump(clf, "clf.skops")  # doctest: +SKIP
    >>> sio.get_untrusted_types(file="clf.skops")  # doctest: +SKIP
    >>> clf = sio.load("clf.skops", trusted=[*trusted_types(), "mine.Module"])  # doctest: +SKIP
    """
    return sorted(_full_names(_ASKED_FOR))


def name_of(cls: type) -> str | None:
    """How a state names a class; None if it does not know it."""
    name = _names_of_torch().get(cls, f"{cls.__module__}.{cls.__qualname__}")
    return name if class_of(name) is cls else None


def class_of(name: str) -> type | None:
    """The class that a state names; None if it is none that states name."""
    if name in _of_torch():
        return _of_torch()[name]
    if name not in _names_of_classes():
        return None
    module, _, name = name.rpartition(".")
    found: Any = getattr(import_module(module), name)
    return found if isinstance(found, type) else None


@cache
def _names_of_classes() -> frozenset[str]:
    return frozenset([*_full_names(_ASKED_FOR), *_full_names(_NAMED)])


@cache
def _of_torch() -> dict[str, type]:
    """Modules, optimizers and schedulers of torch, by the names that its releases share."""
    found: dict[str, type] = {}
    for module, base, within in (
        (nn, nn.Module, "torch.nn.modules."),
        (torch.optim, torch.optim.Optimizer, "torch.optim"),
        (lr_scheduler, lr_scheduler.LRScheduler, "torch.optim.lr_scheduler"),
    ):
        for name, value in vars(module).items():
            of_torch = isinstance(value, type) and value.__module__.startswith(within)
            # What runs an LSTM trusts its sizes; who has one trusts the file in that.
            known = of_torch and issubclass(value, base) and value is not nn.LSTM
            if known and value.__name__ == name:
                found[f"{module.__name__}.{name}"] = value
    return found


@cache
def _names_of_torch() -> dict[type, str]:
    return {cls: name for name, cls in _of_torch().items()}


def _full_names(names: dict[str, str]) -> list[str]:
    return [f"{module}.{name}" for module, of in names.items() for name in of.split()]
