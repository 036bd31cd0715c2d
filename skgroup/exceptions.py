"""Warnings of skgroup (its errors are Python's and scikit-learn's own)."""

__all__: list[str] = []
