"""Files of results: a line a fit, whole or not at all, so that an interrupted run can go on."""

import json

from skgroup.store import LineFile


class ResultFile:
    """What a benchmark has measured, in a file that several processes may add to.

    NaN and infinite values are kept as None.
    """

    def __init__(self, path, benchmark):
        self.path = path
        self.lines = LineFile(path, f"results of benchmarks.{benchmark}", 1)

    def read(self):
        return [record for _, record in self.lines.read()]

    def append(self, record):
        self.lines.append(json.loads(json.dumps(record), parse_constant=lambda _: None))
