"""Images that are read from disk when they are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from skgroup.store import path_of

#: Images that `check_samples` reads, spread over all: the cost of a batch.
_N_READ = 16


class ImageFiles(Dataset):
    """Image files as a torch Dataset: an image is read when it is asked for, none is kept.

    `MultiTaskNet` and all that trains such nets take it as `X`. An item is `(image, labels)`, or
    the image alone if there are no labels. Give `fit` the labels too: `net.fit(dataset, Y)`. With
    `net.fit(dataset)` all images are read once more, only for their labels.

    Parameters
    ----------
    files : array-like of shape (n_samples,) of str or path-like
        Names of the files, in any format that Pillow reads. They need not be there yet.
    labels : array-like of shape (n_samples, n_tasks) or (n_samples,), default=None
    folder : path-like, default=""
        The folder that `files` are in. "~" is the home of the user, here and in `files`.
    image_size : int or tuple of 2 ints, default=None
        Height and width in pixels (one int: of a square). The largest part in the middle of the
        image that has their ratio is resized. The images stay as they are if None; then they must
        be of equal size for batches.
    transform : callable, default=None
        Turns the uint8 tensor (3, height, width) into another, e.g. a transform of torchvision.
        Prediction calls it too: for what only training should see, augmentation, make a Dataset
        of its own, or see `MultiTaskNet`.

    Attributes
    ----------
    files : ndarray of shape (n_samples,) of str
    labels : ndarray of shape (n_samples, n_tasks) or (n_samples,), or None

    Raises
    ------
    TypeError
        If `files` or `folder` are no paths.
    ValueError
        If `files` and `labels` differ in number, or `image_size` is not one or two positive ints.
    OSError
        When an image is asked for whose file is not there or cannot be read. Nets find out before
        they train: see `check_samples`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skgroup.datasets import ImageFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30), color="red").save(Path(folder) / "red.png")
    ...     image, labels = ImageFiles(["red.png"], [[0, 1]], folder=folder, image_size=8)[0]
    >>> image.shape, image.dtype
    (torch.Size([3, 8, 8]), torch.uint8)
    >>> image[:, 0, 0], labels
    (tensor([255,   0,   0], dtype=torch.uint8), array([0, 1]))
    """

    def __init__(
        self,
        files: Sequence[str] | ArrayLike,
        labels: ArrayLike | None = None,
        *,
        folder: Any = "",
        image_size: int | tuple[int, int] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if transform is not None and not callable(transform):
            raise ValueError(
                f"The 'transform' parameter must be a callable or None. Got {transform!r}."
            )
        self.files = _as_names(files)
        self.labels = None if labels is None else np.asarray(labels)
        if self.labels is not None and len(self.labels) != len(self.files):
            raise ValueError(
                f"files and labels must be of equal number. Got {len(self.files)} and "
                f"{len(self.labels)}."
            )
        here = isinstance(folder, str) and not folder
        self.folder = path_of("." if here else folder, "The 'folder' parameter of ImageFiles")
        self.image_size = _check_size(image_size)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        image = self.read(i)
        return image if self.labels is None else (image, self.labels[i])

    def check_samples(self, samples: ArrayLike | None = None) -> None:
        """Find out, before hours of training, whether images are missing or damaged.

        All files must be there, and some of them, the first and the last too, are read. Nets call
        this in `fit` and `predict` for the samples that they are given, as they do with
        `check_samples` of any other Dataset that has such a method.

        Parameters
        ----------
        samples : array-like of int, default=None
            Which; all if None.

        Raises
        ------
        FileNotFoundError
            If files are not there; names the first of them.
        OSError
            If one that is read cannot be read as an image.
        ValueError
            If those that are read differ in shape, which batches cannot be made of.
        """
        chosen = np.arange(len(self)) if samples is None else np.asarray(samples, dtype=np.intp)
        files_in: dict[str, set[str]] = {}  # one call a folder, not one a file
        missing = []
        for path in map(self._path, self.files[chosen].tolist()):
            folder, name = os.path.split(path)
            if folder not in files_in:
                there = os.path.isdir(folder or ".")
                files_in[folder] = set(os.listdir(folder or ".")) if there else set()
            if name not in files_in[folder] and not os.path.exists(path):
                missing.append(path)
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(chosen)} images are not there: {_first(missing)}."
            )
        shapes: dict[tuple[int, ...], str] = {}
        for i in chosen[np.unique(np.linspace(0, len(chosen) - 1, _N_READ).astype(np.intp))]:
            image = self.read(i)
            shapes.setdefault(tuple(image.shape), self._path(self.files[i]))
        if len(shapes) > 1:
            (one, first), (other, second), *_ = shapes.items()
            raise ValueError(
                f"The images must be of equal shape. {first} is {one}, {second} is {other}: the "
                "'image_size' parameter of ImageFiles makes them equal."
            )

    def _path(self, file: str) -> str:
        """The path of a file."""
        return os.path.join(self.folder, os.path.expanduser(file))

    def read(self, i: int) -> Tensor:
        """Image `i` as it is in the items."""
        from PIL import Image, ImageOps

        file = self._path(str(self.files[i]))
        try:
            with Image.open(file) as opened:
                if self.image_size is not None:
                    # JPEGs are decoded at a half, a quarter, ... where that is large enough: the
                    # image may come out shifted by a part of a pixel, in half of the time.
                    opened.draft(None, self.image_size[::-1])
                # Photographs may lie on their side and say so.
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except FileNotFoundError:
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # Pillow's errors do not always name the file.
            raise OSError(f"{file} could not be read ({error}).") from error
        if self.image_size is not None:
            height, width = self.image_size
            image = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels if self.transform is None else self.transform(pixels)


def _as_names(files: Any) -> NDArray[np.str_]:
    """Names of files as an array of fixed width: workers of a DataLoader share its memory, not
    that of a list."""
    rule = "The 'files' parameter of ImageFiles must be a sequence of file names"
    if isinstance(files, str | bytes | os.PathLike) or not hasattr(files, "__len__"):
        raise TypeError(f"{rule}. Got {files!r}.")
    names = [os.fspath(name) if isinstance(name, os.PathLike) else name for name in files]
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name or "\0" in name:
            raise TypeError(f"{rule}. Got {name!r} at position {i}.")
    return np.array(names, dtype=str)


def _first(files: Sequence[str]) -> str:
    """Some names, for a message."""
    return ", ".join(map(str, files[:3])) + (", ..." if len(files) > 3 else "")


def _check_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = np.atleast_1d(size)
    if sides.dtype.kind not in "iu" or sides.shape not in ((1,), (2,)) or sides.min() < 1:
        raise ValueError(
            "The 'image_size' parameter must be a positive int, two of them (height, width), or "
            f"None. Got {size!r}."
        )
    return int(sides[0]), int(sides[-1])
