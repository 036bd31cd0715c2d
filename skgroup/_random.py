"""Seeds, without touching the caller's global random state."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

#: What random numbers are drawn from that is not global.
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
#: How deep, and how far into lists, objects are looked through for them.
_DEEP, _FEW = 8, 100


def draw_seeds(random_state: Any, size: int) -> list[int]:
    """Seeds from a `random_state` as scikit-learn takes it; fresh entropy if it is None."""
    if random_state is None:
        random_state = np.random.RandomState(np.random.SeedSequence().generate_state(4))
    return check_random_state(random_state).randint(2**31 - 1, size=size).tolist()


# The generators belong to the process: one thread at a time may have them.
_GENERATORS = threading.RLock()
# What the generators were before the first of the `open_seed` blocks that are under way.
_BEFORE: list[Any] = []
_N_OPEN = 0


def _after_fork() -> None:
    """A child has no thread that could give back what other threads held when it was forked."""
    global _GENERATORS, _N_OPEN
    _GENERATORS, _N_OPEN = threading.RLock(), 0
    _BEFORE.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and put them back after the block.

    Other threads that come here wait for the end of the block, so that it must not wait for
    threads: code that may start some is given `open_seed`.
    """
    with _GENERATORS:
        before = random_states()
        _seed(seed)
        try:
            yield
        finally:
            put_back_random(before)


@contextmanager
def open_seed(seed: int) -> Iterator[None]:
    """`local_seed` for blocks that may start threads and wait for them, as a search in joblib's
    threads does.

    Other threads may come in: they wait only while the generators are seeded and put back. So
    what draws from the global generators in several such blocks at a time draws at random.
    """
    global _N_OPEN
    with _GENERATORS:
        if not _N_OPEN:
            _BEFORE[:] = [random_states()]
        _N_OPEN += 1
        _seed(seed)
    try:
        yield
    finally:
        with _GENERATORS:
            _N_OPEN -= 1
            if not _N_OPEN:
                put_back_random(_BEFORE.pop())


def random_states() -> tuple[Any, ...]:
    """What the global generators of torch, NumPy and Python are at."""
    of_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return torch.get_rng_state(), of_cuda, np.random.get_state(), random.getstate()


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)  # Datasets and transforms of users may draw from it


def put_back_random(states: tuple[Any, ...]) -> None:
    """Bring the global generators back to where they were."""
    of_torch, of_cuda, of_numpy, of_python = states
    torch.set_rng_state(of_torch)
    if of_cuda is not None:
        torch.cuda.set_rng_state_all(of_cuda)
    np.random.set_state(of_numpy)
    random.setstate(of_python)


def generator_states(value: Any) -> dict[str, Any]:
    """What the generators that an object holds, at whatever depth, are at."""
    return {path: _state_of(generator) for path, generator in _generators(value)}


def put_back_generators(value: Any, states: dict[str, Any]) -> None:
    """Bring them back to where they were."""
    for path, generator in _generators(value):
        if path in states:
            _set_state(generator, states[path])


@contextmanager
def unchanged_generators(value: Any) -> Iterator[None]:
    """The same random numbers after the block as before it, global and of an object."""
    states = generator_states(value)
    try:
        with local_seed(0):
            yield
    finally:
        put_back_generators(value, states)


def _generators(
    value: Any, path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """All generators that objects hold, by where they stand."""
    seen = set() if seen is None else seen
    if id(value) in seen or path.count("/") > _DEEP:
        return
    seen.add(id(value))
    if isinstance(value, GENERATORS):
        yield path, value
        return
    parts: Any = ()
    if isinstance(value, list | tuple):
        parts = enumerate(value)
    elif isinstance(value, dict):
        parts = value.items()
    elif not isinstance(value, Tensor | type | ModuleType):
        parts = getattr(value, "__dict__", {}).items()
    for name, part in islice(parts, _FEW):
        yield from _generators(part, f"{path}/{name}", seen)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.get_state()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
