"""The choice among groups whose gains are predicted, whatever their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup.selection._group_selector import GroupSelector
from skgroup.selection.gains import all_groups

#: Tasks up to which predicted gains are listed for all groups.
LISTED = 14


def groups_to_choose_from(
    gains_of: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    known: NDArray[np.bool_],
    selector: GroupSelector,
    names: Any,
) -> NDArray[np.bool_]:
    """All groups of up to 14 tasks; of more, neighbours of those known, and then of those that
    would be chosen, until that changes nothing.

    Parameters
    ----------
    gains_of : callable
        Gains (n_groups, n_tasks) of masks.
    known : ndarray of shape (n_groups, n_tasks) of bool
        Where to start from.
    selector : GroupSelector
    names : ndarray of shape (n_tasks,) of str, or None

    Returns
    -------
    masks : ndarray of shape (n_groups, n_tasks) of bool
    """
    n_tasks = known.shape[1]
    if n_tasks <= LISTED:
        return all_groups(n_tasks)
    masks = selector.neighbours(known, names)
    quick, best = clone(selector).set_params(solver="search"), -np.inf
    while True:
        chosen = quick.fit(gains_of(masks), masks=masks, task_names=names)
        if chosen.objective_ <= best:
            return masks
        best = chosen.objective_
        near = selector.neighbours(chosen.membership_.T.astype(bool), names)
        masks = np.unique(np.vstack([masks, near]), axis=0)
