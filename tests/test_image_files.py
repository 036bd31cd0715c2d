"""Image files: how they are read, and what names those that are missing or damaged."""

import os
import re
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
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1)
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
    half = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1).fit(Subset(images, range(20)), Y[:20])
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
        MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1).fit(images, Y)


def test_images_of_different_size_are_named_before_training(images, folder):
    Image.new("RGB", (9, 12)).save(folder / "39.png")
    with pytest.raises(ValueError, match=r"0\.png is \(3, 12, 12\), .*39\.png is \(3, 12, 9\)"):
        MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1).fit(images, Y)


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
    MultiTaskNet.stg_mtl(max_epochs=1).fit(own, Y)
    MultiTaskNet.stg_mtl(max_epochs=1).fit(Subset(own, range(5, 15)), Y[:10])
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


def refuses(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_image_files_are_cut_in_the_middle_and_resized(tmp_path):
    pixels = np.zeros((8, 20, 3), np.uint8)
    pixels[:, :6], pixels[:, 6:14], pixels[:, 14:] = 0, 100, 250
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)[..., 0]).save(tmp_path / "tall grey.png")
    for name in ("wide.png", "tall grey.png"):
        image = ImageFiles([name], folder=tmp_path, image_size=8)[0]
        assert torch.equal(image, torch.full((3, 8, 8), 100, dtype=torch.uint8))
    whole = ImageFiles(["wide.png", "tall grey.png"], folder=tmp_path)
    np.testing.assert_array_equal(whole[0], pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(whole[1], pixels.transpose(2, 1, 0))
    assert ImageFiles(["wide.png"], folder=tmp_path, image_size=(4, 10))[0].shape == (3, 4, 10)


@pytest.mark.parametrize(
    ("size", "mean_difference"),
    [
        ((64, 64), 1),  # decoded at half of its size
        ((109, 89), 1),
        ((100, 89), 1),
        ((110, 89), 1),
        ((218, 100), 1),
        ((300, 200), 1),
        ((20, 30), 5),  # at a quarter, 44.5 pixels wide
    ],
)
def test_photographs_are_resized_as_a_whole(tmp_path, size, mean_difference):
    """However the file is decoded, the result is that of resizing all of its pixels."""
    coarse = np.random.RandomState(0).randint(256, size=(9, 7, 3)).astype(np.uint8)
    photograph = Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "a.jpg", quality=95)
    image = ImageFiles(["a.jpg"], folder=tmp_path, image_size=size)[0]
    # The part in the middle with the ratio wanted, by hand.
    height, width = size
    kept = min(178 / width, 218 / height)
    left, top = (178 - kept * width) / 2, (218 - kept * height) / 2
    box = (left, top, 178 - left, 218 - top)
    expected = photograph.resize((width, height), Image.Resampling.BILINEAR, box=box)
    expected = np.asarray(expected, dtype=float).transpose(2, 0, 1)
    assert image.shape == expected.shape
    assert abs(image.numpy() - expected).mean() < mean_difference


def test_wrong_image_files_are_refused(tmp_path):
    with refuses(ValueError, "files and labels must be of equal number. Got 2 and 1."):
        ImageFiles(["a", "b"], [[0, 1]])
    for size in (0, -3, 2.5, (4, 0), (1, 2, 3), "big", True):
        with refuses(
            ValueError,
            "The 'image_size' parameter must be a positive int, two of them (height, width), or "
            f"None. Got {size!r}.",
        ):
            ImageFiles(["a"], image_size=size)
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (90, 90)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:700])
    files = ImageFiles(["text.jpg", "cut.jpg", "none.jpg"], folder=tmp_path)
    for i, name in enumerate(["text.jpg", "cut.jpg"]):
        file = tmp_path / name
        with pytest.raises(OSError, match=f"^{re.escape(str(file))} could not be read \\(.+\\)."):
            files[i]
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        files[2]


def test_photographs_are_turned_as_they_say(tmp_path):
    photo = Image.new("RGB", (20, 10))
    exif = photo.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    photo.save(tmp_path / "photo.jpg", exif=exif)
    assert ImageFiles([str(tmp_path / "photo.jpg")])[0].shape == (3, 20, 10)
    with pytest.raises(TypeError, match="must be a sequence of file names"):
        ImageFiles("photo.jpg")
    with pytest.raises(ValueError, match="'transform' parameter must be a callable"):
        ImageFiles(["photo.jpg"], transform=3)
