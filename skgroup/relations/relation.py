"""What relations share: the rows of the tasks, and how they come out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from skorch.helper import SliceDataset

from skgroup._compat import _fit_context, _get_output_config, validate_data
from skgroup.training.task_estimator import TaskEstimatorMixin

__all__ = ["RelationMixin"]


class RelationMixin(TransformerMixin, TaskEstimatorMixin):
    """A transformer that describes each task of `Y` by a row, for a grouper to cluster.

    `transform` returns the rows of `fit`, whatever samples it is given. A subclass has `fit`,
    `get_feature_names_out` and `_rows`, which gives the rows (n_tasks, d) once it is fitted.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        raise NotImplementedError

    def get_feature_names_out(self, input_features: Any = None) -> NDArray:
        raise NotImplementedError

    def _rows(self) -> NDArray:
        raise NotImplementedError

    def example_rows(
        self, n_tasks: int, n_samples: int, most: int, rng: np.random.RandomState
    ) -> tuple[NDArray, bool]:
        """Made-up rows such as `fit` would leave, of at most so many numbers, and whether their
        shape is that which they would have."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return one row a task.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        rows : ndarray of shape (n_tasks, d)
            As `transform` gives them.
        """
        return self.fit(X, y, sample_weight=sample_weight).transform(X)

    def transform(self, X: Any) -> Any:
        """One row a task, the tasks seen in `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            No sample of it is looked at (only the number of features is compared).

        Returns
        -------
        rows : ndarray of shape (n_tasks, d)
            The flattened data maps (read-only; those of regression tasks beside others on the scale
            of these) or their embedding (`TaskGrouper`), or the rows of `affinity_`. A
            DataFrame after `set_output(transform="pandas")`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        if hasattr(X, "shape") and not isinstance(X, SliceDataset):  # whose shape is its length
            validate_data(self, X, reset=False, skip_check_array=True)
        rows = self._rows()
        if _get_output_config("transform", self)["dense"] == "pandas":
            import pandas as pd

            names = getattr(self, "task_names_in_", None)
            return pd.DataFrame(rows, index=names, columns=self.get_feature_names_out())
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
