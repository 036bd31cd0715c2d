"""CelebA as tasks: from files, and through torchvision."""

import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reproducing import run
from sklearn.base import clone
from torch.utils.data import DataLoader

from benchmarks.stg_mtl_claims import result_file
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import ImageFiles, fetch_celeba_tasks, fetch_cifar10_tasks, make_label_tasks
from skgroup.nn import SmallCNN

pd = pytest.importorskip("pandas")
torchvision = pytest.importorskip("torchvision")


def refuses(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


ATTRIBUTES = [f"Attribute_{k}" for k in range(40)]


N_IMAGES = 24


@pytest.fixture(scope="session")
def celeba(tmp_path_factory):
    """A folder as torchvision has it, with images of one colour each, and their labels."""
    root = tmp_path_factory.mktemp("celeba_root")
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    labels = np.random.RandomState(0).randint(2, size=(N_IMAGES, 40))
    labels[:2] = [[0], [1]]
    names = [f"{i + 1:06d}.jpg" for i in range(N_IMAGES)]
    for i, name in enumerate(names):
        colour = (10 * i, 255 - 10 * i, 128)
        Image.new("RGB", (20, 26), colour).save(folder / "img_align_celeba" / name, quality=95)
    rows = [
        f"{name} {' '.join(f'{2 * v - 1:2d}' for v in row)}"
        for name, row in zip(names, labels, strict=True)
    ]
    (folder / "list_attr_celeba.txt").write_text(
        "\n".join([str(N_IMAGES), " ".join(ATTRIBUTES) + " ", *rows, ""])
    )
    parts = np.repeat([0, 1, 2], [16, 4, 4])
    (folder / "list_eval_partition.txt").write_text(
        "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    )
    return root, labels


def colours(dataset):
    """Which image each item is, by the red of its middle."""
    items = [dataset[i] for i in range(len(dataset))]
    images = [item[0] if isinstance(item, tuple) else item for item in items]
    return [round(image[0].float().mean().item() / 10) for image in images]


@pytest.mark.parametrize(
    ("subset", "inside"),
    [("train", range(16)), ("valid", range(16, 20)), ("test", range(20, 24)), ("all", range(24))],
)
def test_parts_of_celeba(celeba, subset, inside):
    root, labels = celeba
    tasks = fetch_celeba_tasks(subset=subset, path=root)
    assert tasks.task_names == tasks.target.columns.tolist() == ATTRIBUTES
    np.testing.assert_array_equal(tasks.target, labels[list(inside)])
    assert len(tasks.data) == len(inside)
    assert colours(tasks.data) == list(inside)
    X, Y = fetch_celeba_tasks(subset=subset, path=root / "celeba", return_X_y=True, as_frame=False)
    assert type(Y) is np.ndarray
    np.testing.assert_array_equal(Y, tasks.target)
    assert X.files.tolist() == tasks.data.files.tolist()


def test_items_of_celeba(celeba):
    root, labels = celeba
    dataset = fetch_celeba_tasks(path=root).data
    image, row = dataset[3]
    assert image.shape == (3, 26, 20)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert abs(image.float().mean(dim=(1, 2)) - torch.tensor([30.0, 225, 128])).max() < 3
    np.testing.assert_array_equal(row, labels[3])
    assert row.dtype == np.int64
    with pytest.raises(IndexError):
        dataset[16]


def test_some_images_of_celeba(celeba):
    root, labels = celeba
    seen = []
    for n_samples in (4, 9, 16):
        tasks = fetch_celeba_tasks(path=root, n_samples=n_samples)
        drawn = colours(tasks.data)
        assert drawn == sorted(set(drawn))
        np.testing.assert_array_equal(tasks.target, labels[drawn])
        seen.append(set(drawn))
    assert seen[0] < seen[1] < seen[2] == set(range(16))
    other = fetch_celeba_tasks(path=root, n_samples=9, random_state=1)
    assert set(colours(other.data)) != seen[1]
    with refuses(ValueError, "n_samples == 17, must be <= 16."):
        fetch_celeba_tasks(path=root, n_samples=17)


def test_labels_cost_no_image(celeba, monkeypatch):
    root, labels = celeba
    monkeypatch.setattr(ImageFiles, "read", None)
    np.testing.assert_array_equal(fetch_celeba_tasks(path=root).target, labels[:16])


class Dimmer:
    def __call__(self, image):
        return image // 2


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("options", [{}, {"iterator_train__num_workers": 1}])
def test_a_net_learns_celeba(celeba, options):
    root, _ = celeba
    X, Y = fetch_celeba_tasks(path=root, image_size=12, transform=Dimmer(), return_X_y=True)
    arrays = np.stack([X[i][0].numpy() for i in range(len(X))])
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=2, batch_size=8, random_state=0)
    net.set_params(module__dropout=0, iterator_train__shuffle=False, **options)
    expected = clone(net).fit(arrays, Y.to_numpy()).predict_proba(arrays)
    for inputs in ((X, Y), (X,)):
        fitted = clone(net).fit(*inputs)
        np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-5)
    assert clone(net).fit(X, Y).task_names_in_.tolist() == ATTRIBUTES


def test_survives_pickle_and_workers(celeba):
    root, labels = celeba
    dataset = fetch_celeba_tasks(path=root, image_size=(10, 8), transform=Dimmer()).data
    again = pickle.loads(pickle.dumps(dataset))
    assert len(again) == 16
    for loader in (DataLoader(again, batch_size=6), DataLoader(again, 6, num_workers=1)):
        batches = list(loader)
        images, rows = (torch.cat(part) for part in zip(*batches, strict=True))
        assert torch.equal(images, torch.stack([dataset[i][0] for i in range(16)]))
        assert images.shape == (16, 3, 10, 8)
        assert images.dtype == torch.uint8
        np.testing.assert_array_equal(rows, labels[:16])


def test_the_table_can_be_changed_without_the_dataset(celeba):
    root, labels = celeba
    X, Y = fetch_celeba_tasks(path=root, return_X_y=True, as_frame=False)
    Y[:] = 7
    np.testing.assert_array_equal(X[5][1], labels[5])


def test_a_relative_folder_outlives_the_working_folder(celeba, tmp_path, monkeypatch):
    monkeypatch.chdir(celeba[0])
    dataset = fetch_celeba_tasks(path="celeba").data
    monkeypatch.chdir(tmp_path)
    assert colours(dataset) == list(range(16))


def test_celeba_from_data_home(celeba, tmp_path, monkeypatch):
    root, labels = celeba
    home = tmp_path / "celeba"
    ways = (
        "Give the folder that holds 'celeba' (or that folder itself) with list_attr_celeba.txt, "
        "list_eval_partition.txt and img_align_celeba/ as 'path', or let fetch_celeba_tasks "
        "download CelebA through torchvision, which needs the package gdown for it, into "
        "'data_home'."
    )
    with refuses(
        FileNotFoundError, f"CelebA is not in {home}, and download_if_missing=False. {ways}"
    ):
        fetch_celeba_tasks(data_home=tmp_path, download_if_missing=False)
    with refuses(FileNotFoundError, f"There is no CelebA at {tmp_path}. {ways}"):
        fetch_celeba_tasks(path=tmp_path)

    def no_gdown(self):
        raise RuntimeError("'gdown' is required.")

    monkeypatch.setattr(torchvision.datasets.CelebA, "download", no_gdown)
    with refuses(
        OSError, f"CelebA could not be downloaded to {home / 'part'} ('gdown' is required.). {ways}"
    ):
        fetch_celeba_tasks(data_home=tmp_path)
    downloads = []

    class Downloaded:
        def __init__(self, folder, download):
            assert download
            downloads.append(folder)
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / "celeba").symlink_to(root / "celeba")

    monkeypatch.setattr(torchvision.datasets, "CelebA", Downloaded)
    for _ in range(2):
        tasks = fetch_celeba_tasks(data_home=tmp_path)
        np.testing.assert_array_equal(tasks.target, labels[:16])
    assert downloads == [home / "part"]
    # What is there needs no torchvision.
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert colours(fetch_celeba_tasks(data_home=tmp_path).data) == list(range(16))


def test_celeba_that_broke_off_while_it_was_unpacked_is_not_taken(celeba, tmp_path, monkeypatch):
    breaks = [True]

    class Downloaded:
        def __init__(self, folder, download):
            images = Path(folder) / "celeba" / "img_align_celeba"
            assert not images.exists()  # torchvision would take it for whole
            shutil.copytree(celeba[0] / "celeba", images.parent, dirs_exist_ok=True)
            if breaks:
                (images / "000021.jpg").write_bytes(b"half")
                raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.datasets, "CelebA", Downloaded)
    with pytest.raises(KeyboardInterrupt):
        fetch_celeba_tasks(data_home=tmp_path)
    with pytest.raises(FileNotFoundError, match="CelebA is not in"):
        fetch_celeba_tasks(data_home=tmp_path, download_if_missing=False)
    breaks.clear()
    fetch_celeba_tasks(data_home=tmp_path, subset="all").data.check_samples()
    shutil.rmtree(tmp_path / "celeba" / "celeba" / "img_align_celeba")
    with pytest.raises(FileExistsError, match=r"celeba is incomplete\. Move it away"):
        fetch_celeba_tasks(data_home=tmp_path)


def test_a_damaged_file_of_torchvision_is_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"half")
    with pytest.raises(FileNotFoundError, match="incomplete or damaged"):
        fetch_cifar10_tasks(path=tmp_path)


@pytest.fixture
def own_celeba(celeba, tmp_path):
    """A copy of the lists, to be spoilt; no images."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (folder / name).write_text((celeba[0] / "celeba" / name).read_text())
    return folder


def test_missing_images_are_said_before_training(own_celeba):
    images = own_celeba / "img_align_celeba"
    with refuses(
        FileNotFoundError,
        f"16 of 16 images are not in {images}, 000001.jpg among them. Were all images unpacked?",
    ):
        fetch_celeba_tasks(path=own_celeba)
    (images / "000021.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"^3 of 4 images .*, 000022\.jpg among them"):
        fetch_celeba_tasks(path=own_celeba, subset="test")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "list_attr_celeba.txt",
            "Attribute_7 ",
            "",
            "{file} is no file of CelebA, which has 40 attributes. Got 39.",
        ),
        (
            "list_attr_celeba.txt",
            "000001.jpg -1",
            "000001.jpg  0",
            "{file} must hold -1 and 1. Got [-1, 0, 1].",
        ),
        (
            "list_eval_partition.txt",
            "000003.jpg 0",
            "000003.jpg 3",
            "{file} must hold 0, 1 and 2. Got [0, 1, 2, 3].",
        ),
        (
            "list_eval_partition.txt",
            "000003.jpg 0\n",
            "",
            "list_attr_celeba.txt and list_eval_partition.txt in {folder} must list the same "
            "images.",
        ),
    ],
)
def test_what_is_not_celeba_is_refused(own_celeba, name, old, new, message):
    file = own_celeba / name
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    with refuses(ValueError, message.format(file=file, folder=own_celeba)):
        fetch_celeba_tasks(path=own_celeba)


def test_what_is_no_list_of_celeba_is_refused(own_celeba):
    file = own_celeba / "list_attr_celeba.txt"
    file.write_text(file.read_text().replace("000005.jpg -1", "000005.jpg"))
    file.write_text(file.read_text().replace("000005.jpg  1", "000005.jpg"))
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))} is no file of CelebA \\(.*row"):
        fetch_celeba_tasks(path=own_celeba)
    with refuses(
        ValueError,
        "The 'subset' parameter must be 'train', 'valid', 'test' or 'all'. Got 'val'.",
    ):
        fetch_celeba_tasks(subset="val", path=own_celeba)


def test_a_part_without_images_is_refused(own_celeba):
    file = own_celeba / "list_eval_partition.txt"
    file.write_text(file.read_text().replace(".jpg 1", ".jpg 2"))
    with refuses(ValueError, f"{file} lists no image of the subset 'valid'."):
        fetch_celeba_tasks(subset="valid", path=own_celeba)


def test_image_files_without_labels(celeba):
    root, labels = celeba
    files = sorted((root / "celeba" / "img_align_celeba").iterdir())
    dataset = ImageFiles(files, image_size=12)
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1, random_state=0).fit(dataset, labels)
    with_labels = ImageFiles(files, labels[:, 0], image_size=12)
    assert with_labels[1][1] == labels[1, 0]
    np.testing.assert_array_equal(net.predict(with_labels), net.predict(dataset))
    with pytest.raises(ValueError, match=r"pairs \(x, labels\)\. Got a ImageFiles whose first"):
        MultiTaskNet.stg_mtl(SmallCNN).fit(dataset)
    tasks = GroupedMTLClassifier(MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1), n_groups=2)
    both = ImageFiles(files, labels[:, :2], image_size=12)
    assert tasks.fit(both).predict(dataset).shape == (N_IMAGES, 2)


def test_own_image_classes_as_tasks(celeba):
    root, _ = celeba
    files = sorted((root / "celeba" / "img_align_celeba").iterdir())
    kinds = [["red", "green", "blue"][i % 3] for i in range(N_IMAGES)]
    tasks = make_label_tasks(kinds, n_random=1, as_frame=True)
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1).fit(
        ImageFiles(files, image_size=12), tasks.target
    )
    assert net.task_names_in_.tolist() == ["blue", "green", "red", "random"]


def test_the_benchmark_runs_on_a_folder_of_celeba(celeba, tmp_path, monkeypatch, capsys):
    results = tmp_path / "r.jsonl"
    options = ["--task-set", "G4", "--data", celeba[0], "--results", results, "--device", "cpu"]
    options += ["--image-size", 32, "--n-train", 16, "--n-scored", 8, "--n-test", 4, "--seeds", 0]
    options += ["--epochs", 2, "--n-clusters", 3, "--ways", "grouped", "ensemble"]
    run(monkeypatch, *options)
    assert "| grouped, 3 |" in capsys.readouterr().out
    lines = result_file(results).read()
    assert [line["nets"] for line in lines if line["kind"] == "scores"] == [1, 4, 4, 4, 4, 4]
    (groups,) = [line for line in lines if line["kind"] == "groups"]
    assert groups["names"] == ATTRIBUTES
    assert np.shape(groups["membership"]) == (40, 3)
