"""What the fetchers of images share: where the files are, and which samples are drawn."""

from __future__ import annotations

import gzip
import hashlib
import io
import warnings
import zlib
from collections.abc import Collection
from http.client import HTTPException
from numbers import Integral
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import check_random_state, check_scalar

from skgroup._compat import validate_parameter_constraints
from skgroup.exceptions import ChecksumError
from skgroup.store import path_of, replaced_file


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse what is not among the choices."""
    if not isinstance(value, str) or value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(
            f"The {name!r} parameter must be {', '.join(most)} or {last}. Got {value!r}."
        )


def check_flags(function: str, **flags: Any) -> None:
    """Refuse what is neither True nor False: "no" is no False."""
    validate_parameter_constraints({name: ["boolean"] for name in flags}, flags, function)


def check_n_samples(n_samples: Any) -> None:
    """Refuse what is no number of samples, however many there are."""
    if n_samples is None:
        return
    if isinstance(n_samples, bool):
        raise TypeError(f"n_samples must be an instance of int, not bool. Got {n_samples}.")
    check_scalar(n_samples, "n_samples", Integral, min_val=1)


def home_of(name: str, data_home: Any) -> Path:
    """The folder that a data set is downloaded to."""
    if data_home is not None:
        data_home = path_of(data_home, "The 'data_home' parameter")
    return Path(get_data_home(data_home)) / name


def path_given(path: Any) -> Path | None:
    """The 'path' parameter as a Path; None if it is None."""
    return None if path is None else path_of(path, "The 'path' parameter")


def check_sum(data: bytes, sha256: str, file: Any) -> None:
    """Compare what a gzipped file holds with what was published.

    Raises
    ------
    ChecksumError
        If it is something else, or breaks off.
    """
    try:
        with gzip.open(io.BytesIO(data)) as content:
            actual = f"SHA-256 {hashlib.file_digest(content, 'sha256').hexdigest()}"
    except (OSError, EOFError, zlib.error) as error:
        actual = f"none, as it is damaged or breaks off ({error})"
    if actual != f"SHA-256 {sha256}":
        raise ChecksumError(
            f"{file} is not what was published: its content must have the SHA-256 {sha256}. Got "
            f"{actual}."
        )


def download_gz(url: str, file: Path, sha256: str) -> None:
    """Download a gzipped file; it is there whole and as it was published, or not at all.

    Raises
    ------
    OSError
        If that cannot be done; a ChecksumError if what came is something else.
    """
    try:
        with urlopen(url, timeout=60) as source:
            data = source.read()
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    check_sum(data, sha256, url)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(file) as target:
        target.write(data)


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
