import re
import sys

import numpy as np
import pytest
from comparing import MTL, STL, Counted, cheap, compare_given, crafted, make_data
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def data():
    return make_data()


def test_the_verdict_is_for_grouping_where_the_interval_is_above_zero():
    better = [0.90, 0.90, 0.90, 0.89, 0.91]
    found = crafted(
        {"MTL": MTL, "STL": STL, "grouped": better}, [1, 9, 4], baselines=["MTL", "STL"]
    )
    p = found.paired("grouped", "STL")
    assert p.low > 0
    assert found.verdict == (
        f"Grouping helps here: use “grouped” (4 nets, 4 s a fit), {p.difference:.3f} above the "
        f"best baseline, “STL” (95 % interval of the difference {p.low:+.3f} to {p.high:+.3f}); "
        "nothing clearly cheaper is within a standard error of it."
    )
    assert found.advised == "grouped"
    # Of two that help alike, the cheaper.
    both = {
        "STL": STL,
        "grouped": better,
        "small": [s - 0.001 * (i % 2) for i, s in enumerate(better)],
    }
    found = crafted(both, [9, 4, 2], baselines=["STL"], grouped=("grouped", "small"))
    assert found.verdict.startswith("Grouping helps here: use “small” (2 nets")
    assert (
        "; the cheapest of those within a standard error of “grouped”; of 2 cand" in found.verdict
    )


def test_where_grouping_helps_something_cheaper_that_is_as_near_is_named():
    better = [0.90, 0.90, 0.90, 0.89, 0.91]
    unsure = [0.97, 0.81, 0.96, 0.80, 0.95]  # as good on average, but not clearly above STL
    scores = {"MTL": MTL, "STL": STL, "grouped": better, "small": unsure}
    found = crafted(scores, [1, 9, 4, 2], baselines=["MTL", "STL"], grouped=("grouped", "small"))
    p = found.paired("small", "grouped")
    assert p.difference + p.error > 0
    assert found.paired("small", "STL").low < 0
    assert found.advised == "grouped"
    assert (
        "; “small” (2 nets, 2 s a fit) is within a standard error of “grouped” too and cheaper, "
        "but not clearly above the best baseline; of 2 candidates" in found.verdict
    )
    found = crafted(scores, [1, 9, 4, 5], baselines=["MTL", "STL"], grouped=("grouped", "small"))
    assert "small" not in found.verdict
    assert "nothing clearly cheaper is within a standard error of it" in found.verdict
    found = crafted(scores, [5, 9, 4, 7], baselines=["MTL", "STL"], grouped=("grouped", "small"))
    assert "; nothing is cheaper; of 2 candidates tried" in found.verdict
    few = {name: values[:3] for name, values in scores.items()} | {"grouped": [0.95, 0.96, 0.94]}
    found = crafted(few, [1, 9, 4, 2], baselines=["MTL", "STL"], grouped=("grouped", "small"))
    assert found.verdict.startswith("Grouping helps here: use “grouped”")
    assert "; 3 splits are too few to advise anything cheaper; of 2" in found.verdict


def test_the_verdict_names_the_cheapest_of_the_best_where_grouping_does_not_help():
    worse = [0.75, 0.76, 0.74, 0.75, 0.77]
    found = crafted({"MTL": MTL, "STL": STL, "grouped": worse}, [1, 9, 4], baselines=["MTL", "STL"])
    assert found.verdict.startswith(
        "Grouping does not help here (“grouped” is 0.048 below the best baseline, “STL”"
    )
    assert found.verdict.endswith(
        "use “STL” (9 nets, 9 s a fit), the highest score, and nothing clearly cheaper is within a "
        "standard error of it."
    )
    # Better by its mean alone: the interval reaches 0, and something cheaper is as good.
    unsure = [0.95, 0.70, 0.90, 0.72, 0.93]
    scores = {"MTL": MTL, "STL": STL, "small": [s - 0.002 * (i % 2) for i, s in enumerate(STL)]}
    found = crafted({**scores, "grouped": unsure}, [1, 9, 3, 12], baselines=["MTL", "STL", "small"])
    assert found.paired("grouped", "STL").low < 0 < found.paired("grouped", "STL").difference
    assert found.verdict.startswith("Grouping does not clearly help here (“grouped” is 0.0")
    # MTL cannot be told from it either, but is not within a standard error.
    p = found.paired("MTL", "grouped")
    assert p.high > 0 > p.difference + p.error
    assert found.verdict.endswith(
        "use “small” (3 nets, 3 s a fit), the cheapest of those within a standard error of the "
        "best, “grouped”."
    )
    # A little cheaper is not worth any score.
    found = crafted(
        {**scores, "grouped": unsure}, [10, 11, 10, 12], baselines=["MTL", "STL", "small"]
    )
    assert "use “grouped” (12 nets" in found.verdict


def test_the_advice_keeps_to_one_standard_error():
    """Scores that differ by exactly known means and standard errors."""
    noise = np.array([-2, -1, 0, 1, 2]) * 0.01
    error = np.sqrt((1 / 5 + 1 / 3) * noise.var(ddof=1))
    for distance, advised in [(0.9 * error, "cheap"), (1.1 * error, "dear")]:
        scores = {"dear": 0.8 + 0 * noise, "cheap": 0.8 - distance + noise}
        found = crafted(scores, [5, 4], baselines=["dear", "cheap"], grouped=())
        assert found.paired("cheap", "dear").error == pytest.approx(error)
        assert f"use “{advised}”" in found.verdict
    found = crafted({"dear": STL, "cheap": STL}, [5, 4.1], baselines=["dear", "cheap"], grouped=())
    assert "use “dear”" in found.verdict  # which saves less than a fifth of the time


def test_nothing_is_advised_that_another_clearly_beats():
    noise = np.array([3, -3, 4, -4, 0]) * 0.03
    stl = 0.8 + 0.001 * np.array([1, -1, 0, 1, -1])
    scores = {"MTL": stl - 0.04, "STL": stl, "grouped": 0.81 + noise}
    found = crafted(scores, [1, 15, 20], baselines=["MTL", "STL"])
    p = found.paired("MTL", "grouped")
    assert p.difference + p.error > 0 > found.paired("MTL", "STL").high
    assert "use “STL” (15 nets, 15 s a fit), the cheapest of those within" in found.verdict


def test_what_a_grouping_should_be_measured_by_and_is_not_is_said():
    better = [s + 0.1 for s in MTL]
    scores = {"MTL": MTL, "nets": MTL, "grouped": better}
    kinds = ["MTL", "MTL", "grouped"]
    found = crafted(scores, [1, 4, 4], baselines=["MTL", "nets"], kinds=kinds, n_tasks=2)
    assert found.verdict.endswith(
        "; not compared with single-task nets (GroupedMTLClassifier.stl)."
    )
    assert "\nNot compared with single-task nets (GroupedMTLClassifier.stl)." in repr(found)
    # Nor is what costs less an ensemble of as many nets; what is no baseline counts too.
    kinds = ["MTL", "STL", "grouped"]
    found = crafted(scores, [1, 3, 4], baselines=["MTL"], kinds=kinds, n_tasks=2)
    assert [what.split(" (")[0] for what in found.lacking] == [
        "an ensemble of as many multi-task nets"
    ]
    kinds = ["MTL", "MTL", "grouped"]
    found = crafted(scores, [1, 3, 4], baselines=["MTL", "nets"], kinds=kinds, n_tasks=2)
    assert len(found.lacking) == 2

    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    net = MultiTaskNet.stg_mtl(max_epochs=1)
    grouped = {"grouped": GroupedMTLClassifier(net, n_groups=2)}
    single = {
        "STL": GroupedMTLClassifier.stl(net),
        "search": GridSearchCV(GroupedMTLClassifier.stl(net), {"min_membership": [0.0]}, cv=2),
        "identity": GroupedMTLClassifier(net, np.eye(3)),
        "sklearn": MultiOutputClassifier(net),
        "searched": GridSearchCV(MultiOutputClassifier(net), {"estimator__lr": [0.1]}, cv=2),
    }
    ensembles = {
        "3 nets": GroupedMTLClassifier.mtl_ensemble(3, net),
        "uniform": GroupedMTLClassifier(net, np.ones((3, 3))),
        "searched": GridSearchCV(
            GroupedMTLClassifier.mtl_ensemble(3, net), {"min_membership": [0.0]}
        ),
    }
    neither = {"MTL": net, "trees": DecisionTreeClassifier(), "2": GroupedMTLClassifier.mtl(net)}

    def lacking(own):
        found = compare(X, X > 0, neither | own, baselines="MTL", seeds=1)
        return [what.split(" (")[0] for what in found.lacking]

    words = ["single-task nets", "an ensemble of as many multi-task nets"]
    assert lacking(grouped) == words
    assert lacking({}) == []
    for name, estimator in single.items():
        assert lacking(grouped | {name: estimator}) == words[1:]
        assert lacking(grouped | {name: estimator, "3": ensembles["3 nets"]}) == []
    for name, estimator in ensembles.items():
        assert lacking(grouped | {name: estimator}) == words[:1]
    one = GroupedMTLClassifier(net, make_pipeline(TaskGrouper(net), FuzzyKMeans(1)))
    assert compare(X, X[:, 0] > 0, one, seeds=1).lacking == []


def test_baselines_that_are_made_can_be_named(data, small_net):
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    found = compare(*data, clf, baselines=["STL", "MTL"], seeds=1)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "forest", "grouped"]
    assert found.baselines == ["MTL", "STL"]
    assert found.lacking == []
    with pytest.raises(ValueError, match=r"Got 'trees'; the candidates are \['MTL', 'STL'"):
        compare(*data, clf, baselines="trees")


def test_one_task_has_nothing_to_group():
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = compare(X, X[:, 0] > 0, MultiTaskNet.stg_mtl(max_epochs=1), seeds=2)
    assert (found.candidates, found.grouped) == (["GroupedMTLClassifier"], [])
    assert found.verdict.startswith("Only baselines were compared")


def test_few_splits_advise_nothing_cheaper():
    scores = {"MTL": [0.70, 0.76], "grouped": [0.9, 0.7], "STL": [0.80, 0.81]}
    found = crafted(scores, [1, 4, 9], baselines=["MTL", "STL"])
    assert found.paired("MTL", "STL").high > 0
    assert found.verdict.endswith(
        "use “STL” (9 nets, 9 s a fit), the highest score; 2 splits are too few to advise anything "
        "cheaper."
    )


def test_a_candidate_that_failed_is_not_advised():
    scores = {"MTL": MTL, "grouped": [0.1, *[np.nan] * 4], "STL": STL}
    found = crafted(scores, [5, 1, 9], baselines=["MTL", "STL"])
    assert "nan" not in found.verdict
    found.errors.update({("grouped", seed, 0): "ValueError" for seed in range(1, 5)})
    assert found.verdict.startswith("Only baselines have finished their fits: use “STL” (9 nets")
    found.errors.update({(name, 0, 0): "ValueError" for name in scores})
    assert found.verdict == "No candidate has finished all its fits, so that nothing is advised."
    assert found.advised is None


def test_the_verdict_says_where_grouping_is_only_cheaper_or_nothing_is_known():
    equal = [s + 0.001 * (-1) ** i for i, s in enumerate(STL)]
    found = crafted({"STL": STL, "grouped": equal}, [9, 4], baselines=["STL"])
    assert found.verdict.startswith(
        "Grouping does not clearly score more here, but costs less: use “grouped” (4 nets"
    )
    found = crafted({"MTL": MTL, "STL": STL}, [1, 9], baselines=["MTL", "STL"])
    assert found.verdict.startswith("Only baselines were compared: use “STL” (9 nets")
    failed = {"MTL": MTL, "STL": STL, "grouped": [np.nan] * 5}
    found = crafted(failed, [1, 9, np.nan], baselines=["MTL", "STL"])
    assert found.verdict.startswith("Only baselines have finished their fits: use “STL” (9 nets")
    found = crafted({"STL": STL[:1], "grouped": [0.9]}, [9, 4], baselines=["STL"])
    assert "one split cannot tell" in found.verdict
    found = crafted({"STL": [np.nan] * 2, "grouped": [0.9, 0.8]}, [9, 4], baselines=["STL"])
    assert found.verdict == "No baseline has finished a fit, so that nothing can be said."
    other = crafted({"STL": STL, "other": [s + 0.1 for s in STL]}, [9, 4], baselines=["STL"])
    assert other.verdict.startswith("What is no baseline helps here: use “other”")


def test_the_best_baseline_may_have_failed():
    scores = {"MTL": MTL, "grouped": [0.75, 0.76, 0.74, 0.75, 0.77], "STL": [*STL[:4], np.nan]}
    found = crafted(scores, [5, 7, 1], baselines=["MTL", "STL"])
    found.errors["STL", 4, 0] = "ValueError"
    assert found.paired("grouped", "STL").high < 0
    assert found.verdict.startswith("Grouping does not help here (“grouped” is 0.0")
    assert found.verdict.endswith("(of those whose fits have not failed).")


@pytest.mark.parametrize("n_folds", [1, 4])
def test_a_split_of_several_seeds_counts_once(data, n_folds):
    X, Y = data
    splits = list(KFold(4).split(X))[:n_folds]
    several, once = (compare_given(X, Y, cheap(), cv=splits, seeds=n) for n in (5, 1))
    ours, theirs = (found.paired("near", "dummy") for found in (several, once))
    for end in ("difference", "low", "high"):
        np.testing.assert_allclose(getattr(ours, end), getattr(theirs, end), rtol=1e-12)
    assert "Splits are the same for several seeds" in repr(several)
    assert "Splits are the same" not in repr(once)
    if n_folds == 1:
        assert "one split cannot tell merit from chance: let 'cv' draw more." in several.verdict


def test_a_split_that_a_baseline_lacks_does_not_choose_the_best():
    hard = {"a": [0.5, 0.9], "b": [np.nan, 0.8], "grouped": [0.4, 0.9]}
    found = crafted(hard, [1, 2, 3], baselines=["a", "b"])
    assert found.best_baseline == "a"  # better where both have a score
    assert found.paired("b", "a").difference == pytest.approx(-0.1)
    assert found.frame.loc[("a", "mean over tasks"), "mean"] == pytest.approx(0.7)


def test_texts_are_escaped_and_complete():
    found = crafted(
        {"<MTL>": MTL, "STL": STL, "grouped": [np.nan] * 5},
        [1, 9, np.nan],
        baselines=["<MTL>", "STL"],
        n_tasks=3,
        tasks=["a&b", "<i>", "c"],
        errors={("grouped", i, 0): "ValueError: <b>" for i in range(5)},
    )
    text, html = repr(found), found._repr_html_()
    assert re.search(r"^<MTL> \* +0\.704 ± 0\.011 +-0\.098 \(", text, re.MULTILINE)
    assert re.search(r"^STL \* .* best baseline +9 +9 +9$", text, re.MULTILINE)
    assert re.search(r"^grouped +failed$", text, re.MULTILINE)
    assert "Test F1, mean over 3 tasks, of 5 seeds, 1 split each" in text
    assert found.verdict in text
    for raw in ("<MTL>", "<i>", "a&b", "ValueError: <b>"):
        assert raw not in html
    for escaped in ("&lt;MTL&gt;", "&lt;i&gt;", "a&amp;b", "ValueError: &lt;b&gt;"):
        assert escaped in html
    assert html.count("<tr>") == 1 + 3 + 1 + 3
    assert "<td><b>0.802</b></td>" in html  # the best of a task


def test_without_pandas_there_are_still_words(data, monkeypatch):
    found = compare_given(*data, cheap(), seeds=2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "near" in repr(found)
    assert "use “" in found.verdict
    with pytest.raises(ImportError, match="install pandas"):
        _ = found.frame


def test_a_progress_bar_counts_the_fits(data, capsys):
    compare_given(*data, {"a": Counted()}, seeds=2, verbose=1)
    assert "2/2" in capsys.readouterr().err
    compare_given(*data, {"a": Counted()}, seeds=2)
    assert capsys.readouterr().err == ""
