"""The best choice among listed groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from skgroup.selection.solver._lagrangian import choose_cover
from skgroup.selection.solver._pool import Choice, Pool, rounding
from skgroup.selection.solver._set_partition import choose_partition


def select(
    pool: Pool,
    *,
    prove: bool,
    deadline: float,
    rng: np.random.RandomState,
    start: Any = None,
    verbose: int = 0,
) -> Choice | None:
    """Choose groups that serve every task as well as possible.

    Parameters
    ----------
    pool : Pool
    prove : bool
        Whether the mixed integer program runs where bounds alone leave a gap. Always so without
        overlap, where it is easy.
    deadline : float
        On the clock of `time.monotonic`.
    rng : RandomState
        For the first choices, which are improved.
    start : array of int, default=None
        A choice to improve on.
    verbose : int

    Returns
    -------
    choice : Choice or None
        None where no choice serves every task within the limits.
    """
    if not np.isfinite(pool.scores).any(axis=1).all():
        return None
    if pool.overlap:
        choice = choose_cover(pool, prove, deadline, rng, start, verbose)
    else:
        choice = choose_partition(pool, deadline, start, verbose)
    if choice is not None and choice.bound - choice.value <= rounding(choice.value):
        choice.bound = choice.value
    return choice
