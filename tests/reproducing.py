"""Runs of the STG-MTL benchmark on images of nothing."""

import sys

import numpy as np

from benchmarks import reproduce_stg_mtl as stg

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905


def noise_images(file):
    rng = np.random.default_rng(0)
    arrays = {"class_names": CIFAR10}
    for part, n in (("train", 60), ("test", 40)):
        arrays[f"x_{part}"] = rng.integers(256, size=(n, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = rng.permutation(np.arange(n) % 10).astype(np.uint8)
    np.savez(file, **arrays)


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["reproduce_stg_mtl", *map(str, options)])
    stg.main()
