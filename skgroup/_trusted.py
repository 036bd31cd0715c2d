"""The types that fitted estimators are made of, for `skops.io.load`."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.optim import lr_scheduler

# skops asks for names alone, whatever a file does with what they name: set attributes of one, or
# call it. So each is harmless whatever it is called with; what reads or writes files, or runs what
# it is given, as skorch's `NeuralNet` does with bytes of a state, does not belong here.
_SKGROUP = {
    "_state": "StoredConstant StoredDict StoredGenerator StoredHistory StoredObject StoredTensor",
    "cluster._fuzzy_kmeans": "FuzzyKMeans",
    "cluster._point_kmeans": "PointKMeans",
    "ensemble._baselines": "AllTasks SingleTasks",
    "ensemble._encoded_tasks": "MemberOutputs",
    "ensemble._grouped": "GroupedMTLClassifier GroupedMTLEstimator GroupedMTLRegressor",
    "ensemble._members": "_PerTask",
    "ensemble._portfolio": "PortfolioEstimator",
    "ensemble._portfolio_classifier": "PortfolioClassifier",
    "ensemble._portfolio_regressor": "PortfolioRegressor",
    "ensemble.table_learner": "TableLearner",
    "metrics._scorer": "TaskScorer",
    "metrics._splitters": "MultiTaskKFold MultiTaskShuffleSplit",
    "nn._adatt": "AdaTT AdaTTSp FusionLevel NativeWeights",
    "nn._blocks": "BlockLinear BlockMLP Gates Towers",
    "nn._cross_stitch": "CrossStitch Stitch StitchLevel",
    "nn._dropout": "Dropout",
    "nn._heads": "LinearHeads MemberHeads TaskHeads",
    "nn._mlp": "MLP",
    "nn._mmoe": "MMoE MixtureLevel MultiLevelMMoE",
    "nn._network": "Experts Units",
    "nn._ple": "ExtractionLevel PLE",
    "nn._resnet": "ResNet18 ResNet34 ResNet50",
    "nn._shared_bottom": "SharedBottom",
    "nn._small_cnn": "SmallCNN",
    "nn._tabm": "MemberLinear TabM",
    "populations._models": "FittedModel",
    "populations._path": "Path Way",
    "populations._pooled": "PooledTasksClassifier PooledTasksRegressor",
    "populations._relations": "Coefficients CrossLosses",
    "relations._grad_tag": "GradTAG",
    "relations._gradient_cosine": "GradientCosineAffinity",
    "relations._inter_task_affinity": "InterTaskAffinity",
    "relations._label_correlation": "LabelCorrelationAffinity",
    "relations._linearised": "LinearisedTasks",
    "relations._subset_fits": "SubsetFits",
    "relations._task_grouper": "TaskGrouper",
    "selection._exhaustive_grouping": "ExhaustiveGrouping",
    "selection._grad_tag_grouping": "GradTAGGrouping",
    "selection._group_selector": "GroupSelector",
    "selection._hoa_grouping": "HOAGrouping",
    "selection._mtg_net_grouping": "MTGNetGrouping",
    "selection._stability": "GroupStability",
    "selection._tag_grouping": "TAGGrouping",
    "selection.gains._attention": "Attention",
    "selection.gains._etap": "ETAP _Splines",
    "selection.gains._group_gains": "GroupGains",
    "selection.gains._hoa": "HigherOrderApproximation",
    "selection.gains._mtg_net": "MTGNet",
    "store._checkpoint": "CheckpointFolder",
    "tasks._binary": "Binary",
    "tasks._layout": "OutputLayout",
    "tasks._multiclass": "Multiclass",
    "tasks._regression": "Regression TargetScaling",
    "tasks._soft": "Soft",
    "training._device_net": "OptimizerSetter",
    "training._loop": "BatchLabels",
    "training._net": "MultiTaskNet",
    "training._scaling": "RobustScaling",
    "training.balancing": "GradNorm OfGramian PCGrad UncertaintyWeighting",
    "training.data": "BatchLoader TaskDataset",
    "training.loss": "MultiTaskLoss",
    "training.task_view": "TaskClassifierView TaskRegressorView",
}
_OTHERS = {
    "skorch.callbacks.logging": "EpochTimer PrintLog",
    "skorch.callbacks.lr_scheduler": "LRScheduler",
    "skorch.callbacks.scoring": "BatchScoring EpochScoring PassthroughScoring",
    "skorch.callbacks.training": "EarlyStopping",
    "skorch.dataset": "ValidSplit",
    "skorch.history": "History",
    "torch": "device",
    "torchvision.models.resnet": "BasicBlock Bottleneck ResNet",
}


def trusted_types() -> list[str]:
    """Names of the types that fitted estimators are made of, to load them with skops.

    Classes of skgroup, torch (its modules and optimizers, and the blocks of torchvision's residual
    nets) and skorch; what is yours (a module class, a callback) and what skops does not trust of
    scikit-learn (trees, which it loads without looking at their numbers) you add, after a look at
    `skops.io.get_untrusted_types`. Nothing that a file makes of them runs code of the file.

    Returns
    -------
    names : list of str
        Sorted.

    Notes
    -----
    skops knows and trusts the estimators of scikit-learn by itself, and has no code for pandas:
    give memberships, weights and the like as arrays or dicts where the estimator is to be stored.
    A file says what is loaded, not that it predicts well: take models from those whom you trust in
    that.

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
    names = {f"skgroup.{module}.{name}" for module, of in _SKGROUP.items() for name in of.split()}
    names |= {f"{module}.{name}" for module, of in _OTHERS.items() for name in of.split()}
    bases = (nn.Module, torch.optim.Optimizer, lr_scheduler.LRScheduler)
    for name, value in chain(*(vars(m).items() for m in (nn, torch.optim, lr_scheduler))):
        if isinstance(value, type) and issubclass(value, bases):
            of_torch = value.__module__.startswith(("torch.nn.modules.", "torch.optim."))
            if of_torch and value.__name__ == name:
                names.add(f"{value.__module__}.{name}")
    return sorted(names)
