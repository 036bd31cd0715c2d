"""Published groupings, and repetitions of a grouping, that go on after a kill."""

import os

import numpy as np
import pytest
from killing import assert_same_bits, fitted, forks, killed_at
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skgroup import MultiTaskNet, TaskGrouper
from skgroup.cluster import FuzzyKMeans
from skgroup.selection import (
    ExhaustiveGrouping,
    GradTAGGrouping,
    GroupStability,
    HOAGrouping,
    MTGNet,
    MTGNetGrouping,
    TAGGrouping,
)
from skgroup.store import CheckpointFolder

pytestmark = forks
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0, np.zeros(60)])


class Nets(Callback):
    """Counts the epochs that nets train in a process."""

    n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        Nets.n_epochs += 1


NET = MultiTaskNet.stg_mtl(
    module__hidden_units=(4,), max_epochs=2, batch_size=32, callbacks=[Nets()]
)
GROUPINGS = {
    "TAG": (TAGGrouping(NET, 2), 4),
    "HOA": (HOAGrouping(NET, 2), 20),
    "exhaustive": (ExhaustiveGrouping(NET, 2), 22),
    # After the first round, and the suggestions for the second.
    "MTG-Net": (MTGNetGrouping(NET, 2, groups_per_task=2, predictor=MTGNet(max_epochs=2)), 34),
    "Grad-TAG": (GradTAGGrouping(NET, 2, projection_dim=3), 12),
    "stability": (
        GroupStability(
            make_pipeline(TaskGrouper(NET, output="isometric"), FuzzyKMeans()),
            n_groups=[2], n_repetitions=3, n_references=19,
        ),
        12,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:These tasks of Y have a single")
@pytest.mark.parametrize("name", GROUPINGS)
def test_wherever_it_is_killed_it_ends_with_the_same_bits(tmp_path, name):
    grouping, n_saves = GROUPINGS[name]
    grouping = clone(grouping).set_params(random_state=0)
    Nets.n_epochs = 0
    expected = clone(grouping).fit(X, Y)
    once, Nets.n_epochs = Nets.n_epochs, 0
    grouping.set_params(checkpoint=CheckpointFolder(tmp_path / "kept", every=0))
    for n in (3, n_saves):
        assert killed_at(lambda: clone(grouping).fit(X, Y), n)
    assert_same_bits(fitted(expected), fitted(grouping.fit(X, Y)))
    assert Nets.n_epochs < once
    assert os.listdir(tmp_path / "kept") == []
