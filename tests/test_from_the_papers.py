"""What examples/from_the_papers.md says of the papers' code: its lines run, and do so."""

import math
import re
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score

from skgroup import MultiTaskNet
from skgroup.metrics import multitask_f1_score

PAGE = Path(__file__).parents[1] / "examples" / "from_the_papers.md"
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
#: A name of something, or a command: no line to run.
NAME = re.compile(r"\w+$|python -m ")


def lines_of(cell):
    return [code for code in re.findall(r"`([^`]+)`", cell) if not NAME.match(code)]


def pieces():
    """Blocks and lines of code in the order of the page."""
    for block in re.split(r"(^```python\n.*?^```$)", PAGE.read_text(), flags=re.M | re.S):
        if block.startswith("```python"):
            yield block.removeprefix("```python\n").removesuffix("```")
        else:
            for _, here in ROW.findall(block):
                yield from lines_of(here)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What the names of the page stand for once all of it has run, in a folder with its files."""
    folder = tmp_path_factory.mktemp("papers")
    rng = np.random.default_rng(0)
    for k in (10, 100):
        images = {f"x_{part}": np.zeros((2 * k, 32, 32, 3), np.uint8) for part in ("train", "test")}
        labels = {f"y_{part}": np.repeat(np.arange(k), 2) for part in ("train", "test")}
        np.savez(folder / f"cifar{k}.npz", **images, **labels)
    masks = np.arange(1, 8)[:, None] >> np.arange(3) & 1
    np.savetxt(folder / "ETTm1_x.csv", masks, delimiter=",")
    for name in ("ETTm1_val_y", "ETTm1_y"):
        np.savetxt(folder / f"{name}.csv", masks * rng.normal(size=(7, 3)))
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(MultiTaskNet.__init__.__kwdefaults__, "max_epochs", 2)
        plt.switch_backend("Agg")
        for code in pieces():
            try:
                exec(code, names)
            except Exception as error:
                error.add_note(f"In {PAGE.name}: {code}")
                raise
        plt.close("all")
        names["files"] = {file.name for file in folder.iterdir()}
    return names


def test_every_row_says_what_is_here():
    rows = [here for there, here in ROW.findall(PAGE.read_text()) if there not in ("there", "---")]
    assert len(rows) > 50
    for here in rows:
        assert lines_of(here) or "python -m " in here, here


def test_rates_warm_up_and_fall_like_half_a_cosine(ran):
    net = ran["scheduled"].set_params(lr=0.01).fit(ran["X"][:400], ran["Y"][:400])
    rates = [batch["event_lr"] for epoch in net.history_ for batch in epoch["batches"]]
    expected = []
    for epoch in range(6):
        for i in range(10):  # as the authors' code has it, in parts of epochs
            at = epoch + i / 10
            if at < 2:
                expected.append(0.01 * at / 2)
            else:
                expected.append(0.01 * 0.5 * (1 + math.cos(math.pi * (at - 2) / (6 - 2))))
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_fixed_parts_are_scored_after_every_epoch(ran):
    X, Y, net = ran["X"], ran["Y"], ran["watched"]
    last = net.history_[-1]
    for name in ("train_f1", "valid_f1", "valid_balanced", "valid_loss"):
        assert len(net.history_[:, name]) == 6
    index = ran["valid"]
    assert last["valid_f1"] == pytest.approx(multitask_f1_score(Y[index], net.predict(X[index])))
    pairs = zip(Y[index].T, net.predict(X[index]).T, strict=True)
    recalls = [balanced_accuracy_score(*of_task) for of_task in pairs]
    assert last["valid_balanced"] == pytest.approx(np.mean(recalls))
    alone = clone(net).set_params(train_split=None, callbacks=None).fit(X[:400], Y[:400])
    np.testing.assert_allclose(net.history_[:, "train_loss"], alone.history_[:, "train_loss"])


def test_training_goes_on_from_a_checkpoint(ran):
    assert len(ran["saved"].history_) == 12
    assert {"run", "maps.npy", "memberships.png", "fits.jsonl"} <= ran["files"]


def test_published_affinities_are_read_the_right_way_round(ran):
    table, names = ran["revised_integrals"], ran["names"]

    def score(groups, target):
        of_groups = [-1e6]
        for group in groups:
            others = [source for source in group if source != target]
            if target in group and others:
                of_groups.append(np.mean([table[target][source] for source in others]))
        return max(of_groups)

    groups = [group for size in (1, 2, 3) for group in combinations(names, size)]
    means = [
        np.mean([score(two, target) for target in names])
        for two in combinations(groups, 2)
        if set(names) == {name for group in two for name in group}
    ]
    assert ran["chosen"].objective_ == pytest.approx(max(means))


def test_flips_and_positive_weights_are_those_of_the_authors(ran):
    flipped = ran["flipped"].get_params()
    image = np.arange(12).reshape(3, 2, 2)
    for part in ("train", "valid"):
        turned = flipped[f"iterator_{part}__transform"](torch.from_numpy(image))
        np.testing.assert_array_equal(turned, image[:, :, ::-1])
    net = ran["weighted"].fit(ran["X"][:400], ran["Y"][:400])
    weight = net.criterion_.weight.numpy()
    np.testing.assert_allclose(weight[:, 1] / weight[:, 0], [10] * 10 + [1] * 5)
