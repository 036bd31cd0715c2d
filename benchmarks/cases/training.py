"""Training one net and many nets: beside a minimal loop, the published way, and one by one."""

import numpy as np
import torch
from sklearn.base import clone
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import case, compare, torch_threads
from skgroup import MultiTaskNet
from skgroup.nn import MLP, SmallCNN
from skgroup.relations._task_grouper import _Raw
from skgroup.training.data_map import DataMapRecorder
from skgroup.training.engine import fit_many


def make_tasks(n_samples, n_tasks, shape, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, *shape)).astype(np.float32)
    flat = X.reshape(n_samples, -1)[:, :64]
    signal = flat @ rng.normal(size=(flat.shape[1], n_tasks))
    return X, (signal + rng.normal(size=signal.shape) > 1).astype(np.int64)


def positive_weight(Y):
    return torch.as_tensor((len(Y) - Y.sum(0)) / Y.sum(0), dtype=torch.float32)


def minimal_loop(module, X, Y, max_epochs, batch_size=128, device="cpu"):
    """What a person writes by hand for this data and nothing else."""
    weight = positive_weight(Y).to(device)
    X, Y = torch.from_numpy(X).to(device), torch.from_numpy(Y).float().to(device)
    loss = nn.BCEWithLogitsLoss(pos_weight=weight)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(max_epochs):
        for index in torch.randperm(len(X), device=device).split(batch_size):
            optimizer.zero_grad()
            loss(module(X[index]), Y[index]).backward()
            optimizer.step()


class OneByOne(Dataset):
    def __init__(self, X, Y):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.as_tensor(self.X[i]), torch.as_tensor(self.Y[i]), i


def published_loop(module, X, Y, max_epochs, batch_size=128, device="cpu"):
    """How the published trainer works: samples one at a time through a DataLoader, a loss call
    a task, the data map updated task by task through indexed tensors."""
    n_tasks, weight = Y.shape[1], positive_weight(Y).to(device)
    losses = [nn.BCEWithLogitsLoss(pos_weight=w) for w in weight]
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    probability = torch.zeros(n_tasks, max_epochs, len(X), device=device)
    for epoch in range(max_epochs):
        for batch in DataLoader(OneByOne(X, Y), batch_size=batch_size, shuffle=True):
            x, y, index = (part.to(device) for part in batch)
            optimizer.zero_grad()
            logits = module(x)
            total = 0.0
            for t in range(n_tasks):
                total = total + losses[t](logits[:, t], y[:, t].float())
                p = torch.sigmoid(logits[:, t].detach())
                probability[t, epoch, index] = torch.where(y[:, t] == 1, p, 1 - p)
            total.backward()
            optimizer.step()
    return probability.mean(1), probability.std(1, unbiased=False)


def fit(net, X, Y, snapshot_epochs=None):
    recorder = []
    if snapshot_epochs:
        recorder = [DataMapRecorder(snapshot_epochs, _Raw(len(snapshot_epochs)))]
    data = net._check_data(X, Y, None)
    net._prepare(data, seed=0)
    net._train(data, extra_callbacks=recorder)


@case("one net, MLP 128", target="≤ 1.15x a minimal loop, maps ≤ 10 %, ≥ 4x the published way")
def one_net(size, repeats):
    n_samples, epochs = 20_000, 10 if size == "full" else 5
    X, Y = make_tasks(n_samples, 100, (64,))
    net = MultiTaskNet.stg_mtl(module__hidden_units=(128,), max_epochs=epochs, random_state=0)
    snapshots = frozenset(range(epochs // 5, epochs + 1, epochs // 5))  # 5, the default

    def module():
        return MLP(100, 64, hidden_units=(128,))

    fit(clone(net), X[:256], Y[:256], {1})
    minimal_loop(module(), X[:256], Y[:256], 1)
    name = f"{n_samples:,} x 64, 100 tasks, {epochs} epochs"
    # The rival with one thread and with all, ours as it comes: nets this small are faster on one.
    for n_threads in sorted({1, torch.get_num_threads()}):
        with torch_threads(n_threads):
            times = compare(
                lambda: clone(net).fit(X, Y), lambda: minimal_loop(module(), X, Y, epochs), repeats
            )
        rival = f"(minimal loop, {n_threads} threads)"
        yield times.row(f"{name}: fit", rival=rival, target="≥ 0.87", at_least=1 / 1.15)
    with torch_threads(1):
        times = compare(
            lambda: fit(clone(net), X, Y, snapshots), lambda: fit(clone(net), X, Y), repeats
        )
        yield times.row(
            f"{name}: data maps, 5 snapshots",
            rival="(no maps)",
            ours="(maps)",
            target="≥ 0.91",
            at_least=1 / 1.1,
        )
        short = clone(net).set_params(max_epochs=1)
        times = compare(
            lambda: fit(clone(short), X, Y, {1}), lambda: published_loop(module(), X, Y, 1), repeats
        )
        yield times.row(
            "1 epoch of it: fit, maps", rival="(published way)", target="≥ 4", at_least=4
        )


@case("one net, small CNN", target="maps ≤ 3 %, never slower than the published way")
def one_cnn(size, repeats):
    n_samples = 2_000 if size == "full" else 512
    X, Y = make_tasks(n_samples, 10, (3, 32, 32))
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1, random_state=0)
    fit(clone(net), X[:128], Y[:128], {1})
    name = f"{n_samples:,} images 3 x 32 x 32, 10 tasks"
    times = compare(lambda: fit(clone(net), X, Y, {1}), lambda: fit(clone(net), X, Y), repeats)
    yield times.row(
        f"{name}: data maps", rival="(no maps)", ours="(maps)", target="≥ 0.97", at_least=1 / 1.03
    )
    times = compare(
        lambda: fit(clone(net), X, Y, {1}), lambda: published_loop(SmallCNN(10), X, Y, 1), repeats
    )
    yield times.row(f"{name}: fit, maps", rival="(published way)", target="≥ 1", at_least=1)


class BatchNormed(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, n_outputs),
        )

    def forward(self, x):
        return self.layers(x)


@case("many nets", target="≥ 4x one after another for small MLPs, never below 0.91")
def many_nets(size, repeats):
    # One thread for both sides: more only slow nets this small down.
    with torch_threads(1):
        yield from many_small_nets(size, repeats)


def many_small_nets(size, repeats):
    n_samples, epochs = (1_500, 20) if size == "full" else (1_500, 4)

    def compare_with_a_loop(net, X, Y, n_nets, single=False):
        data = net._check_data(X, Y, None)
        weights = np.random.default_rng(0).dirichlet(np.ones(n_nets), Y.shape[1]).T
        if single:
            of_nets = [data.select(np.array([t % Y.shape[1]])) for t in range(n_nets)]
            nets, seeds = [net] * n_nets, [0] * n_nets
        else:
            of_nets = [data] * n_nets
            nets = [clone(net).set_params(task_weight=w) for w in weights]
            seeds = list(range(n_nets))

        def train(strategy):
            fit_many([clone(n) for n in nets], of_nets, seeds, strategy=strategy)

        train("auto")
        return compare(lambda: train("auto"), lambda: train("sequential"), repeats)

    X, Y = make_tasks(n_samples, 15, (64,))
    small = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=epochs)
    for name, options in {
        "20 specialists, MLP 64-64, 15 tasks": {"n_nets": 20},
        "40 single-task nets, MLP 64-64": {"n_nets": 40, "single": True},
    }.items():
        times = compare_with_a_loop(small, X, Y, **options)
        yield times.row(name, rival="(one by one)", target="≥ 4", at_least=4)
    wide = clone(small).set_params(module__hidden_units=(512, 512), max_epochs=max(1, epochs // 4))
    images, of_images = make_tasks(256, 15, (3, 32, 32))
    others = {
        "2 specialists, MLP 64-64": (small, X, Y, 2),
        "5 specialists, MLP 512-512": (wide, X, Y, 5),
        "5 specialists, MLP 64-64, dropout": (
            clone(small).set_params(module__dropout=0.2),
            X,
            Y,
            5,
        ),
        "5 specialists, batch norm": (
            MultiTaskNet.stg_mtl(BatchNormed, max_epochs=epochs),
            X,
            Y,
            5,
        ),
        "3 specialists, small CNN": (
            MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1),
            images,
            of_images,
            3,
        ),
    }
    for name, arguments in others.items():
        times = compare_with_a_loop(*arguments)
        yield times.row(name, rival="(one by one)", target="≥ 0.91", at_least=1 / 1.1)
