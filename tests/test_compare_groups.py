"""The groups that candidates of `compare` find, and how sure they are."""

import json
import pickle

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.exceptions import FileFormatError
from skgroup.relations import LabelCorrelationAffinity

NET = MultiTaskNet(max_epochs=1, module__n_members=1, module__hidden_units=(4,))
GROUPER = make_pipeline(LabelCorrelationAffinity(), KMeans(3, n_init=1))


@pytest.fixture(scope="module")
def data():
    """Six tasks in two groups, and one of a single class."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    Y = (X[:, [0, 1, 0, 1, 0, 1]] + 0.4 * rng.normal(size=(300, 6)) > 0).astype(int)
    return X, np.column_stack([Y, np.ones(300, dtype=int)])


def run(data, tmp_path=None, **params):
    candidates = {
        "grouped": make_pipeline(StandardScaler(), GroupedMTLClassifier(NET, GROUPER)),
        "given": GroupedMTLClassifier(NET, [0, 0, 0, 1, 1, 1, 1]),
        "MTL": GroupedMTLClassifier.mtl(NET),
    }
    results = None if tmp_path is None else tmp_path / "fits.jsonl"
    with pytest.warns(UserWarning, match="single observed class"):
        return compare(*data, candidates, seeds=4, results=results, **params)


def test_groups_of_fits_are_kept_and_judged(data, tmp_path):
    comparison = run(data, tmp_path)
    assert list(comparison.memberships) == ["grouped"]  # those that are given are not found
    memberships = comparison.memberships["grouped"]
    assert [m.shape for m in memberships] == [(7, 3)] * 4
    stability = comparison.stability["grouped"]
    assert stability is comparison.stability["grouped"]
    assert stability.verdict_.startswith("No stable groups with 3; 2 are")
    assert stability.labels_.tolist() == [0, 1, 0, 1, 0, 1, -1]
    assert stability.task_names_in_.tolist() == comparison.tasks
    said = "Groups of “grouped” on different splits: adjusted Rand index "
    assert said in repr(comparison)
    assert said in comparison.to_markdown()

    again = run(data, tmp_path)  # from the file
    for one, other in zip(memberships, again.memberships["grouped"], strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.stability["grouped"].verdict_ == stability.verdict_
    assert pickle.loads(pickle.dumps(comparison)).stability["grouped"].stable_


def test_lines_of_before_have_no_groups_and_damaged_ones_are_refused(data, tmp_path):
    run(data, tmp_path)
    path = tmp_path / "fits.jsonl"
    head, *lines = path.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("groups")
    path.write_text("\n".join([head, *map(json.dumps, records), ""]))
    comparison = run(data, tmp_path)
    assert comparison.memberships == comparison.stability == {}
    records[0]["groups"] = {"membership": [[1, 0], [1]], "places": None}
    path.write_text("\n".join([head, *map(json.dumps, records), ""]))
    with pytest.raises(FileFormatError, match="is no record of a fit"):
        run(data, tmp_path)


def test_a_split_that_failed_has_no_groups(data, monkeypatch):
    fit, calls = LabelCorrelationAffinity.fit, []

    def fails_once(self, X, y=None, **kwargs):
        calls.append(len(calls))
        if len(calls) == 2:
            raise RuntimeError("no correlation today")
        return fit(self, X, y, **kwargs)

    monkeypatch.setattr(LabelCorrelationAffinity, "fit", fails_once)
    with pytest.warns(Warning, match="no correlation today"):
        comparison = run(data)
    assert sum(m is None for m in comparison.memberships["grouped"]) == 1
    assert comparison.stability["grouped"].n_repetitions == 3
