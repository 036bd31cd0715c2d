"""Nets that go on after a kill, in the middle of an epoch, with whatever takes part in training."""

import logging
import os
import shutil
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from killing import assert_same_bits, forks, killed_at
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LoadInitState,
    LRScheduler,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    Unfreezer,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR
from torch.utils.data import DataLoader, Dataset, Sampler, WeightedRandomSampler

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.exceptions import NotWrittenWarning
from skgroup.store import CheckpointFolder, key_of

pytestmark = forks
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 2]])


class Module(nn.Module):
    """Draws random numbers, has buffers, and counts its passes."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, n_outputs)
        )
        self.register_buffer("last", torch.zeros(()), persistent=False)
        self.n_passes = 0

    def forward(self, x):
        if self.training:
            self.n_passes += 1
            self.last += x.mean()
        return self.layers(x) * (1 + 0.01 * self.n_passes) + self.last


def net(path=None, **params):
    checkpoint = None if path is None else CheckpointFolder(path / "kept", every=0)
    params = {"max_epochs": 4, "batch_size": 20, "random_state": 3, **params}
    return MultiTaskNet(Module, checkpoint=checkpoint, **params)


def trained(net):
    names = ("module_", "criterion_", "balancing_", "optimizer_", "history_")
    return {name: getattr(net, name, None) for name in names}


def assert_goes_on(path, make, at=(2, 5), fit=lambda made: made.fit(X, Y)):
    """Whether a net that is killed at some savings ends as one that is not."""
    expected = make(None)
    fit(expected)
    for n_saves in at:
        assert killed_at(lambda: fit(make(path)), n_saves, before=n_saves == 5)
    resumed = make(path)
    fit(resumed)
    assert os.listdir(path / "kept") == []
    assert_same_bits(*map(trained, (expected, resumed)))
    assert np.array_equal(expected.predict_proba(X), resumed.predict_proba(X))
    return resumed


def test_early_stopping_schedules_scores_and_frozen_layers(tmp_path):
    def make(path):
        return net(
            path,
            max_epochs=9,
            train_split=ValidSplit(3),
            callbacks=[
                ("auc", EpochScoring("accuracy", name="valid_acc", lower_is_better=False)),
                ("on_train", EpochScoring("f1_macro", name="train_f1", on_train=True)),
                ("rate", LRScheduler(OneCycleLR, max_lr=0.3, total_steps=99, step_every="batch")),
                ("plateau", LRScheduler("ReduceLROnPlateau", patience=0, event_name=None)),
                ("lambda", LRScheduler("LambdaLR", lr_lambda=lambda e: 0.9**e, event_name=None)),
                ("unfreeze", Unfreezer("layers.3.*", at=2)),
                ("bar", ProgressBar()),
                ("stop", EarlyStopping(patience=2, threshold=0.5, load_best=True)),
            ],
        )

    resumed = assert_goes_on(tmp_path, make, at=(2, 4))
    assert 2 < len(resumed.history_) < 9


class Drawn(Dataset):
    """Samples that are drawn anew each time, by the global generators or one of its own."""

    def __init__(self):
        self.rng = np.random.RandomState(0)

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        noise = torch.randn(4) + np.random.randn() + self.rng.randn()
        return torch.from_numpy(X[i]) + 0.1 * noise.float(), Y[i]


class OwnOrder(Sampler):
    """An order that is drawn while an epoch runs."""

    def __init__(self, data_source):
        self.n = len(data_source)

    def __iter__(self):
        return (int(torch.randint(self.n, ())) for _ in range(self.n))

    def __len__(self):
        return self.n


@pytest.mark.parametrize(
    ("X_", "options"),
    [
        (X, {"iterator_train__transform": lambda x: x + 0.1 * torch.randn(4)}),
        (X, {"iterator_train__generator": 5, "iterator_train__drop_last": True}),
        (X, {"iterator_train__sampler": WeightedRandomSampler(np.arange(60) % 2 + 0.1, 50)}),
        (X, {"iterator_train": DataLoader, "iterator_train__sampler": OwnOrder(X)}),
        (Drawn, {"train_split": ValidSplit(3)}),
        (Drawn, {"iterator_train__num_workers": 1}),
    ],
    ids=["transform", "generator", "weighted", "own order", "drawn", "workers"],
)
def test_loaders_and_what_they_draw(tmp_path, X_, options):
    def make(path):
        made = net(path, max_epochs=3)
        given = dict(options)
        if "iterator_train__generator" in given:
            given["iterator_train__generator"] = torch.Generator().manual_seed(5)
        return made.set_params(**given)

    def fit(made):
        made.fit(X if X_ is X else X_(), Y)

    # Where the order is drawn on the way, states are those at the beginning of an epoch.
    at = (1,) if isinstance(options.get("iterator_train__sampler"), OwnOrder) else (2, 2)
    assert_goes_on(tmp_path, make, at=at, fit=fit)


def test_brief_epochs_are_kept_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr("skgroup.training._resuming._BRIEF", 0)  # all are
    monkeypatch.setattr("skgroup.store._checkpoint._REST", 0)

    def make(path):
        checkpoint = None if path is None else CheckpointFolder(path / "kept", every=1e-4)
        return net().set_params(checkpoint=checkpoint, train_split=ValidSplit(3))

    assert_goes_on(tmp_path, make, at=(2, 2))


def test_workers_that_live_for_all_epochs_are_refused(tmp_path):
    options = {"iterator_train__num_workers": 1, "iterator_train__persistent_workers": True}
    refused = net(tmp_path, **options)
    with pytest.raises(ValueError, match="'iterator_train__persistent_workers' parameter must be"):
        refused.fit(X, Y)
    assert not hasattr(refused, "module_")


def test_warm_starts_from_files_and_the_best_epoch_of_training(tmp_path):
    """LoadInitState must not load what the killed run itself has written since."""

    def make(path):
        of_run = tmp_path / ("whole" if path is None else "resumed")
        if not of_run.exists():
            shutil.copytree(tmp_path / "before", of_run)
        saved = Checkpoint(dirname=of_run, load_best=True, monitor="valid_loss_best")
        callbacks = [saved, LoadInitState(saved), TrainEndCheckpoint(dirname=of_run)]
        return net(path, train_split=ValidSplit(3, stratified=False), callbacks=callbacks)

    net(train_split=ValidSplit(3), callbacks=[Checkpoint(dirname=tmp_path / "before")]).fit(X, Y)
    made = [make(None), make(tmp_path)]
    made[0].fit(X, Y)
    for n_saves in (4, 3):
        assert killed_at(lambda: clone(made[1]).fit(X, Y), n_saves)
    made[1].fit(X, Y)
    assert [len(one.history_) for one in made] == [8, 8]
    assert np.array_equal(made[0].predict_proba(X), made[1].predict_proba(X))
    for name in ("params.pt", "train_end_params.pt"):
        states = [torch.load(tmp_path / run / name) for run in ("whole", "resumed")]
        assert_same_bits(*states)


def test_balancing_members_and_groups_of_parameters(tmp_path):
    def make(path):
        checkpoint = None if path is None else CheckpointFolder(path / "kept", every=0)
        return MultiTaskNet(
            module__hidden_units=(8,),
            balancing="gradnorm",
            optimizer__param_groups=[("*bias", {"weight_decay": 0.1})],
            max_epochs=3,
            batch_size=20,
            random_state=0,
            checkpoint=checkpoint,
        )

    assert_goes_on(tmp_path, make)


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_nets_that_learn_on(tmp_path, how):
    def make(path):
        return net(path, warm_start=how == "warm_start", max_epochs=2)

    def fit(made):
        learn = made.fit if how == "warm_start" else made.partial_fit
        checkpoint, made.checkpoint = made.checkpoint, None
        learn(X, Y)
        made.checkpoint = checkpoint
        learn(X, Y)

    resumed = assert_goes_on(tmp_path, make, at=(2, 2), fit=fit)
    assert len(resumed.history_) == 4


def test_what_goes_on_from_other_weights_begins_anew(tmp_path):
    made = net(tmp_path, warm_start=True, max_epochs=1)
    assert killed_at(lambda: net(tmp_path, warm_start=True, max_epochs=1).fit(X, Y), 2)
    first = net(warm_start=True, max_epochs=1).fit(X[:40], Y[:40])
    expected = clone(made).set_params(checkpoint=None)
    expected.__dict__.update({k: v for k, v in vars(first).items() if k != "checkpoint"})
    weights = [p.detach().clone() for p in expected.module_.parameters()]
    expected.checkpoint = made.checkpoint
    expected.fit(X, Y)
    assert len(os.listdir(tmp_path / "kept")) == 1  # that of the killed fit
    assert len(expected.history_) == 2
    assert not torch.equal(weights[0], next(expected.module_.parameters()))


def test_a_seed_that_was_drawn_is_kept_and_one_that_is_given_moves_on(tmp_path):
    def fit_noting(random_state):
        made = net(tmp_path, random_state=random_state, callbacks=[Noting(tmp_path / "seeds")])
        made.fit(X, Y)
        return made

    assert killed_at(lambda: fit_noting(None), 3)
    assert killed_at(lambda: fit_noting(None), 2)
    fit_noting(None)
    drawn = (tmp_path / "seeds").read_text().split()
    assert len(drawn) == 3
    assert len(set(drawn)) == 1
    fit_noting(None)
    assert (tmp_path / "seeds").read_text().split()[-1] != drawn[0]
    assert os.listdir(tmp_path / "kept") == []

    given = np.random.RandomState(5)
    assert killed_at(lambda: net(tmp_path, random_state=np.random.RandomState(5)).fit(X, Y), 3)
    resumed = net(tmp_path, random_state=given).fit(X, Y)
    expected = net(random_state=np.random.RandomState(5)).fit(X, Y)
    assert np.array_equal(expected.predict_proba(X), resumed.predict_proba(X))
    assert os.listdir(tmp_path / "kept") == []


class Noting(Callback):
    def __init__(self, path):
        self.path = path

    def on_train_begin(self, net, **kwargs):
        with open(self.path, "a") as file:
            file.write(f"{net.seed_}\n")


def test_other_parameters_and_data_begin_anew_and_touch_nothing(tmp_path):
    assert killed_at(lambda: net(tmp_path).fit(X, Y), 3)
    (first,) = (tmp_path / "kept").iterdir()
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    others = X.copy()
    others[5, 2] += 1
    for other, X_, Y_ in [
        (net(tmp_path, lr=0.1), X, Y),
        (net(tmp_path, random_state=4), X, Y),
        (net(tmp_path), others, Y),
        (net(tmp_path), X, ~Y),
    ]:
        expected = clone(other).set_params(checkpoint=None).fit(X_, Y_)
        assert np.array_equal(expected.predict_proba(X), other.fit(X_, Y_).predict_proba(X))
        assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert os.listdir(tmp_path / "kept") == [first.name]
    net(tmp_path, verbose=0).fit(X, Y)
    assert os.listdir(tmp_path / "kept") == []


@pytest.mark.parametrize("damage", [b"", b"no pickle", None])
def test_a_damaged_state_costs_what_it_held_and_nothing_else(tmp_path, damage):
    expected = net().fit(X, Y)
    assert killed_at(lambda: net(tmp_path).fit(X, Y), 4)
    (file,) = (tmp_path / "kept").glob("*/training*")
    file.write_bytes(file.read_bytes()[:-1000] if damage is None else damage)
    assert_same_bits(*map(trained, (expected, net(tmp_path).fit(X, Y))))


class Open(Callback):
    """Holds an open file, and may say what is to be kept of it."""

    def on_train_begin(self, net, **kwargs):
        self.file = open(os.devnull, "w")  # noqa: SIM115
        self.n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        net.history.record("n_epochs", self.n_epochs)

    def on_train_end(self, net, **kwargs):
        self.file.close()
        del self.file


class Said(Open):
    def state_dict(self):
        return {"n_epochs": self.n_epochs}

    def load_state_dict(self, state):
        self.n_epochs = state["n_epochs"]


class Later(Open):
    def on_train_begin(self, net, **kwargs):
        self.n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.generator = iter(()) if self.n_epochs < 2 else (i for i in "a")
        super().on_epoch_end(net)

    def on_train_end(self, net, **kwargs):
        pass


def test_callbacks_that_cannot_be_kept(tmp_path, recwarn):
    refused = net(tmp_path, callbacks=[Open()])
    with pytest.raises(ValueError, match="The 'checkpoint' parameter must be None where callbacks"):
        refused.fit(X, Y)
    refused.callbacks[0].file.close()
    assert os.listdir(tmp_path / "kept") == []
    resumed = assert_goes_on(tmp_path, lambda path: net(path, callbacks=[Said()]), at=(4,))
    assert resumed.history_[:, "n_epochs"] == [1, 2, 3, 4]
    with pytest.warns(NotWrittenWarning, match="could not be kept") as said:
        net(tmp_path, callbacks=[Later()], max_epochs=6).fit(X, Y)
    assert len(said) == 1


def test_an_interrupted_fit_can_be_gone_on_with(tmp_path):
    class Interrupts(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training and len(net.history) == 3 and os.environ.pop("INTERRUPT", ""):
                os.kill(os.getpid(), 2)

    made = net(tmp_path, callbacks=[Interrupts()])
    os.environ["INTERRUPT"] = "1"
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y)
    assert len(os.listdir(tmp_path / "kept")) == 1
    expected = net(callbacks=[Interrupts()]).fit(X, Y)
    assert np.array_equal(expected.predict_proba(X), made.fit(X, Y).predict_proba(X))
    assert os.listdir(tmp_path / "kept") == []


@pytest.mark.parametrize("checkpoint", [5, "", "a\0b"])
def test_refused_values(checkpoint):
    refused = MultiTaskNet(max_epochs=1, checkpoint=checkpoint)
    with pytest.raises((ValueError, TypeError), match="'checkpoint' parameter of MultiTaskNet"):
        refused.fit(X, Y)
    assert not hasattr(refused, "module_")


def test_it_is_a_parameter_like_others(tmp_path):
    folder = CheckpointFolder(tmp_path, every=5)
    made = clone(net().set_params(checkpoint=folder))
    assert made.get_params()["checkpoint"] == folder
    assert made.fit(X, Y).checkpoint == folder
    made.set_params(checkpoint=str(tmp_path / "other")).fit(X, Y)
    assert os.listdir(tmp_path / "other") == []


class Logs(Callback):
    """Writes to what it is given, and stops the training once, in its third epoch."""

    stops = True

    def __init__(self, to, patience=3):
        self.to, self.patience = to, patience

    def on_epoch_end(self, net, **kwargs):
        write = getattr(self.to, "info", getattr(self.to, "write", None)) or self.to.append
        write(f"{len(net.history)}\n")
        if type(self).stops and len(net.history) == self.patience:
            type(self).stops = False
            raise RuntimeError("stopped")


def test_what_callbacks_write_to_tells_no_fits_apart(tmp_path, monkeypatch):
    logger = logging.getLogger("skgroup.of_this_test")
    handler = logging.FileHandler(tmp_path / "logger")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    seen = []
    scoring = EpochScoring(lambda net, X, y: seen.append(1) or 0.5, name="x", on_train=True)
    with (tmp_path / "file").open("w") as file:
        for to in ([], file, logger):
            monkeypatch.setattr(Logs, "stops", True)
            callbacks = [Logs(to), scoring, PrintLog(sink=logger.info)]
            params = {"callbacks": callbacks, "verbose": 1}
            with pytest.raises(RuntimeError, match="stopped"):
                net(tmp_path, **params).fit(X, Y)
            n_scored = len(seen)
            resumed = net(tmp_path, **params).fit(X, Y)
            assert len(seen) - n_scored <= 3  # once tried, and in the third and fourth epoch
            assert_same_bits(resumed.module_, net(callbacks=[]).fit(X, Y).module_)
            assert not list((tmp_path / "kept").iterdir())
    logger.removeHandler(handler)
    handler.close()


@dataclass(frozen=True)
class Settings:
    lr: float


def test_settings_of_callbacks_tell_fits_apart():
    class Own(Callback):
        def __init__(self, setting):
            self.setting = setting

    def key(callback):
        return key_of(net(callbacks=[callback]), within_callbacks=False)

    same = [[1], [1, 2], []], [{}, {"a": 1}], [logging.getLogger("a"), logging.getLogger("b")]
    for group in same:
        assert len({key(Own(value)) for value in group}) == 1
        assert len({key(Own(partial(print, file=value))) for value in group}) == 1
    others = [1, 2, "a", None, (1,), (2,), np.arange(2), np.arange(3), torch.ones(1), print, len]
    others += [partial(print, end=""), partial(print, end="a"), [], {}, Settings(1)]
    others += [Settings(2), torch.float16, torch.float64, EarlyStopping(), StepLR]
    keys = {key(Own(value)) for value in others}
    keys |= {key(Freezer(patterns)) for patterns in (["a*"], ["b*"])}
    keys |= {key(LRScheduler(StepLR, step_size=size)) for size in (1, 2)}
    assert len(keys) == len(others) + 4


def test_classes_of_a_function_are_left_as_they_are(tmp_path):
    left = [6]

    class Stops(Callback):
        def on_epoch_end(self, net, **kwargs):
            left[0] -= 1
            if not left[0]:
                raise RuntimeError("stopped")

    made = GroupedMTLClassifier(net(callbacks=[Stops()]), n_groups=2, random_state=0)
    made.set_params(checkpoint=CheckpointFolder(tmp_path, every=0))
    with pytest.raises(RuntimeError, match="stopped"):
        made.fit(X, Y)
    left[0] = 100
    made.fit(X, Y)  # it loads a relation, with its callbacks
    assert left[0] < 100
