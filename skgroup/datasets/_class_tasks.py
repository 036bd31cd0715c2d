"""Tasks made from class labels."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state, check_scalar

from skgroup._compat import argument_named
from skgroup.datasets._sources import check_flags


def make_label_tasks(
    labels: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    unions: Mapping[str, Collection[Any]] | None = None,
    parity: bool = False,
    extra: Mapping[str, ArrayLike] | None = None,
    complements: Mapping[str, str] | None = None,
    n_random: int = 0,
    as_frame: bool = False,
    random_state: Any = 0,
) -> Bunch:
    """Binary tasks from class labels: one-vs-rest, unions, parity, complements, controls.

    The kinds of tasks that STG-MTL [1]_ makes from image classes, for any class labels. The tasks
    come in the order of the parameters. Unions and complements are tasks that should be found to
    belong together, parity means nothing, and nothing can learn a random task.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        The class of each sample: ints, bools or strings, none missing.
    classes : array-like of shape (n_classes,), default=None
        All labels that there are, in the order wanted for the tasks; those that occur, sorted, if
        None. Give them where a part of the samples (a test set) may lack a class.
    class_names : sequence of str, default=None
        Names of `classes`, and so of their one-vs-rest tasks. If None, strings name themselves,
        and the others are "class 0", ...
    unions : dict of str to collection of classes, default=None
        Further tasks: is the sample of one of these classes? Classes are given as labels, or by
        their names.
    parity : bool, default=False
        Add the task "odd-numbered": is the label odd, or where labels are no ints, the position of
        the class among `classes`, from 0?
    extra : dict of str to array-like of shape (n_samples,), default=None
        Further tasks whose labels, 0 and 1, are known: of something that was done to the samples.
    complements : dict of str to str, default=None
        Further tasks: the opposite of the task of this name, one of those above.
    n_random : int, default=0
        Add this many tasks of random labels, 0 and 1 equally probable: "random", or "random 0",
        "random 1", ... if there are several.
    as_frame : bool, default=False
        `target` as a pandas DataFrame with the names of the tasks.
    random_state : int, RandomState or None, default=0
        Determines the random labels. Parts of a data set want different ones.

    Returns
    -------
    tasks : Bunch
        `target`, ndarray of int or DataFrame, of shape (n_samples, n_tasks), 0 and 1;
        `task_names`, list of str.

    Raises
    ------
    ValueError
        If labels are missing, continuous or not among `classes`, classes or names occur twice or
        differ in number, a union names an unknown class or is not a task (holds no class, or
        all), an extra task is not one of 0 and 1 for each sample, or a complement is that of an
        unknown task.

    See Also
    --------
    make_class_tasks : Tasks from images of some classes, half of them turned upside down.

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> from skgroup.datasets import make_label_tasks
    >>> tasks = make_label_tasks(
    ...     ["cat", "car", "dog", "cat"],
    ...     unions={"animal": ["cat", "dog"]},
    ...     complements={"no animal": "animal"},
    ...     n_random=1,
    ... )
    >>> tasks.task_names
    ['car', 'cat', 'dog', 'animal', 'no animal', 'random']
    >>> tasks.target[:, :5]
    array([[0, 1, 0, 1, 0],
           [1, 0, 0, 0, 1],
           [0, 0, 1, 1, 0],
           [0, 1, 0, 1, 0]])
    """
    check_flags("make_label_tasks", parity=parity, as_frame=as_frame)
    values = _as_labels(labels, "labels")
    labels, codes = np.unique(values, return_inverse=True)
    known = labels if classes is None else _as_labels(classes, "classes")
    position = {label: k for k, label in enumerate(known.tolist())}
    if len(position) < len(known):
        raise ValueError(f"classes must differ. Got {known.tolist()}.")
    if unknown := [label for label in labels.tolist() if label not in position]:
        raise ValueError(f"labels must be among {_describe(position)}. Got {unknown}.")
    codes = np.array([position[label] for label in labels.tolist()], dtype=np.intp)[codes]

    tasks: dict[str, NDArray] = {}

    def add(name: str, positives: NDArray) -> None:
        if name in tasks:
            raise ValueError(f"Tasks must have different names. Got {name!r} twice.")
        tasks[name] = positives

    names = _class_names(class_names, known)
    for k, name in enumerate(names):
        add(name, codes == k)
    # A label means itself even if another class has it for a name.
    position = {name: k for k, name in enumerate(names)} | position
    for name, members in _by_name(unions, "unions"):
        add(name, np.isin(codes, _codes_of_union(name, members, position, known)))
    if parity:
        numbers = known if known.dtype.kind in "iu" else np.arange(len(known))
        add("odd-numbered", numbers[codes] % 2 == 1)
    for name, given in _by_name(extra, "extra"):
        add(name, _of_extra(name, given, len(codes)))
    for name, of in _by_name(complements, "complements"):
        if not isinstance(of, str) or of not in tasks:
            raise ValueError(
                f"The complement {name!r} must be that of a task. Got {of!r}, tasks are "
                f"{list(tasks)}."
            )
        add(name, ~tasks[of])
    if isinstance(n_random, bool):
        raise TypeError(f"n_random must be an instance of int, not bool. Got {n_random}.")
    check_scalar(n_random, "n_random", Integral, min_val=0)
    noise = check_random_state(random_state).randint(2, size=(n_random, len(codes))) == 1
    for k, column in enumerate(noise):
        add("random" if n_random == 1 else f"random {k}", column)
    target = np.column_stack(list(tasks.values())).astype(np.int64)
    return Bunch(target=as_table(target, list(tasks), as_frame), task_names=list(tasks))


def _codes_of_union(
    name: str, members: Any, position: Mapping[Any, int], known: NDArray
) -> list[int]:
    if isinstance(members, str) or not isinstance(members, Collection | np.ndarray):
        raise ValueError(f"The union {name!r} must be a collection of classes. Got {members!r}.")
    if not all(isinstance(member, Hashable) for member in members):
        raise ValueError(f"The union {name!r} must hold classes. Got {members!r}.")
    chosen = {position.get(member, -1) for member in members}
    if -1 in chosen or not 0 < len(chosen) < len(known):
        got = [m.item() if isinstance(m, np.generic) else m for m in members]
        raise ValueError(
            f"The union {name!r} must hold some, not all, of {_describe(known.tolist())}. "
            f"Got {sorted(got, key=lambda m: (isinstance(m, str), m))}."
        )
    return list(chosen)


def _of_extra(name: str, given: Any, n_samples: int) -> NDArray[np.bool_]:
    rule = f"The extra task {name!r} must be 0 or 1 for each of {n_samples} samples"
    column = _as_array(given, rule)
    if column.shape != (n_samples,) or not np.isin(column, [0, 1]).all():
        some = list(dict.fromkeys(column.ravel().tolist()))[:5]
        raise ValueError(f"{rule}. Got shape {column.shape}, values {some}.")
    return column == 1


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
        If images are not of such a shape or no finite numbers, images and labels differ in
        number, a union names an unknown class, or is not a task (holds no class, or all).

    See Also
    --------
    make_label_tasks : Tasks from class labels of anything.

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
    check_flags("make_class_tasks", upside_down=upside_down, random=random)
    images, labels = np.asarray(images), _as_labels(labels, "labels")
    if images.dtype.kind not in "biuf" or not np.isfinite(images).all():
        raise ValueError(
            f"images must hold real numbers, none of them NaN or infinite. Got {images.dtype}"
            f"{', not all finite' if images.dtype.kind == 'f' else ''}."
        )
    if images.ndim not in (3, 4):
        raise ValueError(
            "images must be of shape (n_samples, height, width) or (n_samples, channels, height, "
            f"width). Got {images.shape}; of what is no image, make_label_tasks makes tasks."
        )
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        raise ValueError(
            "images must be of shape (n_samples, channels, height, width). Got "
            f"{images.shape}, whose last axis looks like channels: give np.moveaxis(images, 3, 1)."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be ints. Got {labels.dtype}; see make_label_tasks.")
    if len(images) != len(labels):
        raise ValueError(
            f"images and labels must be of equal number. Got {len(images)} and {len(labels)}."
        )
    if class_names is not None:
        _check_class_names(class_names)
    n_classes = int(labels.max()) + 1 if class_names is None else len(class_names)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels must be ints in the range [0, {n_classes}). Got {labels.min()} to "
            f"{labels.max()}."
        )
    # Both are drawn at once, so that leaving out one does not change the other.
    flipped, noise = check_random_state(random_state).randint(2, size=(2, len(labels)))
    extra = {}
    if upside_down:
        images = images.copy()
        flip_images(images, flipped == 1)
        extra["upside-down"] = flipped
    if random:
        extra["random"] = noise
    tasks = make_label_tasks(
        labels, classes=range(n_classes), class_names=class_names, unions=unions, extra=extra
    )
    return Bunch(images=images, **tasks)


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
    check_flags("load_digit_tasks", return_X_y=return_X_y, as_frame=as_frame)
    digits = load_digits()
    tasks = make_class_tasks(
        digits.images / 16,
        digits.target,
        class_names=[f"digit {k}" for k in range(10)],
        unions={"less than 5": range(5), "5 or more": range(5, 10), "odd": range(1, 10, 2)},
        random_state=random_state,
    )
    tasks.data = tasks.images.reshape(len(tasks.images), -1)
    tasks.target = as_table(tasks.target, tasks.task_names, as_frame)
    return (tasks.data, tasks.target) if return_X_y else tasks


def flip_images(images: NDArray, flipped: NDArray[np.bool_]) -> None:
    """Turn some images (..., height, width) upside down, in place."""
    images[flipped] = np.flip(images[flipped], axis=-2)


def as_table(target: NDArray, names: Sequence[str], as_frame: bool) -> Any:
    """`target`, as a DataFrame with the names of the tasks if wanted."""
    if not as_frame:
        return target
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "as_frame=True needs pandas. With as_frame=False the tasks are an array, and their "
            "names are in 'task_names'."
        ) from error
    return pd.DataFrame(target, columns=list(names))


def _as_labels(labels: Any, name: str) -> NDArray:
    """Labels as an array of ints, bools or strings."""
    rule = f"{name} must be one-dimensional and hold ints, bools or strings, none of them missing"
    if np.ma.is_masked(labels):
        raise ValueError(f"{rule}. Got a masked entry.")
    if isinstance(labels, list | tuple):  # NumPy would turn ints beside strings into strings
        kinds = {_kind_of(label) for label in labels}
        if len(kinds) > 1 and kinds <= {bool, int, str}:
            raise ValueError(f"{rule}, all of one kind. Got {sorted(k.__name__ for k in kinds)}.")
    array = _as_array(labels, rule)
    if array.dtype.kind in "OT":  # pandas has strings, and ints that may be missing, as objects
        for kind, dtype in ((str, str), (Integral, np.int64)):
            if all(isinstance(label, kind) for label in array.flat):
                with argument_named(name):
                    array = array.astype(dtype)
    elif array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "biuU":
        raise ValueError(f"{rule}. Got shape {array.shape} of {array.dtype}.")
    return array


def _kind_of(label: Any) -> type:
    for kind, types in ((bool, bool | np.bool_), (int, Integral), (str, str)):
        if isinstance(label, types):
            return kind
    return type(label)


def _as_array(values: Any, rule: str) -> NDArray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:  # rows of different length
        raise ValueError(f"{rule}. Got {values!r}.") from error


def _by_name(given: Any, name: str) -> Iterable[tuple[str, Any]]:
    """The items of a parameter that is a dict by names of tasks, or None."""
    if given is None:
        return []
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ValueError(f"{name} must be a dict of names of tasks, or None. Got {given!r}.")
    return given.items()


def _class_names(names: Sequence[str] | None, classes: NDArray) -> list[str]:
    if names is None:
        return [label if isinstance(label, str) else f"class {label}" for label in classes.tolist()]
    _check_class_names(names)
    if len(names) != len(classes):
        raise ValueError(
            f"class_names must be as many as the classes, {len(classes)}. Got {len(names)}."
        )
    return list(map(str, names))


def _check_class_names(names: Any) -> None:
    if isinstance(names, str) or not hasattr(names, "__len__"):
        raise ValueError(f"class_names must be a sequence of str, or None. Got {names!r}.")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names must be strings. Got {list(names)}.")


def _describe(classes: Iterable[Any]) -> str:
    """What to call the classes in a message."""
    classes = list(classes)
    if classes == list(range(len(classes))):
        return f"the classes 0 to {len(classes) - 1}"
    return f"the classes {str(classes[:10])[1:-1]}{' and others' if len(classes) > 10 else ''}"
