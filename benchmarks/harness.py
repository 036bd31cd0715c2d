"""Cases, fair timing, peak memory, and the table.

A case is a function that yields rows::

    @case("wide rows", target="≥ 10x faster, memory ≤ 1.15x data")
    def wide_rows(size, repeats):       # size is "quick" or "full"
        times = compare(ours, rival, repeats)
        yield times.row("100 x 400,000", rival="sklearn KMeans", at_least=10)
"""

import importlib
import multiprocessing
import pkgutil
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from typing import Any

import torch

MIB = 2**20


@dataclass
class Row:
    """A line of the table; `met` is None where nothing is promised."""

    case: str
    rival: str = ""
    ours: str = ""
    ratio: str = ""
    memory: str = ""
    target: str = ""
    met: bool | None = None


@dataclass
class Case:
    name: str
    target: str
    run: Callable[[str, int], Iterator[Row]]


CASES: list[Case] = []


def case(name: str, target: str) -> Callable[[Callable], Callable]:
    """Register a generator of rows, called as ``run(size, repeats)``."""

    def register(run: Callable) -> Callable:
        CASES.append(Case(name, target, run))
        return run

    return register


def discover() -> list[Case]:
    """All cases of all files in benchmarks/cases, in the order of the files' names."""
    from benchmarks import cases

    for module in sorted(pkgutil.iter_modules(cases.__path__), key=lambda m: m.name):
        importlib.import_module(f"benchmarks.cases.{module.name}")
    return CASES


@dataclass
class Comparison:
    """Seconds of paired runs, in the order in which they ran."""

    rival: list[float]
    ours: list[float]

    @property
    def ratios(self) -> list[float]:
        return [r / o for r, o in zip(self.rival, self.ours, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def row(
        self, name: str, *, rival: str = "", ours: str = "", at_least: float = 0.0, **others: Any
    ) -> Row:
        """A row of median seconds and of the ratio rival / ours, which should be `at_least`."""
        others.setdefault("met", self.ratio >= at_least if at_least else None)
        return Row(
            name,
            rival=f"{statistics.median(self.rival):.3g} s {rival}".strip(),
            ours=f"{statistics.median(self.ours):.3g} s {ours}".strip(),
            ratio=f"{self.ratio:.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})",
            **others,
        )


def compare(ours: Callable[[], Any], rival: Callable[[], Any], repeats: int = 5) -> Comparison:
    """Time two callables in turn, first the one, then the other, so that a busy machine is so
    for both. Warm up before where the first call does more than the next."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        pair = [(rival, seconds[0]), (ours, seconds[1])]
        for function, record in pair if repeat % 2 else pair[::-1]:
            start = time.perf_counter()
            function()
            record.append(time.perf_counter() - start)
    return Comparison(*seconds)


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(build: Callable[..., Callable[[], Any]], *args: Any) -> int:
    """Bytes by which ``build(*args)()`` raises the peak memory of a fresh process.

    `build`, a function of a module, prepares the inputs and is not counted.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak_above_inputs, build, args).result()


def _peak_above_inputs(build: Callable[..., Callable[[], Any]], args: tuple) -> int:
    function = build(*args)
    before = _peak(reset=True)
    result = function()  # held, as the caller would
    after = _peak()
    del result
    return after - before


def _peak(reset: bool = False) -> int:
    """Most resident bytes so far; on Linux since the last reset."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        # ru_maxrss would start with the memory of the process that started this one.
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def table_head() -> str:
    names = [field.name for field in fields(Row)]
    names[3] = "rival / ours (spread)"
    names[4] = "peak memory"
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def table_line(row: Row) -> str:
    *cells, met = astuple(row)
    return f"| {' | '.join(cells)} | {'' if met is None else 'yes' if met else 'NO'} |"
