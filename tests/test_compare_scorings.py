"""Several scorings of the same fits."""

import json

import numpy as np
import pytest
from comparing import Counted, cheap, compare_given, make_data
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import get_scorer
from sklearn.neighbors import KNeighborsClassifier

from skgroup import MultiTaskNet
from skgroup.metrics import MultiTaskShuffleSplit

pd = pytest.importorskip("pandas")
SEVERAL = ["f1_macro", "roc_auc", "neg_brier_score"]


def accuracy(estimator, X, y):
    return np.mean(estimator.predict(X) == y)


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def mixed():
    X, Y = make_data()
    return X, pd.DataFrame({"churn": Y[:, 0], "spend": X[:, 1] + 0.1, "away": Y[:, 2]})


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


def test_each_of_several_scorings_gives_what_it_gives_alone(data):
    several = compare_given(*data, cheap(), seeds=2, scoring=SEVERAL)
    assert several.scorings == SEVERAL
    for name in SEVERAL:
        alone, of_name = (
            compare_given(*data, cheap(), seeds=2, scoring=name),
            several.by_scoring(name),
        )
        assert alone.scorings == [name]
        assert alone.by_scoring(name).scoring == of_name.scoring
        np.testing.assert_array_equal(of_name.values, alone.values)
        assert of_name.best_baseline == alone.best_baseline
        columns = ["mean", "sd", "difference", "low", "high", "scoring"]
        pd.testing.assert_frame_equal(of_name.frame[columns], alone.frame[columns])
        assert of_name.scorings[0] == name
        assert set(of_name.scorings) == set(SEVERAL)
    np.testing.assert_array_equal(several.values, several.by_scoring("f1_macro").values)
    with pytest.raises(ValueError, match=r"name must be one of the scorings \['f1_macro'.*'f2'"):
        several.by_scoring("f2")


def test_names_give_the_scores_of_scikit_learn(data):
    """Where there is nothing that scikit-learn cannot score."""
    X, Y = data
    names = ["accuracy", "balanced_accuracy", "average_precision", "neg_log_loss"]
    near = {"near": KNeighborsClassifier(20)}
    found = compare_given(X, Y, near, seeds=1, cv=0.5, scoring=[*names, "neg_brier_score"])
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.5, random_state=0).split(X, Y))
    for t in range(4):
        alone = KNeighborsClassifier(20).fit(X[train], Y[train, t])
        for name in [*names, "neg_brier_score"]:
            expected = get_scorer(name)(alone, X[test], Y[test, t])
            assert found.by_scoring(name).values[0, 0, t] == pytest.approx(expected)
    numbers = X[:, :2] ** 2
    names = ["r2", "neg_mean_absolute_error", "neg_mean_squared_error"]
    names.append("neg_root_mean_squared_error")
    found = compare_given(X, numbers, {"ridge": Ridge()}, seeds=1, scoring=names)
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, numbers))
    for t in range(2):
        alone = Ridge().fit(X[train], numbers[train, t])
        for name in names:
            expected = get_scorer(name)(alone, X[test], numbers[test, t])
            assert found.by_scoring(name).values[0, 0, t] == pytest.approx(expected)


def test_one_fit_and_one_prediction_serve_all_scorings(data):
    class Asked(Counted):
        asked = 0

        def predict(self, X):
            Asked.asked += 1
            return super().predict(X)

    scoring = {"F1": "f1_macro", "right": accuracy, "balanced": "balanced_accuracy"}
    found = compare_given(*data, {"a": Asked()}, seeds=3, scoring=scoring)
    assert (Counted.fits, Asked.asked) == (3, 3)
    assert found.scorings == ["F1", "right", "balanced"]


def test_what_is_shown_names_every_scoring(data):
    found = compare_given(*data, cheap(), seeds=4, scoring=SEVERAL)
    text, html = repr(found), found._repr_html_()
    head = found.table.head
    assert head[1] == "f1_macro ± sd"
    assert head[3:5] == ["roc_auc", "neg_brier_score"]
    auc = found.by_scoring("roc_auc")
    cell = found.table.rows[2][3]
    of_dummy = auc.frame.loc[("dummy", "mean over tasks")]
    assert cell == f"{of_dummy['mean']:.3f} ({of_dummy['difference']:+.3f})"
    assert "(" not in found.table.rows[found.candidates.index(auc.best_baseline)][3]
    assert f"{found.verdict}\n" in text
    for name in SEVERAL:
        assert name in text
        assert f"Each task by {name}" in html
    assert text.count("Only baselines were compared") == len(
        {found.by_scoring(name).verdict for name in SEVERAL}
    )
    tidy = found.scores
    assert tidy.columns.tolist() == ["candidate", "seed", "fold", "task", "scoring", "score"]
    assert len(tidy) == found.values.size * 3
    line = tidy[(tidy.scoring == "roc_auc") & (tidy.candidate == "near") & (tidy.seed == 1)]
    np.testing.assert_array_equal(line["score"], auc.values[0, 1])
    assert len(found.fits) == 12


def test_a_comparison_is_written_in_markdown(data):
    X, Y = data
    Y = pd.DataFrame(Y, columns=["a|b", "c_d_", "e", "f"])
    found = compare_given(X, Y, cheap(), seeds=4, scoring=SEVERAL)
    blocks = found.to_markdown().split("\n\n")
    assert blocks[0].startswith("**By f1\\_macro")
    assert "Test f1\\_macro, mean over 4 tasks, of 4 seeds, 1 split each" in blocks
    tables = [block.split("\n") for block in blocks if block.startswith("|")]
    assert [len(table) for table in tables] == [2 + 3] + [2 + 4] * 3
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert tables[0][2].startswith("| near \\* | ")
    assert tables[1][0] == "| task | near | tree | dummy |"
    assert tables[1][2].startswith("| a\\|b | ")
    best = found.frame["mean"].xs("e", level="task").max()
    assert f"**{best:.3f}**" in tables[1][4]
    assert "Each task by roc\\_auc:" in blocks
    short = found.to_markdown(tasks=False)
    assert short.count("\n| ---") == 1
    alone = compare_given(X, Y, cheap(), seeds=4).to_markdown(tasks=False)
    assert alone.startswith("**Only baselines were compared")
    assert "| candidate | score ± sd |" in alone


def test_a_dict_by_kind_is_one_scoring_and_may_be_one_of_several(mixed):
    net = MultiTaskNet.stg_mtl(max_epochs=1)
    by_kind = {"classes": "roc_auc", "regression": "neg_mean_absolute_error"}
    one = compare_given(*mixed, {"net": net}, seeds=2, scoring=by_kind)
    assert one.scorings == ["score"]
    several = compare_given(*mixed, {"net": net}, seeds=2, scoring={"usual": None, "mine": by_kind})
    assert several.scoring == {"classes": "F1", "regression": "R²"}
    np.testing.assert_array_equal(several.by_scoring("mine").values, one.values)
    assert several.table.head[-5:-3] == ["mine: ROC AUC", "mine: negative MAE"]
    listed = compare_given(
        *mixed, {"net": net}, seeds=1, scoring=[{"classes": "f1", "regression": "r2"}, by_kind]
    )
    assert listed.scorings == ["f1 and r2", "roc_auc and neg_mean_absolute_error"]
    numbers = mixed[1][["spend"]]
    scoring = ["r2", "neg_mean_squared_error"]
    errors = compare_given(mixed[0], numbers, {"ridge": Ridge()}, seeds=1, scoring=scoring)
    assert (errors.by_scoring("neg_mean_squared_error").values < 0).all()


def test_a_scoring_that_fails_loses_nothing_of_the_others(data, tmp_path):
    def picky(estimator, X, y):
        if len(y) == 30 and picky.fails:
            raise RuntimeError("not today")
        return accuracy(estimator, X, y)

    picky.fails = True
    scoring = {"F1": "f1_macro", "picky": picky}
    params = {"seeds": 2, "results": tmp_path / "fits"}
    with pytest.warns(FitFailedWarning, match="was not scored by 'picky' in fold 0 of seed"):
        found = compare_given(*data, {"a": Counted(), "b": Counted(1)}, scoring=scoring, **params)
    assert not found.errors
    assert np.isfinite(found.values).all()
    assert np.isnan(found.by_scoring("picky").values).all()
    verdict = "No baseline was scored by 'picky', so that nothing can be said: it failed with "
    assert found.by_scoring("picky").verdict == f"{verdict}RuntimeError: not today."
    told = "“a” was not scored by 'picky' in 2 of 2 fits, first with RuntimeError: not today"
    assert told in found.table.notes
    assert not any("not defined" in note for note in found.table.notes)
    assert found.by_scoring("picky").failed == {"a", "b"}
    assert compare_given(*data, {"a": Counted()}, scoring="f1_macro", **params).n_finished == 2
    assert Counted.fits == 4
    picky.fails = False
    again = compare_given(*data, {"a": Counted(), "b": Counted(1)}, scoring=scoring, **params)
    assert Counted.fits == 8
    assert np.isfinite(again.by_scoring("picky").values).all()
    picky.fails = True
    with pytest.raises(RuntimeError, match="not today"):
        compare_given(*data, {"a": Counted()}, scoring=scoring, seeds=1, error_score="raise")


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ([], "must hold a score. Got an empty list"),
        (["f1", "f1"], "must not name a score twice. Got 'f1' twice"),
        (["f1", accuracy], "where it is a list, must hold names of scores.*Got <function accuracy"),
        (["f1", ["roc_auc"]], "where it is a list, must hold names of scores"),
        ({"classes": "f1", "AUC": "roc_auc"}, "Got the name 'classes'"),
        ({"F1": "f1", 3: "roc_auc"}, "non-empty strings.*Got the name 3"),
        ({"F1": "f1", "": "roc_auc"}, "non-empty strings.*Got the name ''"),
        ({"F1": "f1", "AUC": "roc"}, "another name of sklearn.*Got 'roc'"),
        (["f1", "r2"], "must be a score of tasks with classes.*Got 'r2'"),
        ({"F1": "f1", "AUC": "roc_auc"}, "'a' of compare cannot be fitted: it has no predict_pro"),
    ],
)
def test_wrong_scorings_are_refused_before_any_training(data, scoring, message):
    with pytest.raises(ValueError, match=message):
        compare_given(*data, {"a": Counted()}, scoring=scoring)
    assert Counted.fits == 0


def test_a_file_keeps_all_scores_and_gives_some_of_them(data, tmp_path):
    path = tmp_path / "fits"

    def fits(scoring, candidates=None, **params):
        Counted.fits = 0
        candidates = candidates or {"a": Counted()}
        found = compare_given(*data, candidates, seeds=2, scoring=scoring, results=path, **params)
        return Counted.fits, found

    assert fits({"F1": "f1_macro", "right": accuracy})[0] == 2
    n_fits, of_file = fits({"other name": accuracy})
    assert n_fits == 0
    fresh = compare_given(*data, {"a": Counted()}, seeds=2, scoring=accuracy)
    np.testing.assert_array_equal(of_file.values, fresh.values)
    assert fits("f1_macro")[0] == fits(None)[0] == fits(["f1_macro"])[0] == 0
    assert fits(["f1_macro", "balanced_accuracy"])[0] == 2  # whose score no fit has
    assert fits({"a": accuracy, "b": "balanced_accuracy", "c": "f1"})[0] == 2
    assert fits(["balanced_accuracy", "f1_macro"])[0] == 0
    assert fits(lambda e, X, y: np.mean(e.predict(X) != y))[0] == 2
    lines = path.read_text().splitlines()[1:]
    assert {key.split()[0] for key in json.loads(lines[0])["scores"]} == {"F1", "accuracy"}


def test_a_file_tells_scores_of_another_positive_class_apart(data, tmp_path):
    X, Y = data
    answers = np.where(Y == 1, "yes", "no")
    values = []
    for positive in ("yes", "no"):
        net = MultiTaskNet.stg_mtl(max_epochs=1, pos_label=positive)
        candidates = {"told": net, "near": KNeighborsClassifier(5)}
        found = compare_given(X, answers, candidates, seeds=1, results=tmp_path / "fits")
        values.append(found.values[1])
    assert (values[0] != values[1]).any()
