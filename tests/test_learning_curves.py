import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from plotting import inside, matplotlib, pd, plt
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.inspection import LearningCurvesDisplay
from skgroup.nn import MLP

pytestmark = pytest.mark.usefixtures("closed_figures")


def curves_of(estimator, X, Y, **kwargs):
    return LearningCurvesDisplay.from_estimator(estimator, X, Y, **{"seeds": [3, 4], **kwargs})


def test_learning_curves_of_estimators_are_scores_of_shorter_training(tasks):
    """After e epochs, an estimator scores what one that trains for e epochs scores."""
    X, Y = tasks
    net = MultiTaskNet.stg_mtl(lr=0.01, max_epochs=6, module__hidden_units=(16,))
    membership = np.array([[0.7, 0.3], [0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])

    def estimators(epochs):
        own = clone(net).set_params(max_epochs=epochs)
        return {
            "MTL": own,
            "STL": GroupedMTLClassifier.stl(own, strategy="auto" if epochs < 6 else "stacked"),
            "grouped": GroupedMTLClassifier(own, membership),
            "scaled": make_pipeline(StandardScaler(), GroupedMTLClassifier.mtl_ensemble(2, own)),
        }

    given = estimators(6)
    drawn = curves_of(given, X, Y, n_epochs=3)
    assert drawn.epochs.tolist() == [2, 4, 6]
    assert drawn.score_name == "test F1"
    for column, epochs in enumerate([2, 4, 6]):
        found = compare(X, Y, estimators(epochs), baselines=["MTL"], seeds=[3, 4])
        for name, scores in zip(found.candidates, found.overall, strict=True):
            assert drawn.scores[name][:, column] == pytest.approx(scores, abs=1e-6)
    assert not np.allclose(drawn.scores["MTL"][:, 0], drawn.scores["MTL"][:, -1])
    assert given["STL"].strategy == "stacked"
    assert not net.callbacks
    assert not hasattr(net, "module_")

    both = curves_of(net, X, Y, score_type="both")
    assert list(both.scores) == ["MultiTaskNet (train)", "MultiTaskNet (test)"]
    assert both.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert both.scores["MultiTaskNet (test)"][:, 1::2] == pytest.approx(drawn.scores["MTL"])
    assert both.score_name == "F1"
    train, test = both.ax_.lines[:2]  # of one colour, training dashed
    assert train.get_color() == test.get_color()
    assert (train.is_dashed(), test.is_dashed()) == (True, False)
    assert all(tick == round(tick) for tick in both.ax_.get_xticks())
    train, test = (
        both.scores[f"MultiTaskNet ({part})"][:, -1].mean() for part in ("train", "test")
    )
    assert train > test


@pytest.mark.parametrize(("n_epochs", "expected"), [(1, [4, 7]), (2, [4, 7]), (5, [2, 4, 6, 7])])
def test_learning_curves_of_estimators_choose_epochs(tasks, n_epochs, expected):
    drawn = curves_of(MultiTaskNet.stg_mtl(max_epochs=7), *tasks, n_epochs=n_epochs)
    assert drawn.epochs.tolist() == expected


def test_learning_curves_of_estimators_that_end_apart(tasks):
    X, Y = tasks
    net = MultiTaskNet.stg_mtl(lr=0.01, max_epochs=5)
    longer = clone(net).set_params(max_epochs=7)
    both = {"short": net, "long": longer}
    drawn = curves_of(both, X, Y, n_epochs=4, scoring="accuracy")
    assert drawn.epochs.tolist() == [2, 4, 5, 6, 7]
    assert np.isfinite(drawn.scores["short"][0]).tolist() == [True, True, True, False, False]
    assert np.isfinite(drawn.scores["long"][0]).tolist() == [True, True, False, True, True]
    assert drawn.ax_.get_ylabel() == "test accuracy"
    # Bands go on over what other curves are scored at.
    bands = [band.get_paths()[0].vertices[:, 0] for band in drawn.ax_.collections]
    assert [(x.min(), x.max()) for x in bands] == [(2, 5), (2, 7)]


def _accuracy(net, X, y):
    return (net.predict(X) == np.asarray(y)).mean()


@pytest.mark.parametrize(
    "callbacks", [[EpochScoring(_accuracy, name="own", on_train=True)], "disable", None]
)
def test_learning_curves_of_estimators_keep_their_callbacks(tasks, callbacks, capsys):
    plain = curves_of(MultiTaskNet.stg_mtl(max_epochs=3), *tasks)
    net = MultiTaskNet.stg_mtl(max_epochs=3, callbacks=callbacks)
    drawn = curves_of(net, *tasks)
    assert np.array_equal(drawn.scores["MultiTaskNet"], plain.scores["MultiTaskNet"])
    assert net.callbacks is callbacks
    assert not capsys.readouterr().out


def test_learning_curves_of_estimators_go_on_where_training_stopped_early(tasks):
    stopping = MultiTaskNet.stg_mtl(
        lr=0.05,
        max_epochs=60,
        train_split=ValidSplit(4),
        callbacks=[EarlyStopping(patience=1)],
    )
    drawn = curves_of(stopping, *tasks, seeds=6, n_epochs=60)
    scores = drawn.scores["MultiTaskNet"]
    assert len(drawn.epochs) < 60
    assert np.isfinite(scores).all()
    still = (scores == scores[:, -1:]).sum(axis=1)  # epochs at the end that changed nothing
    assert still.max() > still.min()


class Noisy(MLP):
    def forward(self, x):
        return super().forward(x) + torch.randn(len(x), 1)


def test_learning_curves_of_estimators_leave_random_states(tasks):
    net = MultiTaskNet.stg_mtl(Noisy, max_epochs=2)
    before = torch.get_rng_state()
    first, second = (curves_of(net, *tasks).scores["MultiTaskNet"] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first, second)


class Breaks(MultiTaskNet):
    """Fails, or is interrupted, at its second fit."""

    error, n_fits = ValueError("no more"), 0

    def fit(self, *args, **kwargs):
        Breaks.n_fits += 1
        if Breaks.n_fits == 2:
            raise self.error
        return super().fit(*args, **kwargs)


def test_learning_curves_of_estimators_leave_out_a_fit_that_fails(tasks, monkeypatch):
    monkeypatch.setattr(Breaks, "n_fits", 0)
    with pytest.warns(FitFailedWarning, match="'Breaks' failed with seed 1"):
        drawn = curves_of(Breaks(max_epochs=2), *tasks, seeds=3)
    assert np.isfinite(drawn.scores["Breaks"]).all(axis=1).tolist() == [True, False, True]
    monkeypatch.setattr(Breaks, "n_fits", 1)
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match="All fits of LearningCurvesDisplay") as raised,
    ):
        curves_of(Breaks(max_epochs=2), *tasks, seeds=1)
    assert raised.value.__cause__ is Breaks.error


def test_learning_curves_of_estimators_are_all_or_none_if_interrupted(tasks, monkeypatch):
    monkeypatch.setattr(Breaks, "error", KeyboardInterrupt())
    monkeypatch.setattr(Breaks, "n_fits", 0)
    with pytest.raises(KeyboardInterrupt):
        curves_of(Breaks(max_epochs=2), *tasks, seeds=3)


@pytest.mark.parametrize(
    ("estimator", "kwargs", "match"),
    [
        (LogisticRegression(), {}, "have no epochs"),
        ({}, {}, "at least one"),
        ({1: MultiTaskNet.stg_mtl()}, {}, "non-empty strings"),
        (MultiTaskNet.stg_mtl(), {"ax": "no"}, "Axes"),
        ({"a": MultiTaskNet}, {}, "have no epochs"),
        (MultiTaskNet.stg_mtl(), {"n_epochs": 0}, "n_epochs"),
        (MultiTaskNet.stg_mtl(max_epochs="5"), {}, "max_epochs"),
        (GroupedMTLClassifier(specialist_epochs="3"), {}, "specialist_epochs"),
        (MultiTaskNet.stg_mtl(callbacks=[EarlyStopping()]), {}, "'MultiTaskNet' of LearningCurves"),
        (MultiTaskNet.stg_mtl(), {"score_type": "valid"}, "score_type"),
        (MultiTaskNet.stg_mtl(), {"scoring": "F3"}, "'scoring' parameter of LearningCurvesDisplay"),
        (MultiTaskNet.stg_mtl(), {"seeds": 0}, "'seeds' parameter of LearningCurvesDisplay"),
        (MultiTaskNet.stg_mtl(), {"cv": 1.5}, "LearningCurvesDisplay"),
        (MultiTaskNet.stg_mtl(), {"labels": "none"}, "labels"),
        (MultiTaskNet.stg_mtl(lr=-1.0), {}, "'MultiTaskNet' of LearningCurvesDisplay"),
    ],
)
def test_learning_curves_of_estimators_errors(tasks, estimator, kwargs, match, monkeypatch):
    monkeypatch.setattr(MultiTaskNet, "fit", None)  # errors come before any training
    with pytest.raises(ValueError, match=match):
        LearningCurvesDisplay.from_estimator(estimator, *tasks, **kwargs)


def test_learning_curves_of_estimators_need_a_label_row_a_sample(tasks):
    X, Y = tasks
    with pytest.raises(ValueError, match="same number of samples"):
        LearningCurvesDisplay.from_estimator(MultiTaskNet.stg_mtl(), X, Y[:60])


def test_learning_curves_draw_means_and_bands():
    rng = np.random.default_rng(0)
    scores = {"MTL": rng.random((5, 4)), "grouped": rng.random((3, 4)), "one seed": rng.random(4)}
    display = LearningCurvesDisplay.from_scores(
        scores, epochs=[1, 5, 10, 20], score_name="test F1", reference={"published": 0.7}
    )
    ax = display.ax_
    *lines, reference = ax.lines
    for line, (name, values) in zip(lines, scores.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), [1, 5, 10, 20])
        np.testing.assert_allclose(line.get_ydata(), np.atleast_2d(values).mean(axis=0))
    assert len({line.get_color() for line in lines}) == 3
    assert reference.get_linestyle() == "--"
    assert reference.get_ydata()[0] == 0.7
    # A band of one standard deviation, none for a single seed.
    assert len(ax.collections) == 2
    for band, name, line in zip(ax.collections, scores, lines, strict=False):
        corners = {tuple(np.round(xy, 9)) for xy in band.get_paths()[0].vertices}
        mean, std = scores[name].mean(axis=0), scores[name].std(axis=0, ddof=1)
        for bound in (mean - std, mean + std):
            assert {tuple(np.round(xy, 9)) for xy in zip([1, 5, 10, 20], bound, strict=True)} <= (
                corners
            )
        assert to_rgb(band.get_facecolor()[0]) == to_rgb(line.get_color())
    assert ax.get_ylabel() == "test F1"
    assert ax.get_xlabel() == "epoch"
    # Names at the ends of the lines, apart from each other.
    assert sorted(t.get_text() for t in ax.texts) == ["MTL", "grouped", "one seed", "published"]
    assert ax.get_legend() is None
    display.figure_.draw_without_rendering()
    inside(display.figure_, ax.texts)


def test_names_of_lines_that_end_together_do_not_overlap():
    scores = {f"method {i}": np.full((2, 3), 0.5 + 1e-4 * i) for i in range(8)}
    display = LearningCurvesDisplay.from_scores(scores)
    texts = display.ax_.texts
    assert len(texts) == 8
    display.figure_.draw_without_rendering()
    centers = [matplotlib.text.Text.get_window_extent(t) for t in texts]
    bottom = sorted((box.y0, box.y1) for box in centers)
    assert all(a[1] < b[0] + 1 for a, b in itertools.pairwise(bottom))
    assert [t.get_text() for t in sorted(texts, key=lambda t: t.xyann[1])] == list(scores)
    inside(display.figure_, texts)


def test_many_methods_have_a_legend_and_styles_of_their_own():
    scores = {f"method {i}": np.full((2, 3), 0.1 * i) for i in range(15)}
    display = LearningCurvesDisplay.from_scores(scores, reference=0.9)
    legend = display.ax_.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == [*scores, "reference"]
    assert not display.ax_.texts
    display.figure_.draw_without_rendering()
    looks = {(line.get_color(), str(line._dash_pattern)) for line in display.ax_.lines}
    assert len(looks) == 16
    inside(display.figure_, legend.get_texts())
    few = LearningCurvesDisplay.from_scores({"a": [1.0, 2.0]}, labels="legend")
    assert few.ax_.get_legend() is not None


@pytest.mark.parametrize("n_methods", [40, 100])
def test_lines_that_no_legend_tells_apart_are_named_at_their_ends(n_methods):
    names = [f"method_{i:03d}_with_a_long_name" for i in range(n_methods)]
    rng = np.random.default_rng(0)
    scores = {name: rng.uniform(0.5, 0.6, size=(2, 3)) for name in names}
    display = LearningCurvesDisplay.from_scores(scores)
    figure, texts = display.figure_, display.ax_.texts
    figure.draw_without_rendering()
    assert display.ax_.get_legend() is None
    assert sorted(t.get_text() for t in texts) == names
    assert all(t.get_fontsize() >= 6 for t in texts)
    boxes = sorted((b.y0, b.y1) for b in (matplotlib.text.Text.get_window_extent(t) for t in texts))
    assert all(a[1] < b[0] + 1 for a, b in itertools.pairwise(boxes))
    inside(figure, texts)
    assert display.ax_.get_window_extent().width > 0.4 * figure.get_size_inches()[0] * figure.dpi
    legend = LearningCurvesDisplay.from_scores(scores, labels="legend")
    legend.figure_.draw_without_rendering()
    inside(legend.figure_, legend.ax_.get_legend().get_texts())


def test_learning_curves_of_a_frame_with_gaps():
    frame = pd.DataFrame(
        [
            ("MTL", 0, 2, 0.6),
            ("MTL", 0, 1, 0.5),
            ("MTL", 1, 1, 0.7),
            ("grouped", 0, 1, 0.8),
            ("grouped", 0, 4, 0.9),
        ],
        columns=["method", "seed", "epoch", "f1"],
    )
    display = LearningCurvesDisplay.from_frame(frame, score="f1")
    assert display.epochs.tolist() == [1, 2, 4]
    np.testing.assert_allclose(display.mean_["MTL"], [0.6, 0.6, np.nan])
    np.testing.assert_allclose(display.std_["MTL"], [np.sqrt(0.02), np.nan, np.nan])
    np.testing.assert_allclose(display.mean_["grouped"], [0.8, np.nan, 0.9])
    assert list(display.mean_) == ["MTL", "grouped"]
    assert display.ax_.get_ylabel() == "f1"
    grouped = display.ax_.lines[1]  # goes on over the epoch that it lacks
    np.testing.assert_array_equal(grouped.get_xdata(), [1, 4])
    np.testing.assert_allclose(grouped.get_ydata(), [0.8, 0.9])
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        LearningCurvesDisplay.from_frame(frame)
    with pytest.raises(ValueError, match=r"Got several of method MTL, seed 0, epoch 2"):
        LearningCurvesDisplay.from_frame(pd.concat([frame, frame[:1]]), score="f1")
    with pytest.raises(ValueError, match="empty"):
        LearningCurvesDisplay.from_frame(frame[:0], score="f1")


def test_learning_curves_take_an_axes():
    figure, axes = plt.subplots(1, 2)
    display = LearningCurvesDisplay.from_scores({"a": [[1.0, 2.0]]}, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].lines


@pytest.mark.parametrize(
    ("scores", "kwargs", "match"),
    [
        ({}, {}, "at least one method"),
        ([1.0], {}, "must be a dict.*list"),
        ({"a": [["x"]]}, {}, "scores of 'a' must be an array of numbers"),
        ({"a": np.zeros((2, 2, 2))}, {}, r"\(n_seeds, n_epochs\).*\(2, 2, 2\)"),
        ({"a": [np.inf]}, {}, "infinite"),
        ({"a": [1.0, 2.0], "b": [1.0]}, {}, "each of 2 epochs.*Got 1 of 'b'"),
        ({"a": [1.0, 2.0]}, {"epochs": [2, 1]}, "rising"),
        ({"a": [1.0, 2.0]}, {"epochs": [1, 2, 3]}, "each of 3 epochs.*Got 2 of 'a'"),
        ({"a": [1.0]}, {"labels": "none"}, "labels must be"),
        ({"a": [1.0]}, {"reference": np.nan}, "finite number"),
        ({"a": [1.0]}, {"reference": {"b": "x"}}, "Got 'x' for 'b'"),
    ],
)
def test_learning_curves_errors(scores, kwargs, match):
    with pytest.raises(ValueError, match=match):
        LearningCurvesDisplay.from_scores(scores, **kwargs)
