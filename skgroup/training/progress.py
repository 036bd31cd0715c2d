"""One progress bar over the epochs of many nets."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

__all__ = ["EpochProgress"]


class EpochProgress(Callback):
    """Moves a bar by one at the end of each epoch."""

    only_tells = True  # of which a checkpoint keeps nothing

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.bar.set_postfix(train_loss=f"{net.history[-1, 'train_loss']:.3f}", refresh=False)
        self.bar.update()
