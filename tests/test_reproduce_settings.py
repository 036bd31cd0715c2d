"""The STG-MTL benchmark as its authors ran it, and with nets as one would train them today."""

import numpy as np
import pytest
import torch

pytest.importorskip("pandas")

from reproducing import CIFAR10, noise_images, run

from benchmarks import reproduce_stg_mtl as stg
from benchmarks import stg_mtl_claims as said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--n-train", 60, "--n-scored", 61],
            "--n-scored must not be above --n-train. Got --n-scored 61 and --n-train 60.",
        ),
        (["--task-set", "G2", "--flips"], "--flips is of G1"),
        (["--task-set", "G4", "--weights", "authors"], "--weights authors are known of G1, G2, G3"),
        (["--net", "resnet50", "--recipe", "strong"], "--recipe strong is of small-cnn, resnet18"),
    ],
)
def test_options_that_do_not_go_together(monkeypatch, capsys, options, message):
    with pytest.raises(SystemExit):
        run(monkeypatch, *options)
    assert message in capsys.readouterr().err


def test_the_ways_of_the_authors_and_of_today_are_settings_of_their_own(tmp_path, monkeypatch):
    noise_images(tmp_path / "c.npz")
    results = tmp_path / "r.jsonl"
    options = ["--data", tmp_path / "c.npz", "--results", results, "--device", "cpu", "--seeds", 0]
    options += ["--n-train", 60, "--n-test", 20, "--n-scored", 20, "--epochs", 10, "--ways", "maps"]
    seen = []

    class Seen(stg.TaskGrouper):
        def fit(self, X, Y):
            seen.append((self.estimator, X, Y))
            return super().fit(X, Y)

    monkeypatch.setattr(stg, "TaskGrouper", Seen)
    run(monkeypatch, *options)
    run(monkeypatch, *options, "--fuzziness", 1.07)  # of the same nets
    assert len(seen) == 1
    run(monkeypatch, *options, "--spread", "sample")
    run(monkeypatch, *options, "--weights", "authors", "--flips")
    run(monkeypatch, *options, "--recipe", "strong", "--task-set", "G2", "--weights", "authors")
    (_, X, Y), _, (theirs, X_flipped, Y_flipped), (strong, X_strong, Y_strong) = seen
    flipped = (X_flipped != X).any(axis=(1, 2, 3))
    assert 0.2 < flipped.mean() < 0.8
    np.testing.assert_array_equal(X_flipped[flipped], X[flipped][:, :, ::-1])
    assert list(Y_flipped.columns) == CIFAR10
    np.testing.assert_array_equal(Y_flipped, Y)
    assert theirs.class_weight == {name: {1: 10} for name in CIFAR10}
    assert strong.class_weight == theirs.class_weight  # the added tasks weigh 1
    assert strong.module is stg.AugmentedCNN
    assert Y_strong.shape[1] == 15
    np.testing.assert_array_equal(X_strong, X_flipped)
    lines = [x for x in said.result_file(results).read() if x["kind"] == "groups"]
    settings = [tuple(x[n] for n in ("weights", "flips", "recipe", "spread")) for x in lines[::2]]
    assert settings == [
        ("balanced", False, "paper", "population"),
        ("balanced", False, "paper", "population"),
        ("balanced", False, "paper", "sample"),
        ("authors", True, "paper", "population"),
        ("authors", False, "strong", "population"),
    ]
    sharp, soft = (np.array(lines[i]["membership"]) for i in (2, 0))
    assert sharp.max(axis=1).mean() > soft.max(axis=1).mean()


def test_training_images_are_mirrored_and_shifted():
    torch.manual_seed(0)
    images = torch.arange(2.0 * 3 * 32 * 32).reshape(2, 3, 32, 32) + 1
    drawn = [stg.mirrored_and_shifted(images) for _ in range(30)]
    padded = np.pad(images, ((0, 0), (0, 0), (4, 4), (4, 4)))
    wanted = [
        {
            (mirrored, down, across): part[i, :, down : down + 32, across : across + 32]
            for mirrored, part in enumerate([padded, padded[..., ::-1]])
            for down in range(9)
            for across in range(9)
        }
        for i in range(2)
    ]
    met = set()
    for batch in drawn:
        for image, ways in zip(batch, wanted, strict=True):
            (way,) = [way for way, of_way in ways.items() if np.array_equal(image, of_way)]
            met.add(way)
    assert {way[0] for way in met} == {0, 1}
    assert min(len({way[axis] for way in met}) for axis in (1, 2)) > 6


def test_images_are_not_changed_in_prediction():
    net = stg.AugmentedCNN(n_outputs=2).eval()
    images = torch.rand(4, 3, 32, 32)
    plain = stg.nn.SmallCNN(n_outputs=2).eval()
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(images), plain(images))
