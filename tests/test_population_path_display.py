"""The picture of held-out losses by number of groups."""

import matplotlib
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from skgroup.inspection import PopulationPathDisplay
from skgroup.populations import PooledTasksRegressor

matplotlib.use("Agg")
WAYS = [
    [1, 5, 3.0, 0.2],
    [1, np.inf, 3.5, 0.3],
    [2, 5, 2.0, 0.0],
    [2, np.inf, 2.1, 0.1],
    [4, 0, 2.5, 0.2],
]


def test_a_line_a_shrinkage_and_a_circle_at_what_was_chosen():
    display = PopulationPathDisplay.from_losses(WAYS, 3)
    lines = [c.lines[0] for c in display.ax_.containers]
    assert [line.get_ydata().tolist() for line in lines] == [[3.5, 2.1, 2.5], [3.0, 2.0, 2.5]]
    (circle,) = [line for line in display.ax_.lines if line.get_label() == "chosen"]
    assert (circle.get_xdata()[0], circle.get_ydata()[0]) == (1, 2.1)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["chosen", "group's model alone", "own at 5 rows"]
    ticks = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert ticks == ["1\nfor all", "2", "4\neach"]


def test_the_axes_that_are_given_are_drawn_in():
    figure, ax = matplotlib.pyplot.subplots()
    display = PopulationPathDisplay.from_losses(WAYS, 0, ax=ax, loss_name="log loss")
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_ylabel() == "log loss"


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"\(n_ways, 4\)"):
        PopulationPathDisplay.from_losses([[1, 2, 3]], 0)
    with pytest.raises(ValueError, match=r"position of one of 5 ways\. Got 5"):
        PopulationPathDisplay.from_losses(WAYS, 5)
    with pytest.raises(NotFittedError):
        PopulationPathDisplay.from_estimator(PooledTasksRegressor(task=0))
    with pytest.raises(TypeError, match="must be a PooledTasksClassifier"):
        PopulationPathDisplay.from_estimator(Ridge().fit([[0], [1]], [0, 1]))


@pytest.mark.parametrize("ways", [[[6, 0, 2.5, 0]], [[1, 0, 2.5, 0], [2, 0, 2.5, 0]]])
def test_models_of_populations_alone_are_drawn_too(ways):
    display = PopulationPathDisplay.from_losses(ways, 0)
    (line,) = [container.lines[0] for container in display.ax_.containers]
    assert line.get_ydata().tolist() == [2.5] * len(ways)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["chosen", "own model alone"]
