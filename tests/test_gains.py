import pickle
import re

import numpy as np
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import f1_score, roc_auc_score
from skorch.callbacks import Callback

from skgroup import MultiTaskNet
from skgroup._random import draw_seeds
from skgroup.selection import GroupGains, HigherOrderApproximation
from skgroup.selection.gains import _group_gains, _plan
from skgroup.selection.gains._plan import held_out_parts
from skgroup.training.engine import check_data, fit_many

pd = pytest.importorskip("pandas")


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        raise AssertionError("a net was trained")


@pytest.fixture
def four(digits):
    """240 digits with four tasks: X (240, 64), Y (240, 4)."""
    return digits[0][:240], digits[1][:240, [0, 8, 10, 12]]


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.01, batch_size=64)


@pytest.fixture
def trained(monkeypatch):
    """The groups whose nets were trained, as (tasks, seed), in the order of training."""
    done = []

    def recorded(nets, data, seeds, **kwargs):
        result = fit_many(nets, data, seeds, **kwargs)
        done.extend((tuple(d.tasks.tolist()), s) for d, s in zip(data, seeds, strict=True))
        return result

    monkeypatch.setattr(_group_gains, "fit_many", recorded)
    return done


def row_of(gains, tasks):
    mask = np.isin(np.arange(gains.n_tasks_), tasks)
    return int(np.flatnonzero((gains.masks_ == mask).all(axis=1))[0])


def parts_of(gains, cv, table):
    return held_out_parts(cv, table, draw_seeds(gains.seed_, 1)[0])


def same_measurements(first, second, atol=0.0):
    np.testing.assert_array_equal(first.masks_, second.masks_)
    np.testing.assert_array_equal(first.measured_, second.measured_)
    for name in ("scores_", "gains_", "gains_std_"):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=0, atol=atol, err_msg=name
        )


# -- what is measured --------------------------------------------------------------------------


def balanced(labels):
    """Weight of each class of a task: n_negative / n_positive for the second of two, n / (k n_c)
    for others."""
    found, counts = np.unique(labels[~np.isnan(labels)], return_counts=True)
    if len(found) == 2:
        return {found[0]: 1.0, found[1]: counts[0] / counts[1]}
    return {c: counts.sum() / (len(found) * n) for c, n in zip(found, counts, strict=True)}


@pytest.mark.parametrize("scoring", ["loss", "f1", "roc_auc"])
@pytest.mark.parametrize("weighted", [True, False])
def test_gains_equal_a_literal_transcription(digits, net, scoring, weighted):
    # Two binary tasks and one of three classes, some labels missing; nets trained one by one.
    X = digits[0][:300]
    digit = digits[1][:300, :10].argmax(axis=1)
    Y = np.column_stack([digit == 0, digit % 2, digit % 3]).astype(float)
    rng = np.random.RandomState(0)
    Y[rng.rand(*Y.shape) < 0.1] = np.nan
    weight = rng.randint(1, 4, size=300).astype(float) if weighted else None
    splits = [(np.arange(200), np.arange(200, 300)), (np.arange(100, 300), np.arange(100))]
    masks = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    gains = GroupGains(net, masks=masks, cv=splits, scoring=scoring, random_state=0)
    gains.fit(X, Y, sample_weight=weight)
    parts = parts_of(gains, splits, clone(net)._check_data(X, Y, weight).table)

    def scores(group, m):
        """Score of each task of a group on held-out part m."""
        train, test = splits[m]
        seed = parts[m].seed
        fitted = clone(net)
        fitted._prepare(net_data.take(train, "balanced").select(np.array(group)), seed=seed)
        fitted._train(net_data.take(train, "balanced").select(np.array(group)))
        proba = fitted.predict_proba(X[test])
        result = []
        for k, t in enumerate(group):
            known = ~np.isnan(Y[test, t])
            p = proba[:, k] if isinstance(proba, np.ndarray) else proba[k]
            p, truth = p[known].astype(float), Y[test, t][known]
            w = np.ones(known.sum()) if weight is None else weight[test][known]
            if p.ndim == 1:
                p = np.column_stack([1 - p, p])
            if scoring == "f1":
                average = "macro" if t == 2 else "binary"
                result.append(f1_score(truth, p.argmax(1), average=average, sample_weight=w))
            elif scoring == "roc_auc":
                each = [roc_auc_score(truth == c, p[:, int(c)], sample_weight=w) for c in range(3)
                        if t == 2] or [roc_auc_score(truth, p[:, 1], sample_weight=w)]  # fmt: skip
                result.append(np.mean(each))
            else:
                of_class = balanced(np.repeat(Y[train, t], 1 if weight is None else
                                              weight[train].astype(int)))  # fmt: skip
                c = np.array([of_class[label] for label in truth])
                # Weighted by the class, divided by the sum of sample weights alone.
                of_label = p[np.arange(len(p)), truth.astype(int)]
                result.append((w * c * -np.log(of_label)).sum() / w.sum())
        return dict(zip(group, result, strict=True))

    net_data = clone(net)._check_data(X, Y, weight)
    for mask in masks:
        group = np.flatnonzero(mask).tolist()
        expected = np.full((3, 2), np.nan)
        for m in range(2):
            own = scores(group, m)
            for t in group:
                ref = scores([t], m)[t]
                expected[t, m] = (ref - own[t]) / ref if scoring == "loss" else own[t] - ref
            row = row_of(gains, group)
            np.testing.assert_allclose(gains.scores_[row, group, m], list(own.values()), atol=1e-5)
        np.testing.assert_allclose(gains.gains_[row], expected.mean(axis=1), atol=2e-5)
        np.testing.assert_allclose(gains.gains_std_[row], expected.std(axis=1, ddof=1), atol=2e-5)


def test_all_groups_with_nan_for_absent_tasks_and_zero_for_single_tasks(four, net):
    X, Y = four
    gains = GroupGains(net, random_state=0).fit(X, Y)
    assert gains.masks_.shape == (15, 4)
    assert gains.masks_.dtype == bool
    assert len(np.unique(gains.masks_, axis=0)) == 15
    np.testing.assert_array_equal(np.isnan(gains.gains_), ~gains.masks_)
    np.testing.assert_array_equal(np.isnan(gains.scores_[:, :, 0]), ~gains.masks_)
    assert (np.diag(gains.gains_[:4]) == 0).all()
    assert np.isnan(gains.gains_std_).all()  # one measurement has no spread
    assert (gains.gains_[4:][gains.masks_[4:]] != 0).any()
    assert gains.n_trained_ == 15


def test_pairs_are_what_the_higher_order_approximation_needs(four, net):
    X, Y = four
    gains = GroupGains(net, masks="pairs", random_state=0).fit(X, Y)
    assert sorted(gains.masks_.sum(axis=1)) == [1] * 4 + [2] * 6
    predicted = HigherOrderApproximation().fit(gains.masks_, gains.gains_).predict([[1, 1, 1, 0]])
    assert np.isfinite(predicted[0, :3]).all()


def test_tasks_that_tell_each_other_something_gain(digits):
    # Few samples with a label of task 0, many with one of its twin: together they do better.
    X, Y = digits
    twins = np.column_stack([Y[:, 10], Y[:, 10], Y[:, 14]]).astype(float)
    twins[60:400, 0] = np.nan
    net = MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=30, lr=0.01)
    split = [(np.arange(400), np.arange(400, 600))]
    gains = GroupGains(net, masks="pairs", cv=split * 3, random_state=0).fit(X, twins)
    with_twin = row_of(gains, [0, 1])
    with_random = row_of(gains, [0, 2])
    assert gains.gains_[with_twin, 0] > 0.1
    assert gains.gains_[with_twin, 0] > gains.gains_[with_random, 0]


def test_single_tasks_train_though_not_asked_for(four, net, trained):
    X, Y = four
    gains = GroupGains(net, masks=[[1, 0, 1, 0]], random_state=0).fit(X, Y)
    assert sorted(tasks for tasks, _ in trained) == [(0,), (0, 2), (1,), (2,), (3,)]
    np.testing.assert_array_equal(gains.masks_, np.vstack([[[1, 0, 1, 0]], np.eye(4)]))


def test_folds(four, net, trained):
    X, Y = four
    gains = GroupGains(net, masks=[[1, 1, 0, 0]], cv=3, random_state=0).fit(X, Y)
    assert gains.scores_.shape == (5, 4, 3)
    assert gains.measured_.all()
    assert len(trained) == gains.n_trained_ == 15
    seeds = [s for tasks, s in trained if tasks == (0, 1)]
    assert len(set(seeds)) == 3
    assert {s for _, s in trained} == set(seeds)  # nets of a split share their seed
    alone = np.stack([gains.scores_[row_of(gains, [t]), t] for t in (0, 1)])
    each = (alone - gains.scores_[0, :2]) / alone
    np.testing.assert_allclose(gains.gains_[0, :2], each.mean(axis=1))
    np.testing.assert_allclose(gains.gains_std_[0, :2], each.std(axis=1, ddof=1))
    table = check_data(clone(net), X, Y).table
    tests = [part.test for part in parts_of(gains, 3, table)]
    np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(240))
    assert not np.array_equal(np.sort(tests[0]), np.arange(80))  # shuffled


def test_splits_may_be_a_list_but_no_iterator(four, net):
    X, Y = four
    splits = [(np.arange(160), np.arange(160, 240)), (np.arange(80, 240), np.arange(80))]
    gains = GroupGains(net, masks="pairs", cv=splits * 2, random_state=0).fit(X, Y)
    assert gains.scores_.shape == (10, 4, 4)
    assert (gains.scores_[0, 0, :2] != gains.scores_[0, 0, 2:]).all()  # with seeds of their own
    with pytest.raises(ValueError, match="must be a list of splits rather than an iterator"):
        gains.set_params(cv=iter(splits)).fit(X, Y)


def test_a_part_without_the_labels_that_a_score_needs_is_left_out(four, net):
    X, Y = four
    Y = Y.astype(float)
    order = np.argsort(-Y[:, 0], kind="stable")  # positives of task 0 first
    parts = [order[:20], order[-20:], order[10:50]]
    cv = [(np.setdiff1d(np.arange(240), test), test) for test in parts]
    gains = GroupGains(net, masks=[[1, 1, 0, 0]], cv=cv, scoring="roc_auc", random_state=0)
    gains.fit(X, Y)
    np.testing.assert_array_equal(np.isnan(gains.scores_[0, 0]), [True, True, False])
    assert np.isfinite(gains.gains_[0, 0])
    assert np.isnan(gains.gains_std_[0, 0])
    gains.set_params(cv=cv[:2], estimator=net.set_params(callbacks=[NoTraining()]))
    with pytest.raises(ValueError, match=r"'cv' parameter .* holds out too few labels of task 0"):
        gains.fit(X, Y)


# -- how nets train ----------------------------------------------------------------------------


def test_strategies_and_processes_measure_the_same_to_rounding(four, net, monkeypatch):
    X, Y = four
    given = []

    def recorded(*args, **kwargs):
        given.append((kwargs["strategy"], kwargs["n_jobs"]))
        return fit_many(*args, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", recorded)
    gains = GroupGains(net, masks="pairs", random_state=0)
    stacked = clone(gains).set_params(strategy="stacked").fit(X, Y)
    one_by_one = clone(gains).set_params(strategy="sequential").fit(X, Y)
    with parallel_config("threading"):  # which starts sooner than processes
        parallel = clone(gains).set_params(n_jobs=2).fit(X, Y)
    same_measurements(stacked, one_by_one, atol=1e-4)
    same_measurements(stacked, parallel, atol=1e-4)
    assert set(given) == {("stacked", None), ("sequential", None), ("auto", 2)}


def test_nets_of_one_size_train_together_up_to_a_bound(four, net, monkeypatch):
    X, Y = four
    sizes = []

    def recorded(nets, data, seeds, **kwargs):
        sizes.append([d.table.n_tasks for d in data])
        return fit_many(nets, data, seeds, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", recorded)
    whole = GroupGains(net, random_state=0).fit(X, Y)
    assert sizes == [[1] * 4, [2] * 6, [3] * 4, [4]]
    sizes.clear()
    monkeypatch.setattr(_plan, "_MOST_NETS", 4)
    bounded = GroupGains(net, random_state=0).fit(X, Y)
    assert sizes == [[1] * 4, [2] * 4, [2] * 2, [3] * 4, [4]]
    same_measurements(bounded, whole, atol=1e-5)
    sizes.clear()
    monkeypatch.setattr(_plan, "_BYTES", 1)  # memory for one net at a time
    GroupGains(net, masks="pairs", random_state=0).fit(X, Y)
    assert sizes == [[1]] * 4 + [[2]] * 6


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_same_seed_same_gains_and_permuting_tasks_permutes_them(four, net, zero_heads):
    X, Y = four
    net.set_params(module=zero_heads)
    before = X.copy(), Y.copy()
    gains = GroupGains(net, random_state=0)
    first, again = clone(gains).fit(X, Y), clone(gains).fit(X, Y)
    same_measurements(first, again)
    other = clone(gains).set_params(random_state=1).fit(X, Y)
    assert not np.allclose(other.gains_[4:], first.gains_[4:], equal_nan=True)
    order = [2, 0, 3, 1]
    moved = clone(gains).set_params(masks=first.masks_[:, order]).fit(X, Y[:, order])
    np.testing.assert_allclose(moved.gains_, first.gains_[:, order], rtol=0, atol=1e-3)
    # The estimator's seed counts where there is no other.
    seeded = clone(net).set_params(random_state=3)
    same_measurements(*(GroupGains(clone(seeded), masks="pairs").fit(X, Y) for _ in range(2)))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


def test_task_weights_of_the_estimator_do_not_count(four, net):
    X, Y = four
    gains = GroupGains(net, masks=[[1, 1, 1, 1]], random_state=0).fit(X, Y)
    weighed = clone(gains).set_params(estimator__task_weight=[1.0, 5.0, 0.0, 1.0]).fit(X, Y)
    same_measurements(gains, weighed)


@pytest.mark.parametrize("convert", [sparse.csr_matrix, pd.DataFrame])
def test_other_kinds_of_inputs(four, net, convert):
    X, Y = four
    frame = pd.DataFrame(Y, columns=list("abcd"))
    gains = GroupGains(net, masks=[[1, 0, 0, 1]], random_state=0).fit(convert(X), frame)
    plain = GroupGains(net, masks=[[1, 0, 0, 1]], random_state=0).fit(X, Y)
    same_measurements(gains, plain, atol=1e-4)
    assert list(gains.task_names_in_) == list("abcd")
    assert gains.n_features_in_ == 64
    # Sparse inputs and dicts can be compared too.
    gains.set_params(warm_start=True).fit(convert(X), frame)
    assert gains.n_trained_ == 0


# -- measuring more ----------------------------------------------------------------------------


def test_warm_start_trains_only_what_is_missing(four, net, trained):
    X, Y = four
    pairs = GroupGains(net, masks="pairs", warm_start=True, random_state=0).fit(X, Y)
    measured = pairs.scores_.copy()
    trained.clear()
    pairs.set_params(masks=[[0, 1, 1, 1], [1, 1, 0, 0]]).fit(X, Y)
    assert [tasks for tasks, _ in trained] == [(1, 2, 3)]
    assert pairs.n_trained_ == 1
    np.testing.assert_array_equal(pairs.scores_[:10], measured)
    np.testing.assert_array_equal(pairs.masks_[10:], [[0, 1, 1, 1]])
    at_once = GroupGains(net, masks="all", random_state=0).fit(X, Y)
    row = row_of(at_once, [1, 2, 3])
    np.testing.assert_allclose(pairs.gains_[10], at_once.gains_[row], rtol=0, atol=1e-5)


def test_warm_start_keeps_its_seed_where_none_is_given(four, net):
    X, Y = four
    gains = GroupGains(net, masks="pairs", warm_start=True).fit(X, Y)
    gains.fit(X, Y)
    assert gains.n_trained_ == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"scoring": "f1"}, "the 'scoring' parameter"),
        ({"cv": 0.3}, "the 'cv' parameter"),
        ({"estimator__lr": 0.1}, "the 'estimator' parameter"),
        ({}, "the data"),
    ],
)
def test_warm_start_refuses_what_would_change_what_was_measured(four, net, change, what):
    X, Y = four
    gains = GroupGains(net, masks="pairs", warm_start=True, random_state=0).fit(X, Y)
    before = gains.gains_
    gains.set_params(**change)
    with pytest.raises(ValueError, match=re.escape(f"must still hold, but {what} differs")):
        gains.fit(X if change else X + 1, Y)
    assert gains.gains_ is before  # nothing is lost
    gains.set_params(warm_start=False, masks=[[1, 1, 0, 0]]).fit(X if change else X + 1, Y)
    assert len(gains.masks_) == 5


def test_an_interruption_keeps_what_was_measured(four, net, monkeypatch, trained):
    X, Y = four
    complete = GroupGains(net, masks="all", cv=2, random_state=0).fit(X, Y)
    trained.clear()
    recorded = _group_gains.fit_many
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:  # in the second part, after the single tasks
            raise KeyboardInterrupt
        return recorded(*args, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", interrupted)
    gains = GroupGains(net, masks="all", cv=2, warm_start=True, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        gains.fit(X, Y)
    assert gains.measured_.sum(axis=0).tolist() == [15, 4]
    # Groups of two tasks and more were measured once, beside the single tasks of that part.
    first = complete.scores_[:, :, 0]
    alone = np.diag(first[:4])
    np.testing.assert_allclose(gains.gains_[4:], ((alone - first) / alone)[4:])
    assert np.isfinite(gains.gains_[gains.masks_]).all()
    n_before = len(trained)
    gains.fit(X, Y)
    assert len(trained) - n_before == 11
    same_measurements(gains, complete)


def test_an_interruption_before_anything_was_measured_passes_through(four, net, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_group_gains, "fit_many", interrupted)
    gains = GroupGains(net, masks="pairs")
    with pytest.raises(KeyboardInterrupt):
        gains.fit(*four)
    assert not hasattr(gains, "masks_")


def test_an_error_keeps_what_was_measured_too(four, net, monkeypatch):
    calls = []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("no more")
        return fit_many(*args, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", failing)
    gains = GroupGains(net, masks="pairs", warm_start=True, random_state=0)
    with pytest.raises(MemoryError):
        gains.fit(*four)
    assert gains.masks_.sum(axis=1).tolist() == [1, 1, 1, 1]
    gains.fit(*four)
    assert gains.n_trained_ == 6


# -- files -------------------------------------------------------------------------------------


def test_saved_gains_come_back_exactly_and_go_on(four, net, tmp_path, trained):
    X, Y = four
    frame = pd.DataFrame(Y, columns=list("abcd"))
    gains = GroupGains(net, masks="pairs", cv=2, scoring="f1", random_state=0).fit(X, frame)
    gains.save(tmp_path / "gains.table")
    loaded = GroupGains.load(tmp_path / "gains.table", net, warm_start=True, cv=2)
    for name, value in vars(gains).items():
        if name.endswith("_") and isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(loaded, name), value)
            assert getattr(loaded, name).dtype == value.dtype
    assert loaded.n_features_in_ == 64
    assert loaded.scoring == "f1"
    trained.clear()
    loaded.set_params(masks=[[1, 1, 1, 1], [1, 1, 0, 0]]).fit(X, frame)
    assert [tasks for tasks, _ in trained] == [(0, 1, 2, 3)] * 2
    assert len(loaded.masks_) == 11
    again = pickle.loads(pickle.dumps(gains))
    same_measurements(again, gains)


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text").write_text("1,2,3")
    for name in ("other.npz", "text"):
        with pytest.raises(ValueError, match=r"is no file that GroupGains\.save wrote"):
            GroupGains.load(tmp_path / name)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"masks": "some"}, "The 'masks' parameter of GroupGains must be"),
        ({"masks": [[1, 1, 0]]}, "'masks' parameter of GroupGains must be of shape (n_groups, n_t"),
        ({"masks": [[1, 1, 0, 0], [0, 0, 0, 0]]}, "must have no empty group. Got row 1"),
        ({"masks": [[1, 1, 0, 0]] * 2}, "The 'masks' parameter of GroupGains must hold each group"),
        ({"masks": [[2, 1, 0, 0]]}, "must hold 0 and 1 (or bools). Got 2.0"),
        ({"cv": 1.5}, "The 'cv' parameter of GroupGains must be"),
        ({"cv": 1000}, "The 'cv' parameter of GroupGains must be"),
        ({"scoring": "mse"}, "The 'scoring' parameter of GroupGains must be"),
        ({"strategy": "stacked"}, "These nets cannot be trained as a stack"),
    ],
)
def test_wrong_parameters_are_named_before_training(four, net, params, message):
    gains = GroupGains(net.set_params(callbacks=[NoTraining()]), **params)
    with pytest.raises(ValueError, match=re.escape(message)):
        gains.fit(*four)
    assert not hasattr(gains, "masks_")


def test_too_many_tasks_for_all_groups(digits, net):
    message = "can be 'all' for at most 10 tasks (1023 nets); pass 'pairs'"
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupGains(net).fit(*digits)


def test_verbose_shows_progress(four, net, capsys):
    GroupGains(net, masks="pairs", verbose=1).fit(*four)
    assert "groups of 2" in capsys.readouterr().err
    GroupGains(net, masks="pairs").fit(*four)
    assert capsys.readouterr().err == ""


def test_warm_start_refuses_another_seed(four, net):
    gains = GroupGains(net, masks=[[1, 1, 0, 0]], warm_start=True, random_state=0).fit(*four)
    with pytest.raises(ValueError, match="random_state=1 stands for another one"):
        gains.set_params(random_state=1).fit(*four)
