"""The learning rate of a way, which a validation half chooses by the first seed.

Lines are those of one way in a results file: each has its "lr", its "seed", and what `score` makes
of it, of which more is better. Three rates are tried, and further ones while the best is at an end.
"""

import numpy as np

LEARNING_RATES = (3e-4, 1e-3, 3e-3)


def mean_validation(line):
    return np.mean(line["validation"])


def chosen(lines, score=mean_validation):
    """The learning rate of the best score by seed 0."""
    first = [line for line in lines if line["seed"] == 0]
    return max(first, key=score)["lr"]


def beyond(tried, score=mean_validation):
    """The next learning rate, where the best of those tried is the least or the greatest."""
    rates = sorted({line["lr"] for line in tried})
    if chosen(tried, score) == rates[-1]:
        return round(rates[-1] * 10 / 3, 2)
    return round(rates[0] * 0.3, 6) if chosen(tried, score) == rates[0] else None


def missing(lines, n_seeds, score=mean_validation):
    """Learning rate and seed of the fits that are next; none where all are there."""
    first = [line for line in lines if line["seed"] == 0]
    tried = {line["lr"] for line in first}
    if left := [lr for lr in LEARNING_RATES if lr not in tried]:
        return [(lr, 0) for lr in left]
    if (further := beyond(first, score)) is not None:
        return [(further, 0)]
    lr = chosen(first, score)
    done = {line["seed"] for line in lines if line["lr"] == lr}
    return [(lr, seed) for seed in range(n_seeds) if seed not in done]
