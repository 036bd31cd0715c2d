"""What the tests of plots are made of."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pd = pytest.importorskip("pandas")
from matplotlib.colors import to_rgb  # noqa: E402

LONG = [f"{i}_o_Clock_Shadow_attribute" for i in range(100)]


def names_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def overlap(texts):
    """Pairs of texts of a drawn figure whose boxes share more than a hair."""
    boxes = [t.get_window_extent() for t in texts if t.get_text() and t.get_visible()]
    corners = np.array([b.extents for b in boxes])
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    both = ((high - low) > 1.0).all(axis=2)
    return int(np.triu(both, k=1).sum())


def inside(figure, artists):
    """Whether all of a drawn figure is on it."""
    width, height = figure.get_size_inches() * figure.dpi
    for artist in artists:
        box = artist.get_window_extent()
        assert box.x0 > -1, artist
        assert box.y0 > -1, artist
        assert box.x1 < width + 1, artist
        assert box.y1 < height + 1, artist


def contrast(one, two):
    """WCAG 2."""

    def luminance(color):
        c = np.array(to_rgb(color))
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return c @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted([luminance(one), luminance(two)])
    return (light + 0.05) / (dark + 0.05)


def random_membership(n_tasks, n_groups):
    return np.random.default_rng(0).dirichlet([0.3] * n_groups, n_tasks)


def random_gains(n_tasks):
    """All single tasks and pairs."""
    i, j = np.triu_indices(n_tasks, k=1)
    one = np.eye(n_tasks, dtype=bool)
    masks = np.vstack([one, one[i] | one[j]])
    gains = np.random.default_rng(0).normal(size=masks.shape) * 0.03
    return masks, np.where(masks, gains, np.nan)
