"""What the fetchers of images share: where the files are, and which samples are drawn."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import check_random_state, check_scalar

__all__ = ["check_choice", "draw_samples", "home_of", "random_states", "torchvision_set"]


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse what is not among the choices."""
    if not isinstance(value, str) or value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(
            f"The {name!r} parameter must be {', '.join(most)} or {last}. Got {value!r}."
        )


def home_of(name: str, data_home: Any) -> Path:
    """The folder that a data set is downloaded to."""
    return Path(get_data_home(data_home)) / name


def torchvision_set(
    name: str, root: Path, *, download: bool, ways: str, missing: str, **options: Any
) -> Any:
    """A data set of torchvision, or an error that says which ways there are.

    Parameters
    ----------
    name : str
        Of the class in torchvision.datasets.
    root : Path
        The folder for torchvision.
    download : bool
        Whether to download what `root` lacks.
    ways : str
        How the user may give the data; ends the messages.
    missing : str
        What to say if `root` does not hold the set as a whole, and nothing is downloaded.
    **options
        Further arguments of the class.
    """
    try:
        from torchvision import datasets
    except Exception as error:  # one that does not fit to torch raises all kinds of errors
        raise ImportError(f"torchvision could not be imported ({error}). {ways}") from error
    try:
        with warnings.catch_warnings():
            # NumPy 2.4.0 to 2.4.4 warn of how Python 2, which CIFAR was pickled by, wrote dtypes.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            return getattr(datasets, name)(root, download=download, **options)
    except (OSError, RuntimeError, ImportError) as error:
        if not download:
            raise FileNotFoundError(f"{missing} {ways}") from error
        raise OSError(f"{name} could not be downloaded to {root} ({error}). {ways}") from error


def random_states(
    random_state: Any, part: int, n_parts: int
) -> tuple[np.random.RandomState, np.random.RandomState]:
    """Generators of one of the parts of a data set: which samples, and their controls.

    They are two so that the controls do not depend on how many samples are drawn.
    """
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=(n_parts, 2))
    which, controls = (np.random.RandomState(seed) for seed in seeds[part])
    return which, controls


def draw_samples(
    n_samples: Any, n_available: int, rng: np.random.RandomState, labels: NDArray | None = None
) -> NDArray[np.intp]:
    """Indices of samples, ascending; more samples contain fewer.

    With labels the classes keep their shares, up to one sample each.
    """
    if n_samples is None:
        return np.arange(n_available)
    check_scalar(n_samples, "n_samples", Integral, min_val=1, max_val=n_available)
    order = rng.permutation(n_available)
    if labels is not None:
        # The i-th of the n samples of a class comes at (i + 1/2) / n of the way.
        place = np.empty(n_available)
        for label in np.unique(labels):
            members = np.flatnonzero(labels[order] == label)
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(place, kind="stable")]
    return np.sort(order[:n_samples])
