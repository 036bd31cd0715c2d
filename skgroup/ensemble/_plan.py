"""What a portfolio trains: each member on parts of the samples, and on all of them."""

from __future__ import annotations

import math
import pickle
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from tqdm.auto import tqdm

from skgroup._fit_parts import FitPart, call_named
from skgroup.ensemble._encoded_tasks import EncodedTasks
from skgroup.ensemble._members import Member
from skgroup.metrics.splits import Split
from skgroup.store import RunningFit
from skgroup.tasks import TargetScaling, TaskTable, task_label
from skgroup.training.data import take_samples
from skgroup.training.engine import check_callbacks_travel, nets_in
from skgroup.training.processes import in_parallel

#: Parts of the samples, and how many at least, that a forecast trains on.
_FORECAST_FROM = (16, 8)
_FEWEST = 50


@dataclass(frozen=True)
class Plan:
    """What `fit` has made of its parameters and data before anything trains."""

    owner: str
    X: Any
    table: TaskTable
    tasks: EncodedTasks
    scaling: TargetScaling
    members: list[Member]
    splits: list[Split]
    refit: bool
    sample_weight: NDArray[np.float64] | None
    scorer: Any

    @property
    def held_out(self) -> NDArray[np.intp]:
        """Samples in the order in which the splits hold them out."""
        return np.concatenate([test for _, test in self.splits])

    @property
    def jobs(self) -> list[tuple[Member, Split | None]]:
        """What is fitted: each member on the training part of each split, and on all samples
        (None); on these alone where it predicts out of the bag."""
        every = [*self.splits, None] if self.refit else self.splits
        return [(m, s) for s in every for m in self.members if s is None or not m.out_of_bag]

    def cross_fit(
        self, n_jobs: int | None, verbose: int, running: RunningFit, part: FitPart
    ) -> tuple[list[Member], list[Any], list[NDArray[np.float32]]]:
        """The members that serve, without those that failed; what each has fitted, and its outputs
        (n_held_out, n_outputs) for the held-out samples of one split after the other. To callbacks
        of scikit-learn's, the fits are parts of `part`."""
        for member in self.members:
            check_callbacks_travel(nets_in(member.alone), n_jobs)
        jobs = self.jobs
        sent: list[str] = []
        parts: list[FitPart] = []
        of_members = part.part("members", len(jobs), ordered=False)
        failed: dict[str, Exception] = {}

        def calls() -> Iterator[Any]:
            for j, (member, split) in enumerate(jobs):
                if member.name not in failed:
                    sent.append(member.name)
                    name = f"member {member.name}"
                    if split is not None:
                        name += f", fold {self._number_of(split)}"
                    parts.append(of_members.part(name, number=len(parts)))
                    if parts[-1].is_heard:
                        # That the member tells of its fit itself, this process must know.
                        with parts[-1].handed_to(clone(member.estimator)):
                            parts[-1].begin()
                    of_fit = (running, f"fit{j}", parts[-1].context)
                    yield delayed(call_named)(name, _try_fit, member, self.X, split, *of_fit)

        fits: dict[str, list[Any]] = {member.name: [] for member in self.members}
        outputs: dict[str, list[NDArray]] = {member.name: [] for member in self.members}
        with (
            of_members.running(),
            tqdm(total=len(jobs), desc="members", unit="fit", disable=not verbose) as bar,
        ):
            for i, (fitted, of_part) in enumerate(in_parallel(calls(), n_jobs)):
                parts[i].end()
                bar.update()
                if isinstance(fitted, Exception):
                    failed.setdefault(sent[i], fitted)
                    continue
                fits[sent[i]].append(fitted)
                outputs[sent[i]] += [] if of_part is None else [of_part]
        left = [member for member in self.members if member.name not in failed]
        unserved = unlearned(left, self.table)
        for member in self.members:
            if member.name in failed and (member.learns & unserved).any():
                raise failed[member.name]
        if failed:
            warnings.warn(
                f"These members of {self.owner} failed, and the others serve without "
                f"them: {'; '.join(f'{n!r}: {type(e).__name__}: {e}' for n, e in failed.items())}",
                FitFailedWarning,
                stacklevel=6,
            )
        held_out = [
            outputs[m.name][0][self.held_out] if m.out_of_bag else np.concatenate(outputs[m.name])
            for m in left
        ]
        serving = [fits[m.name][-1] if self.refit else fits[m.name] for m in left]
        return left, serving, held_out

    def _number_of(self, split: Split) -> int:
        return next(k for k, one in enumerate(self.splits) if one is split)

    def forecast(self) -> dict[str, float]:
        """Seconds of the fits of each member, by its name."""
        n_samples = len(self.table.codes)
        order = np.random.default_rng(0).permutation(n_samples)
        sizes = [max(n_samples // k, min(n_samples, _FEWEST)) for k in _FORECAST_FROM]
        forecast = {}
        for member in self.members:
            small, large = (_seconds(member, self.X, order[:n]) for n in sizes)
            steps = np.log(sizes[1] / sizes[0])
            power = np.clip(np.log(large / small) / steps, 0, 2) if steps else 1.0
            of_parts = [
                n_samples if split is None else len(split[0])
                for job, split in self.jobs
                if job is member
            ]
            forecast[member.name] = float(sum(large * (n / sizes[1]) ** power for n in of_parts))
        return forecast


def unlearned(members: list[Member], table: TaskTable) -> NDArray[np.bool_]:
    """Which tasks that there is something to learn of none of the members learns, (n_tasks,)."""
    learned = np.zeros(table.n_tasks, dtype=bool)
    for member in members:
        learned |= member.learns
    return table.learnable & ~learned


def check_all_learned(members: list[Member], table: TaskTable, owner: str) -> None:
    """Refuse tasks that no member learns."""
    tasks = np.flatnonzero(unlearned(members, table))
    if len(tasks):
        t = tasks[0]
        sort = "classifier" if table.has_classes[t] else "regressor"
        raise ValueError(
            f"The 'members' parameter of {owner} must have a member that learns each task. "
            f"{task_label(table.names, t)} of Y is a {table.task_types[t]} task, and none learns "
            f"it: give a {sort}, or a net. Got {', '.join(repr(m.name) for m in members)}."
        )


def _seconds(member: Member, X: Any, samples: NDArray[np.intp]) -> float:
    """How long a member trains on some samples."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            member.fit(X, samples)
    except Exception:  # so few samples may lack a class
        return math.nan
    return time.perf_counter() - start


def _try_fit(
    member: Member, X: Any, split: Split | None, running: RunningFit, name: str, context: Any
) -> tuple[Any, NDArray[np.float32] | None]:
    """A fitted member and its outputs for held-out samples, if there are any, or the error, which
    is not kept."""
    training, part = running.child(name), FitPart(None, context)

    def fit() -> tuple[Any, NDArray[np.float32] | None]:
        if split is None:
            if member.out_of_bag:
                return member.fit_out_of_bag(X, training)
            return member.fit(X, checkpoint=training, part=part), None
        fitted = member.fit(X, split[0], checkpoint=training, part=part)
        return fitted, member.outputs.read(fitted, take_samples(X, split[1]), member.label)

    try:
        return running.stage(name, fit)
    except Exception as error:  # whatever a member may raise
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # one that cannot come back from a process
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return error, None
