import numpy as np
import pytest
from plotting import names_of, plt
from sklearn.exceptions import NotFittedError

from skgroup import MultiTaskNet
from skgroup.inspection import ExpertWeightsDisplay
from skgroup.nn import PLE

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_expert_weights_of_a_net(tasks):
    X, Y = tasks
    net = MultiTaskNet.stg_mtl(
        PLE,
        module__expert_hidden_units=[(8,), (8,)],
        module__n_task_experts=1,
        module__n_shared_experts=2,
        max_epochs=1,
        random_state=0,
    ).fit(X, Y)
    display = ExpertWeightsDisplay.from_estimator(net, X)
    expected = net.expert_weights(X)
    assert len(display.axes_) == 2
    assert display.ax_ is display.axes_[0]
    for ax, weights in zip(display.axes_, expected, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weights)
        assert names_of(ax.yaxis) == list(Y.columns)
        # A task sees its own expert and the two shared ones; the rest is blank.
        assert len(ax.texts) == 4 * 3
        # Experts of four tasks and the shared ones: four lines between them.
        assert [line.get_xdata()[0] for line in ax.lines] == [0.5, 1.5, 2.5, 3.5]
        assert ax.images[0].get_clim() == (0, max(w.max() for w in expected))
    # The levels have the same experts; they are named below the last.
    assert names_of(display.axes_[0].xaxis) == []
    experts = [f"{name} #0" for name in Y.columns] + ["shared #0", "shared #1"]
    assert names_of(display.axes_[1].xaxis) == experts
    renamed = ExpertWeightsDisplay.from_estimator(net, X, task_names=list("abcd"))
    assert names_of(renamed.axes_[1].xaxis)[:4] == ["a #0", "b #0", "c #0", "d #0"]


def test_negative_expert_weights_diverge_from_zero():
    display = ExpertWeightsDisplay.from_expert_weights([np.eye(2), [[0.2, -1.4], [0.3, 0.1]]])
    for ax in display.axes_:
        assert ax.images[0].get_clim() == (-1.4, 1.4)
        blue, red = ax.images[0].to_rgba([1.0, -1.0])
        assert blue[2] > blue[0]
        assert red[0] > red[2]
    texts = [t.get_text() for t in display.axes_[1].texts]
    assert texts == ["0.20", "\N{MINUS SIGN}1.40", "0.30", "0.10"]


def test_expert_weights_of_levels_that_differ_are_named_each():
    figure, axes = plt.subplots(1, 2)
    display = ExpertWeightsDisplay.from_expert_weights(
        [np.full((2, 3), 0.3), np.full((2, 2), 0.5)],
        expert_names=[["x", "y", "z"], ["u", "v"]],
        ax=axes,
    )
    assert display.figure_ is figure
    assert [names_of(ax.xaxis) for ax in axes] == [["x", "y", "z"], ["u", "v"]]
    assert [ax.get_title() for ax in axes] == ["level 0", "level 1"]
    assert not axes[0].lines  # no owners are known
    single = ExpertWeightsDisplay.from_expert_weights([[0.3, 0.7], [0.5, 0.5]])
    assert names_of(single.ax_.xaxis) == ["expert 0", "expert 1"]
    assert single.ax_.get_title() == ""


def test_expert_weights_errors(tasks, small_net):
    X, Y = tasks
    with pytest.raises(NotFittedError):
        ExpertWeightsDisplay.from_estimator(MultiTaskNet.stg_mtl(PLE), X)
    with pytest.raises(ValueError, match=r"whose module has expert weights.*Got MLP"):
        ExpertWeightsDisplay.from_estimator(small_net.fit(X, Y), X)
    plot = ExpertWeightsDisplay.from_expert_weights
    with pytest.raises(ValueError, match="at least one level"):
        plot([])
    with pytest.raises(ValueError, match=r"one row a task at every level. Got 2 rows and 3"):
        plot([np.ones((2, 2)), np.ones((3, 2))])
    with pytest.raises(ValueError, match="finite"):
        plot([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"expert_names must name the 2 experts.*3 names"):
        plot(np.eye(2), expert_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"each of 2 levels. Got 1 lists"):
        plot([np.eye(2), np.eye(2)], expert_names=[["a", "b"]])
    with pytest.raises(ValueError, match=r"one a panel. Got 3"):
        plot([np.eye(2), np.eye(2)], ax=plt.subplots(1, 3)[1])
    with pytest.raises(ValueError, match="grid of subplots"):
        plot([np.eye(2), np.eye(2)], ax=plt.figure().add_axes((0, 0, 1, 1)))
