"""Tasks made from the class labels of images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state

__all__ = ["load_digit_tasks", "make_class_tasks"]


def make_class_tasks(
    images: NDArray,
    labels: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    unions: Mapping[str, Collection[int]] | None = None,
    upside_down: bool = True,
    random: bool = True,
    random_state: Any = 0,
) -> Bunch:
    """Binary tasks from images of some classes: one-vs-rest, unions of classes, controls.

    With the ten classes of CIFAR-10 and unions of them these are the task sets G1 and G2 of
    STG-MTL [1]_.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or (n_samples, channels, height, width)
    labels : array-like of shape (n_samples,)
        Classes, as ints from 0.
    class_names : sequence of str, default=None
        Names of the classes, and so of their one-vs-rest tasks; "class 0", ... if None.
    unions : dict of str to collection of int, default=None
        Further tasks: is the image of one of these classes?
    upside_down : bool, default=True
        Flip half of the images vertically, at random, and add the task to tell.
    random : bool, default=True
        Add a task of random labels, which nothing can learn.
    random_state : int, RandomState or None, default=0
        Determines which images are flipped, and the random labels.

    Returns
    -------
    tasks : Bunch
        `images`, of the shape and type of the input (a copy if some are flipped); `target`,
        ndarray of shape (n_samples, n_tasks) of int; `task_names`, list of str.

    Raises
    ------
    ValueError
        If images and labels differ in number, a union names an unknown class, or is not a task
        (holds no class, or all).

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.datasets import make_class_tasks
    >>> tasks = make_class_tasks(np.zeros((6, 8, 8)), [0, 1, 2, 0, 1, 2], unions={"even": [0, 2]})
    >>> tasks.task_names
    ['class 0', 'class 1', 'class 2', 'even', 'upside-down', 'random']
    >>> tasks.target.shape
    (6, 6)
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(
            f"images and labels must be of equal number. Got {len(images)} and {len(labels)}."
        )
    n_classes = int(labels.max()) + 1 if class_names is None else len(class_names)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels must be ints in the range [0, {n_classes}). Got {labels.min()} to "
            f"{labels.max()}."
        )
    names = [f"class {k}" for k in range(n_classes)] if class_names is None else list(class_names)
    columns = [labels == k for k in range(n_classes)]
    for name, classes in (unions or {}).items():
        if not set(classes) < set(range(n_classes)) or not classes:
            raise ValueError(
                f"The union {name!r} must hold some, not all, of the classes 0 to {n_classes - 1}. "
                f"Got {sorted(classes)}."
            )
        names.append(name)
        columns.append(np.isin(labels, list(classes)))
    rng = check_random_state(random_state)
    flipped, noise = rng.randint(2, size=(2, len(labels))).astype(bool)
    if upside_down:
        images = images.copy()
        images[flipped] = np.flip(images[flipped], axis=-2)
        names.append("upside-down")
        columns.append(flipped)
    if random:
        names.append("random")
        columns.append(noise)
    return Bunch(images=images, target=np.column_stack(columns).astype(np.int64), task_names=names)


def load_digit_tasks(
    *, return_X_y: bool = False, as_frame: bool = False, random_state: Any = 0
) -> Any:
    """Scikit-learn's digits as 15 binary tasks, after the task set G2 of STG-MTL.

    The tasks are the ten digits one-vs-rest, less than five, five or more, odd, upside-down
    (half of the images are flipped vertically, at random) and random (random labels).

    Parameters
    ----------
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.
    as_frame : bool, default=False
        `target` as a pandas DataFrame with the names of the tasks.
    random_state : int, RandomState or None, default=0
        Determines which images are flipped, and the random labels.

    Returns
    -------
    tasks : Bunch, or tuple (data, target)
        `data`, ndarray of shape (1797, 64), pixels scaled to [0, 1]; `images`, ndarray of shape
        (1797, 8, 8); `target`, ndarray or DataFrame of shape (1797, 15); `task_names`.

    Examples
    --------
    >>> from skgroup.datasets import load_digit_tasks
    >>> X, Y = load_digit_tasks(return_X_y=True)
    >>> X.shape, Y.shape
    ((1797, 64), (1797, 15))
    """
    digits = load_digits()
    tasks = make_class_tasks(
        digits.images / 16,
        digits.target,
        class_names=[f"digit {k}" for k in range(10)],
        unions={"less than 5": range(5), "5 or more": range(5, 10), "odd": range(1, 10, 2)},
        random_state=random_state,
    )
    tasks.data = tasks.images.reshape(len(tasks.images), -1)
    if as_frame:
        import pandas as pd

        tasks.target = pd.DataFrame(tasks.target, columns=tasks.task_names)
    return (tasks.data, tasks.target) if return_X_y else tasks
