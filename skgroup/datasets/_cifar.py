"""CIFAR-10 and CIFAR-100 as tables of tasks."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skgroup.datasets._class_tasks import as_table, flip_images, make_label_tasks
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

_SUBSETS = ("train", "test")
_LIVING = ["bird", "cat", "deer", "dog", "frog", "horse"]
_CIFAR10 = ["airplane", "automobile", *_LIVING, "ship", "truck"]
_SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
#: The superclass of each class; classes and superclasses are numbered in alphabetical order.
_SUPERCLASS_OF = {
    name: k for k, names in enumerate(_SUPERCLASSES.values()) for name in names.split()
}
_CIFAR100 = sorted(_SUPERCLASS_OF)


@dataclass(frozen=True)
class _Source:
    """Where a set can be read from."""

    title: str
    torchvision_name: str
    folder: str
    class_names: list[str]
    fetcher: str
    #: Names that the arrays of labels, and of the names of classes, may have in an .npz file.
    label_keys: tuple[str, ...]
    name_keys: tuple[str, ...]

    @property
    def ways(self) -> str:
        keys = ", ".join(f"x_{s}, {self.label_keys[0].format(s)}" for s in _SUBSETS)
        return (
            f"Give an .npz file (arrays {keys}), or the folder that holds {self.folder!r}, as "
            f"'path'; or let {self.fetcher} download {self.title} through torchvision into "
            "'data_home'."
        )


_SOURCE_10 = _Source(
    "CIFAR-10",
    "CIFAR10",
    "cifar-10-batches-py",
    _CIFAR10,
    "fetch_cifar10_tasks",
    ("y_{}",),
    ("class_names",),
)
_SOURCE_100 = _Source(
    "CIFAR-100",
    "CIFAR100",
    "cifar-100-python",
    _CIFAR100,
    "fetch_cifar100_tasks",
    ("y_{}_fine", "y_{}"),
    ("fine_names", "class_names"),
)


def fetch_cifar10_tasks(
    task_set: str = "G1",
    *,
    subset: str = "train",
    n_samples: int | None = None,
    path: Any = None,
    data_home: Any = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
    random_state: Any = 0,
) -> Any:
    """CIFAR-10 [1]_ as the task set G1 or G2 of STG-MTL [2]_.

    G1 are the ten one-vs-rest tasks. G2 adds "living being" (bird, cat, deer, dog, frog, horse),
    "odd-numbered" (the number of the class, from 0, is odd: automobile, cat, dog, horse, truck),
    "upside-down" (half of the images, chosen at random, are flipped vertically; which?), "not
    living being" and "random" (random labels, which nothing can learn), in this order.

    Parameters
    ----------
    task_set : {"G1", "G2"}, default="G1"
        Both sets have the same images for the same `random_state`, but for the flipped ones.
    subset : {"train", "test"}, default="train"
        The published split: 50,000 and 10,000 images. What is random (flips, labels, choice of
        images) is drawn anew for each.
    n_samples : int, default=None
        Take this many images, drawn at random so that the classes keep their shares; more images
        contain fewer, with the same labels. All images if None. They stay in the order of the
        files.
    path : path-like, default=None
        An .npz file with the arrays `x_train`, `y_train`, `x_test`, `y_test` (those of the subset
        wanted), images of shape (n, 32, 32, 3) or (n, 3, 32, 32) and type uint8; or the folder
        for torchvision, which holds `cifar-10-batches-py`. Nothing is downloaded then.
    data_home : path-like, default=None
        Where downloads are kept; that of scikit-learn if None.
    download_if_missing : bool, default=True
        Whether to download, through torchvision, what `data_home` lacks.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.
    as_frame : bool, default=True
        `target` as a pandas DataFrame with the names of the tasks; otherwise an array.
    random_state : int, RandomState or None, default=0
        Determines which images are drawn, which are flipped, and the random labels.

    Returns
    -------
    tasks : Bunch, or tuple (data, target)
        `data`, ndarray of shape (n_samples, 3, 32, 32) of uint8; `target`, DataFrame or ndarray
        of shape (n_samples, 10) or (n_samples, 15) of 0 and 1; `task_names`; `labels`, ndarray of
        shape (n_samples,): the number of the class.

    Raises
    ------
    ValueError
        If a parameter is not one of its choices, or a file is not that of CIFAR-10.
    OSError
        If there is no file, and it cannot be downloaded or must not be.
    ImportError
        If torchvision is needed (it is not for an .npz file) and cannot be imported.

    See Also
    --------
    make_label_tasks : Such tasks from anyone's class labels.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    .. [2] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
    >>> from skgroup.datasets import fetch_cifar10_tasks
    >>> from skgroup.nn import SmallCNN
    >>> clf = GroupedMTLClassifier(MultiTaskNet(SmallCNN), n_groups=3)
    >>> X, Y = fetch_cifar10_tasks("G2", return_X_y=True)  # doctest: +SKIP
    >>> X_test, Y_test = fetch_cifar10_tasks(
    ...     "G2", subset="test", return_X_y=True
    ... )  # doctest: +SKIP
    >>> clf.fit(X, Y).score(X_test, Y_test)  # doctest: +SKIP
    """
    check_choice("task_set", task_set, ("G1", "G2"))
    check_choice("subset", subset, _SUBSETS)
    check_flags(
        "fetch_cifar10_tasks",
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
    check_n_samples(n_samples)
    images, labels = _read(_SOURCE_10, subset, path, data_home, download_if_missing)
    which, controls = random_states(random_state, _SUBSETS.index(subset), len(_SUBSETS))
    chosen = draw_samples(n_samples, len(labels), which, labels)
    data = _channels_first(images, chosen)
    options: dict[str, Any] = {}
    if task_set == "G2":
        # Drawn for all images, so that they do not depend on how many are taken.
        flipped = controls.randint(2, size=len(labels))
        flip_images(data, flipped[chosen] == 1)
        options = {
            "unions": {"living being": _LIVING},
            "parity": True,
            "extra": {"upside-down": flipped},
            "complements": {"not living being": "living being"},
            "n_random": 1,
            "random_state": controls,
        }
    tasks = make_label_tasks(labels, classes=range(10), class_names=_CIFAR10, **options)
    target = as_table(tasks.target[chosen], tasks.task_names, as_frame)
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, task_names=tasks.task_names, labels=labels[chosen])


def fetch_cifar100_tasks(
    *,
    subset: str = "train",
    n_samples: int | None = None,
    path: Any = None,
    data_home: Any = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
    random_state: Any = 0,
) -> Any:
    """CIFAR-100 [1]_ as the task set G3 of STG-MTL [2]_: 100 one-vs-rest tasks.

    The published 20 superclasses of five classes each are a reference for groups of tasks; nets
    do not see them.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The published split: 50,000 and 10,000 images.
    n_samples : int, default=None
        Take this many images, drawn at random so that the classes keep their shares; more images
        contain fewer. All images if None. They stay in the order of the files.
    path : path-like, default=None
        An .npz file with the arrays `x_train`, `y_train_fine` (or `y_train`), `x_test`,
        `y_test_fine` (or `y_test`), those of the subset wanted, images of shape (n, 32, 32, 3) or
        (n, 3, 32, 32) and type uint8; or the folder for torchvision, which holds
        `cifar-100-python`. Nothing is downloaded then.
    data_home : path-like, default=None
        Where downloads are kept; that of scikit-learn if None.
    download_if_missing : bool, default=True
        Whether to download, through torchvision, what `data_home` lacks.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.
    as_frame : bool, default=True
        `target` as a pandas DataFrame with the names of the tasks; otherwise an array.
    random_state : int, RandomState or None, default=0
        Determines which images are drawn.

    Returns
    -------
    tasks : Bunch, or tuple (data, target)
        `data`, ndarray of shape (n_samples, 3, 32, 32) of uint8; `target`, DataFrame or ndarray
        of shape (n_samples, 100) of 0 and 1; `task_names`; `labels`, ndarray of shape
        (n_samples,): the number of the class; `superclass`, ndarray of shape (100,): the number
        of the superclass of each task; `superclass_names`, list of 20 str.

    Raises
    ------
    ValueError
        If a parameter is not one of its choices, or a file is not that of CIFAR-100.
    OSError
        If there is no file, and it cannot be downloaded or must not be.
    ImportError
        If torchvision is needed (it is not for an .npz file) and cannot be imported.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    .. [2] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> from sklearn.metrics import adjusted_mutual_info_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgroup import FuzzyKMeans, MultiTaskNet, TaskGrouper
    >>> from skgroup.datasets import fetch_cifar100_tasks
    >>> from skgroup.nn import SmallCNN
    >>> grouping = make_pipeline(TaskGrouper(MultiTaskNet(SmallCNN)), FuzzyKMeans(20))
    >>> tasks = fetch_cifar100_tasks()  # doctest: +SKIP
    >>> membership = grouping.fit_transform(tasks.data, tasks.target)  # doctest: +SKIP
    >>> adjusted_mutual_info_score(tasks.superclass, membership.argmax(axis=1))  # doctest: +SKIP
    """
    check_choice("subset", subset, _SUBSETS)
    check_flags(
        "fetch_cifar100_tasks",
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
    check_n_samples(n_samples)
    images, labels = _read(_SOURCE_100, subset, path, data_home, download_if_missing)
    which, _ = random_states(random_state, _SUBSETS.index(subset), len(_SUBSETS))
    chosen = draw_samples(n_samples, len(labels), which, labels)
    data, labels = _channels_first(images, chosen), labels[chosen]
    tasks = make_label_tasks(labels, classes=range(100), class_names=_CIFAR100, as_frame=as_frame)
    if return_X_y:
        return data, tasks.target
    return Bunch(
        data=data,
        **tasks,
        labels=labels,
        superclass=_superclass(),
        superclass_names=list(_SUPERCLASSES),
    )


def _superclass() -> NDArray[np.int64]:
    """The superclass of each class of CIFAR-100, (100,)."""
    return np.array([_SUPERCLASS_OF[name] for name in _CIFAR100], dtype=np.int64)


def _channels_first(images: NDArray, chosen: NDArray[np.intp]) -> NDArray[np.uint8]:
    """A copy of some images, as (n, channels, height, width)."""
    images = images if images.shape[1] == 3 else np.moveaxis(images, 3, 1)
    return np.ascontiguousarray(images[chosen])


def _read(
    source: _Source, subset: str, path: Any, data_home: Any, download_if_missing: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images, channels first or last, and classes of a subset."""
    path = path_given(path)
    if path is not None and path.is_file():
        return _read_npz(source, subset, path)
    if path is not None:
        root = path
        # The folder itself is as clear as the one around it.
        root = root.parent if root.name == source.folder else root
        download = False
        missing = (
            f"There is no {source.title} at {path}: the folder {source.folder!r} is not there, or "
            "its files are incomplete or damaged."
        )
    else:
        root = home_of(source.title.lower().replace("-", ""), data_home)
        download = download_if_missing
        missing = f"{source.title} is not in {root}, and download_if_missing=False."
    images = torchvision_set(
        source.torchvision_name,
        root,
        train=subset == "train",
        download=download,
        ways=source.ways,
        missing=missing,
    )
    return images.data, np.asarray(images.targets, dtype=np.int64)


def _read_npz(
    source: _Source, subset: str, file: Path
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    wrong = f"{file} is no file of {source.title}"
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{wrong}: it is not an .npz file. {source.ways}")
    keys = [key.format(subset) for key in source.label_keys]
    wanted = [f"x_{subset}", *keys, *source.name_keys, f"y_{subset}_coarse"]
    try:
        with np.load(file) as archive:
            names = archive.files
            arrays = {name: archive[name] for name in wanted if name in names}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{wrong}: it could not be read ({error}). {source.ways}") from error
    key = next((key for key in keys if key in arrays), None)
    if key is None or f"x_{subset}" not in arrays:
        raise ValueError(
            f"{wrong}: it must hold the arrays x_{subset} and {' or '.join(keys)}. Got "
            f"{', '.join(names)}."
        )
    images, labels = arrays[f"x_{subset}"], arrays[key]
    names = next((arrays[key].tolist() for key in source.name_keys if key in arrays), None)
    coarse = arrays.get(f"y_{subset}_coarse")
    n_classes = len(source.class_names)
    if images.dtype != np.uint8 or images.shape[1:] not in ((32, 32, 3), (3, 32, 32)):
        raise ValueError(
            f"{wrong}: x_{subset} must be of shape (n, 32, 32, 3) or (n, 3, 32, 32) and of type "
            f"uint8. Got {images.shape} and {images.dtype}."
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or len(labels) == 0:
        raise ValueError(
            f"{wrong}: {key} must hold an int for each of the {len(images)} images. Got shape "
            f"{labels.shape} of {labels.dtype}."
        )
    labels = labels.astype(np.int64)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"{wrong}: {key} must be in the range [0, {n_classes}). Got {labels.min()} to "
            f"{labels.max()}."
        )
    other_superclasses = (
        source is _SOURCE_100 and coarse is not None and np.any(coarse != _superclass()[labels])
    )
    if names not in (None, source.class_names) or other_superclasses:
        raise ValueError(f"{wrong}: its classes are not numbered as those of {source.title}.")
    return images, labels
