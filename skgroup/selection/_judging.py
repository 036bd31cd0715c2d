"""Whether groupings are stable groups: their figures, and the sentence about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from scipy.stats import rankdata
from tqdm.auto import tqdm

from skgroup.cluster.stability import (
    agreement,
    agreement_by_chance,
    differences_explained,
    tables_without_groups,
)
from skgroup.selection._regroup import cluster_rows
from skgroup.training.processes import in_parallel

#: The adjusted Rand index that repetitions must reach, "good recovery" in Steinley (2004).
_AGREEMENT = 0.8
#: How often tasks without structure may be called stable groups, with any number of groups.
_LEVEL = 0.05
_N_CHANCE = 200
#: Repetitions of a table without structure that are clustered.
_N_LABELLED = 2


@dataclass(frozen=True)
class Judgement:
    """What groupings say.

    Attributes
    ----------
    rows : dict of int to dict
        The figures of each number of groups, see `GroupStability`.
    n_groups : int
        The number that the verdict is about.
    verdict : str
    """

    rows: dict[int, dict[str, Any]]
    n_groups: int
    verdict: str

    @property
    def stable(self) -> bool:
        return bool(self.rows[self.n_groups]["stable"])


def judge_groups(
    labels: Mapping[int, NDArray[np.intp]],
    places: NDArray[np.float64] | None,
    clusterer: Any,
    asked: int | None,
    *,
    n_references: int,
    seed: int,
    n_jobs: int | None,
    verbose: int,
) -> Judgement:
    """Judge groupings (n_repetitions, n_tasks), by number of groups, `asked` the one that is asked
    for; beside tables without structure, where it is known at which places
    (n_repetitions, n_tasks, n_tasks - 1) a clusterer found them."""
    numbers = sorted(labels)
    rng = np.random.default_rng(seed)
    rows: dict[int, dict[str, Any]] = {}
    for k in numbers:
        by_chance = agreement_by_chance(labels[k], _N_CHANCE, rng)
        rows[k] = {
            "adjusted_rand": agreement(labels[k]),
            "chance": float(by_chance.mean()),
            "chance_high": float(np.quantile(by_chance, 0.95)),
        }
    reference = None
    if places is not None and clusterer is not None:
        reference = _without_structure(
            places, clusterer, numbers, rng, n_references, n_jobs=n_jobs, verbose=verbose
        )
        seen = np.array([differences_explained(places, labels[k]) for k in numbers])
        of_numbers = p_values(seen, reference[..., 1])
    for j, k in enumerate(numbers):
        row = rows[k]
        for i, name in enumerate(("", "explained_")):
            if name:
                row["explained"] = np.nan if reference is None else float(seen[j])
            drawn = np.full(1, np.nan) if reference is None else reference[:, j, i]
            row[f"{name}without_structure"] = float(drawn.mean())
            row[f"{name}without_structure_high"] = float(np.quantile(drawn, 0.95))
        row["p_value"] = np.nan if reference is None else float(of_numbers[j])
        row["stable"] = _come_back(row) and not row["p_value"] > _LEVEL
    n_groups = _most_stable(rows, asked)
    return Judgement(rows, n_groups, _verdict(rows, n_groups, asked))


def p_values(seen: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each number of groups, adjusted for there being several, from what was seen (n_numbers,)
    and from draws (n_draws, n_numbers) without structure: the smallest p of all numbers, ranked
    among all tables, the one that was seen included."""
    tables = np.round(np.vstack([seen, drawn]), 9)
    unusual = rankdata(-tables, method="max", axis=0)
    as_unusual: NDArray[np.bool_] = unusual.min(axis=1)[:, None] <= unusual[0]
    return as_unusual.mean(axis=0)


def _without_structure(
    places: NDArray[np.float64],
    clusterer: Any,
    numbers: list[int],
    rng: np.random.Generator,
    n_references: int,
    *,
    n_jobs: int | None,
    verbose: int,
) -> NDArray[np.float64]:
    """Agreement, and the share that is explained, in tables without structure,
    (n_references, n_numbers, 2)."""
    seeds = rng.integers(2**31 - 1, size=n_references).tolist()
    tables = tables_without_groups(places, n_references, rng)
    calls = (
        delayed(_judge_table)(table, clusterer, numbers, seed)
        for table, seed in zip(tables, seeds, strict=True)
    )
    judged = []
    with tqdm(total=n_references, desc="tables without structure", disable=not verbose) as bar:
        for one in in_parallel(calls, n_jobs):
            judged.append(one)
            bar.update()
    return np.array(judged)


def _judge_table(
    places: NDArray[np.float64], clusterer: Any, numbers: Iterable[int], seed: int
) -> list[tuple[float, float]]:
    """Agreement, and the share that is explained, for each number of groups."""
    judged = []
    for k in numbers:
        labels = cluster_rows(clusterer, k, list(places[:_N_LABELLED]), seed)
        judged.append((agreement(labels), differences_explained(places, labels)))
    return judged


def _come_back(row: dict[str, Any]) -> bool:
    return bool(row["adjusted_rand"] >= max(_AGREEMENT, row["chance_high"] + 1e-9))


def _most_stable(rows: dict[int, dict[str, Any]], asked: int | None) -> int:
    if asked is not None and (rows[asked]["stable"] or not any(r["stable"] for r in rows.values())):
        return asked

    def merit(k: int) -> tuple[Any, ...]:
        row = rows[k]
        agrees = row["adjusted_rand"] > row["chance_high"] + 1e-9
        return row["stable"], agrees, row["adjusted_rand"], -k

    return max(rows, key=merit)


def _verdict(rows: dict[int, dict[str, Any]], k: int, asked: int | None) -> str:
    row = rows[k]
    rand, high, p = row["adjusted_rand"], row["chance_high"], row["p_value"]
    agree = f"adjusted Rand index {rand:.2f} between repetitions, by chance at most {high:.2f}"
    if not row["stable"]:
        tried = _listed(list(rows))
        if rand < _AGREEMENT:
            best = "" if len(rows) == 1 else f" with {k}"
            back = [j for j, r in rows.items() if _come_back(r) and r["p_value"] > _LEVEL]
            unlike = (
                f"; those with {_listed(back)} come back, but tasks without structure would be "
                f"parted as well (p = {min(rows[j]['p_value'] for j in back):.2f})"
                if back
                else ""
            )
            return (
                f"No stable groups with {tried}: repetitions do not agree{best} ({agree}){unlike}."
            )
        if rand <= high + 1e-9:
            return (
                f"No stable groups with {tried}: those with {k} come back, but so they would with "
                f"the tasks dealt out at random ({agree})."
            )
        return (
            f"No stable groups with {tried}: those with {k} come back ({agree}), but tasks without "
            f"structure would be parted as well (p = {p:.2f})."
        )
    if np.isnan(p):
        why = f"{agree}; whether tasks without structure would be parted as well is not known"
    else:
        why = f"{agree}, and tasks without structure are hardly parted as well, p = {p:.2f}"
    others = [number for number, of_number in rows.items() if of_number["stable"] and number != k]
    more = f"; so are those with {_listed(others)}" if others else ""
    if asked in (None, k):
        return f"These {k} groups are stable ({why}){more}."
    return f"No stable groups with {asked}; {k} are ({why}){more}."


def _listed(numbers: list[int]) -> str:
    """ "2 to 5", "2 and 4" or "3"."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
