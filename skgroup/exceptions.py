"""Warnings of skgroup (its errors are Python's and scikit-learn's own)."""

__all__ = ["TrainingInterruptedWarning"]


class TrainingInterruptedWarning(UserWarning):
    """Training ended before its last epoch because the user interrupted it."""
