"""Specialists of image nets on a CUDA device, where there is one."""

import torch
from sklearn.base import clone
from torch import nn

from benchmarks.cases.training import make_tasks
from benchmarks.harness import Row, case, compare
from skgroup import MultiTaskNet
from skgroup.nn import SmallCNN
from skgroup.training._many import fit_many


class ResNet18(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        from torchvision.models import resnet18

        self.net = resnet18(num_classes=n_outputs)

    def forward(self, x):
        return self.net(x)


@case("GPU", target="bfloat16 beside float32")
def gpu(size, repeats):
    if not torch.cuda.is_available():
        yield Row("no CUDA device here: not measured")
        return
    n_samples = 20_000 if size == "full" else 4_000
    X, Y = make_tasks(n_samples, 15, (3, 32, 32))
    for module in (SmallCNN, ResNet18):
        net = MultiTaskNet(module, max_epochs=1, batch_size=512)
        data = net._check_data(X, Y, None)

        def train(precision, net=net, data=data):
            nets = [clone(net).set_params(precision=precision) for _ in range(20)]
            fit_many(nets, [data] * 20, list(range(20)))
            torch.cuda.synchronize()

        train("bfloat16")
        times = compare(lambda: train("bfloat16"), lambda: train("float32"), repeats)
        memory = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB"
        name = f"20 specialists of {module.__name__}, {n_samples:,} images"
        yield times.row(name, rival="(float32)", ours="(bfloat16)", memory=memory)
