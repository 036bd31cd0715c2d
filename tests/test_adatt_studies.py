"""AdaTT's studies: they run, go on where they were, and say of their lines what these hold."""

import sys

import numpy as np
import pytest

pytest.importorskip("pandas")

from census import row

from benchmarks import adatt_studies as studies
from benchmarks import learning_rates
from benchmarks.census_income import load
from benchmarks.result_file import ResultFile
from skgroup.nn import AdaTTSp

SIZE = {"rows": 40, "widths": [4, 2], "epochs": 1, "batch_size": 16}
TINY = ("--rows", 40, "--widths", 4, 2, "--epochs", 1, "--batch-size", 16, "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of Census-Income, made up: 60 rows of the training part and 80 of the test part."""
    path, rng = tmp_path_factory.mktemp("census"), np.random.default_rng(0)
    for name, n in (("data", 60), ("test", 80)):
        rows = []
        for i in range(n):
            cells = {"c0": rng.integers(18, 80), "c12": rng.choice(["Female", "Male"])}
            cells |= {"c39": rng.integers(53), "c41": ("- 50000.", "50000+.")[i % 2]}
            cells["c7"] = ("Divorced", "Never married")[i // 2 % 2]
            cells["c4"] = ("10th grade", "Bachelors degree(BA AB BS)")[i // 4 % 2]
            rows.append(row(**cells))
        (path / f"census-income.{name}").write_text("\n".join(rows))
    return path


def run(monkeypatch, *options):
    monkeypatch.setattr(learning_rates, "beyond", lambda *_: None)  # three rates are enough
    monkeypatch.setattr(sys, "argv", ["adatt_studies", *map(str, options)])
    studies.main()


def read(path):
    return ResultFile(path, "adatt_studies").read()


def by_fit(lines, *without):
    """What lines say, but for some keys, whatever order the fits were made in."""
    kept = [{key: value for key, value in one.items() if key not in without} for one in lines]
    return sorted(kept, key=lambda one: (one["way"], one["lr"], one["seed"]))


def test_the_weeks_are_a_task_and_no_feature(folder):
    (X, Y), *halves = load(folder, weeks=True)
    (fewer, alone), *_ = load(folder)
    assert (Y.shape, alone.shape, fewer.shape[1]) == ((60, 4), (60, 3), X.shape[1] + 1)
    np.testing.assert_array_equal(Y[:, :3], alone)
    assert set(Y[:, 3]) <= set(range(53))
    assert [half[1].shape for half in halves] == [(40, 4), (40, 4)]


def test_a_run_goes_on_where_it_was_and_prints_what_it_holds(
    folder, tmp_path, monkeypatch, capsys, closed_figures
):
    results = tmp_path / "r.jsonl"
    options = ("--data", folder, "--results", results, *TINY, "--studies", "stitch")
    run(monkeypatch, *options, "--n-seeds", 2)
    lines = read(results)
    assert {line["way"] for line in lines} == {"AdaTT-sp, 1 a task", "cross-stitch"}
    assert all(line["device"] == "cpu" and len(line["test"]) == 4 for line in lines)
    assert [line["seed"] for line in lines].count(1) == 2  # with the rate that the first chose
    assert len(lines) == 8
    # What is cut off is made again, and the same; and nothing else.
    kept = results.read_text().splitlines(keepends=True)
    results.write_text("".join(kept[:-3]))
    run(monkeypatch, *options, "--n-seeds", 2)
    assert by_fit(read(results), "seconds") == by_fit(lines, "seconds")
    capsys.readouterr()
    picture = tmp_path / "figure.png"
    run(monkeypatch, "--results", results, "--print", "--picture", picture)
    assert by_fit(read(results), "seconds") == by_fit(lines, "seconds")
    assert picture.stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "| experts |" not in printed  # a single way is nothing to compare
    assert "**40 rows, widths [4, 2], 1 epochs, batches of 16** (cpu; 2 seeds)" in printed
    assert "| one-expert AdaTT-sp beats cross-stitch |" in printed
    assert "figure 3" in printed


def test_seeds_draw_rows_of_their_own_or_are_one_stack(folder, tmp_path, monkeypatch, capsys):
    options = ("--data", folder, *TINY, "--studies", "native", "--n-seeds", 3)
    with pytest.raises(SystemExit):
        run(monkeypatch, *options, "--stack", "--results", tmp_path / "r.jsonl")
    assert "--stack needs all rows" in capsys.readouterr().err
    options = (*options, "--rows", 100)
    run(monkeypatch, *options, "--results", tmp_path / "a.jsonl")
    run(monkeypatch, *options, "--results", tmp_path / "b.jsonl", "--stack")
    one, stacked = (by_fit(read(tmp_path / f"{name}.jsonl"), "seconds") for name in "ab")
    assert one[0]["rows"] == 60
    assert by_fit(one, "test", "validation") == by_fit(stacked, "test", "validation")
    for a, b in zip(one, stacked, strict=True):
        np.testing.assert_allclose(a["test"], b["test"], rtol=1e-4)


def test_every_way_of_every_study_is_built():
    ways = studies.ways((8, 4))
    assert set(ways) == {way for study in studies.STUDIES.values() for way in study}
    for module, params in ways.values():
        net = module(task_outputs=(1, 1, 1, 1), n_features=5, **params)
        if module is not AdaTTSp and hasattr(net, "units"):
            assert net.units.n_experts in (4, 12)
    widths = [ways[way][1]["expert_hidden_units"] for way in studies.STUDIES["levels"]]
    assert widths == [(8, 4), (16, 8, 4), (32, 16, 8, 4), (64, 32, 16, 8, 4)]


def line(way, seed, *test, lr=1e-3, validation=(1, 1, 1, 1), **other):
    of_fit = {"way": way, "seed": seed, "lr": lr, "test": list(test), "device": "cpu"}
    of_fit |= {"validation": list(validation), "variance": 4.0, "parameters": 9}
    return {**SIZE, **of_fit, **other}


def fits(way, *tests, validation=1.0):
    """Lines of a way a seed, with the rates that were tried beside the chosen one."""
    others = [line(way, 0, 9, 9, 9, 9, lr=lr, validation=[9] * 4) for lr in (3e-4, 3e-3)]
    rows = [line(way, s, *test, validation=[validation] * 4) for s, test in enumerate(tests)]
    return others + rows


def test_directions_are_differences_in_percent_with_an_interval_over_seeds():
    better = fits("AdaTT-sp, 3 a task", (1, 1, 1, 1), (2, 2, 2, 2))
    worse = fits("AdaTT-sp, 3 a task, no native term", (1.1, 1.2, 1, 1.3), (2.2, 2.4, 1.8, 2.6))
    *_, native = studies.directions(studies.of_ways(better + worse))
    assert native.startswith("| the native term helps (table 6) | +10.00 | +20.00 | -5.00 | +30.00")
    # 15 % and 12.5 %: their mean, and 12.706 standard errors.
    assert native.endswith("| +13.75 ± 15.88 | 3 of 4 | not clear |")
    same = fits("cross-stitch", (1.1, 1.1, 1.1, 1.1), (2.2, 2.2, 2.2, 2.2001))
    one = fits("AdaTT-sp, 1 a task", (1, 1, 1, 1), (2, 2, 2, 2))
    *_, stitch = studies.directions(studies.of_ways(one + same))
    assert stitch.endswith("| 4 of 4 | yes |")


def test_shared_experts_are_chosen_on_validation():
    lines = fits("AdaTT, 4 shared", (1, 1, 1, 1), validation=0.5)
    lines += fits("AdaTT, 8 shared", (0.5, 0.5, 0.5, 0.5), validation=0.6)
    found = studies.of_ways(lines)
    assert studies.best_sharing("AdaTT", found) == "AdaTT, 4 shared"
    rows = studies.table("shared", found)
    assert rows[2].startswith("| AdaTT, 4 shared (chosen) | 1.0000 ± nan")
    assert studies.best_sharing("PLE", found) is None


def test_what_is_drawn_from_other_tasks_is_read_off_the_gates():
    gates = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.4, 0.3, 0.1], [0.1, 0.1, 0.8, 0], [0, 0, 0, 1]])
    (level_0, level_1), parted = studies.drawn_from([gates + np.eye(4), np.eye(4)])
    assert (level_0, level_1) == pytest.approx(((0.3 + 0.6 + 0.2 + 0) / 4, 0))
    assert parted == pytest.approx(0.9 / 6 - 0.2 / 6)
