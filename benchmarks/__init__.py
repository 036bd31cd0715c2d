"""What skgroup costs beside its rivals: ``python -m benchmarks --help``."""
