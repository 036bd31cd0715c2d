"""CIFAR-10 and CIFAR-100 as tasks: from files, and through torchvision."""

import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from skgroup import MultiTaskNet
from skgroup.datasets import fetch_celeba_tasks, fetch_cifar10_tasks, fetch_cifar100_tasks
from skgroup.nn import SmallCNN

pd = pytest.importorskip("pandas")
torchvision = pytest.importorskip("torchvision")

SHARED = Path(__file__).parents[2] / "shared" / "data"
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
LIVING = [2, 3, 4, 5, 6, 7]


def refuses(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def cifar_arrays(n_classes, n_train=60, n_test=40, seed=0):
    """Random images as the .npz files hold them: channels last."""
    rng = np.random.RandomState(seed)
    arrays = {}
    for part, n in (("train", n_train), ("test", n_test)):
        arrays[f"x_{part}"] = rng.randint(256, size=(n, 32, 32, 3)).astype(np.uint8)
        arrays[f"y_{part}"] = rng.permutation(np.arange(n) % n_classes).astype(np.uint8)
    return arrays


@pytest.fixture
def cifar10(tmp_path):
    arrays = cifar_arrays(10)
    np.savez(tmp_path / "cifar10.npz", **arrays, class_names=CLASSES)
    return tmp_path / "cifar10.npz", arrays


@pytest.fixture
def cifar100(tmp_path):
    arrays = cifar_arrays(100, 200, 100)
    np.savez(tmp_path / "cifar100.npz", **arrays)
    return tmp_path / "cifar100.npz", arrays


# -- CIFAR-10 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", ["train", "test"])
def test_g1_is_one_vs_rest(cifar10, subset):
    path, arrays = cifar10
    tasks = fetch_cifar10_tasks(subset=subset, path=path)
    assert tasks.task_names == tasks.target.columns.tolist() == CLASSES
    np.testing.assert_array_equal(tasks.data, arrays[f"x_{subset}"].transpose(0, 3, 1, 2))
    assert tasks.data.dtype == np.uint8
    assert tasks.data.flags.c_contiguous
    np.testing.assert_array_equal(tasks.labels, arrays[f"y_{subset}"])
    np.testing.assert_array_equal(tasks.target, np.eye(10)[arrays[f"y_{subset}"]])


def test_g2_adds_its_five_tasks(cifar10):
    path, arrays = cifar10
    tasks = fetch_cifar10_tasks("G2", path=path)
    y, images = arrays["y_train"], arrays["x_train"].transpose(0, 3, 1, 2)
    assert tasks.task_names == [
        *CLASSES,
        "living being",
        "odd-numbered",
        "upside-down",
        "not living being",
        "random",
    ]
    np.testing.assert_array_equal(tasks.target[CLASSES], np.eye(10)[y])
    np.testing.assert_array_equal(tasks.target["living being"], np.isin(y, LIVING))
    np.testing.assert_array_equal(tasks.target["odd-numbered"], np.isin(y, [1, 3, 5, 7, 9]))
    np.testing.assert_array_equal(tasks.target["not living being"], ~np.isin(y, LIVING))
    flipped = tasks.target["upside-down"].to_numpy() == 1
    assert 0.25 < flipped.mean() < 0.75
    np.testing.assert_array_equal(tasks.data[~flipped], images[~flipped])
    np.testing.assert_array_equal(tasks.data[flipped], images[flipped, :, ::-1])
    assert 0.25 < tasks.target["random"].mean() < 0.75
    assert not tasks.target["random"].equals(tasks.target["upside-down"])


def test_seeds_and_parts_have_their_own_controls(tmp_path):
    arrays = cifar_arrays(10, 400, 400)
    np.savez(tmp_path / "c.npz", **arrays)
    first, again, other, test = (
        fetch_cifar10_tasks("G2", path=tmp_path / "c.npz", **options)
        for options in ({}, {}, {"random_state": 1}, {"subset": "test"})
    )
    np.testing.assert_array_equal(first.data, again.data)
    assert first.target.equals(again.target)
    for tasks in (other, test):
        for name in ("upside-down", "random"):
            assert 0.4 < (tasks.target[name] == first.target[name]).mean() < 0.6
    assert other.target.iloc[:, :12].equals(first.target.iloc[:, :12])


def test_some_images_are_drawn_evenly_and_keep_their_labels(cifar10):
    path, _ = cifar10
    everything = fetch_cifar10_tasks("G2", path=path)
    places = []
    for n_samples in (10, 25, 60):
        some = fetch_cifar10_tasks("G2", path=path, n_samples=n_samples)
        plain = fetch_cifar10_tasks("G1", path=path, n_samples=n_samples)
        np.testing.assert_array_equal(some.labels, plain.labels)
        counts = np.bincount(some.labels, minlength=10)
        assert counts.sum() == n_samples
        assert counts.max() - counts.min() <= 1
        # Which images these are: no two of the random ones are alike.
        place = [np.flatnonzero((everything.data == x).all(axis=(1, 2, 3))) for x in some.data]
        place = np.concatenate(place)
        assert (np.diff(place) > 0).all()
        np.testing.assert_array_equal(some.target, everything.target.iloc[place])
        places.append(set(place.tolist()))
    assert places[0] < places[1] < places[2]
    drawn = [
        fetch_cifar10_tasks(path=path, n_samples=20, random_state=seed).data for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_uneven_classes_keep_their_shares(tmp_path):
    arrays = cifar_arrays(10, 80)
    arrays["y_train"] = np.repeat([4, 7, 1], [50, 20, 10])
    np.savez(tmp_path / "c.npz", **arrays)
    tasks = fetch_cifar10_tasks(path=tmp_path / "c.npz", n_samples=40)
    assert np.bincount(tasks.labels)[[4, 7, 1]].tolist() == [25, 10, 5]


def test_arrays_frames_and_tuples(cifar10):
    path, _ = cifar10
    tasks = fetch_cifar10_tasks("G2", path=path)
    X, Y = fetch_cifar10_tasks("G2", path=path, return_X_y=True)
    _, array = fetch_cifar10_tasks("G2", path=path, return_X_y=True, as_frame=False)
    np.testing.assert_array_equal(X, tasks.data)
    assert Y.equals(tasks.target)
    assert type(array) is np.ndarray
    assert array.dtype == np.int64
    np.testing.assert_array_equal(array, Y)


def test_channels_first_and_one_part_alone(cifar10, tmp_path):
    path, arrays = cifar10
    np.savez(
        tmp_path / "test.npz",
        x_test=arrays["x_test"].transpose(0, 3, 1, 2),
        y_test=arrays["y_test"].astype(np.int64),
    )
    found = fetch_cifar10_tasks("G2", subset="test", path=tmp_path / "test.npz")
    expected = fetch_cifar10_tasks("G2", subset="test", path=path)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.target.equals(expected.target)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_a_net_learns_their_names(cifar10):
    path, _ = cifar10
    X, Y = fetch_cifar10_tasks("G2", path=path, return_X_y=True)
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1, random_state=0).fit(X, Y)
    assert net.task_names_in_.tolist() == Y.columns.tolist()
    assert net.predict(X).shape == (60, 15)


def write_cifar10(root, arrays):
    """The folder as the published archive holds it."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, x, y):
        batch = {"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), "labels": y.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))

    size = len(arrays["x_train"]) // 5
    for k in range(5):
        part = slice(k * size, (k + 1) * size)
        write(f"data_batch_{k + 1}", arrays["x_train"][part], arrays["y_train"][part])
    write("test_batch", arrays["x_test"], arrays["y_test"])
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}))


def write_cifar100(root, arrays):
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        data = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        batch = {"data": data, "fine_labels": y.tolist(), "coarse_labels": [0] * len(y)}
        (folder / part).write_bytes(pickle.dumps(batch))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple"]}))


@pytest.fixture
def small_torchvision(monkeypatch):
    """torchvision with sets of its layout that are not the published ones, from nowhere."""
    kinds = torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100
    writers = write_cifar10, write_cifar100
    downloads = []
    for kind, write, n_classes in zip(kinds, writers, (10, 100), strict=True):

        def load_meta(self):
            warnings.warn("dtype(): align=0", np.exceptions.VisibleDeprecationWarning, stacklevel=1)

        def download(self, write=write, n_classes=n_classes):
            if not self._check_integrity():
                downloads.append(type(self).__name__)
                write(Path(self.root), cifar_arrays(n_classes, 200, 100))

        changes = {
            "train_list": [[name, None] for name, _ in kind.train_list],
            "test_list": [[name, None] for name, _ in kind.test_list],
            "meta": {**kind.meta, "md5": None},
            "download": download,
            "_load_meta": load_meta,  # as NumPy 2.4.0 warns of the published files
        }
        monkeypatch.setattr(
            torchvision.datasets, kind.__name__, type(kind.__name__, (kind,), changes)
        )
    return downloads


@pytest.mark.usefixtures("small_torchvision")
@pytest.mark.parametrize(
    ("fetch", "write", "n_classes", "name"),
    [
        (fetch_cifar10_tasks, write_cifar10, 10, "cifar-10-batches-py"),
        (fetch_cifar100_tasks, write_cifar100, 100, "cifar-100-python"),
    ],
)
def test_a_folder_in_the_layout_of_torchvision(tmp_path, fetch, write, n_classes, name):
    arrays = cifar_arrays(n_classes, 200, 100)
    write(tmp_path / "folder", arrays)
    np.savez(tmp_path / "c.npz", **arrays)
    for subset in ("train", "test"):
        expected = fetch(subset=subset, path=tmp_path / "c.npz", n_samples=90)
        for path in (tmp_path / "folder", str(tmp_path / "folder" / name)):
            found = fetch(subset=subset, path=path, n_samples=90)
            np.testing.assert_array_equal(found.data, expected.data)
            assert found.data.dtype == np.uint8
            assert found.target.equals(expected.target)
            np.testing.assert_array_equal(found.labels, expected.labels)


def test_downloads_once(tmp_path, small_torchvision):
    first = fetch_cifar10_tasks(data_home=tmp_path)
    assert small_torchvision == ["CIFAR10"]
    again = fetch_cifar10_tasks(data_home=tmp_path, download_if_missing=False)
    np.testing.assert_array_equal(first.data, again.data)
    assert fetch_cifar100_tasks(subset="test", data_home=tmp_path).target.shape == (100, 100)
    fetch_cifar10_tasks(data_home=tmp_path)
    assert small_torchvision == ["CIFAR10", "CIFAR100"]
    np.testing.assert_array_equal(
        first.data, cifar_arrays(10, 200, 100)["x_train"].transpose(0, 3, 1, 2)
    )


WAYS_10 = (
    "Give an .npz file (arrays x_train, y_train, x_test, y_test), or the folder that holds "
    "'cifar-10-batches-py', as 'path'; or let fetch_cifar10_tasks download CIFAR-10 through "
    "torchvision into 'data_home'."
)
WAYS_100 = (
    "Give an .npz file (arrays x_train, y_train_fine, x_test, y_test_fine), or the folder that "
    "holds 'cifar-100-python', as 'path'; or let fetch_cifar100_tasks download CIFAR-100 through "
    "torchvision into 'data_home'."
)


def test_what_is_not_there_is_refused(tmp_path, monkeypatch):
    home = tmp_path / "cifar10"
    with refuses(
        FileNotFoundError, f"CIFAR-10 is not in {home}, and download_if_missing=False. {WAYS_10}"
    ):
        fetch_cifar10_tasks(data_home=tmp_path, download_if_missing=False)
    for path in (tmp_path, tmp_path / "nowhere"):
        with refuses(
            FileNotFoundError,
            f"There is no CIFAR-100 at {path}: the folder 'cifar-100-python' is not there, or its "
            f"files are incomplete or damaged. {WAYS_100}",
        ):
            fetch_cifar100_tasks(path=path)

    def no_network(self):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", no_network)
    with refuses(
        OSError, f"CIFAR10 could not be downloaded to {home} (no route to host). {WAYS_10}"
    ):
        fetch_cifar10_tasks(data_home=tmp_path)


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_without_torchvision_a_file_does(cifar10, tmp_path, monkeypatch, how):
    path, arrays = cifar10
    if how == "missing":
        monkeypatch.setitem(sys.modules, "torchvision", None)
        reason = "import of torchvision halted; None in sys.modules"
    else:
        (tmp_path / "lib" / "torchvision").mkdir(parents=True)
        (tmp_path / "lib" / "torchvision" / "__init__.py").write_text(
            "raise RuntimeError('operator torchvision::nms does not exist')"
        )
        monkeypatch.syspath_prepend(tmp_path / "lib")
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            monkeypatch.delitem(sys.modules, name)
        reason = "operator torchvision::nms does not exist"
    with refuses(ImportError, f"torchvision could not be imported ({reason}). {WAYS_10}"):
        fetch_cifar10_tasks(data_home=tmp_path)
    np.testing.assert_array_equal(fetch_cifar10_tasks(path=path).labels, arrays["y_train"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": None},
            "it must hold the arrays x_train and y_train. Got x_train, x_test, y_test.",
        ),
        (
            {"x_train": np.zeros((60, 32, 32, 3))},
            "x_train must be of shape (n, 32, 32, 3) or (n, 3, 32, 32) and of type uint8. Got "
            "(60, 32, 32, 3) and float64.",
        ),
        (
            {"x_train": np.zeros((60, 28, 28), np.uint8)},
            "x_train must be of shape (n, 32, 32, 3) or (n, 3, 32, 32) and of type uint8. Got "
            "(60, 28, 28) and uint8.",
        ),
        (
            {"y_train": np.zeros(3, int)},
            "y_train must hold an int for each of the 60 images. Got shape (3,) of int64.",
        ),
        (
            {"y_train": np.zeros(60)},
            "y_train must hold an int for each of the 60 images. Got shape (60,) of float64.",
        ),
        ({"y_train": np.arange(60)}, "y_train must be in the range [0, 10). Got 0 to 59."),
        (
            {"class_names": CLASSES[::-1]},
            "its classes are not numbered as those of CIFAR-10.",
        ),
    ],
)
def test_what_is_not_cifar10_is_refused(tmp_path, changes, message):
    arrays = {**cifar_arrays(10), **changes}
    path = tmp_path / "other.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with refuses(ValueError, f"{path} is no file of CIFAR-10: {message}"):
        fetch_cifar10_tasks(path=path)


def test_wrong_parameters_are_refused(cifar10, tmp_path):
    path, _ = cifar10
    with refuses(ValueError, "The 'task_set' parameter must be 'G1' or 'G2'. Got 'G3'."):
        fetch_cifar10_tasks("G3", path=path)
    for fetch in (fetch_cifar10_tasks, fetch_cifar100_tasks):
        with refuses(ValueError, "The 'subset' parameter must be 'train' or 'test'. Got 'all'."):
            fetch(subset="all", path=path)
    with refuses(ValueError, "n_samples == 61, must be <= 60."):
        fetch_cifar10_tasks(path=path, n_samples=61)
    with refuses(ValueError, "n_samples == 0, must be >= 1."):
        fetch_cifar10_tasks(path=path, n_samples=0)
    text = tmp_path / "cifar10.txt"
    text.write_text("no archive")
    with refuses(ValueError, f"{text} is no file of CIFAR-10: it is not an .npz file. {WAYS_10}"):
        fetch_cifar10_tasks(path=text)


# -- CIFAR-100 ---------------------------------------------------------------------------------


def test_g3_has_its_superclasses(cifar100):
    path, arrays = cifar100
    tasks = fetch_cifar100_tasks(path=path)
    assert tasks.data.shape == (200, 3, 32, 32)
    assert tasks.data.dtype == np.uint8
    np.testing.assert_array_equal(tasks.target, np.eye(100)[arrays["y_train"]])
    assert tasks.task_names == tasks.target.columns.tolist() == sorted(tasks.task_names)
    assert tasks.superclass.shape == (100,)
    assert tasks.superclass_names == sorted(tasks.superclass_names)
    assert np.bincount(tasks.superclass).tolist() == [5] * 20
    people = tasks.superclass == tasks.superclass_names.index("people")
    assert np.array(tasks.task_names)[people].tolist() == ["baby", "boy", "girl", "man", "woman"]
    X, Y = fetch_cifar100_tasks(path=path, subset="test", n_samples=100, return_X_y=True)
    np.testing.assert_array_equal(X, arrays["x_test"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(Y, np.eye(100)[arrays["y_test"]])
    array = fetch_cifar100_tasks(path=path, as_frame=False).target
    np.testing.assert_array_equal(array, tasks.target)


def test_fine_labels_come_first_and_must_fit_the_coarse_ones(cifar100, tmp_path):
    path, arrays = cifar100
    tasks = fetch_cifar100_tasks(path=path)
    fine = arrays["y_train"]
    known = {
        "x_train": arrays["x_train"],
        "y_train": tasks.superclass[fine],  # as some files call the coarse ones
        "y_train_fine": fine,
        "y_train_coarse": tasks.superclass[fine].astype(np.uint8),
        "fine_names": tasks.task_names,
    }
    np.savez(tmp_path / "full.npz", **known)
    assert fetch_cifar100_tasks(path=tmp_path / "full.npz").target.equals(tasks.target)
    other = tmp_path / "other.npz"
    message = (
        f"{other} is no file of CIFAR-100: its classes are not numbered as those of CIFAR-100."
    )
    for key, value in {"y_train_coarse": fine % 20, "fine_names": ["apple"] * 100}.items():
        np.savez(other, **{**known, key: value})
        with refuses(ValueError, message):
            fetch_cifar100_tasks(path=other)
    np.savez(other, x_train=arrays["x_train"])
    with refuses(
        ValueError,
        f"{other} is no file of CIFAR-100: it must hold the arrays x_train and y_train_fine or "
        "y_train. Got x_train.",
    ):
        fetch_cifar100_tasks(path=other)


def test_classes_and_superclasses_are_the_published_ones(cifar100):
    file = SHARED / "cifar100" / "labels.npz"
    if not file.exists():
        pytest.skip("the labels of CIFAR-100 are not in ../shared/data/cifar100")
    tasks = fetch_cifar100_tasks(path=cifar100[0])
    with np.load(file) as published:
        assert tasks.task_names == published["fine_names"].tolist()
        assert tasks.superclass_names == published["coarse_names"].tolist()
        np.testing.assert_array_equal(tasks.superclass, published["fine_to_coarse"])
        for part in ("train", "test"):
            np.testing.assert_array_equal(
                tasks.superclass[published[f"y_{part}_fine"]], published[f"y_{part}_coarse"]
            )


def test_classes_of_cifar10_are_the_published_ones(cifar10):
    file = SHARED / "cifar10" / "labels.npz"
    if not file.exists():
        pytest.skip("the labels of CIFAR-10 are not in ../shared/data/cifar10")
    with np.load(file) as published:
        assert fetch_cifar10_tasks(path=cifar10[0]).task_names == published["class_names"].tolist()


@pytest.mark.parametrize("wrong", [3, b"a", ["a"], "", "a\0", 1.5])
@pytest.mark.parametrize("name", ["path", "data_home"])
def test_what_is_no_path_is_refused_by_fetchers(name, wrong):
    for fetch in (fetch_cifar10_tasks, fetch_cifar100_tasks, fetch_celeba_tasks):
        with pytest.raises((TypeError, ValueError), match=f"The '{name}' parameter must be a path"):
            fetch(**{name: wrong})


def test_an_npz_file_of_objects_is_named(tmp_path):
    file = tmp_path / "objects.npz"
    images = np.zeros((2, 32, 32, 3), np.uint8)
    np.savez(file, x_train=images, y_train=np.array([0, None], dtype=object))
    with pytest.raises(
        ValueError, match=r"objects\.npz is no file of CIFAR-10: it could not be read"
    ):
        fetch_cifar10_tasks(path=file)
