"""Soft clustering of a relation's rows. NumPy, SciPy and scikit-learn only, no torch."""

from skgroup.cluster._fuzzy_kmeans import FuzzyKMeans
from skgroup.cluster._point_kmeans import PointKMeans

__all__ = ["FuzzyKMeans", "PointKMeans"]
