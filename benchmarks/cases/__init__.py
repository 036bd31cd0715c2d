"""One file a subject; every `case` in a file here is found by ``python -m benchmarks``."""
