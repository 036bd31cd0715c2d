"""Image files that are missing or damaged, and what names them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skorch.helper import SliceDataset
from torch.utils.data import Dataset, Subset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import ImageFiles
from skgroup.nn import SmallCNN

Y = np.tile([[0, 1], [1, 0], [1, 1], [0, 0]], (10, 1))


@pytest.fixture
def folder(tmp_path):
    for i in range(len(Y)):
        Image.new("RGB", (12, 12), (i, 0, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


@pytest.fixture
def images(folder):
    return ImageFiles([f"{i}.png" for i in range(len(Y))], folder=folder)


def no_training(*args, **kwargs):
    pytest.fail("a net was trained")


@pytest.mark.parametrize("kind", [MultiTaskNet, GroupedMTLClassifier])
def test_missing_files_are_named_before_training(images, folder, monkeypatch, kind):
    net = MultiTaskNet(SmallCNN, max_epochs=1)
    estimator = net if kind is MultiTaskNet else kind(net, n_groups=2)
    monkeypatch.setattr(MultiTaskNet, "train_step", no_training)
    for i in (3, 17, 21, 22):
        (folder / f"{i}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"4 of 40 images are not there: .*3\.png, .*17"):
        estimator.fit(images, Y)
    with pytest.raises(FileNotFoundError, match=r"1 of 4 images .*17\.png\."):
        estimator.fit(Subset(Subset(images, range(10, 20)), [7, 3, 2, 5]), Y[:4])


def test_images_that_are_not_taken_may_be_missing(images, folder):
    (folder / "39.png").unlink()
    half = MultiTaskNet(SmallCNN, max_epochs=1).fit(Subset(images, range(20)), Y[:20])
    with pytest.raises(FileNotFoundError, match=r"39\.png"):
        half.predict(images)
    with pytest.raises(FileNotFoundError, match=r"39\.png"):
        half.fit(SliceDataset(ImageFiles(images.files, Y, folder=folder)), Y)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_image_is_named_before_training(images, folder, monkeypatch, content):
    monkeypatch.setattr(MultiTaskNet, "train_step", no_training)
    path = folder / "39.png"
    path.write_bytes(path.read_bytes()[:45] if content is None else content)
    with pytest.raises(OSError, match=r"39\.png could not be read"):
        MultiTaskNet(SmallCNN, max_epochs=1).fit(images, Y)


def test_images_of_different_size_are_named_before_training(images, folder):
    Image.new("RGB", (9, 12)).save(folder / "39.png")
    with pytest.raises(ValueError, match=r"0\.png is \(3, 12, 12\), .*39\.png is \(3, 12, 9\)"):
        MultiTaskNet(SmallCNN, max_epochs=1).fit(images, Y)


def test_any_dataset_may_check_its_samples():
    class Own(Dataset):
        checked = ()

        def __len__(self):
            return 40

        def __getitem__(self, i):
            return torch.full((3,), float(i))

        def check_samples(self, samples=None):
            self.checked = (*self.checked, None if samples is None else samples.tolist())

    own = Own()
    MultiTaskNet(max_epochs=1).fit(own, Y)
    MultiTaskNet(max_epochs=1).fit(Subset(own, range(5, 15)), Y[:10])
    assert own.checked == (None, list(range(5, 15)))


def test_paths_of_any_kind(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for files, inside in [
        (["1.png"], folder),
        ([Path("1.png")], str(folder)),
        (np.array(["1.png"]), "~"),
        (["~/1.png"], ""),
        ([os.path.join(folder, "1.png")], "elsewhere"),
    ]:
        found = ImageFiles(files, folder=inside)
        found.check_samples()
        assert found[0][0, 0, 0] == 1


@pytest.mark.parametrize(
    "files",
    ["a.png", Path("a"), b"a", 3, None, [3], [None], [b"a"], [["a"]], [""], ["a", np.nan], ["a\0"]],
)
def test_what_is_no_file_name_is_refused(files):
    with pytest.raises(TypeError, match=r"The 'files' parameter of ImageFiles must be a seq.* Got"):
        ImageFiles(files)


@pytest.mark.parametrize("folder", [3, None, b"a", ["a"], "a\0"])
def test_what_is_no_folder_is_refused(folder):
    with pytest.raises((TypeError, ValueError), match=r"The 'folder' parameter of ImageFiles must"):
        ImageFiles(["a"], folder=folder)
