"""Nets of images on a CUDA device, where there is one, beside the rivals of the other cases."""

import torch
from sklearn.base import clone
from torch import nn

from benchmarks.cases.training import fit, make_tasks, minimal_loop, published_loop
from benchmarks.harness import MIB, Row, case, compare
from skgroup import MultiTaskNet
from skgroup.nn import SmallCNN
from skgroup.training.engine import fit_many


class ResNet18(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        from torchvision.models import resnet18

        self.net = resnet18(num_classes=n_outputs)

    def forward(self, x):
        return self.net(x)


def peak_of(run):
    """MiB of the device that `run` takes at most."""
    torch.cuda.reset_peak_memory_stats()
    run()
    return f"{torch.cuda.max_memory_allocated() / MIB:,.0f} MiB"


@case("GPU", target="")
def gpu(size, repeats):
    if not torch.cuda.is_available():
        yield Row("no CUDA device here: not measured")
        return
    n_nets, n_samples = 20, 20_000 if size == "full" else 4_000
    X, Y = make_tasks(n_samples, 15, (3, 32, 32))
    for module in (SmallCNN, ResNet18):
        net = MultiTaskNet.stg_mtl(module, max_epochs=1, batch_size=512)
        data = net._check_data(X, Y, None)
        name = f"{module.__name__}, {n_samples:,} images"

        def train(precision="float32", strategy="auto", net=net, data=data):
            nets = [clone(net).set_params(precision=precision) for _ in range(n_nets)]
            fit_many(nets, [data] * n_nets, list(range(n_nets)), strategy=strategy)
            torch.cuda.synchronize()

        def train_one(net=net):
            fit(clone(net), X, Y, {1})
            torch.cuda.synchronize()

        def rival(loop, module=module):
            loop(module(15).cuda(), X, Y, 1, batch_size=512, device="cuda")
            torch.cuda.synchronize()

        train_one()
        rival(minimal_loop)
        for loop in (minimal_loop, published_loop):
            times = compare(train_one, lambda loop=loop: rival(loop), repeats)
            yield times.row(f"{name}: fit, maps", rival=f"({loop.__name__.replace('_', ' ')})")
        times = compare(train, lambda: train(strategy="sequential"), repeats)
        yield times.row(f"{n_nets} specialists of {name}", rival="(one by one)")
        times = compare(lambda: train("bfloat16"), train, repeats)
        memory = f"{peak_of(lambda: train('bfloat16'))} (float32: {peak_of(train)})"
        yield times.row(
            f"{n_nets} specialists of {name}", rival="(float32)", ours="(bfloat16)", memory=memory
        )
