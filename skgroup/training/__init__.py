"""Training: `MultiTaskNet`, its loss, its batches and the recorder of data maps."""

from skgroup.training._net import MultiTaskNet

__all__ = ["MultiTaskNet"]
