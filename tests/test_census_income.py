"""Census-Income (KDD), from files and by download."""

import gzip
import hashlib
import lzma
import re

import numpy as np
import pytest
from census import N_COLUMNS, row
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from benchmarks import census_income
from benchmarks.learning_rates import LEARNING_RATES, beyond, missing
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.datasets import _census_income, census_income_encoder, fetch_census_income
from skgroup.exceptions import ChecksumError

pytest.importorskip("pandas")

TRAIN = [
    row(c0=73, c24=1700.09, c32="?"),
    row(c0=18, c7="Never married", c24=991.95, c12="Female"),
    row(c0=44, c4="Bachelors degree(BA AB BS)", c41="50000+.", c24=1053.55, c12="Male"),
    row(c0=51, c4="Some college but no degree", c7="Never married", c24=1.5, c18=500),
]
TEST = [row(c0=30, c4="High school graduate", c24=2, c12="Other"), *TRAIN[:1]]


@pytest.fixture
def folder(tmp_path):
    with lzma.open(tmp_path / "census-income.data.xz", "wt") as file:
        file.write("\n".join(TRAIN))
    (tmp_path / "census-income.test").write_text("\n".join(TEST))
    (tmp_path / "census-income.names.txt").write_text("not a table")
    return tmp_path


def test_tasks_and_features(folder):
    tasks = fetch_census_income(path=folder)
    assert tasks.task_names == list(tasks.target) == ["income", "marital", "education"]
    np.testing.assert_array_equal(tasks.target, [[0, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]])
    assert tasks.data.shape == (4, 38)
    assert not {"income", "marital stat", "education", "instance weight"} & set(tasks.data)
    np.testing.assert_array_equal(tasks.instance_weight, [1700.09, 991.95, 1053.55, 1.5])
    np.testing.assert_array_equal(tasks.data["age"], [73, 18, 44, 51])
    assert tasks.data["country of birth father"][0] == "?"
    assert tasks.data["year"][0] == "95"
    assert tasks.data.dtypes.map(lambda kind: kind.kind == "f").sum() == 7


def test_one_file_and_the_test_part(folder):
    X, Y = fetch_census_income(subset="test", path=folder, return_X_y=True)
    np.testing.assert_array_equal(X["age"], [30, 73])
    np.testing.assert_array_equal(Y, [[0, 0, 0], [0, 0, 0]])
    alone, _ = fetch_census_income(path=folder / "census-income.test", return_X_y=True)
    assert alone.equals(X)


def test_encoder_knows_the_training_part_only(folder):
    X, _ = fetch_census_income(path=folder, return_X_y=True)
    X_test, _ = fetch_census_income(subset="test", path=folder, return_X_y=True)
    encoder = census_income_encoder().fit(X)
    encoded, unseen = encoder.transform(X), encoder.transform(X_test)
    n_categories = sum(X[name].nunique() for name in X.select_dtypes(exclude="number"))
    assert encoded.shape == (4, 7 + n_categories)
    np.testing.assert_allclose(encoded[:, 0], (X["age"] - X["age"].mean()) / X["age"].std(ddof=0))
    np.testing.assert_allclose(encoded[:, 7:].sum(axis=1), 31)
    np.testing.assert_allclose(unseen[:, 7:].sum(axis=1), [30, 31])  # "Other" was never seen
    np.testing.assert_allclose(unseen[1], encoded[0])


def test_in_a_pipeline(folder):
    X, Y = fetch_census_income(path=folder, return_X_y=True)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=2)
    clf = make_pipeline(
        census_income_encoder(), GroupedMTLClassifier(net, n_groups=2, random_state=0)
    )
    assert clone(clf).fit(X, Y).predict(X).shape == (4, 3)


def published(monkeypatch, source, content):
    """Let a folder be what is published, with the sum of this content."""
    monkeypatch.setattr(_census_income, "_URL", source.as_uri() + "/")
    of_content = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(_census_income, "_SUMS", dict.fromkeys(_census_income._SUMS, of_content))
    return of_content


def test_downloads_once(folder, tmp_path, monkeypatch):
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    with gzip.open(source / "census-income.data.gz", "wt") as file:
        file.write("\n".join(TRAIN))
    published(monkeypatch, source, "\n".join(TRAIN).encode())
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_census_income(data_home=home, download_if_missing=False)
    first = fetch_census_income(data_home=home)
    assert first.data.equals(fetch_census_income(path=folder).data)
    (source / "census-income.data.gz").unlink()
    assert fetch_census_income(data_home=home).data.equals(first.data)
    message = "census-income.test could not be downloaded .* Give the folder that holds"
    with pytest.raises(OSError, match=message):
        fetch_census_income(subset="test", data_home=home)


def test_what_is_not_there_or_not_census_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=re.escape("must be 'train' or 'test'. Got 'all'.")):
        fetch_census_income(subset="all", path=folder)
    empty = tmp_path / "empty"
    with pytest.raises(FileNotFoundError, match="There is no file census-income"):
        fetch_census_income(path=empty)
    (folder / "adult.csv").write_text("39, Private, 1\n" * 9)
    with pytest.raises(ValueError, match=r"has 42 columns\. Got 3\."):
        fetch_census_income(path=folder / "adult.csv")
    (folder / "adult.csv").write_text("")
    with pytest.raises(ValueError, match=r"has 42 columns\. Got 0\."):
        fetch_census_income(path=folder / "adult.csv")
    (folder / "adult.csv").write_text(", ".join(["1"] * N_COLUMNS))
    message = "whose last column is '- 50000.' or '50000+.'. Got ['1']."
    with pytest.raises(ValueError, match=re.escape(message)):
        fetch_census_income(path=folder / "adult.csv")


def test_a_download_that_broke_off_is_not_kept(tmp_path, monkeypatch):
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    whole = gzip.compress("\n".join(TRAIN).encode())
    (source / "census-income.data.gz").write_bytes(whole[: len(whole) // 2])
    published(monkeypatch, source, gzip.decompress(whole))
    for _ in range(2):
        with pytest.raises(OSError, match=r"census-income\.data could not be downloaded"):
            fetch_census_income(data_home=home)
    (source / "census-income.data.gz").write_bytes(whole)
    assert len(fetch_census_income(data_home=home).data) == 4


def test_another_file_than_the_published_is_refused_with_both_sums(tmp_path, monkeypatch):
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    good = "\n".join(TRAIN).encode()
    wanted = published(monkeypatch, source, good)
    (source / "census-income.data.gz").write_bytes(gzip.compress(good[:-30]))
    found = hashlib.sha256(good[:-30]).hexdigest()
    message = f"data.gz is not what was published.* SHA-256 {wanted}. Got SHA-256 {found}"
    with pytest.raises(ChecksumError, match=message):
        fetch_census_income(data_home=home)
    assert not list(home.rglob("*.gz"))
    # What was spoilt after the download is not used either, and is downloaded anew.
    kept = home / "census_income" / "census-income.data.gz"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(gzip.compress(good)[:-20])
    with pytest.raises(ChecksumError, match=f"{kept} is not what .* breaks off"):
        fetch_census_income(data_home=home, download_if_missing=False)
    (source / "census-income.data.gz").write_bytes(gzip.compress(good))
    assert len(fetch_census_income(data_home=home).data) == 4


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_a_given_file_that_breaks_off_is_named(folder, kind):
    import pandas as pd

    rows = pd.read_csv(folder / "census-income.test", header=None, skipinitialspace=True)
    path = folder / f"own.{kind}"
    pd.concat([rows] * 40).to_csv(path, header=False, index=False)
    path.write_bytes(path.read_bytes()[:-25])
    with pytest.raises(ValueError, match=f"own.{kind} is damaged, or breaks off"):
        fetch_census_income(path=path)


@pytest.mark.parametrize("wrong", [3, b"a", ["a"], "", 1.5])
@pytest.mark.parametrize("name", ["path", "data_home"])
def test_what_is_no_path_is_refused(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f"The '{name}' parameter must be a path"):
        fetch_census_income(**{name: wrong})


def test_files_beside_the_table_are_not_taken_for_it(folder):
    (folder / "census-income.data.md5").write_text("no table")
    assert len(fetch_census_income(path=folder).data) == 4


@pytest.mark.parametrize("n_experts", [6, 9])
def test_every_way_of_the_benchmark_trains(n_experts):
    X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    Y = (X[:, :3] > 0).astype(int)
    ways = census_income.ways(n_experts, census_income.SIZES[n_experts])
    for make in ways.values():
        assert make(1e-3, 0).fit(X, Y).predict_proba(X).shape == (60, 3)


def test_learning_rates_go_on_where_the_best_is_at_an_end():
    rates = [{"lr": lr, "seed": 0, "validation": [lr]} for lr in LEARNING_RATES]
    assert beyond(rates) == 0.01
    assert beyond([*rates, {"lr": 0.01, "seed": 0, "validation": [0]}]) is None
    falling = [{**line, "validation": [-line["lr"]]} for line in rates]
    assert beyond(falling) == 9e-5


def test_seeds_follow_once_their_learning_rate_is_chosen():
    best = {3e-4: 0, 1e-3: 2, 3e-3: 1, 0.01: 0}
    lines = [{"lr": lr, "seed": 0, "validation": [best[lr]]} for lr in LEARNING_RATES]
    assert missing([], 3) == [(lr, 0) for lr in LEARNING_RATES]
    assert missing(lines[1:], 3) == [(3e-4, 0)]
    assert missing(lines, 3) == [(1e-3, 1), (1e-3, 2)]
    # Of a score of which less is better, another rate is the best.
    assert missing(lines, 3, lambda line: -line["validation"][0]) == [(9e-5, 0)]
    done = [*lines, *({**lines[1], "seed": seed} for seed in (1, 2))]
    assert missing(done, 3) == []
