"""One net that several processes train together: the data maps, and groups, of one process.

``torchrun --nproc_per_node 2 examples/accelerate_net.py`` (with ``ACCELERATE_USE_CPU=1`` where GPUs
are to be left alone); started without torchrun, a single process trains.
"""

import sys
import time

import numpy as np
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration

from skgroup import FuzzyKMeans, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.training.accelerated import AcceleratedNet

N_SAMPLES, BATCH_SIZE = 1_536, 128


def new_grouper(max_epochs=10, batch_size=BATCH_SIZE):
    # `batch_size` is that of all processes together.
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True))
    net = AcceleratedNet.stg_mtl(
        accelerator=accelerator,
        module__hidden_units=(64, 64),
        batch_size=batch_size,
        max_epochs=max_epochs,
        random_state=0,
    )
    return TaskGrouper(net)


def main(path=None, max_epochs=10):
    X, Y = load_digit_tasks(return_X_y=True)
    grouper = new_grouper(max_epochs)
    start = time.perf_counter()
    maps = grouper.fit_transform(X[:N_SAMPLES], Y[:N_SAMPLES])
    seconds = time.perf_counter() - start
    accelerator = grouper.estimator.accelerator
    if path is not None:  # as all processes have them
        proba = grouper.estimator_.predict_proba(X[N_SAMPLES:])
        np.savez(f"{path}/{accelerator.process_index}", maps=grouper.data_map_, proba=proba)
    accelerator.print(
        f"Data maps of {len(maps)} tasks by {accelerator.num_processes} processes on "
        f"{accelerator.device}: {seconds:.1f} s; groups "
        f"{FuzzyKMeans(3, random_state=0).fit(maps).labels_}"
    )
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
