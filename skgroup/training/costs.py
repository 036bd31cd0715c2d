"""What fits cost: the one place that counts nets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import Pipeline
from skorch import NeuralNet

from skgroup._estimators import parts_of, steps_of

__all__ = ["count_nets"]


def count_nets(estimator: Any, n_tasks: int) -> float:
    """Nets that `fit` trains.

    Parameters
    ----------
    estimator : estimator
        A skorch net is one. Whatever trains several says how many in a method `count_nets`,
        which takes `n_tasks` and gives a number, or a dict with a "total"; a pipeline trains what
        its steps train.
    n_tasks : int
        Columns of `Y`.

    Returns
    -------
    n_nets : float
        NaN if it is not known: how often a meta-estimator trains the nets that it holds is its
        own affair.

    Raises
    ------
    ValueError
        If the method raises it, as the number is known only after `fit`, say.
    """
    if isinstance(estimator, Pipeline):
        return sum(count_nets(step, n_tasks) for step in steps_of(estimator))
    if hasattr(estimator, "count_nets"):
        nets = estimator.count_nets(n_tasks)
        return float(nets["total"] if isinstance(nets, Mapping) else nets)
    if isinstance(estimator, NeuralNet):
        return 1.0
    if not hasattr(estimator, "get_params"):  # "passthrough"
        return 0.0
    trains = [p for p in parts_of(estimator) if isinstance(p, NeuralNet) or _counts(p)]
    return math.nan if trains else 0.0


def _counts(estimator: Any) -> bool:
    return hasattr(estimator, "count_nets")
