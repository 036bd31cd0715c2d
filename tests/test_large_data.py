"""Data that do not fit: arrays in files, Datasets, and predictions that go to a file."""

import os
import tempfile
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    MultiTaskNet,
    PortfolioClassifier,
    TaskGrouper,
)
from skgroup.nn import MLP
from skgroup.store import key_of
from skgroup.training import _resuming, _scaling, _written, data, processes
from skgroup.training.data import BatchLoader, TaskDataset, labels_of

N_SAMPLES, N_FEATURES = 4_500, 60


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype(np.float32)
    Y = (X @ rng.normal(size=(N_FEATURES, 3)) > [0, 4, 8]).astype(np.int64)
    return X, Y


@pytest.fixture
def in_file(tmp_path):
    """Writes an array to a file, and maps it."""

    def mapped(X, mode="r"):
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode=mode)

    return mapped


@pytest.fixture
def small_parts(monkeypatch):
    """Has everything that is done in parts done in small ones."""
    monkeypatch.setattr(data, "_AT_A_TIME", 2_000)
    monkeypatch.setattr(_scaling, "_AT_A_TIME", 10_000)
    monkeypatch.setattr(_written, "_AT_A_TIME", 2_000)


def small_net(**params):
    options = {"module__hidden_units": (4,), "max_epochs": 1, "batch_size": 128, "random_state": 0}
    return MultiTaskNet(MLP, **{**options, **params})


class Rows(Dataset):
    """Samples that are made when they are asked for; notes how many are alive together."""

    def __init__(self, X, Y, at_once=False):
        self.X, self.Y, self.asked = X, Y, []
        if at_once:
            self.__getitems__ = lambda index: [self[i] for i in index]

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.asked.append(i)
        return torch.from_numpy(self.X[i]), self.Y[i]


# -- arrays in files -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8])
def test_what_is_learned_of_an_array_in_a_file_is_what_is_learned_of_it_in_memory(
    table, in_file, small_parts, dtype
):
    X, Y = table
    X, Y = (np.round(X * 20 + 100) if dtype is np.uint8 else X).astype(dtype)[:300], Y[:300]
    if dtype is not np.uint8:
        X[::7, 1] = np.nan
    mapped = in_file(X)
    ours, expected = (small_net().fit(part, Y) for part in (mapped, X))
    np.testing.assert_array_equal(ours.predict_proba(mapped), expected.predict_proba(X))
    weight = np.arange(300) % 3
    ours, expected = (small_net().fit(part, Y, sample_weight=weight) for part in (mapped, X))
    np.testing.assert_array_equal(ours.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["net", "unscaled", "maps", "groups"])
def test_an_array_in_a_file_is_never_copied_as_a_whole(table, in_file, monkeypatch, kind, dtype):
    monkeypatch.setattr(_scaling, "_AT_A_TIME", 2**14)
    monkeypatch.setattr(data, "_AT_A_TIME", 2**14)
    X, Y = np.tile(table[0][:2_000], 10), table[1][:2_000]
    mapped = in_file(X.astype(dtype))
    estimator = {
        "net": small_net(),
        "unscaled": small_net(input_scaling=None),
        "maps": TaskGrouper(small_net(), output="isometric"),
        "groups": GroupedMTLClassifier(small_net(), n_groups=2, random_state=0),
    }[kind]
    estimator.fit(mapped[:256], Y[:256])  # imports, caches
    tracemalloc.start()
    with _Made() as by_torch:
        estimator.fit(mapped, Y)
    _, by_numpy = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert by_numpy < X.nbytes / 5, by_numpy  # what there is of each sample and task, mostly
    assert 128 * X.shape[1] <= by_torch.largest < X.size / 5  # a batch


class _Made(TorchDispatchMode):
    """Notes the most numbers that an operation of torch has made anew."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and func._schema.returns[0].alias_info is None:
            self.largest = max(self.largest, made.numel())
        return made


def _changed_in_memory(X, path):
    np.save(path, np.zeros_like(X))
    mapped = np.load(path, mmap_mode="c")
    mapped[:] = X
    return mapped


def _without_a_name(X, path):
    with tempfile.TemporaryFile() as file:
        file.write(X.tobytes())
        file.flush()
        return np.memmap(file, X.dtype, "r", shape=X.shape)


def _with_another_of_its_name(X, path):
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    np.save(path.with_suffix(".new.npy"), X[:, ::-1])
    path.with_suffix(".new.npy").replace(path)
    return mapped


def _deleted(X, path):
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    path.unlink()
    return mapped


@pytest.mark.parametrize(
    "made", [_changed_in_memory, _without_a_name, _with_another_of_its_name, _deleted]
)
def test_processes_map_no_file_that_holds_something_else(table, tmp_path, made):
    mapped = made(table[0], tmp_path / "X.npy")
    checked = data.check_inputs(small_net(), mapped, reset=True)
    packed = processes._packed([data.as_arrays(checked), mapped])
    assert len(packed[1]) == 2
    for array in packed[1]:
        assert data.mapped_file(array) is None  # what joblib would map again
        assert np.shares_memory(array, mapped)
        np.testing.assert_array_equal(array, table[0])


def test_processes_map_the_file_for_themselves(table, in_file):
    mapped = in_file(table[0])
    checked = data.check_inputs(small_net(), mapped, reset=True)
    assert checked.data_ptr() == mapped.ctypes.data
    assert np.shares_memory(data.as_arrays(checked), mapped)
    (file,) = {part.filename for part in (mapped, data.as_arrays(checked).base)}
    assert str(file).endswith("X.npy")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(np.inf, "infinity"), (1e300, "too large for dtype"), (np.nan, "contains NaN")],
)
def test_the_last_number_of_a_file_is_checked(table, in_file, small_parts, wrong, words):
    X, Y = table[0][:200].astype(np.float64), table[1][:200]
    X[-1, -1] = wrong
    scaling = None if np.isnan(wrong) else "robust"
    for part in (X, in_file(X), {"x": in_file(X)}):
        with (
            np.errstate(over="ignore"),
            pytest.raises(ValueError, match=rf"X.*{words}"),
        ):
            small_net(input_scaling=scaling).fit(part, Y)


def test_fields_of_records_are_read(table):
    records = np.zeros(200, dtype=[("id", "i1"), ("x", "f4", (N_FEATURES,))])
    records["x"] = table[0][:200]
    ours, expected = (small_net().fit(X, table[1][:200]) for X in (records["x"], table[0][:200]))
    np.testing.assert_array_equal(
        ours.predict_proba(records["x"]), expected.predict_proba(table[0][:200])
    )


@pytest.mark.parametrize("X_of", [lambda X: X[::-1], lambda X: X.astype(">f4"), np.asfortranarray])
def test_arrays_in_files_of_any_order_are_read_as_they_are(table, tmp_path, small_parts, X_of):
    X, Y = table[0][:200], table[1][:200]
    np.save(tmp_path / "X.npy", X_of(X) if X_of(X).strides[0] > 0 else X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    mapped = mapped if X_of(X).strides[0] > 0 else mapped[::-1]
    ours, expected = small_net().fit(mapped, Y), small_net().fit(np.array(mapped), Y)
    np.testing.assert_array_equal(ours.predict_proba(mapped), expected.predict_proba(mapped))


def test_what_is_in_a_file_is_known_by_what_it_holds(table, in_file):
    X = table[0].astype(np.float64)
    mapped = in_file(X)
    assert key_of(mapped) == key_of(X) != key_of(X + 1)
    checked = data.check_inputs(small_net(), mapped, reset=True)
    tracemalloc.start()
    key_of(checked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4


# -- Datasets --------------------------------------------------------------------------------------


def test_a_large_dataset_is_scaled_as_its_array_is(table, monkeypatch, tmp_path):
    X, Y = table[0][:300], table[1][:300]
    monkeypatch.setattr(_scaling, "_AT_A_TIME", 2_000)
    monkeypatch.setattr(_scaling.tempfile, "tempdir", str(tmp_path))
    rows = Rows(X, Y, at_once=True)
    found = _scaling.robust_scaling(rows)
    assert sorted(rows.asked) == sorted([0, *range(300)])  # once each; the first tells the shape
    assert not list(tmp_path.iterdir())
    expected = _scaling.robust_scaling(torch.from_numpy(X))
    for name in ("median", "factor", "incomplete"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told_where_a_dataset_is_scaled(table, monkeypatch):
    monkeypatch.setattr(_scaling, "_AT_A_TIME", 2_000)
    full = lambda **_: open("/dev/full", "wb", buffering=0)  # noqa: E731, SIM115
    monkeypatch.setattr(_scaling.tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match=r"input_scaling='robust'.*TMPDIR.*4500 samples of 60 num"):
        small_net().fit(Rows(*table), table[1])


def test_a_dataset_of_no_samples_is_refused(table):
    with pytest.raises(ValueError, match=r"^X must hold samples\. Got a Rows of none"):
        small_net().fit(Rows(table[0][:0], table[1][:0]))


def test_labels_of_a_dataset_are_read_without_keeping_its_samples(table):
    X, Y = table
    alive = []

    class Weak(Rows):
        def __getitem__(self, i):
            x = torch.from_numpy(self.X[i].copy())
            self.asked.append(weakref.ref(x))
            alive.append(sum(ref() is not None for ref in self.asked[-2_100::100]))
            return x, self.Y[i]

    np.testing.assert_array_equal(labels_of(Weak(X, Y)), Y)
    assert max(alive) < 15  # of 21 that were looked at
    mixed = [[1, "a"], [None, "b"]]
    assert labels_of(Rows(X[:2], mixed)).tolist() == mixed


@pytest.mark.parametrize("at_once", [False, True])
def test_blocks_are_shuffled_and_each_sample_comes_once(table, at_once):
    X, Y = table
    rows = Rows(X[:100], Y[:100], at_once)
    target = {"index": torch.arange(100)}
    loader = BatchLoader(
        TaskDataset(rows, target), 10, shuffle=True, block_size=5, blocks_at_once=4
    )
    torch.manual_seed(0)
    seen = [batch["index"].tolist() for _, batch in loader]
    order = np.ravel(seen)
    assert sorted(order) == list(range(100))
    assert not np.array_equal(order, np.sort(order))
    # Twenty samples in a row are of four blocks.
    assert [len(set(part // 5)) for part in order.reshape(5, 20)] == [4] * 5
    in_memory = BatchLoader(
        TaskDataset(torch.from_numpy(X[:100]), target), 10, True, block_size=5, blocks_at_once=4
    )
    torch.manual_seed(0)
    batches = list(in_memory)
    assert torch.equal(batches[0][0], torch.from_numpy(X[batches[0][1]["index"]]))
    order = np.ravel([batch["index"] for _, batch in batches])
    assert [len(set(part // 5)) for part in order.reshape(5, 20)] == [4] * 5


def test_a_pass_over_blocks_can_be_gone_on_with(table):
    dataset = TaskDataset(Rows(table[0][:100], table[1][:100]), {"index": torch.arange(100)})
    batches = BatchLoader(dataset, 10, shuffle=True, block_size=5)
    assert _resuming._replays(batches)  # a checkpoint holds where in the epoch training was
    passes = []
    for n_drawn in (0, 3):
        torch.manual_seed(0)
        left = iter(batches)
        first = next(left)
        torch.rand(n_drawn)  # as dropout does
        passes.append([target["index"].tolist() for _, target in (first, *left)])
    assert passes[0] == passes[1]


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_blocks_must_be_of_samples(table, value):
    with pytest.raises(ValueError, match=rf"'block_size' option must be an int >= 1. Got {value}"):
        small_net(iterator_train__block_size=value).fit(table[0][:50], table[1][:50])


def test_blocks_are_of_what_is_shuffled(table):
    X, Y = table[0][:50], table[1][:50]
    for option in ({"shuffle": False}, {"sampler": range(50)}):
        given = {f"iterator_train__{name}": value for name, value in option.items()}
        with pytest.raises(ValueError, match=r"'block_size' option needs shuffle=True.*Got 5"):
            small_net(iterator_train__block_size=5, **given).fit(X, Y)
    with pytest.raises(ValueError, match=r"iterator_valid.*needs shuffle=True"):
        small_net(iterator_valid__block_size=5).fit(X, Y)


def test_a_dataset_that_gives_fewer_samples_than_asked_for_is_refused(table, fitted):
    class Short(Rows):
        def __getitems__(self, index):
            return [self[i] for i in index[1:]]

    rows = Short(table[0][:9, :5], table[1][:9])
    for call in (fitted["net"].predict, labels_of):
        with pytest.raises(ValueError, match=r"__getitems__ of X must .* 8 of Short for 9 indices"):
            call(rows)


def test_stacked_nets_shuffle_in_blocks_as_others_do(table):
    X, Y = table[0][:300], table[1][:300]
    net = small_net(iterator_train__block_size=32, iterator_train__blocks_at_once=2)
    stacked, single = (
        TaskGrouper(net, source="stl", strategy=s).fit(X, Y) for s in ("stacked", "sequential")
    )
    np.testing.assert_allclose(stacked.data_map_, single.data_map_, atol=1e-5)


# -- predictions to arrays and files ---------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(table):
    X, Y = table[0][:400, :5], table[1][:400]
    kinds = pd.DataFrame({"a": Y[:, 0], "b": np.array(["no", "maybe", "yes"])[Y.sum(1) % 3]})
    members = [("net", small_net()), ("logistic", LogisticRegression())]
    return {
        "net": small_net().fit(X, Y),
        "1-D": small_net().fit(X, Y[:, 0]),
        "groups": GroupedMTLClassifier(small_net(), n_groups=2, random_state=0).fit(X, Y),
        "strings": GroupedMTLClassifier(small_net(), n_groups=1).fit(X, kinds[["b"]]),
        "classes": small_net().fit(X, np.column_stack([Y[:, 0], Y.sum(1)])),
        "mixed": GroupedMTLEstimator(small_net(), n_groups=1).fit(X, kinds.assign(c=X[:, 0])),
        "numbers": small_net().fit(X, X[:, :2] * 100),
        "portfolio": PortfolioClassifier(members, cv=2, random_state=0).fit(X, Y),
    }


def parts_of(proba):
    """Its arrays."""
    if isinstance(proba, np.ndarray):
        return [proba]
    return list(proba.values() if isinstance(proba, dict) else proba)


def same(found, expected):
    assert isinstance(found, np.ndarray if isinstance(expected, np.ndarray) else type(expected))
    if isinstance(expected, dict):
        assert list(found) == list(expected)
    for part, other in zip(parts_of(found), parts_of(expected), strict=True):
        assert part.shape == other.shape
        np.testing.assert_array_equal(part, other)


KINDS = ["net", "1-D", "groups", "strings", "classes", "mixed", "portfolio"]


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_written_as_they_are_returned(
    table, fitted, in_file, tmp_path, small_parts, kind
):
    X, estimator = np.ascontiguousarray(table[0][:, :5]), fitted[kind]
    expected = estimator.predict_proba(X)
    out = np.empty((N_SAMPLES, sum(part.shape[1] for part in parts_of(expected))))
    found = estimator.predict_proba(in_file(X), out=out)
    same(found, expected)
    assert all(np.shares_memory(part, out) for part in parts_of(found))
    same(estimator.predict_proba(in_file(X), out=tmp_path / "proba.npy"), expected)
    assert np.load(tmp_path / "proba.npy").shape == out.shape


@pytest.mark.parametrize("kind", [*KINDS, "numbers"])
def test_labels_are_written_as_they_are_returned(
    table, fitted, in_file, tmp_path, small_parts, kind
):
    X, estimator = np.ascontiguousarray(table[0][:, :5]), fitted[kind]
    expected = estimator.predict(X)
    out = np.empty(expected.shape, dtype=expected.dtype)
    assert estimator.predict(in_file(X), out=out) is out
    same(out, expected)
    path = str(tmp_path / "labels.npy")
    if kind == "mixed":
        with pytest.raises(ValueError, match=r"^out must be an array of objects.*labels\.npy"):
            estimator.predict(X, out=path)
        assert not os.path.exists(path)
        return
    found = estimator.predict(in_file(X), out=path)
    assert found.dtype == expected.dtype
    assert not found.flags.writeable
    same(found, expected)


@pytest.mark.parametrize(
    "of",
    [pd.DataFrame, torch.from_numpy, sparse.coo_array, lambda X: Rows(X, X), np.ndarray.tolist],
)
def test_inputs_of_all_kinds_are_predicted_in_pieces(table, fitted, small_parts, of, monkeypatch):
    X = np.ascontiguousarray(table[0][:, :5])
    net, sizes = fitted["net"], []
    flat = MultiTaskNet._flat_proba
    monkeypatch.setattr(
        MultiTaskNet,
        "_flat_proba",
        lambda self, X: sizes.append(len(flat(self, X))) or flat(self, X),
    )
    out = np.empty((N_SAMPLES, 3), dtype=np.int8)
    net.predict(of(X), out=out)
    assert sizes == [1024, 1024, 1024, 1428]  # eight batches at least
    monkeypatch.undo()
    np.testing.assert_array_equal(out, net.predict(X))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.empty((9, 2)), r"out must be of shape \(9, 3\). Got \(9, 2\)."),
        (np.empty((9, 3), "U1"), r"out must be of a dtype that holds .* Got <U1."),
        (np.empty((9, 3), "f2"), r"out must be of a dtype that holds prob.* Got float16."),
        (np.broadcast_to(np.float32(0), (9, 3)), "out must be a writable array. Got a read-only"),
        (np.ma.zeros((9, 3)), "out must be a NumPy array .* Got MaskedArray."),
        ([[0.0] * 3] * 9, "out must be a NumPy array .* Got list."),
        ("proba.csv", r"out must be an array, or a path that ends in '.npy'. Got 'proba.csv'."),
    ],
)
def test_an_out_that_does_not_fit_is_refused_before_any_prediction(
    table, fitted, monkeypatch, out, words
):
    monkeypatch.delattr(MultiTaskNet, "_flat_proba")
    with pytest.raises((ValueError, TypeError), match=words):
        fitted["net"].predict_proba(table[0][:9, :5], out=out)


def test_labels_that_a_dtype_cannot_hold_are_refused(table, fitted):
    X = table[0][:9, :5]
    with pytest.raises(ValueError, match=r"holds all labels, as int64 does. Got bool"):
        fitted["classes"].predict(X, out=np.empty((9, 2), dtype=bool))
    with pytest.raises(ValueError, match=r"holds all labels, as <U5 does. Got <U4"):
        fitted["strings"].predict(X, out=np.empty((9, 1), dtype="U4"))
    with pytest.raises(ValueError, match=r"holds all labels, as float64 does. Got int64"):
        fitted["numbers"].predict(X, out=np.empty((9, 2), dtype=np.int64))
    out = np.empty((9, 2), dtype=np.float32)
    fitted["numbers"].predict(X, out=out)
    np.testing.assert_allclose(out, fitted["numbers"].predict(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "dtype"), [([-1, 1], np.uint64), ([1, 200], np.int8), ([0, 2**53 + 1], np.float64)]
)
def test_labels_that_only_come_back_are_refused(labels, dtype):
    classes = np.array(labels, dtype=np.uint8 if max(labels) == 200 else np.int64)
    assert not _written.holds_labels([classes], classes.dtype)(np.dtype(dtype))


def test_out_is_none_of_the_samples(table, fitted):
    wide = np.zeros((9, 8), dtype=np.float32)
    wide[:, :5] = table[0][:9, :5]
    X, net = wide[:, :5], fitted["net"]
    for part in (X, torch.from_numpy(X), {"x": X}):
        with pytest.raises(ValueError, match="out must not share memory with X"):
            net.predict_proba(part, out=X[:, :3])
    expected = net.predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X, out=wide[:, 5:]), expected)  # beside X


def test_out_is_not_the_file_of_the_samples(table, fitted, in_file, tmp_path):
    X = np.ascontiguousarray(table[0][:9, :5])
    with pytest.raises(ValueError, match=r"out must not be the file that X is in.*X\.npy"):
        fitted["net"].predict(in_file(X)[2:], out=tmp_path / "X.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)


def test_samples_that_cannot_be_read_are_no_file_that_cannot_be_written(table, fitted, tmp_path):
    class Broken(Rows):
        def __getitem__(self, i):
            raise OSError(5, "lost rows")

    with pytest.raises(OSError, match=r"^\[Errno 5\] lost rows$"):
        fitted["net"].predict(Broken(table[0][:9, :5], table[1]), out=tmp_path / "labels.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_as_a_whole_or_not(table, fitted, tmp_path, small_parts):
    X = np.array(table[0][:, :5])
    path = tmp_path / "proba.npy"
    X[-1, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fitted["net"].predict_proba(X, out=path)
    assert list(tmp_path.iterdir()) == []
    fitted["net"].predict_proba(X[:100], out=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="infinity"):
        fitted["net"].predict_proba(X, out=path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_must_have_a_place(table, fitted, tmp_path):
    (tmp_path / "folder.npy").mkdir()
    for path in (tmp_path / "nowhere" / "proba.npy", tmp_path / "folder.npy"):
        with pytest.raises(ValueError, match=rf"^out must be .* folder that there is.*{path.name}"):
            fitted["net"].predict_proba(table[0][:9, :5], out=path)


def test_names_do_not_go_into_an_array(table):
    X = table[0][:9]
    named = GroupedMTLClassifier(small_net(), n_groups=1).fit(table[0][:50], table[1][:50])
    named.set_output(predict="pandas")
    out = np.empty((9, 3), dtype=np.int64)
    assert named.predict(X, out=out) is out
    np.testing.assert_array_equal(out, named.predict(X).to_numpy())


@pytest.mark.parametrize("routing", [False, True])
def test_pipelines_hand_out_on(table, routing):
    X, Y = table[0][:50], table[1][:50]
    pipe = make_pipeline(StandardScaler(), small_net())
    with config_context(enable_metadata_routing=routing):
        pipe.fit(X, Y)
        for predict in (pipe.predict, pipe.predict_proba):
            expected = predict(X)
            out = np.empty_like(expected)
            assert predict(X, out=out) is out
            np.testing.assert_array_equal(out, expected)
