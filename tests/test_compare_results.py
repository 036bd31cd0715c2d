import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from comparing import Counted, cheap, compare_given, make_data
from joblib import parallel_config
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skgroup import MultiTaskNet
from skgroup.exceptions import FileFormatError, TrainingInterruptedWarning
from skgroup.nn import MLP
from skgroup.store import key_of

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


def test_one_failing_candidate_loses_nothing_of_the_others(data):
    X, Y = data
    candidates = {"near": cheap()["near"], "bad": Counted(fails=[2])}
    with pytest.warns(FitFailedWarning, match="'bad' failed in fold 0 of seed 1.*fit 2 went wrong"):
        found = compare_given(X, Y, candidates, seeds=3)
    assert np.isfinite(found.values[0]).all()
    assert np.isnan(found.values[1, 1]).all()
    assert np.isfinite(found.values[1, [0, 2]]).all()
    assert found.errors == {("bad", 1, 0): "RuntimeError: fit 2 went wrong"}
    assert found.fits["error"].notna().sum() == 1
    assert found.frame.loc[("bad", "mean over tasks"), "n_splits"] == 2
    assert "“bad” failed in 1 of 3 fits, first with RuntimeError" in repr(found)
    Counted.fits = 0
    with pytest.raises(RuntimeError, match="fit 2 went wrong"):
        compare_given(X, Y, candidates, seeds=3, error_score="raise")


def test_the_table_holds_what_is_printed(data):
    found = compare_given(*data, cheap(), seeds=2)
    table = found.table
    assert [row[0].removesuffix(" *") for row in table.rows] == found.candidates
    assert repr(found).startswith(table.title)
    for cell in [cell for row in [table.head, *table.rows] for cell in row] + table.notes:
        assert cell in repr(found)


def test_an_error_where_all_fail(data):
    Counted.fits = 0
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match=r"All 2 fits of the comparison failed.*1 went wrong"),
    ):
        compare_given(*data, {"bad": Counted(fails=[1, 2])}, seeds=2)


def test_an_interruption_keeps_what_is_finished(data):
    candidates = {"near": cheap()["near"], "zero": Counted(interrupted=[3])}
    with pytest.warns(TrainingInterruptedWarning, match="interrupted after 5 of 10 fits"):
        found = compare_given(*data, candidates, seeds=5)
    assert found.interrupted
    assert "Interrupted after 5 of 10 fits." in repr(found)
    assert "Scores are of the splits that each has finished" in repr(found)
    assert found.verdict.startswith("After 5 of 10 fits: ")
    assert np.isfinite(found.seconds).sum(axis=1).tolist() == [3, 2]
    assert len(found.scores) == 5 * 4
    assert len(found.fits) == 5


class Quick(Counted):
    predicted = threading.Event()

    def fit(self, X, y):  # uncounted, as threads of the interrupted call may go on
        self.shape_ = np.shape(y)[1:]
        return self

    def predict(self, X):
        found = super().predict(X)
        Quick.predicted.set()
        return found


class Interrupted(Counted):
    def fit(self, X, y):
        assert Quick.predicted.wait(60)  # the others have begun
        time.sleep(0.5)
        raise KeyboardInterrupt


def test_an_interruption_among_several_at_a_time(data):
    Quick.predicted.clear()
    before = set(threading.enumerate())
    candidates = {"quick": Quick(), "stop": Interrupted()}
    with (
        pytest.warns(TrainingInterruptedWarning, match="interrupted after .* of 40 fits"),
        parallel_config("threading"),
    ):
        found = compare_given(*data, candidates, seeds=20, n_jobs=2)
    assert np.isfinite(found.values[0]).any()
    assert np.isnan(found.values[1]).all()
    # Threads cannot be stopped: what still runs would disturb the warnings of later tests.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)


def test_an_interruption_before_the_first_fit_is_passed_on(data):
    with pytest.raises(KeyboardInterrupt):
        compare_given(*data, {"zero": Counted(interrupted=[1])})


class Impatient(Callback):
    """Presses Ctrl-C in the second epoch of the second training."""

    trainings = 0

    def on_train_begin(self, net, **kwargs):
        Impatient.trainings += 1

    def on_epoch_begin(self, net, **kwargs):
        if Impatient.trainings == 2 and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)  # one raised here would end training normally


@pytest.mark.parametrize("searched", [False, True])
def test_a_net_that_was_cut_short_does_not_count(data, small_net, tmp_path, searched):
    Impatient.trainings = 0
    net = small_net.set_params(callbacks=[Impatient()])
    candidate = GridSearchCV(net, {"lr": [0.01]}, cv=2, scoring="f1_macro") if searched else net
    candidates = {"near": cheap()["near"], "net": candidate}
    path = tmp_path / "fits"
    with pytest.warns(TrainingInterruptedWarning, match="comparison was interrupted"):
        found = compare_given(*data, candidates, seeds=3, results=path)
    assert np.isfinite(found.seconds).sum(axis=1).tolist() == ([1, 0] if searched else [2, 1])
    _, *lines = path.read_text().splitlines()
    assert len(lines) == np.isfinite(found.seconds).sum()


def test_a_second_call_goes_on_where_the_first_stopped(data, tmp_path):
    X, Y = data
    path = tmp_path / "fits.jsonl"
    with pytest.warns(TrainingInterruptedWarning):
        compare_given(
            X, Y, {"a": Counted(), "b": Counted(1, interrupted=[6])}, seeds=4, results=path
        )
    assert Counted.fits == 6
    Counted.fits = 100
    candidates = {"a": Counted(), "b": Counted(1, interrupted=[6])}
    found = compare_given(X, Y, candidates, seeds=4, results=path)
    assert Counted.fits == 103
    assert not found.interrupted
    fresh = compare_given(X, Y, {"a": Counted(), "b": Counted(1)}, seeds=4)
    np.testing.assert_array_equal(found.values, fresh.values)
    assert np.isfinite(found.seconds).all()

    def fits(candidates, X=X, Y=Y, **params):
        Counted.fits = 200
        compare_given(X, Y, candidates, **{"seeds": 4, "results": path, **params})
        return Counted.fits - 200

    assert fits(candidates) == 0
    assert fits({"b": candidates["b"]}) == 0
    assert fits({"other name": Counted(verbose=1)}) == 0  # shows more, learns the same
    assert fits({"a": Counted(random_state=9)}) == 0  # which the seed sets
    assert fits(candidates, seeds=5) == 2
    assert fits({"a": Counted(fails=[1])}) == 4  # another candidate
    assert fits(candidates, X=X + 1e-9) == 8
    changed = Y.copy()
    changed[0, 0] = 1 - changed[0, 0]
    assert fits(candidates, Y=changed) == 8
    assert fits(candidates, scoring="accuracy") == 8
    assert fits(candidates, scoring=lambda e, X, y: np.mean(e.predict(X) == y)) == 8
    assert fits(candidates, scoring=lambda e, X, y: np.mean(e.predict(X) != y)) == 8
    assert fits(candidates, cv=2) == 16


def test_a_line_that_was_cut_off_is_written_again(data, tmp_path):
    path = tmp_path / "fits"
    compare_given(*data, {"a": Counted()}, seeds=3, results=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    Counted.fits = 0
    compare_given(*data, {"a": Counted()}, seeds=3, results=path)
    assert Counted.fits == 1
    assert path.read_bytes().startswith(whole[:-20] + b"\n")  # nothing is taken away
    Counted.fits = 0
    compare_given(*data, {"a": Counted()}, seeds=3, results=path)
    assert Counted.fits == 0

    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n")
    with pytest.raises(ValueError, match="The 'results' parameter of compare must be the path"):
        compare_given(*data, {"a": Counted()}, results=notes)
    assert notes.read_text() == "my notes\n"
    with pytest.raises(OSError, match="No such file"):
        compare_given(*data, {"a": Counted()}, results=tmp_path / "no" / "folder")
    assert Counted.fits == 0


HEADER = b'{"skgroup": "results of compare", "version": 2}\n'


RECORD = b'{"key": "k", "scores": {"F1": [0.5]}, "seconds": 1.0, "nets": 1}\n'


@pytest.mark.parametrize(
    "content",
    [
        b'{"lr": 0.1, "notes": "three days of work"}',
        b"do not lose me",
        b"first\nsecond",
        pickle.dumps({"a": 1.5}),
        b"{",
        b"\n",
        b"\0" * 50,
        b"[]\n",
        b'"a"\n',
        RECORD,
        HEADER.replace(b"2", b"1") + RECORD,
        HEADER.replace(b"results", b"gains") + RECORD,
        HEADER + b"rubbish\n" + RECORD,
        HEADER + b"[1]\n",
        HEADER + b'{"key": ["k"], "scores": {"F1": [0.5]}, "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [Infinity]}, "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [true]}, "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [0.5], "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": 0.5}, "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [0.5]}, "seconds": -1, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [0.5]}, "seconds": 1.0, "nets": -1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [0.5]}, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": {"F1": [0.5]}, "seconds": 1.0}\n',
    ],
    ids=repr,
)
def test_results_of_another_kind_or_damaged_are_refused_and_stay(data, tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    Counted.fits = 0
    with pytest.raises(FileFormatError, match=r"The 'results' parameter of compare.*settings"):
        compare_given(*data, {"a": Counted()}, seeds=1, results=path)
    assert Counted.fits == 0
    assert path.read_bytes() == content


def test_results_in_a_folder_that_is_not_there_name_the_parameter(data, tmp_path):
    Counted.fits = 0
    with pytest.raises(OSError, match=r"The 'results' parameter of compare: .*none"):
        compare_given(*data, {"a": Counted()}, seeds=1, results=tmp_path / "none" / "fits")
    assert Counted.fits == 0


def test_a_record_with_another_number_of_scores_is_refused(data, tmp_path):
    path = tmp_path / "fits"
    compare_given(*data, {"a": Counted()}, seeds=1, results=path)
    header, record = path.read_text().splitlines()
    record = json.loads(record)
    record["scores"] = {key: [1.0] for key in record["scores"]}
    record = json.dumps(record)
    path.write_text(f"{header}\n{record}\n")
    with pytest.raises(FileFormatError, match=r"must hold 4 scores. Got 1"):
        compare_given(*data, {"a": Counted()}, seeds=1, results=path)


def test_finished_results_are_read_where_nothing_can_be_written(data, tmp_path, monkeypatch):
    path = tmp_path / "fits"
    first = compare_given(*data, {"a": Counted()}, seeds=1, results=path)
    opened = os.open

    def read_only(name, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return opened(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    again = compare_given(*data, {"a": Counted()}, seeds=1, results=path)
    np.testing.assert_array_equal(again.values, first.values)
    Counted.fits = 0
    with pytest.raises(OSError, match=r"fits could not be written \(Read-only file system\)"):
        compare_given(*data, {"a": Counted()}, seeds=2, results=path)
    assert Counted.fits == 0  # before any training


def test_failed_fits_are_tried_again(data, tmp_path):
    path = tmp_path / "fits"
    candidates = {"near": cheap()["near"], "bad": Counted(fails=[1])}
    with pytest.warns(FitFailedWarning):
        compare_given(*data, candidates, seeds=1, results=path)
    assert not compare_given(*data, candidates, seeds=1, results=path).errors
    assert Counted.fits == 2


KEY = """
import numpy as np, torch
from functools import partial
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP
from skgroup.store import key_of
torch.manual_seed(0)
module = torch.nn.Linear(3, 2)
net = MultiTaskNet.stg_mtl(module=module, callbacks__print_log=None, module__hidden_units=(3,))
parts = [net, GroupedMTLClassifier(net), torch.arange(3), {"b": {1, "x"}, "a": partial(max, 1)},
         np.array(["a", None, 1.5], dtype=object)]
"""


def test_keys_are_the_same_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", KEY + "print(*[key_of(part) for part in parts])"],
        capture_output=True,
        text=True,
        check=True,
    )
    here = {}
    state = torch.get_rng_state()
    exec(KEY, here)
    torch.set_rng_state(state)
    assert done.stdout.split() == [key_of(part) for part in here["parts"]]
    with torch.no_grad():
        here["module"].weight[0, 0] += 1
    assert key_of(here["parts"][0]) != done.stdout.split()[0]
    fitted = MultiTaskNet.stg_mtl(max_epochs=1).fit([[0.0], [1.0]], [0, 1])
    assert key_of(fitted) == key_of(MultiTaskNet.stg_mtl(max_epochs=1))
    assert key_of(MLP) != key_of(nn.Linear)
    with pytest.raises(TypeError):
        key_of(sys.stdout)
    assert key_of(lambda: 1) != key_of(lambda: 2)
