"""Inter-task affinity: all lookahead steps of a batch at once, beside one after another."""

import copy

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.base import clone

from benchmarks.cases.training import make_tasks
from benchmarks.harness import Row, case, compare, torch_threads
from skgroup import MultiTaskNet
from skgroup.nn import SmallCNN
from skgroup.relations import InterTaskAffinity
from skgroup.relations._affinity import TaskProbe
from skgroup.relations._inter_task_affinity import first_order_gains, lookahead_gains
from skgroup.tasks import all_groups


def literal_loop(net, x, codes, steps):
    """The equation as it stands: for each step copy the net, take it, look at all losses."""
    weight = torch.as_tensor(net.loss_weights_["class_weight"][:, 1])
    criterion = torch.nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")
    target, rows = codes.float(), []
    for members in torch.from_numpy(steps):
        module = copy.deepcopy(net.module_)
        optimizer = torch.optim.SGD(module.trunk.parameters(), lr=net.lr)
        before = criterion(module(x), target).mean(0)
        before[members].sum().backward()
        optimizer.step()
        with torch.no_grad():
            rows.append(1 - criterion(module(x), target).mean(0) / before)
    return torch.stack(rows)


def prepared(net, X, Y):
    data = net._check_data(X, Y, None)
    net._prepare(data, seed=0)
    net._set_training(True)
    return net, data.dataset().batch(slice(0, net.batch_size))


@case("affinity of a batch", target="lookahead ≥ 3x the literal loop, gradient form ≥ 10x")
def one_batch(size, repeats):
    # One thread for both sides: more only slow nets this small down.
    with torch_threads(1):
        X, Y = make_tasks(1_000, 40, (64,))
        small = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), device="cpu")
        yield from batch_rows("40 tasks, MLP 64-64, batch 128", small, X, Y, 4 * repeats, (3, 10))
        X, Y = make_tasks(1_000, 7, (64,))
        name, sets = "all 127 sets of 7 tasks, MLP 64-64, batch 128", all_groups(7)
        yield from batch_rows(name, small, X, Y, 2 * repeats, (3, 10), sets)
        X, Y = make_tasks(256, 10, (3, 32, 32))
        convolutions = MultiTaskNet.stg_mtl(
            SmallCNN, module__dropout=0.0, batch_size=32, device="cpu"
        )  # without dropout: the literal loop would need the masks
        yield from batch_rows("10 tasks, small CNN, batch 32", convolutions, X, Y, repeats, (0, 0))


def batch_rows(name, net, X, Y, repeats, at_least, sets=None):
    net, batch = prepared(clone(net), X, Y)
    probe = TaskProbe(net, steps=sets)

    def measure(gains):
        with probe.looking_at(batch):
            return gains(probe)

    def literal():
        return literal_loop(net, batch[0], batch[1]["codes"], probe.steps.numpy())

    torch.testing.assert_close(measure(lookahead_gains), literal(), atol=1e-5, rtol=0)
    for form, gains, least in zip(
        ("lookahead", "gradient form"),
        (lookahead_gains, first_order_gains),
        at_least,
        strict=True,
    ):
        times = compare(lambda gains=gains: measure(gains), literal, repeats)
        target = f"≥ {least}" if least else ""
        yield times.row(f"{name}: {form}", rival="(literal loop)", target=target, at_least=least)


@case("affinity while a net trains", target="")
def whole_training(size, repeats):
    n_samples, epochs = 5_000, 20 if size == "full" else 5
    X, Y = make_tasks(n_samples, 40, (64,))
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(64, 64), max_epochs=epochs, random_state=0, device="cpu"
    )
    found = {
        method: InterTaskAffinity(clone(net), method=method).fit(X, Y).affinity_
        for method in ("lookahead", "gradient")
    }
    name = f"{n_samples:,} x 64, 40 tasks, {epochs} epochs"
    others = ~np.eye(40, dtype=bool)
    rank = spearmanr(found["lookahead"][others], found["gradient"][others]).statistic
    yield Row(
        f"{name}: Spearman, lookahead and gradient form, off the diagonal", ours=f"{rank:.4f}"
    )
    with torch_threads(1):
        for method in found:
            recorded = InterTaskAffinity(clone(net), method=method)
            times = compare(
                lambda recorded=recorded: recorded.fit(X, Y), lambda: clone(net).fit(X, Y), repeats
            )
            yield times.row(f"{name}: {method}, every 10 steps", rival="(training alone)")
