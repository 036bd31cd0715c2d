"""Images that are read from disk when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["ImageFiles"]


class ImageFiles(Dataset):
    """Image files as a torch Dataset: an image is read when it is asked for, none is kept.

    `MultiTaskNet` and all that trains such nets take it as `X`. An item is `(image, labels)`, or
    the image alone if there are no labels. Give `fit` the labels too: `net.fit(dataset, Y)`. With
    `net.fit(dataset)` all images are read once more, only for their labels.

    Parameters
    ----------
    files : array-like of shape (n_samples,) of str
        Names of the files, in any format that Pillow reads.
    labels : array-like of shape (n_samples, n_tasks) or (n_samples,), default=None
    folder : path-like, default=""
        The folder that `files` are in.
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
    ValueError
        If `files` and `labels` differ in number, or `image_size` is not one or two positive ints.
    OSError
        When an image is asked for whose file is not there or cannot be read.

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
        if isinstance(files, str):
            raise ValueError(f"files must be a sequence of file names. Got {files!r}.")
        if transform is not None and not callable(transform):
            raise ValueError(
                f"The 'transform' parameter must be a callable or None. Got {transform!r}."
            )
        # An array of fixed width: workers of a DataLoader share its memory, not that of a list.
        self.files = np.asarray(files, dtype=str)
        self.labels = None if labels is None else np.asarray(labels)
        if self.labels is not None and len(self.labels) != len(self.files):
            raise ValueError(
                f"files and labels must be of equal number. Got {len(self.files)} and "
                f"{len(self.labels)}."
            )
        self.folder = Path(folder)
        self.image_size = _check_size(image_size)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        image = self.read(i)
        return image if self.labels is None else (image, self.labels[i])

    def read(self, i: int) -> Tensor:
        """Image `i` as it is in the items."""
        from PIL import Image, ImageOps

        file = self.folder / str(self.files[i])
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
        except (OSError, SyntaxError) as error:  # Pillow's errors do not always name the file
            raise OSError(f"{file} could not be read ({error}).") from error
        if self.image_size is not None:
            height, width = self.image_size
            image = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels if self.transform is None else self.transform(pixels)


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
