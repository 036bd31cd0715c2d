"""Warnings and errors of skgroup (most errors are Python's and scikit-learn's own)."""

__all__ = ["FileFormatError", "TrainingInterruptedWarning"]


class FileFormatError(ValueError):
    """A file is of another kind than is wanted, of another version, or damaged."""


class TrainingInterruptedWarning(UserWarning):
    """Training ended before its last epoch because the user interrupted it."""
