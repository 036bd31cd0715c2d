"""Who helps whom, and who hurts whom: the best and the worst partner of each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.inspection._pairs import Pairs, pairs_of


def partners(
    estimator: Any,
    X: Any = None,
    Y: Any = None,
    *,
    kind: Any = "auto",
    pairs: bool = False,
    sample_weight: Any = None,
    task_names: Sequence[str] | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> Any:
    """Find out which tasks help and which hurt each task, beside the groups.

    Parameters
    ----------
    estimator : fitted estimator
        What holds effects of pairs of tasks: an affinity (`skgroup.relations`), a grouping or a
        grouped classifier whose grouper has one, `GroupGains` with pairs, a predictor of gains. Or
        any other fitted grouped classifier (or `MultiTaskNet`, or regressor), whose net then
        measures them on `X` and `Y`. Pipelines and searches that end in one are looked into; of a
        pipeline, the steps before transform `X`.
    X : array-like of shape (n_samples, ...), default=None
        Samples to measure on, as in `fit`. Not looked at where the effects are there already.
    Y : array-like of shape (n_samples, n_tasks), default=None
        Their tasks, columns of a DataFrame matched by name.
    kind : {"auto", "affinity", "gains"} or estimator, default="auto"
        "auto" takes what the estimator holds, and measures an affinity if it holds nothing.
        Measured anew on `X` and `Y`: "affinity" trains one net (`InterTaskAffinity`), "gains" a net
        a task and a net a pair, scored on held-out samples (`GroupGains`); or give an unfitted
        estimator of these kinds, whose `estimator` and `random_state` are filled in where they are
        None.
    pairs : bool, default=False
        Whether to return a row an ordered pair instead of a row a task.
    sample_weight : array-like of shape (n_samples,), default=None
        Of what is measured.
    task_names : sequence of str, default=None
        If None, `task_names_in_` of the estimator where it has them, else columns of `Y`; tasks
        without names are positions.
    random_state : int, RandomState or None, default=None
        Determines the nets that are trained. If None, that of the estimator does.
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    frame : pandas DataFrame
        A row a task: `group`, the strongest of its groups (by name where they have names), and its
        share `membership` (where there are groups; missing for a task in none); `best_partner`,
        `best_effect`, `best_in_group`, the task whose training helps it most, what that does to
        it, and whether it is in the same group; `worst_partner`, `worst_effect`, `worst_in_group`
        likewise. Missing for a task of a single class, or of which no pair is known. With
        `pairs=True`, a row for each pair that is known: `task`, `partner`, `effect` of training on
        the partner upon the task, and `same_group`; the best partners of each task first.

        `frame.attrs` says what the effects are: "effect" (name), "meaning", "unit", "direction",
        and "nets_trained", how many nets this call has trained.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        Before any training, if a parameter is not as described, `X` or `Y` is needed and missing
        or not of the samples and tasks of `fit`, or fewer than two tasks can be learned.
    ImportError
        If pandas is missing.

    Notes
    -----
    The best of many noisy numbers looks better than it is, and the worst worse: measure again with
    another `random_state`, or pass `kind=GroupGains(masks="pairs", cv=5)`, before acting on one.
    A correlation of labels says nothing of what training does.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
    >>> from skgroup.inspection import partners
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> net = MultiTaskNet(max_epochs=20, lr=0.01)
    >>> clf = GroupedMTLClassifier(net, n_groups=2, random_state=0).fit(X, Y)
    >>> frame = partners(clf, X, Y)
    >>> frame["best_partner"].tolist()[:2]
    [1, 0]
    >>> frame.attrs["effect"], frame.attrs["nets_trained"]
    ('inter-task affinity', 1)
    """
    pandas("partners")
    found = pairs_of(
        estimator,
        X,
        Y,
        kind=kind,
        sample_weight=sample_weight,
        task_names=task_names,
        random_state=random_state,
        verbose=verbose,
        owner="partners",
    )
    return frame_of_pairs(found) if pairs else frame_of_partners(found)


def pandas(owner: str) -> Any:
    """pandas, or an error that says who needs it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(f"{owner} gives a pandas DataFrame: install pandas.") from error
    return pd


def frame_of_partners(pairs: Pairs) -> Any:
    """A row a task."""
    pd = pandas("partners")
    values, groups, n_tasks = pairs.beside(), pairs.groups, len(pairs.values)
    names = _names(pairs)
    known = np.isfinite(values).sum(axis=0) > 0
    columns: dict[str, Any] = {}
    if groups is not None and pairs.membership is not None:
        share = pairs.membership.max(axis=1) / np.maximum(pairs.membership.sum(axis=1), 1e-300)
        grouped = groups >= 0
        of_groups: Any = pairs.group_names
        labels = [None if g < 0 else g if of_groups is None else of_groups[g] for g in groups]
        columns["group"] = pd.array(labels, dtype="Int64" if of_groups is None else object)
        columns["membership"] = np.where(grouped, share, np.nan)
    for which, sign in (("best", 1), ("worst", -1)):
        ranked = np.where(np.isnan(values), -np.inf, sign * values)
        partner: NDArray[np.intp] = np.argmax(ranked, axis=0)
        named = [names[i] if of_task else None for i, of_task in zip(partner, known, strict=True)]
        columns[f"{which}_partner"] = pd.array(named, dtype=_dtype(pairs))
        columns[f"{which}_effect"] = values[partner, np.arange(n_tasks)]
        if groups is not None:
            same = pd.array((groups == groups[partner]) & (groups >= 0), dtype="boolean")
            same[~known] = pd.NA
            columns[f"{which}_in_group"] = same
    frame = pd.DataFrame(columns, index=pd.Index(names, name="task"))
    return _described(frame, pairs)


def frame_of_pairs(pairs: Pairs) -> Any:
    """A row an ordered pair."""
    pd = pandas("partners")
    values, groups = pairs.beside(), pairs.groups
    order = np.argsort(-values, axis=0, kind="stable").T  # best partners first, NaN last
    task = np.repeat(np.arange(len(values)), len(values))
    partner = order.ravel()
    known = ~np.isnan(values[partner, task])
    task, partner = task[known], partner[known]
    names = pd.array(_names(pairs), dtype=_dtype(pairs))
    columns = {"task": names[task], "partner": names[partner], "effect": values[partner, task]}
    if groups is not None:
        columns["same_group"] = (groups[task] == groups[partner]) & (groups[task] >= 0)
    return _described(pd.DataFrame(columns), pairs)


def _names(pairs: Pairs) -> list[Any]:
    if pairs.task_names is None:
        return list(range(len(pairs.values)))
    return [str(name) for name in pairs.task_names]


def _dtype(pairs: Pairs) -> Any:
    return "Int64" if pairs.task_names is None else object


def _described(frame: Any, pairs: Pairs) -> Any:
    frame.attrs.update(
        effect=pairs.effect.name,
        meaning=pairs.effect.meaning,
        unit=pairs.effect.unit,
        direction=pairs.effect.direction,
        nets_trained=pairs.n_trained,
    )
    return frame
