"""Sub-folders of running fits: who has which, what is in them, and what damage does."""

import contextlib
import errno
import os
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup.exceptions import NotWrittenWarning
from skgroup.relations import LabelCorrelationAffinity
from skgroup.store import CheckpointFolder, RunningFit, handed_on, running_fit

OWNER = LabelCorrelationAffinity()


class Gone(Exception):
    """A process that ends here."""


def folders(path):
    return sorted(p.name for p in path.iterdir())


def killed(path, *identity, then):
    """Run a block inside of a fit that does not end."""
    with contextlib.suppress(Gone), running_fit(path, OWNER, *identity) as running:
        then(running)
        raise Gone


def test_what_a_killed_fit_has_kept_is_there_for_the_same_fit_alone_until_it_ends(tmp_path):
    killed(tmp_path, 1, then=lambda running: running.save("weights", {"a": torch.ones(2)}))
    with running_fit(tmp_path, OWNER, 2) as other:
        assert other.load("weights") is None
        other.save("weights", 5)
    with running_fit(CheckpointFolder(tmp_path, every=3), clone(OWNER), 1) as again:
        assert again.every == 3
        assert torch.equal(again.load("weights")["a"], torch.ones(2))
    assert folders(tmp_path) == []
    with running_fit(tmp_path, OWNER, 1) as later:
        assert later.load("weights", "none") == "none"


def test_a_fit_that_kept_nothing_or_was_refused_leaves_nothing(tmp_path):
    killed(tmp_path, 1, then=lambda running: running.load("weights"))
    assert folders(tmp_path) == []
    killed(tmp_path, 1, then=lambda running: running.draw_seeds(None, 2))
    assert folders(tmp_path) == []


@pytest.mark.parametrize("where", ["thread", "process"])
def test_the_same_fit_at_the_same_time_has_another_folder(tmp_path, where):
    with running_fit(tmp_path, OWNER, 1) as first:
        first.save("a", 1)

        def second():
            with running_fit(tmp_path, OWNER, 1) as running:
                assert running.load("a") is None
                running.save("a", 2)
                assert len(folders(tmp_path)) == 2
            os.write(written, b"done")

        read, written = os.pipe()
        if where == "thread":
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        elif (child := os.fork()) == 0:
            try:
                second()
            finally:
                os._exit(0)
        else:
            os.waitpid(child, 0)
        os.close(written)
        assert os.read(read, 4) == b"done"
        os.close(read)
        assert first.load("a") == 1
        assert len(folders(tmp_path)) == 1
    assert folders(tmp_path) == []


def test_a_stage_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(None)
        return [len(calls)]

    killed(tmp_path, then=lambda running: running.stage("groups", compute))
    with running_fit(tmp_path, OWNER) as again:
        assert again.stage("groups", compute) == [1]
    with running_fit(None, OWNER) as nothing:
        assert not nothing
        assert nothing.stage("groups", compute) == [2]
        assert not nothing.child("a").due()


def test_parts_have_files_of_their_own_and_other_estimators_their_sub_folders(tmp_path):
    def parts(running):
        for name in ("net/1", "net/2"):
            running.child(name).save("state", name)
        part = pickle.loads(pickle.dumps(running.child("grouper")))
        with running_fit(part, OWNER, "X") as inner:
            inner.save("state", "inner")
        with running_fit(part, OWNER, "Z") as inner:
            assert inner.load("state") is None
            inner.save("state", "other data")

    killed(tmp_path, then=parts)
    with running_fit(tmp_path, OWNER) as again:
        assert again.child("net/2").load("state") == "net/2"
        with running_fit(clone(again.child("grouper"), safe=False), OWNER, "X") as inner:
            assert inner.load("state") == "inner"
        again.child("grouper").remove()
        with running_fit(again.child("grouper"), OWNER, "X") as inner:
            assert inner.load("state") is None
        again.child("net/1").remove()
        assert again.child("net/1").load("state") is None
        assert again.child("net/2").load("state") == "net/2"
    assert folders(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_file_counts_as_not_there(tmp_path, damage):
    killed(tmp_path, then=lambda running: running.save("state", list(range(1000))))
    (file,) = tmp_path.glob("*/state*")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[500] ^= 1
    damaged = {"cut": whole[:-100], "flipped": flipped, "empty": b"", "text": b"nothing\n" * 9}
    file.write_bytes(damaged[damage])
    with running_fit(tmp_path, OWNER) as again:
        assert again.load("state", "none") == "none"
        again.save("state", 1)
        assert again.load("state") == 1


def test_a_full_disk_costs_a_warning_and_nothing_that_was_kept(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with running_fit(tmp_path, OWNER) as running:
        running.save("state", 1)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", full)
            with pytest.warns(NotWrittenWarning, match="No space left"):
                running.save("state", 2)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                running.child("net").save("state", 3)  # said once
        assert running.load("state") == 1
        assert folders(tmp_path / folders(tmp_path)[0]) == ["lock", "state.kept"]


def test_values_come_back_as_they_were_and_known_objects_are_those_of_the_new_process(tmp_path):
    module = torch.nn.Linear(2, 1)
    value = {
        "function": lambda x: x + 1,
        "module": module,
        "weight": module.weight,
        "half": torch.arange(3, dtype=torch.bfloat16),
        "learned": torch.ones(2, requires_grad=True),
        "generator": torch.Generator().manual_seed(3),
        "array": np.arange(3),
    }
    with running_fit(tmp_path, OWNER) as running:
        running.save("all", value)
        back = running.load("all")
        running.save("known", [module, {"own": value["array"]}], known={"net": module})
        assert running.load("known", known={"net": "another"})[0] == "another"
        assert running.load("known") is None  # nothing takes its place
    assert back["function"](1) == 2
    assert back["module"].weight is back["weight"]
    assert isinstance(back["weight"], torch.nn.Parameter)
    assert torch.equal(back["weight"], module.weight)
    assert torch.equal(back["half"], value["half"])
    assert back["learned"].requires_grad
    assert torch.equal(back["generator"].get_state(), value["generator"].get_state())
    back["array"][0] = 5  # memory of its own


def test_states_are_due_after_the_interval_and_rarely_where_saving_is_slow(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("skgroup.store._checkpoint.time.monotonic", lambda: now[0])
    with running_fit(CheckpointFolder(tmp_path, every=10), OWNER) as running:
        now[0] = 9
        assert not running.due()
        now[0] = 10
        assert running.due()
        running.save("state", 1)
        assert not running.due()

        class Slow:
            def __reduce__(self):
                now[0] += 2
                return Slow, ()

        running.save("state", Slow())
        now[0] += 99
        assert not running.due()
        now[0] += 1
        assert running.due()
    with running_fit(CheckpointFolder(tmp_path, every=0), OWNER) as running:
        assert running.due()


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for checkpoint, part, kind, said in [
        (tmp_path / "file", 0, OSError, r"must be a folder that can be written to. Got .*file"),
        ("", 0, ValueError, "must be a path"),
        (5, 0, TypeError, "must be a path"),
        (tmp_path, (i for i in "a"), TypeError, "must be None where parameters or data cannot"),
    ]:
        match = f"'checkpoint' parameter of LabelCorrelationAffinity {said}"
        with pytest.raises(kind, match=match), running_fit(checkpoint, OWNER, part):
            raise AssertionError
    assert folders(tmp_path) == ["file"]


def test_folders_are_values(tmp_path):
    folder = CheckpointFolder(str(tmp_path), every=5)
    assert clone(folder, safe=False) == folder != CheckpointFolder(str(tmp_path))
    assert "every=5" in repr(folder)
    for bad in (-1, None, True, float("nan")):
        with pytest.raises(ValueError, match="'every' of CheckpointFolder must be a number >= 0"):
            CheckpointFolder(tmp_path, every=bad)
    with pytest.raises(TypeError, match="'path' of CheckpointFolder must be a path"):
        CheckpointFolder(3)
    assert not RunningFit(None, 0.0)


def test_estimators_of_a_composition_that_have_none_are_lent_a_part(tmp_path):
    own = CheckpointFolder(tmp_path / "own")
    net = Taking(own)
    steps = make_pipeline(Taking(estimator=Taking()), Taking(estimator=net), StandardScaler())
    with running_fit(tmp_path, OWNER) as running:
        with handed_on(steps, running.child("grouper")):
            first, second = steps[0].checkpoint, steps[1].checkpoint
            assert isinstance(first, RunningFit)
            assert first.prefix != second.prefix
            assert steps[0].estimator.checkpoint is None  # the step hands on what it needs
            assert net.checkpoint is own
        assert steps[0].checkpoint is steps[1].checkpoint is None
    with running_fit(None, OWNER) as nothing, handed_on(steps, nothing):
        assert steps[0].checkpoint is None


class Taking(BaseEstimator):
    def __init__(self, checkpoint=None, estimator=None):
        self.checkpoint = checkpoint
        self.estimator = estimator


def test_what_takes_less_than_a_second_is_not_worth_a_file(tmp_path):
    with running_fit(tmp_path, OWNER) as running:
        part = running.child("net")
        assert part.recent
        assert not pickle.loads(pickle.dumps(part)).recent  # a net of many, in another process
        part._since -= 2
        assert not part.recent
        part.save("state", 1)
        assert part.recent
    with running_fit(CheckpointFolder(tmp_path, every=0), OWNER) as running:
        assert not running.recent
