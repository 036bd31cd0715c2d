"""A results file that can no longer be written costs no trained fit."""

import errno
import os

import numpy as np
import pytest
from comparing import compare_given as compare
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from skgroup.exceptions import FileFormatError, NotWrittenWarning, TrainingInterruptedWarning
from skgroup.store import LineFile

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, :2] > 0).astype(int)
CANDIDATES = {"near": KNeighborsClassifier(3), "dummy": DummyClassifier()}


@pytest.fixture
def failing(monkeypatch):
    """Let some of the writes fail; the number of those that were tried."""
    append, tried = LineFile.append, []

    def fail(wrong, error):
        def maybe(self, record):
            tried.append(record)
            if len(tried) in wrong:
                raise error
            append(self, record)

        monkeypatch.setattr(LineFile, "append", maybe)
        return tried

    return fail


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("error", [FULL, OSError(errno.EACCES, "no"), FileFormatError("other")])
def test_a_full_disk_loses_no_fit_and_is_said(tmp_path, failing, error):
    path = tmp_path / "results"
    expected = compare(X, Y, CANDIDATES, seeds=3)
    failing(range(3, 99), error)
    with (
        pytest.warns(NotWrittenWarning, match="a fit is kept in memory alone"),
        pytest.warns(NotWrittenWarning, match=r"4 of 6 fits are in the comparison .* not in .*res"),
    ):
        found = compare(X, Y, CANDIDATES, seeds=3, results=path)
    np.testing.assert_array_equal(found.values, expected.values)
    assert not found.interrupted
    assert len(LineFile(path, "results of compare", 2).read()) == 2


def test_what_could_not_be_written_is_written_once_there_is_room(tmp_path, failing):
    path = tmp_path / "results"
    failing({2, 3}, FULL)
    with pytest.warns(NotWrittenWarning, match="a fit is kept in memory alone") as told:
        compare(X, Y, CANDIDATES, seeds=3, results=path)
    assert len([w for w in told if w.category is NotWrittenWarning]) == 1
    assert len(LineFile(path, "results of compare", 2).read()) == 6
    with open(path) as file:
        before = file.read()
    compare(X, Y, CANDIDATES, seeds=3, results=path)  # nothing is left to do
    assert path.read_text() == before


def test_an_interruption_while_a_fit_is_written_keeps_the_fit(tmp_path, failing):
    failing({2}, KeyboardInterrupt())
    with (
        pytest.warns(TrainingInterruptedWarning, match="after 2 of 6 fits"),
        pytest.warns(NotWrittenWarning, match="1 of 2 fits"),
    ):
        found = compare(X, Y, CANDIDATES, seeds=3, results=tmp_path / "results")
    assert found.interrupted
