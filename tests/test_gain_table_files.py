"""Tables of gains that others published, read from their files."""

import re

import numpy as np
import pytest

from skgroup.exceptions import FileFormatError
from skgroup.selection import GroupSelector, HigherOrderApproximation, read_gain_tables

MASKS = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
GAINS = np.array([[0, np.nan], [np.nan, 0], [0.25, -0.5]])


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


@pytest.mark.parametrize(
    "gains",
    [
        "0 0\n0 0\n0.25 -0.5\n",
        "0.0,NaN\r\nnan,0.0\r\n 0.25, -5e-1",
        "0,\n,0\n\n.25,-.5\n\n",
        "0\t9\n9\t0\n0.25  -0.5\n",
        b"\xef\xbb\xbf0,9\n9,0\n0.25,-0.5\n",
    ],
    ids=["spaces", "commas", "blanks between commas", "tabs", "byte order mark"],
)
@pytest.mark.parametrize("masks", ["1,0\n0,1\n1,1\n", "1 0\n0 1\n1 1"])
def test_separators_do_not_matter_and_what_absent_tasks_have_is_not_looked_at(files, masks, gains):
    folder = files(x=masks, y=gains)
    tables = read_gain_tables(folder / "x", validation=str(folder / "y"))
    assert set(tables) == {"masks", "validation"}
    assert tables.masks.dtype == bool
    np.testing.assert_array_equal(tables.masks, MASKS)
    np.testing.assert_array_equal(tables.validation, GAINS)


def test_predictors_and_selectors_take_what_was_read(files):
    folder = files(x="1,0\n0,1\n1,1\n", val="0 0\n0 0\n.25 -.5\n", test="0 0\n0 0\n.5 -.25\n")
    tables = read_gain_tables(folder / "x", validation=folder / "val", test=folder / "test")
    hoa = HigherOrderApproximation().fit(tables.masks, tables.validation)
    assert hoa.score(tables.masks, tables.validation) == 1
    chosen = GroupSelector(2).fit(tables.test, masks=tables.masks)
    assert sorted(group.tolist() for group in chosen.groups_) == [[0, 1], [1]]


@pytest.mark.parametrize(
    ("wrong", "text", "message"),
    [
        ("x", "a b\n1 0\n", "could not convert string 'a' to float64 at row 0, column 1"),
        ("x", "1 0\n0 2\n1 1\n", "masks must hold 0 and 1 (or bools). Got 2.0"),
        ("x", "1 0\n0 0\n1 1\n", "masks must have no empty group. Got row 1"),
        ("x", "\n \n", "it is empty"),
        ("x", b"\xff\xfe\x00", "can't decode byte"),
        ("y", "0 0\n0 0\n0.25\n", "the number of columns changed from 2 to 1 at row 3"),
        ("y", "0 0\n0 0\n", "gains must be of the shape of masks, (3, 2). Got shape (2, 2)"),
        ("y", "0,0\n0,0\n.1,\n", "finite where masks has a task. Got nan for task 1 in row 2"),
        ("y", "0;0\n0;0\n.1;.2\n", "could not convert string '0;0'"),
    ],
)
def test_files_that_are_no_tables_are_named(files, wrong, text, message):
    folder = files(**{"x": "1,0\n0,1\n1,1\n", "y": "0 0\n0 0\n.25 -.5\n", wrong: text})
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        read_gain_tables(folder / "x", test=folder / "y")
    assert str(caught.value).startswith(str(folder / wrong))


def test_a_path_that_leads_to_no_file_is_refused(files):
    folder = files(x="1,0\n0,1\n1,1\n")
    with pytest.raises(FileNotFoundError):
        read_gain_tables(folder / "x", test=folder / "y")
    with pytest.raises(FileFormatError, match="is a folder"):
        read_gain_tables(folder)
    with pytest.raises(TypeError, match="A path of read_gain_tables must be a path"):
        read_gain_tables(folder / "x", test=[[0, 0]])
