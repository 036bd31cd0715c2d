"""Files that several write, that break off, and that hold something else."""

import errno
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from skgroup.ensemble import GroupedMTLClassifier
from skgroup.exceptions import FileFormatError
from skgroup.store import LineFile, key_of, load_arrays, path_of, replaced_file, save_arrays

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX")


def lines_of(path):
    return LineFile(path, "notes", 1)


def records(path):
    return [record for _, record in lines_of(path).read()]


def kept(path):
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


# -- lines -------------------------------------------------------------------------------------


def test_records_come_back_in_order(tmp_path):
    path = tmp_path / "lines"
    assert records(path) == []
    assert not path.exists()  # reading makes no file
    for k in range(3):
        lines_of(path).append({"k": k, "text": "ü\n"})
    assert records(path) == [{"k": k, "text": "ü\n"} for k in range(3)]
    assert json.loads(path.read_text().splitlines()[0]) == {"skgroup": "notes", "version": 1}


def test_an_empty_file_is_new(tmp_path):
    path = tmp_path / "lines"
    path.touch()
    assert records(path) == []
    lines_of(path).begin()
    lines_of(path).append({"k": 0})
    assert records(path) == [{"k": 0}]


@pytest.mark.parametrize("cut", range(1, 80))
def test_wherever_a_kill_cuts_it_off_the_file_goes_on(tmp_path, cut):
    path = tmp_path / "lines"
    for k in range(3):
        lines_of(path).append({"k": k, "inner": {"a": 1}})
    whole = path.read_bytes()
    content = whole[: len(whole) - cut]
    if content and len(content) < 12:
        return  # one byte alone may be of any file
    path.write_bytes(content)
    before = records(path)
    lines_of(path).append({"k": 9})
    assert records(path) == [*before, {"k": 9}]
    assert path.read_bytes().startswith(content)
    lines_of(path).append({"k": 10})
    assert records(path) == [*before, {"k": 9}, {"k": 10}]


def write_many(path, writer, n):
    for k in range(n):
        lines_of(path).read()
        lines_of(path).append({"writer": writer, "k": k, "text": "x" * 200})


def test_processes_that_write_one_file_lose_nothing(tmp_path):
    path = tmp_path / "lines"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, w, 60)) for w in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = records(path)
    for w in range(2):
        assert [r["k"] for r in found if r["writer"] == w] == list(range(60))
    assert len(path.read_text().splitlines()) == 121


def test_what_is_added_while_a_file_is_opened_stays(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    first = lines_of(path)
    first.append({"k": 0})
    read = LineFile._record

    def add_meanwhile(self, line, number):
        monkeypatch.setattr(LineFile, "_record", read)
        first.append({"k": 1})
        return read(self, line, number)

    monkeypatch.setattr(LineFile, "_record", add_meanwhile)
    lines_of(path).read()
    assert kept(path) == [{"k": 0}, {"k": 1}]


FULL = """
import resource, sys
from pathlib import Path
from skgroup.store import LineFile

path = Path(sys.argv[1])
lines = LineFile(path, "notes", 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    for k in range(10):
        lines.append({"k": k, "text": "x" * 50})
except OSError as error:
    print(error)
"""


@posix
@pytest.mark.parametrize("room", [20, 300])
def test_a_disk_that_is_full_leaves_what_was_there(tmp_path, room):
    path = tmp_path / "lines"
    run = [sys.executable, "-c", FULL, path, str(room)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert f"{path} could not be written" in done.stdout
    found = records(path)
    assert len(found) == (room - 38) // 75 if room > 38 else not found
    lines_of(path).append({"k": "later"})
    assert records(path) == [*found, {"k": "later"}]


def test_a_disk_that_fails_once_more_leaves_a_file_that_is_readable(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    lines_of(path).append({"k": 0})
    write = os.write

    def full(handle, data):
        if len(data) < 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[: len(data) - 4])

    def fail(*args):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(OSError, match="lines could not be written") as raised:
        lines_of(path).append({"k": 1})
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert records(path) == [{"k": 0}]
    lines_of(path).append({"k": 2})
    assert records(path) == [{"k": 0}, {"k": 2}]


def test_what_is_no_file_is_refused_at_once(tmp_path):
    paths = [tmp_path]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        paths += [tmp_path / "pipe", tmp_path / "null"]
        (tmp_path / "null").symlink_to("/dev/null")
    for path in paths:
        for act in (lines_of(path).read, lines_of(path).begin, lambda p=path: save(p)):
            with pytest.raises(FileFormatError, match=r"is (a folder|no regular file)\."):
                act()


@pytest.mark.parametrize("content", [b"text", b"{}\n", b"\xff\xfe", b'{"skgroup": "gains"}\n'])
def test_a_file_of_others_is_not_touched_by_adding(tmp_path, content):
    path = tmp_path / "lines"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"lines holds something else, and stays"):
        lines_of(path).append({"k": 0})
    assert path.read_bytes() == content


# -- whole files -------------------------------------------------------------------------------


def save(path, value=0.0):
    save_arrays(path, "table", 1, {"a": np.full(50, value), "b": np.array(["x", "y"])})


def test_arrays_come_back(tmp_path):
    save(tmp_path / "t", 2.0)
    found = load_arrays(tmp_path / "t", "table", 1)
    assert sorted(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], np.full(50, 2.0))
    for kind, version in (("other", 1), ("table", 2)):
        with pytest.raises(FileFormatError, match=f"must hold {kind} of version {version}"):
            load_arrays(tmp_path / "t", kind, version)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError])
def test_an_old_file_survives_whatever_ends_the_writing_of_the_new(tmp_path, error):
    path = tmp_path / "t"
    path.write_text("old")

    def write():
        with replaced_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error) if isinstance(error, BaseException) else error):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t"]


@posix
def test_a_replaced_file_keeps_its_mode_and_links(tmp_path):
    path = tmp_path / "t"
    save(path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    save(tmp_path / "link", 1.0)
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load_arrays(path, "table", 1)["a"][0] == 1.0


def test_a_damaged_file_raises_one_error_that_names_it(tmp_path):
    path = tmp_path / "t"
    save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(FileFormatError, match=r"/t holds no table|/t must hold"):
            load_arrays(path, "table", 1)
    for _ in range(200):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 + rng.integers(255, dtype=np.uint8)
        path.write_bytes(changed)
        try:
            found = load_arrays(path, "table", 1)
        except FileFormatError:
            continue
        assert set(found) <= {"a", "b"}  # what zip does not look at


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "t"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(FileFormatError, match="holds no table"):
        load_arrays(path, "table", 1)
    np.save(tmp_path / "n.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match="holds no table"):
        load_arrays(tmp_path / "n.npy", "table", 1)
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none", "table", 1)


@pytest.mark.parametrize("path", [3, None, b"a", ["a"], "", "a\0", True, 1.5])
def test_what_is_no_path_is_refused_by_name(path):
    with pytest.raises((TypeError, ValueError), match=r"The 'p' parameter must be a path.*Got"):
        path_of(path, "The 'p' parameter")


def test_rows_of_parameters_are_told_apart_by_their_names():
    pd = pytest.importorskip("pandas")
    kinds = [pd.Series(["x", "y"], index=names) for names in (["a", "b"], ["b", "a"])]
    tables = [pd.DataFrame(np.eye(2), index=names) for names in (["a", "b"], ["b", "a"])]
    lists = [{"x": pd.Index(["a"]), "y": pd.Index(["b"])}, {"x": pd.Index(["b"])}]
    given = [*kinds, *tables, *lists]
    keys = [key_of(GroupedMTLClassifier(grouper=grouper)) for grouper in given]
    assert len({*keys}) == len(given)
    assert keys[0] == key_of(GroupedMTLClassifier(grouper=kinds[0].copy()))
    assert key_of(kinds[0]) == key_of(kinds[1])  # of rows of data, positions count


def test_datasets_are_told_apart_by_every_sample():
    X = torch.arange(40.0).reshape(10, 4)
    other = X.clone()
    other[5] += 1
    assert key_of(TensorDataset(X)) == key_of(TensorDataset(X.clone()))
    assert key_of(TensorDataset(X)) != key_of(TensorDataset(other))
