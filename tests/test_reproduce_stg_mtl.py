"""What the STG-MTL benchmark says of its lines, and a tiny run of all of it."""

import itertools
import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.metrics import adjusted_mutual_info_score, f1_score

pytest.importorskip("pandas")

from reproducing import CIFAR10, noise_images, run

from benchmarks import reproduce_stg_mtl as stg
from benchmarks import stg_mtl_claims as said
from benchmarks.result_file import ResultFile
from skgroup.exceptions import FileFormatError

ANIMALS = [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
SETTING = {
    "task_set": "G1",
    "data": "cifar10.npz",
    "net": "small-cnn",
    "n_train": 100,
    "n_test": 50,
    "n_scored": 50,
    "image_size": None,
    "epochs": 2,
    "batch_size": 64,
    "fuzziness": 2.0,
}


def groups(labels, seed=0, source="mtl", names=CIFAR10, membership=None, **other):
    line = {"kind": "groups", **SETTING, "seed": seed, "source": source, "superclass": None}
    line |= {"n_clusters": max(labels) + 1, "names": list(names), "labels": list(labels)}
    membership = np.eye(max(labels) + 1)[labels] if membership is None else membership
    return line | {"membership": np.asarray(membership).tolist(), "by_correlation": labels} | other


def scores(way, k, *tests, **other):
    """A line a seed."""
    of_all = {"kind": "scores", **SETTING, "way": way, "n_clusters": k, "nets": 1}
    return [
        of_all | {"seed": seed, "train": [0.0, t], "test": [0.0, t]} | other
        for seed, t in enumerate(tests)
    ]


def claimed(lines):
    """{claim: (held, figures)}."""
    rows = [row[2:-2].split(" | ") for row in said.claims(lines).splitlines()[2:]]
    return {claim: (held, figures) for claim, held, figures in (r for r in rows if len(r) == 3)}


# -- groups ------------------------------------------------------------------------------------


def test_gap_rank_counts_the_pairs_that_are_nearer():
    rows = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.75, 0.25]]
    line = groups([0, 0, 0, 1], names="abcd", membership=rows)
    assert said.gap_rank(line, "a", "c") == (0, 0)  # no pair is nearer than two rows that are one
    assert said.gap_rank(line, "a", "d") == (0.5, 0.25)  # nor are the pairs that are as near
    # 0.3 - 0.2 and 0.2 - 0.1 are not the same floats.
    line = groups([0, 0, 0], names="abc", membership=[[0.1], [0.2], [0.3]])
    assert said.gap_rank(line, "a", "b") == said.gap_rank(line, "b", "c") == (0, 0.1)


@pytest.mark.parametrize(
    ("held", "wrong_seeds"), [("yes (2 of 2 seeds)", []), ("in part (1 of 2 seeds)", [1])]
)
def test_animals_from_vehicles(held, wrong_seeds):
    lines = [groups([1, *ANIMALS[1:]] if s in wrong_seeds else ANIMALS, s) for s in range(2)]
    found, figures = claimed(lines)["2 clusters: animals from vehicles"]
    assert found == held
    assert figures.startswith("adjusted Rand index 1.00, ")
    assert (figures[-4:] == "1.00") == (not wrong_seeds)


def test_animals_mixed_with_vehicles():
    lines = [groups([0, 1] * 5, seed) for seed in range(3)]
    assert claimed(lines)["2 clusters: animals from vehicles"][0] == "no (0 of 3 seeds)"


def test_kinds_that_no_cluster_mixes():
    kinds = [0, 0, 1, 2, 1, 2, 1, 2, 0, 0]  # vehicles; bird, deer, frog; cat, dog, horse
    mixed = [0, 0, 1, 2, 1, 2, 0, 1, 0, 0]  # frog with the vehicles, horse with bird and deer
    found = claimed([groups(kinds), groups(mixed, 1)])
    assert found["3 clusters: no animal with a vehicle"] == (
        "in part (1 of 2 seeds)",
        "mixed: none; frog, airplane, automobile, ship, truck",
    )
    assert found["3 clusters: cat, dog, horse apart from bird, deer, frog"] == (
        "in part (1 of 2 seeds)",
        "mixed: none; horse, bird, deer",
    )
    claim = "2 clusters: no animal with a vehicle among the ten classes"
    assert claimed([g2([*ANIMALS, 1, 0, 0, 1, 0])])[claim][0] == "yes (1 of 1 seeds)"


def g2(labels, membership=None, seed=0):
    names = [*CIFAR10, "living being", "odd-numbered", "upside-down", "not living being", "random"]
    return groups(labels, seed, names=names, membership=membership, task_set="G2")


def test_random_alone():
    alone, beside = g2([0] * 14 + [1]), g2([0] * 13 + [1, 1], seed=1)
    claim = "2 clusters: Random has a cluster of its own"
    assert claimed([alone])[claim] == ("yes (1 of 1 seeds)", "it is with none")
    assert claimed([beside])[claim] == (
        "no (0 of 1 seeds)",
        "it is with not living being",
    )
    most = g2([0] * 6 + [1] * 9)
    assert claimed([most])[claim][1].endswith("frog, horse, ship, truck and 4 more")
    assert claimed([alone, beside])[claim][0] == "in part (1 of 2 seeds)"


@pytest.mark.parametrize(
    ("spacing", "apart", "held", "figures"),
    [
        (0.0, 0.0, "yes", "0.000 (0.00)"),  # all rows are one
        (0.0, 0.02, "yes", "0.020 (0.87)"),  # near, though most pairs are nearer
        (0.05, 0.04, "yes", "0.040 (0.01)"),  # not near, but one pair alone is nearer
        (0.0, 0.03, "no", "0.030 (0.87)"),
    ],
)
def test_living_and_not_living(spacing, apart, held, figures):
    first = spacing * np.arange(15)
    first[13] = first[10] + apart
    line = g2([0] * 14 + [1], np.column_stack([first, 1 - first]))
    found = claimed([line])["2 clusters: Living and Not living have the same memberships"]
    assert found[0].startswith(held)
    assert found[1] == f"difference (share of pairs of tasks that are nearer): {figures}"


def g3(labels, seed=0, **other):
    """25 superclasses of 4 tasks, the ones that are claimed about first."""
    superclass = [*said.TOGETHER, "vehicles_1", "vehicles_2", *(f"s{i}" for i in range(18))]
    other = {"superclass": np.repeat(superclass, 4).tolist(), "n_clusters": 20, **other}
    other = {"data": "cifar100.npz", "task_set": "G3", **other}
    names = [f"c{i}" for i in range(100)]
    names[8:12], names[99] = said.FLOWERS, "sunflower"
    return groups(labels, seed, names=names, **other)


def test_superclasses_together():
    together = np.repeat(np.arange(25) % 20, 4)
    together[24:28] = together[20]  # the vehicles
    spread = np.arange(100) % 20
    one = np.zeros(100, dtype=int)  # all are together, which says nothing
    one[-1] = 19
    lines = [g3(labels.tolist(), seed) for seed, labels in enumerate([together, spread, one])]
    found = [claimed(lines[:1]), claimed(lines[1:]), claimed(lines)]
    names = [f"20 clusters: {name} mostly together" for name in said.TOGETHER]
    for claim in [*names, "20 clusters: vehicles 1 and 2 merge"]:
        assert found[0][claim][0] == "yes (1 of 1 seeds)"
        assert found[1][claim][0] == "no (0 of 2 seeds)"
        held, figures = found[2][claim]
        assert held == "in part (1 of 3 seeds)"
        assert re.search(r": 100% \(0\.00\), \d+% \([01]\.\d\d\), 100% \([01]\.\d\d\)$", figures)


def test_superclasses_that_merge_in_ten_clusters():
    superclass = [name for names in said.MERGED for name in names]
    superclass = [*superclass, *(f"s{i}" for i in range(19))]
    labels = np.arange(100) % 9
    labels[4:12] = 9  # devices and furniture
    other = {"superclass": np.repeat(superclass, 4).tolist()}
    found = claimed([g3(labels.tolist(), n_clusters=10, **other)])
    held = [found[f"10 clusters: {', '.join(names)} together"][0] for names in said.MERGED]
    assert held == ["no (0 of 1 seeds)", "yes (1 of 1 seeds)", "no (0 of 1 seeds)"]


def test_sunflower_apart_from_the_flowers_and_next_to_them():
    labels = np.arange(100) % 20
    labels[8:12], labels[99] = 5, 7
    membership = np.full((100, 20), 0.01)
    membership[np.arange(100), labels] = 0.6
    membership[8:11, 7] = 0.3
    claim = "20 clusters: sunflower apart from the other flowers, and next to them"
    found = claimed([g3(labels.tolist(), membership=membership)])[claim]
    assert found == ("yes (1 of 1 seeds)", "apart, next to 75%")
    membership[8:10, 7], membership[8:10, 0] = 0.01, 0.3
    found = claimed([g3(labels.tolist(), membership=membership)])[claim]
    assert found == ("no (0 of 1 seeds)", "apart, next to 25%")


def test_beside_chance_is_the_exact_share_of_the_ways_to_deal_out():
    line = {"labels": [0, 0, 0, 1, 2], "superclass": ["a", "a", "a", "b", "b"], "seed": 0}

    def share(line):
        return said.share_of(line, "a")

    ways = [share({**line, "labels": way}) for way in itertools.permutations(line["labels"])]
    for labels in ([0, 0, 0, 1, 2], [0, 0, 1, 0, 2], [1, 0, 2, 0, 0]):
        exact = np.mean([way >= share({**line, "labels": labels}) for way in ways])
        found, p = said.beside_chance({**line, "labels": labels}, share, n_draws=4000)
        assert found == share({**line, "labels": labels})
        assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000) + 1e-3)


def test_similar_groups_of_other_maps():
    lines = [groups(ANIMALS, s, source) for s in range(2) for source in ("mtl", "stl")]
    claim = "2 clusters: MTL and STL maps find similar groups (index > .5)"
    assert claimed(lines)[claim] == ("yes (2 of 2 seeds)", "adjusted Rand index 1.00, 1.00")
    lines[3] = groups([0, 1] * 5, 1, "stl")
    assert claimed(lines)[claim][0] == "in part (1 of 2 seeds)"


def test_resnet18_is_compared_at_the_nearest_size():
    ours, claim = [groups(ANIMALS)], "2 clusters: ResNet-18 finds similar groups"
    assert claimed(ours)[claim] == ("not run", "")
    others = [
        groups([0, 1] * 5, net="resnet18", n_train=70, epochs=9),
        groups(ANIMALS, net="resnet18", n_train=80),
    ]
    strangers = [
        groups(ANIMALS, seed=5, net="resnet18"),
        groups(ANIMALS, net="resnet18", task_set="G4"),
        groups([0, 1, 2, *ANIMALS[3:]], net="resnet18"),
        groups(ANIMALS, "stl", net="resnet18"),
    ]
    assert claimed(ours + strangers)[claim] == ("not run", "")
    found = claimed(ours + strangers + others[:1])
    assert found[f"{claim}, with n_train 70, epochs 9 (index > .5)"][0] == "no (0 of 1 seeds)"
    found = claimed(ours + strangers + others)
    assert found[f"{claim}, with n_train 80 (index > .5)"][0] == "yes (1 of 1 seeds)"
    found = claimed([*ours, *others, groups(ANIMALS, net="resnet18")])
    assert found[f"{claim} (index > .5)"][0] == "yes (1 of 1 seeds)"


def test_options_are_set_beside_the_groups_without_them():
    plain = [groups(ANIMALS, seed) for seed in range(3)]
    other = [groups([0, 1] * 5, 0, fuzziness=1.07), groups(ANIMALS, 1, fuzziness=1.07)]
    alone = groups(ANIMALS, 0, flips=True, n_train=7)  # without any to be set beside
    (row,) = said.agreement([*plain, *other, alone]).splitlines()[2:]
    assert row.endswith(" fuzziness 1.07 | 2: -0.12, 1.00 |")
    assert said.agreement(plain) == ""


def test_superclass_table_has_the_mutual_information_of_sklearn():
    rng = np.random.default_rng(0)
    labels, by_labels = rng.integers(20, size=(2, 100)).tolist()
    labels[:40] = np.repeat(np.arange(10), 4).tolist()
    line = g3(labels, by_correlation=by_labels)
    out = said.superclass_table([line, groups(ANIMALS)], n_draws=20)
    cells = out.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "20 (mtl maps)"
    assert cells[1] == f"{adjusted_mutual_info_score(line['superclass'], labels):.3f}"
    assert cells[2] == f"≤ {1 / 21:.3f}"
    assert cells[3] == f"{adjusted_mutual_info_score(line['superclass'], by_labels):.3f}"
    assert [abs(float(cell)) < 0.1 for cell in cells[4:]] == [True, True]
    assert said.superclass_table([groups(ANIMALS)]) == ""


# -- F1 ----------------------------------------------------------------------------------------

HARD = "- G1, 2 clusters: hard grouping {} an ensemble of as many MTL nets (F1 {})."
SOFT = "- G1, 2 clusters: grouping {} {} (F1 {})."


def test_verdicts():
    lines = [
        *scores("MTL", 0, 0.1, 0.1, 0.1),
        *scores("grouped", 2, 0.5, 0.51, 0.52),
        *scores("hard", 2, 0.4, 0.3, 0.53),
        *scores("ensemble", 2, 0.4, 0.4, 0.4),
        *scores("random", 2, 0.6, 0.61, 0.62),
    ]
    nothing = "adds nothing that these seeds can show to"
    assert said.verdicts(lines).splitlines() == [
        SOFT.format("adds to", "an ensemble of as many MTL nets", "+0.110 ± 0.025"),
        SOFT.format("is worse than", "random groups", "-0.100 ± 0.000"),
        HARD.format(nothing, "+0.010 ± 0.286"),
    ]
    found = claimed(lines)
    assert found["2 clusters: grouped above as many MTL nets"] == ("yes", "F1 +0.110 ± 0.025")
    assert found["2 clusters: hard clusters above as many MTL nets"] == (
        "open",
        "F1 +0.010 ± 0.286",
    )
    assert found["2 clusters: grouped above random groups"][0] == "no"
    assert "2 clusters: grouped above STL" not in found
    # Hard groups alone, without soft ones, are judged too.
    only_hard = [line for line in lines if line["way"] in ("hard", "ensemble")]
    assert said.verdicts(only_hard) == HARD.format(nothing, "+0.010 ± 0.286")


def test_score_is_a_loop_over_tasks_and_nets(tmp_path):
    rng = np.random.default_rng(0)
    n_nets, n_epochs, n_scored, n_test, n_tasks = 3, 2, 12, 20, 4
    truth = [rng.integers(2, size=(n, n_tasks)) for n in (n_scored, n_test)]
    truth[1][:, 2] = 0  # has no F1 of test images
    kept = rng.normal(size=(n_nets, n_epochs, n_scored + n_test, n_tasks)).astype(np.float16)
    soft, labels = rng.dirichlet(np.ones(n_nets), n_tasks), np.array([0, 2, 1, 2])
    hard = np.eye(n_nets)[labels]
    of_hard, of_soft = kept.copy(), kept.copy()
    of_hard[np.broadcast_to(hard.T[:, None, None] == 0, kept.shape)] = np.nan
    of_soft[1, :, :, 0] = np.nan  # a task that a specialist has left out
    ways = [("hard", of_hard, hard), ("grouped", of_soft, soft), ("grouped, logits", kept, soft)]
    for way, found, weights in ways:
        own = stg.Reproduction.__new__(stg.Reproduction)
        own.setting, own.seed, own.done, own.truth = SETTING, 0, set(), truth
        own.names = ["a", "b", "c", "random"]  # of which the last does not count in the mean
        own.args = types.SimpleNamespace(results=tmp_path / f"{way}.jsonl")
        before = found.copy()
        own.score(way, 3, found, weights, 4, 1.5)
        np.testing.assert_array_equal(found, before)
        (line,) = said.result_file(own.args.results).read()
        assert (line["nets"], line["seconds"], line["way"]) == (4, 1.5, way)
        for part, start, Y in (("train", 0, truth[0]), ("test", n_scored, truth[1])):
            for epoch in range(n_epochs):
                of_tasks = []
                for t in range(n_tasks):
                    proba = np.zeros(len(Y))
                    for j in range(n_nets):
                        for i in range(len(Y)):
                            value = float(found[j, epoch, start + i, t])
                            if not np.isnan(value):
                                value = value if way == "grouped, logits" else expit(value)
                                proba[i] += weights[t, j] * value
                    proba = expit(proba) if way == "grouped, logits" else proba
                    of_tasks.append(f1_score(Y[:, t], proba > 0.5) if Y[:, t].any() else None)
                mean = np.mean([f1 for f1 in of_tasks[:3] if f1 is not None])
                assert line[part][epoch] == pytest.approx(mean, abs=5.1e-5)
        assert line["test_tasks"] == [f1 if f1 is None else round(f1, 4) for f1 in of_tasks]
        assert line["test_tasks"][2] is None


# -- settings ----------------------------------------------------------------------------------


def test_lines_without_a_device_are_of_the_cpu():
    old = groups(ANIMALS)
    assert said.key_of(old) == said.key_of({**old, "device": "cpu"})
    assert said.key_of(old) != said.key_of({**old, "device": "cuda"})
    found = [
        *said.by_setting([old, {**old, "device": "cuda"}, {**old, "seed": 1, "device": "cpu"}])
    ]
    assert [(setting["device"], len(lines)) for setting, lines in found] == [
        ("cpu", 2),
        ("cuda", 1),
    ]
    titles = [said.title(setting) for setting, _ in found]
    assert titles[1] == f"{titles[0]}, cuda"


def test_nets_share_the_images():
    images = np.zeros((4, 3, 32, 32), dtype=np.uint8)
    callback = stg.Logits([images, images[:2]])
    callback.on_train_begin(None)
    net = stg.MultiTaskNet(callbacks=[("kept", callback)])
    copied = dict(clone(clone(net)).callbacks)["kept"]
    assert copied is not callback
    assert copied.parts[0] is images
    assert not hasattr(copied, "kept")


def test_pictures_of_two_settings_have_two_names(tmp_path):
    pytest.importorskip("matplotlib")
    lines = [groups(ANIMALS)]
    said.draw(lines, tmp_path / "one")
    assert [file.name for file in (tmp_path / "one").iterdir()] == [
        "g1_small-cnn_100_2_2_groups_2.png"
    ]
    lines += [groups(ANIMALS, n_test=70), groups(ANIMALS, n_test=70, device="cuda")]
    said.draw([*lines, groups(ANIMALS, epochs=3)], tmp_path / "all")
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == [
        "g1_small-cnn_100_2_2_50_cpu_groups_2.png",
        "g1_small-cnn_100_2_2_70_cpu_groups_2.png",
        "g1_small-cnn_100_2_2_70_cuda_groups_2.png",
        "g1_small-cnn_100_3_2_groups_2.png",
    ]


# -- all of it ---------------------------------------------------------------------------------


def test_results_that_are_not_there(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--print", "--results", tmp_path / "none.jsonl")
    assert "There is no file" in capsys.readouterr().err


def test_a_run_that_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    noise_images(tmp_path / "c.npz")
    results = tmp_path / "r.jsonl"
    options = ["--data", tmp_path / "c.npz", "--results", results, "--device", "cpu"]
    options += ["--n-train", 60, "--n-test", 40, "--n-scored", 20, "--epochs", 2, "--seeds", 0]
    options += ["--n-clusters", 2, "--ways", "grouped", "ensemble", "stl"]
    run(monkeypatch, *options)
    printed, text = capsys.readouterr().out, results.read_text()
    lines = said.result_file(results).read()
    assert [line.get("way", line.get("source")) for line in lines] == [
        *["MTL", "STL", "mtl", "stl", "grouped", *said.COMBINED, "ensemble"]
    ]
    assert [x["nets"] for x in lines if x["kind"] == "scores"] == [1, 10, 3, 3, 3, 3, 3]
    assert {line["device"] for line in lines} == {"cpu"}
    verdict = "- G1, 2 clusters: grouping cannot be told by one seed from an ensemble of as many"
    assert verdict in printed
    assert "nan" not in printed

    # All columns of the single-task nets are in one array.
    (work,) = (tmp_path / "r.work").iterdir()
    with np.load(work / "maps_stl.npz") as file:
        of_stl = dict(file)
    assert of_stl["kept"].shape == (1, 2, 60, 10)
    assert np.isfinite(of_stl["kept"]).all()

    class Refuses:
        def __init__(self, *args, **kwargs):
            raise AssertionError("Something was trained again.")

    monkeypatch.setattr(stg, "TaskGrouper", Refuses)
    monkeypatch.setattr(stg, "GroupedMTLClassifier", Refuses)
    monkeypatch.setattr(stg.MultiTaskNet, "fit", Refuses)
    run(monkeypatch, *options)
    assert results.read_text() == text
    assert capsys.readouterr().out == printed
    rows = text.splitlines(keepends=True)
    results.write_text("".join(rows[:-1]))
    run(monkeypatch, *options)
    assert results.read_text() == text
    results.write_text(text[:-20])  # a line that was cut off
    run(monkeypatch, *options)
    assert said.result_file(results).read() == lines
    assert capsys.readouterr().out == printed * 2

    # Lines from before say neither the device nor what is now an option.
    old = [line for line in lines if line.get("way") != "STL"]
    for line in old:
        for name in said.UNSAID:
            del line[name]
    results.write_text(rows[0] + "".join(f"{json.dumps(line)}\n" for line in old))
    run(monkeypatch, *options)
    after = said.result_file(results).read()
    assert (after[-1], len(after)) == (lines[1], len(lines))


def test_a_file_of_something_else_stays_as_it_is(tmp_path, monkeypatch):
    results = tmp_path / "settings.json"
    results.write_text('{"kind": "of mine"}')
    with pytest.raises(FileFormatError, match=r"settings\.json holds something else"):
        run(monkeypatch, "--print", "--results", results)
    assert results.read_text() == '{"kind": "of mine"}'


def test_scores_that_are_not_defined_are_kept_as_none(tmp_path):
    file = said.result_file(tmp_path / "r.jsonl")
    file.append({"f1": [0.5, float("nan")], "k": 2})
    assert file.read() == [{"f1": [0.5, None], "k": 2}]


@pytest.mark.parametrize(
    "name", ["evidence", "census_income", "reproduce_stg_mtl", "adatt_studies"]
)
def test_results_that_are_checked_in_can_be_read(name):
    path = Path(stg.__file__).parent / "results" / f"{name.replace('reproduce_', '')}.jsonl"
    assert len(ResultFile(path, name).read()) > 100
