"""``python -m benchmarks``: run the cases and print their table in Markdown."""

import argparse
import os
import platform
import time
import warnings

import torch

from benchmarks.harness import discover, table_head, table_line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[""], help="run those whose name contains")
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--repeats", type=int, default=5, help="alternating runs, at least 5")
    parser.add_argument("--list", action="store_true", help="print the cases and their targets")
    options = parser.parse_args()

    chosen = [c for c in discover() if any(part in c.name for part in options.cases)]
    if options.list:
        for case in chosen:
            print(f"{case.name}: {case.target}")
        return

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch threads, CUDA: {device}; size {options.size}, "
        f"medians of {options.repeats} alternating runs\n"
    )
    print(table_head(), flush=True)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    for case in chosen:
        for row in case.run(options.size, options.repeats):
            row.case = f"{case.name}: {row.case}"
            row.target = row.target or (case.target if row.met is not None else "")
            print(table_line(row), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
