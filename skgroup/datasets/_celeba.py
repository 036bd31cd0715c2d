"""CelebA as a table of forty tasks, with images that stay on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skgroup.datasets._class_tasks import as_table
from skgroup.datasets._image_files import ImageFiles
from skgroup.datasets._sources import (
    check_choice,
    check_flags,
    check_n_samples,
    draw_samples,
    home_of,
    path_given,
    random_states,
    torchvision_set,
)

_SUBSETS = ("train", "valid", "test", "all")
_ATTRIBUTES, _PARTITION, _IMAGES = (
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
    "img_align_celeba",
)
_N_TASKS = 40
_WAYS = (
    f"Give the folder that holds 'celeba' (or that folder itself) with {_ATTRIBUTES}, {_PARTITION} "
    f"and {_IMAGES}/ as 'path', or let fetch_celeba_tasks download CelebA through torchvision, "
    "which needs the package gdown for it, into 'data_home'."
)


def fetch_celeba_tasks(
    *,
    subset: str = "train",
    n_samples: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    transform: Callable[..., Any] | None = None,
    path: Any = None,
    data_home: Any = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
    random_state: Any = 0,
) -> Any:
    """CelebA [1]_ as the task set G4 of STG-MTL [2]_: 40 attributes of faces.

    The images are read from disk when a batch wants them; in memory are only their names and
    labels. Give nets both parts, `net.fit(data, target)`: the items of `data` hold the labels
    too, but `net.fit(data)` would read all images only for their labels.

    Parameters
    ----------
    subset : {"train", "valid", "test", "all"}, default="train"
        The published split: 162,770, 19,867 and 19,962 images of different persons.
    n_samples : int, default=None
        Take this many images, drawn at random; more images contain fewer. All images if None.
        They stay in the order of the files.
    image_size : int or tuple of 2 ints, default=None
        Height and width in pixels (one int: of a square). The largest part in the middle of the
        image that has their ratio is resized. Images are 218 × 178 if None.
    transform : callable, default=None
        Turns the uint8 tensor (3, height, width) into another: see :class:`ImageFiles`.
    path : path-like, default=None
        The folder for torchvision, which holds `celeba`, or that folder itself; of its files
        `list_attr_celeba.txt`, `list_eval_partition.txt` and the images in `img_align_celeba` are
        used. Nothing is downloaded then, and torchvision is not needed.
    data_home : path-like, default=None
        Where downloads are kept; that of scikit-learn if None.
    download_if_missing : bool, default=True
        Whether to download, through torchvision, what `data_home` lacks. The package gdown is
        needed for it.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.
    as_frame : bool, default=True
        `target` as a pandas DataFrame with the names of the tasks; otherwise an array.
    random_state : int, RandomState or None, default=0
        Determines which images are drawn.

    Returns
    -------
    tasks : Bunch, or tuple (data, target)
        `data`, :class:`ImageFiles`, a torch Dataset of `(image, labels)`, uint8 tensors of shape
        (3, height, width) and int arrays of shape (40,); `target`, DataFrame or ndarray of shape
        (n_samples, 40) of 0 and 1; `task_names`, those of CelebA, such as "Wavy_Hair".

    Raises
    ------
    ValueError
        If a parameter is not one of its choices, or a file is not that of CelebA.
    OSError
        If files are not there, images included, and cannot be downloaded or must not be.
    ImportError
        If torchvision is needed for the download and cannot be imported.

    References
    ----------
    .. [1] Z. Liu, P. Luo, X. Wang, X. Tang, "Deep learning face attributes in the wild", ICCV
       2015.
    .. [2] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.datasets import fetch_celeba_tasks
    >>> from skgroup.nn import SmallCNN
    >>> net = MultiTaskNet(SmallCNN, iterator_train__num_workers=2)
    >>> X, Y = fetch_celeba_tasks(image_size=64, return_X_y=True)  # doctest: +SKIP
    >>> net.fit(X, Y).task_names_in_[:2]  # doctest: +SKIP
    array(['5_o_Clock_Shadow', 'Arched_Eyebrows'], dtype=object)
    """
    check_flags(
        "fetch_celeba_tasks",
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
    check_n_samples(n_samples)
    check_choice("subset", subset, _SUBSETS)
    folder = _find(path, data_home, download_if_missing)
    names, files, labels, part = _read_lists(folder)
    inside = np.arange(len(files)) if subset == "all" else np.flatnonzero(part == subset)
    if len(inside) == 0:
        raise ValueError(f"{folder / _PARTITION} lists no image of the subset {subset!r}.")
    which, _ = random_states(random_state, _SUBSETS.index(subset), len(_SUBSETS))
    chosen = inside[draw_samples(n_samples, len(inside), which)]
    files, labels = files[chosen], labels[chosen]
    _check_images(folder / _IMAGES, files)
    data = ImageFiles(
        files, labels, folder=folder / _IMAGES, image_size=image_size, transform=transform
    )
    target = as_table(labels.copy(), names, as_frame)  # to be changed without the other
    return (data, target) if return_X_y else Bunch(data=data, target=target, task_names=names)


def _find(path: Any, data_home: Any, download_if_missing: bool) -> Path:
    """The folder `celeba`, absolute: the images are wanted after the working folder changed."""
    given = path_given(path)
    if given is not None:
        root = given.resolve()
        complete = [folder for folder in (root, root / "celeba") if _is_complete(folder)]
        if not complete:
            raise FileNotFoundError(f"There is no CelebA at {path}. {_WAYS}")
        return complete[0]
    root = home_of("celeba", data_home).resolve()
    folder = root / "celeba"
    if not _is_complete(folder):
        missing = f"CelebA is not in {root}, and download_if_missing=False."
        if not download_if_missing:
            raise FileNotFoundError(f"{missing} {_WAYS}")
        if folder.exists():
            raise FileExistsError(
                f"{folder} is incomplete. Move it away, so that CelebA can be downloaded. {_WAYS}"
            )
        # What breaks off while it is unpacked must not look complete, to torchvision neither;
        # archives that were downloaded before are used again.
        part = root / "part"
        shutil.rmtree(part / "celeba" / _IMAGES, ignore_errors=True)
        torchvision_set("CelebA", part, download=True, ways=_WAYS, missing=missing)
        os.replace(part / "celeba", folder)
    return folder


def _is_complete(folder: Path) -> bool:
    """Whether the lists and the folder of images are there."""
    return (
        all((folder / name).is_file() for name in (_ATTRIBUTES, _PARTITION))
        and (folder / _IMAGES).is_dir()
    )


def _read_lists(folder: Path) -> tuple[list[str], NDArray, NDArray[np.int64], NDArray]:
    """Names of the attributes; names, labels (0 and 1) and parts of all images."""
    file = folder / _ATTRIBUTES
    with file.open() as lines:
        next(lines, "")
        names = next(lines, "").split()
    if len(names) != _N_TASKS:
        raise ValueError(
            f"{file} is no file of CelebA, which has {_N_TASKS} attributes. Got {len(names)}."
        )
    rows = _read_list(file, [("file", "O"), ("labels", np.int64, _N_TASKS)], skiprows=2)
    parts = _read_list(folder / _PARTITION, [("file", "O"), ("part", np.int64)])
    if not np.isin(rows["labels"], [-1, 1]).all():
        raise ValueError(f"{file} must hold -1 and 1. Got {np.unique(rows['labels']).tolist()}.")
    if not np.array_equal(rows["file"], parts["file"]):
        raise ValueError(f"{_ATTRIBUTES} and {_PARTITION} in {folder} must list the same images.")
    if not np.isin(parts["part"], [0, 1, 2]).all():
        raise ValueError(
            f"{folder / _PARTITION} must hold 0, 1 and 2. Got {np.unique(parts['part']).tolist()}."
        )
    return names, rows["file"], (rows["labels"] + 1) // 2, np.array(_SUBSETS)[parts["part"]]


def _read_list(file: Path, row: list[tuple[Any, ...]], skiprows: int = 0) -> NDArray:
    try:
        return np.loadtxt(file, dtype=row, skiprows=skiprows, ndmin=1)
    except ValueError as error:
        raise ValueError(f"{file} is no file of CelebA ({error}).") from error


def _check_images(folder: Path, files: NDArray) -> None:
    """A file that is missing must not end a training of hours."""
    there = set(os.listdir(folder))  # one call, not one for each of 200,000 files
    missing = [file for file in files.tolist() if file not in there]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} images are not in {folder}, {missing[0]} among them. "
            "Were all images unpacked?"
        )
