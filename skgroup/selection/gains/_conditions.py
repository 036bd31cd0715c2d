"""What measured scores depend on, in a form that can be compared and saved."""

from __future__ import annotations

from typing import Any

from skgroup.selection.gains._plan import HeldOutPart
from skgroup.store import key_of
from skgroup.training import MultiTaskNet
from skgroup.training.training_data import TrainingData

#: Parameters of a net that do not decide what it learns from a seed.
_WITHOUT_EFFECT = {"verbose", "device", "random_state", "checkpoint"}


def conditions_of(
    net: MultiTaskNet, data: TrainingData, splits: list[HeldOutPart], scoring: Any
) -> dict[str, str]:
    """Keys of the data, the splits, the scoring and the net, by their names."""
    table = data.all_tasks
    params = net.get_params(deep=False)
    counted = [(name, params[name]) for name in sorted(set(params) - _WITHOUT_EFFECT)]
    tasks = [table.codes, table.classes]
    if table.values is not None:
        tasks += [table.values, table.task_types]
    return {
        "the data": key_of(data.X, *tasks, data.sample_weight),
        "the 'cv' parameter": key_of([(part.train, part.test) for part in splits]),
        "the 'scoring' parameter": scoring if isinstance(scoring, str) else key_of(scoring),
        "the 'estimator' parameter": _key_of_net(counted),
    }


def check_same(before: dict[str, str], now: dict[str, str]) -> None:
    """Refuse to go on under other conditions."""
    for name, key in now.items():
        if before.get(name) != key:
            raise ValueError(
                "With warm_start=True, what GroupGains measured before must still hold, but "
                f"{name} differs. Fit with warm_start=False to measure anew."
            )


def _key_of_net(params: Any) -> str:
    try:
        return key_of(params)
    except TypeError as error:
        raise ValueError(
            "The 'estimator' parameter of GroupGains cannot be compared with that of another fit: "
            f"{error}."
        ) from error
