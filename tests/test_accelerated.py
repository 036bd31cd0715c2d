"""A net that two processes train together gives the data maps and predictions of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from torch.utils.data import DataLoader

from examples import accelerate_net
from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.training.data import BatchLoader

accelerate = pytest.importorskip("accelerate")
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SCRIPT = Path(accelerate_net.__file__)


@pytest.fixture(scope="module")
def accelerator():
    return accelerate.Accelerator(cpu=True)


def test_two_processes_find_the_data_maps_of_one(tmp_path, monkeypatch):
    run = subprocess.run(
        [sys.executable, *LAUNCH, SCRIPT, tmp_path],
        capture_output=True,
        text=True,
        timeout=240,
        env={
            **os.environ,
            "ACCELERATE_USE_CPU": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("Data maps of 15 tasks by 2 processes on cpu") == 1
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    X, Y = load_digit_tasks(return_X_y=True)
    X, Y, new = X[: accelerate_net.N_SAMPLES], Y[: accelerate_net.N_SAMPLES], X[-10:]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    alone = accelerate_net.new_grouper().fit(X, Y)
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


@pytest.mark.parametrize(
    ("name", "value"), [("iterator_train", BatchLoader), ("balancing", "pcgrad")]
)
def test_what_an_accelerator_cannot_do_is_refused(accelerator, digits, name, value):
    net = accelerate_net.AcceleratedNet(accelerator=accelerator).set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of AcceleratedNet must be"):
        net.fit(*digits)
