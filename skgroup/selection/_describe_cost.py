"""What finding the groups will cost."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from skgroup._estimators import check_parameters, steps_of
from skgroup.training import MultiTaskNet


def describe_cost(groupings: dict[str, Any], n_tasks: int) -> list[dict[str, Any]]:
    """What finding the groups will cost, before anything is trained.

    With n tasks an exhaustive search trains 2^n − 1 nets, HOA n (n + 1) / 2, MTG-Net a multiple of
    n; TAG, Grad-TAG and data maps train one, beside which TAG computes n² losses at every measured
    step (those of n lookahead steps) and Grad-TAG some hundred passes through the data, which is
    not counted here.

    Parameters
    ----------
    groupings : dict of str to estimator
        With `count_nets`: the groupings of this package, relations, or pipelines that start with
        one.
    n_tasks : int

    Returns
    -------
    rows : list of dict
        A row a grouping: its `name`, the `nets` that it trains to find the groups and the
        `epochs` that they train for, all together. The nets that are trained for the groups once
        they are found are not counted; `GroupedMTLClassifier.count_nets` counts them too.

    Raises
    ------
    TypeError
        If `groupings` is no dict, or one of them is no estimator, or has no step that counts its
        nets.
    ValueError
        If `n_tasks` is no number of tasks, or a parameter breaks its rule.

    Examples
    --------
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.selection import ExhaustiveGrouping, HOAGrouping, describe_cost
    >>> net = MultiTaskNet(max_epochs=10)
    >>> for row in describe_cost({"all": ExhaustiveGrouping(net), "HOA": HOAGrouping(net)}, 10):
    ...     print(row)
    {'name': 'all', 'nets': 1023, 'epochs': 10230}
    {'name': 'HOA', 'nets': 55, 'epochs': 550}
    """
    if not isinstance(n_tasks, Integral) or isinstance(n_tasks, bool) or n_tasks < 1:
        raise ValueError(f"n_tasks must be an int >= 1. Got {n_tasks!r}.")
    if not isinstance(groupings, Mapping):
        raise TypeError(f"groupings must be a dict of names to estimators. Got {groupings!r}.")
    rows = []
    for name, grouping in groupings.items():
        if not hasattr(grouping, "fit"):
            raise TypeError(f"{name!r} of groupings must be an estimator. Got {grouping!r}.")
        if hasattr(grouping, "predict_proba"):
            raise TypeError(
                f"{name!r} of groupings classifies; describe_cost counts what finding groups "
                "costs. Pass its grouper, or use GroupedMTLClassifier.count_nets."
            )
        steps = [step for step in steps_of(grouping) if hasattr(step, "count_nets")]
        if not steps:
            raise TypeError(
                f"{name!r} of groupings must hold a step that finds relations or groups from "
                f"X and Y, and counts its nets. Got {grouping!r}."
            )
        check_parameters(grouping)
        nets = epochs = 0
        for step in steps:
            if n := step.count_nets(int(n_tasks)):
                net = MultiTaskNet() if step.estimator is None else step.estimator
                nets, epochs = nets + n, epochs + n * net.max_epochs
        rows.append({"name": name, "nets": nets, "epochs": epochs})
    return rows
