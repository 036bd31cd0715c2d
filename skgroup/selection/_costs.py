"""What groups cost, and which share of a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.inputs import Given
from skgroup.selection.solver import shares_of_budget


@dataclass(frozen=True)
class GroupCosts:
    """What each group costs, and which share of the budget that is.

    Attributes
    ----------
    group_cost : callable, mapping, array-like or None
    budget : float or None
    """

    group_cost: Any
    budget: float | None

    def check(self, given: Given) -> None:
        """Refuse what is no cost; a callable is not tried."""
        cost = self.group_cost
        if cost is None:
            return
        if self.budget is None:
            raise ValueError(
                "The 'group_cost' parameter of GroupSelector counts only within a 'budget', which "
                "is None. Set a budget, or group_cost=None."
            )
        if isinstance(cost, Mapping):
            if not all(isinstance(k, Integral) for k in cost):
                raise ValueError(
                    "The 'group_cost' parameter of GroupSelector must map sizes (int) to costs. "
                    f"Got {cost!r} instead."
                )
            _check_costs(list(cost.values()))
        elif not callable(cost):
            values = _check_costs(cost)
            if given.masks is None or values.shape != (len(given.masks),):
                rows = "which are not given" if given.masks is None else f"{len(given.masks)} here"
                raise ValueError(
                    "The 'group_cost' parameter of GroupSelector must have one cost a row of "
                    f"masks, {rows}, as an array. Got {cost!r} instead."
                )

    def of(
        self, masks: NDArray[np.bool_], given: Given, rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Costs of groups (n_listed, n_tasks), which are those rows of `given.masks`."""
        cost = self.group_cost
        if cost is None:
            return np.ones(len(masks))
        if isinstance(cost, Mapping):
            table = np.ones(masks.shape[1] + 1)
            for size, value in cost.items():
                if 0 <= size < len(table):
                    table[size] = value
            return table[masks.sum(axis=1)]
        if not callable(cost):
            assert rows is not None
            in_table = rows if given.rows is None else given.rows[rows]
            return np.asarray(cost, dtype=np.float64)[in_table]
        as_given = np.empty_like(masks)
        as_given[:, slice(None) if given.order is None else given.order] = masks
        try:
            values = [cost(mask) for mask in as_given]
        except Exception as error:
            raise ValueError(
                "The 'group_cost' parameter of GroupSelector must give the cost of any group, of "
                f"which it gets the mask. It raised {type(error).__name__}: {error}."
            ) from error
        return _check_costs(values)

    def shares(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Costs as shares of the budget."""
        return shares_of_budget(costs, np.inf if self.budget is None else float(self.budget))


def cost_in_all_tasks(
    cost: Callable[..., Any], tasks: NDArray[np.intp], n_tasks: int, mask: NDArray[np.bool_]
) -> Any:
    """The cost of a group of some tasks, by a function of a mask of all tasks."""
    whole = np.zeros(n_tasks, dtype=bool)
    whole[tasks] = mask
    return cost(whole)


def _check_costs(costs: Any) -> NDArray[np.float64]:
    try:
        values = np.array(costs)
        numbers = values.dtype.kind in "biufO" and values.ndim == 1
        values = values.astype(np.float64) if numbers else np.array([])
    except (TypeError, ValueError):
        numbers = False
    if not numbers:
        raise ValueError(
            "The 'group_cost' parameter of GroupSelector must give one number, >= 0, a group. "
            f"Got {costs!r:.200} instead."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        wrong = values[~(np.isfinite(values) & (values >= 0))][0]
        raise ValueError(
            "The 'group_cost' parameter of GroupSelector must give finite costs >= 0. Got "
            f"{wrong} instead."
        )
    return values
