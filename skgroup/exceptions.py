"""Warnings and errors of skgroup (most errors are Python's and scikit-learn's own)."""

__all__ = ["ChecksumError", "FileFormatError", "NotWrittenWarning", "TrainingInterruptedWarning"]


class ChecksumError(OSError):
    """A download is not the file that was published."""


class FileFormatError(ValueError):
    """A file is of another kind than is wanted, of another version, or damaged."""


class NotWrittenWarning(UserWarning):
    """What was finished is kept in memory, but could not be written to its file."""


class TrainingInterruptedWarning(UserWarning):
    """A comparison ended before its last fit because the user interrupted it."""
