"""A net that two processes train together gives the data maps and predictions of one."""

import copy
import importlib
import os
import pickle
import socket
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import LRScheduler
from torch.utils.data import DataLoader

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.training.data import BatchLoader

accelerate = pytest.importorskip("accelerate")
accelerate_net = importlib.import_module("examples.accelerate_net")  # which imports it


@pytest.fixture(scope="module")
def accelerator():
    return accelerate.Accelerator(cpu=True)


def _be_one_of_two(rank, port, folder):
    """What torchrun makes of a process, and the script."""
    of_both = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    of_one = {"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "1"}
    os.environ.update(of_both | of_one | {"GLOO_SOCKET_IFNAME": "lo"})
    with open(folder / f"{rank}.txt", "w") as file, redirect_stdout(file):
        net = accelerate_net.new_grouper().estimator.set_params(random_state=rank)
        with pytest.raises(ValueError, match=r"The 'random_state' parameter .* must be an int"):
            net.fit(*(part[:128] for part in load_digit_tasks(return_X_y=True)))
        accelerate_net.main(folder, max_epochs=5)


def test_two_processes_find_the_data_maps_of_one(quick_processes, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    both = [
        quick_processes.Process(target=_be_one_of_two, args=(rank, port, tmp_path))
        for rank in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in both] == [0, 0]
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    assert said[0].startswith("Data maps of 15 tasks by 2 processes on cpu")
    assert said[1] == ""
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    X, Y = load_digit_tasks(return_X_y=True)
    X, Y, new = X[: accelerate_net.N_SAMPLES], Y[: accelerate_net.N_SAMPLES], X[-10:]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    alone = accelerate_net.new_grouper(max_epochs=5).fit(X, Y)
    for found in (first, second):
        np.testing.assert_allclose(found["maps"], alone.data_map_, atol=1e-4)
        proba = alone.estimator_.predict_proba(new)
        np.testing.assert_allclose(found["proba"][-10:], proba, atol=1e-4)
        np.testing.assert_array_equal(found["maps"], first["maps"])
        np.testing.assert_array_equal(found["proba"], first["proba"])
    # What others have: the mean over epochs of probabilities.
    assert 0.5 < alone.data_map_[:, -1, :, 0].mean() < 1


def test_an_accelerated_net_stands_where_a_net_does(accelerator, digits, capsys):
    X, Y = digits[0][:128], digits[1][:128, :3]
    recipe = {"max_epochs": 2, "batch_size": -1, "random_state": 0}
    net = accelerate_net.AcceleratedNet.stg_mtl(accelerator=accelerator, **recipe)
    plain = MultiTaskNet.stg_mtl(iterator_train=DataLoader, **recipe)
    for wrap in (lambda n: n, lambda n: GroupedMTLClassifier(n, n_groups=2, random_state=0)):
        found, expected = (wrap(clone(one)).fit(X, Y).predict_proba(X) for one in (net, plain))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert TaskGrouper(net).fit(X, Y).data_map_.shape == (3, 2, 128, 2)
    assert capsys.readouterr().out == ""  # verbose=0
    clone(net).set_params(verbose=1).fit(X, Y)
    assert "train_loss" in capsys.readouterr().out


def test_an_accelerated_net_is_scheduled_goes_on_and_is_stored_as_a_net_is(accelerator, digits):
    X, Y = digits[0][:128], digits[1][:128, :3]
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.1)
    recipe = {"max_epochs": 2, "batch_size": -1, "random_state": 0, "callbacks": [schedule]}
    net = accelerate_net.AcceleratedNet.stg_mtl(accelerator=accelerator, **recipe)
    plain = MultiTaskNet.stg_mtl(iterator_train=DataLoader, **recipe)
    for one in (net, plain):
        one.fit(X, Y).partial_fit(X, Y)
    expected = plain.predict_proba(X)
    np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-5)
    assert isinstance(net.optimizer_, torch.optim.AdamW | torch.optim.Adam)
    stored = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(stored.predict_proba(X), net.predict_proba(X))
    copied = copy.deepcopy(net)
    for further in (copied, stored.set_params(accelerator=accelerator), plain):
        further.partial_fit(X, Y)
    for further in (copied, stored):
        np.testing.assert_allclose(further.predict_proba(X), plain.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterator_train", BatchLoader),
        ("balancing", "pcgrad"),
        ("device", "cpu"),
        ("accelerator", None),
    ],
)
def test_what_an_accelerator_cannot_do_is_refused(accelerator, digits, name, value):
    net = accelerate_net.AcceleratedNet(accelerator=accelerator).set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of AcceleratedNet must be"):
        net.fit(*digits)


def test_what_an_accelerated_net_does_is_not_kept(digits, tmp_path):
    net = accelerate_net.AcceleratedNet(accelerator=accelerate.Accelerator(cpu=True))
    kept = {"checkpoint": tmp_path, "random_state": 0}
    for keeps in (clone(net).set_params(**kept), TaskGrouper(net, **kept)):
        match = f"'checkpoint' parameter of {type(keeps).__name__} must be None .*each would keep"
        with pytest.raises(TypeError, match=match):
            keeps.fit(*digits)
    assert os.listdir(tmp_path) == []
