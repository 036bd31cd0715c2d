"""What the benchmark of populations says of its lines."""

import pytest

from benchmarks import population_intervals, populations
from benchmarks.populations import CHOSEN, FOR_ALL, ONE_EACH, RANDOM, SEEING, SHRUNK, Measured
from benchmarks.result_file import ResultFile


def line(way, seed, error, groups=None, shrinkage=None, part="planted-30-ridge"):
    found = {"part": part, "seed": seed, "way": way, "seconds": 1.0, "error": error}
    return found | ({"groups": groups, "shrinkage": shrinkage} if groups else {})


def test_the_best_of_the_others_is_chosen_over_all_seeds_and_not_seed_by_seed():
    scores = {CHOSEN: [1.0, 1.0], FOR_ALL: [0.5, 2.0], SHRUNK: [1.2, 1.2], ONE_EACH: [0.1]}
    measured = Measured(
        line(way, s, error, [0, 0] * (way == CHOSEN))
        for way, of in scores.items()
        for s, error in enumerate(of)
    )
    # "One for all" is the better one of a seed, "one each" lacks one.
    assert measured.best("planted-30-ridge", (FOR_ALL, SHRUNK, ONE_EACH), "error", [0, 1]) == SHRUNK


def test_random_groups_are_what_was_chosen_where_this_is_one_for_all():
    lines = [line(CHOSEN, 0, 1.0, [0, 1, 0]), line(CHOSEN, 1, 2.0, [0, 0, 0]), line(RANDOM, 0, 3.0)]
    assert Measured(lines).scores("planted-30-ridge", RANDOM, "error") == {0: 3.0, 1: 2.0}


@pytest.mark.parametrize(
    ("groups", "shrinkage", "said"),
    [
        ([0, 0, 0], None, FOR_ALL),
        ([0, 0, 0], 8.0, f"{FOR_ALL}, {SHRUNK}"),
        ([0, 1, 0], None, "2 groups"),
        ([0, 1, 2], 0.0, ONE_EACH),
    ],
)
def test_answers(groups, shrinkage, said):
    measured = [line(CHOSEN, s, 1.1, groups, shrinkage) for s in range(2)]
    measured += [line(FOR_ALL, s, 1.0) for s in range(2)]
    text = populations.show(measured)
    assert f"| planted-30-ridge | {said} (2) | one for all | +10.00 % ± 0.00 |" in text


def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    file = ResultFile(tmp_path / "results.jsonl", "populations")
    ways = [CHOSEN, FOR_ALL, SHRUNK, RANDOM, FOR_ALL + SEEING]
    populations.run("planted-30-ridge", None, 0, ways[:2], file)
    first = file.read()
    assert [x["way"] for x in first] == ways[:2]
    assert first[0]["groups"] == [0, 1, 2] * 8
    assert first[0]["error"] < 0.7 * first[1]["error"]
    populations.run("planted-30-ridge", None, 0, ways, file)
    assert [x["way"] for x in file.read()] == ways
    assert file.read()[:2] == first


def test_intervals_are_compared_with_new_rows():
    cell = ("two kinds", 10, 40, False, 2, 0)
    found = list(population_intervals.measured(*cell))
    assert [one["pair"] for one in found].count("fixed") == 1 < len(found)
    lines = population_intervals.flat([{"cell": list(cell), "found": found}])
    fixed = found[-1]["cover"]
    assert f"| two kinds | {len(found) - 1} |" in (said := population_intervals.show(lines))
    assert f"| {100 * fixed:.1f} % ± 0.0 |" in said
    thrice = population_intervals.share([{"seed": s, "cover": s < 3} for s in range(4)], "cover")
    assert thrice == "75.0 % ± 25.0"
