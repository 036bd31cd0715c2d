"""Callbacks of the user's for many nets: each net gets its own, which keeps its own files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import joblib
from cloudpickle import dumps
from joblib.parallel import get_active_backend

from skgroup.training.processes import goes_elsewhere

#: Parameters that name files of a callback, or folders of them.
_FOLDERS = ("dirname", "log_dir", "logdir")


def clone_callbacks(net: Any) -> dict[str, Any]:
    """Those of the parameters of a net that hold callbacks, for a clone of it.

    Each callback is made anew from its parameters. What these hold (a list, an open file, a
    logger) is not copied: it is where the user looks for what callbacks of all nets leave there.

    Raises
    ------
    ValueError
        If a callback cannot be made anew.
    """
    memo: dict[int, Any] = {}
    cloned: dict[str, Any] = {}
    for key, value in net.get_params(deep=False).items():
        if key == "callbacks" and isinstance(value, list | tuple):
            cloned[key] = type(value)([_clone_item(item, memo) for item in value])
        elif key.startswith("callbacks__") and _is_callback(value):
            cloned[key] = _clone_callback(key.removeprefix("callbacks__"), value, memo)
    return cloned


def _is_callback(value: Any) -> bool:
    return hasattr(value, "on_epoch_end") and not isinstance(value, type)


def _clone_item(item: Any, memo: dict[int, Any]) -> Any:
    if isinstance(item, tuple) and len(item) == 2:
        name, callback = item
        is_one = _is_callback(callback)
        return name, _clone_callback(str(name), callback, memo) if is_one else callback
    return _clone_callback(type(item).__name__, item, memo) if _is_callback(item) else item


def _clone_callback(name: str, callback: Any, memo: dict[int, Any]) -> Any:
    if id(callback) not in memo:
        kind = type(callback).__name__
        try:
            memo[id(callback)] = _made_anew(name, callback, memo)
        except Exception as error:
            raise ValueError(
                "The 'callbacks' parameter of MultiTaskNet must hold callbacks that can be cloned, "
                f"as each net that is trained gets its own. The callback {name!r} ({kind}) cannot "
                f"be: {type(error).__name__}: {error}. Its constructor must take, and store as it "
                "is, each attribute whose name does not end in '_'; what belongs to one training "
                "is set in 'initialize' or 'on_train_begin', under a name that does. A "
                "'__sklearn_clone__' that returns the callback itself makes it one for all nets."
            ) from error
    return memo[id(callback)]


def _made_anew(name: str, callback: Any, memo: dict[int, Any]) -> Any:
    if hasattr(callback, "__sklearn_clone__"):
        return callback.__sklearn_clone__()
    params = {
        key: _clone_callback(f"{name}__{key}", value, memo) if _is_callback(value) else value
        for key, value in callback.get_params(deep=False).items()
    }
    new = type(callback)(**params)
    kept = new.get_params(deep=False)
    for key, value in params.items():
        if kept.get(key) is not value:
            raise TypeError(f"the constructor does not store the parameter {key!r} as it is")
    return new


def check_callbacks_travel(nets: Any, n_jobs: int | None) -> None:
    """Refuse callbacks that cannot be sent to other processes, where there will be some.

    Parameters
    ----------
    nets : iterable of MultiTaskNet
    n_jobs : int or None
        As in joblib.

    Raises
    ------
    ValueError
        If one cannot.
    """
    backend = get_active_backend()[0]
    if not goes_elsewhere(n_jobs) or getattr(backend, "supports_sharedmem", False):
        return
    for name, callback in (pair for net in nets for pair in _callbacks_given(net)):
        try:
            dumps(callback)  # as joblib sends it
        except Exception as error:
            raise ValueError(
                f"The 'n_jobs' parameter must be None or 1, as the callback {name!r} "
                f"({type(callback).__name__}) of the net cannot be sent to other processes: "
                f"{type(error).__name__}: {error}. Got n_jobs={n_jobs}; or have it open what "
                "it writes to in 'on_train_begin', under a name of its own ('net.name_')."
            ) from error


def _callbacks_given(net: Any) -> Iterator[tuple[str, Any]]:
    """What a net has been given as callbacks, in a list or by parameters, with names."""
    for item in net.callbacks if isinstance(net.callbacks, list | tuple) else ():
        yield item if isinstance(item, tuple) else (type(item).__name__, item)
    for key, value in vars(net).items():
        if key.startswith("callbacks__") and _is_callback(value):
            yield key.removeprefix("callbacks__"), value


# -- files -------------------------------------------------------------------------------------


def check_files(net: Any) -> None:
    """Refuse files that nets cannot have each for itself; nothing is changed."""
    for name, part in _parts_with_files(net) if net.name_ else ():
        inside = hasattr(part, "dirname")
        for key, file in vars(part).items():
            if key.startswith("f_") and not (_is_relative(file) if inside else not _is_open(file)):
                raise ValueError(
                    f"The callback {name} of nets that are trained together must name its "
                    f"files{' inside its dirname' * inside}, where each net gets a folder. Got "
                    f"{key}={file!r}."
                )


def separate_files(net: Any) -> None:
    """Give the files that callbacks of a net keep a folder of their own, the name of the net.

    Nets that write to the same files would overwrite, and read, each other's.
    """
    folder = os.path.join(*map(_step, net.name_.split("/")))
    for name, part in _parts_with_files(net) if folder else ():
        if hasattr(part, "folder_"):
            continue  # part of another one too, or trained before
        part.folder_ = folder
        for key, value in list(vars(part).items()):
            if key in _FOLDERS and _is_path(value):
                setattr(part, key, type(value)(os.path.join(value, folder)))
            elif _is_path(written := getattr(value, "log_dir", "")) and written:
                setattr(part, key, _writer_to(name, value, os.path.join(written, folder)))
            elif key.startswith("f_") and not hasattr(part, "dirname") and _is_path(value):
                own = os.path.join(os.path.dirname(value), folder)
                os.makedirs(own, exist_ok=True)
                setattr(part, key, type(value)(os.path.join(own, os.path.basename(value))))
        part.initialize()


def _step(name: str) -> str:
    """A name as that of a folder."""
    step = re.sub(r'[\\:*?"<>|\x00-\x1f]', "_", name)
    return step if len(step.encode()) <= 200 else f"{step[:50]} {joblib.hash(name)}"


def _parts_with_files(net: Any) -> Iterator[tuple[str, Any]]:
    for name, callback in net.callbacks_:
        for part in (callback, getattr(callback, "checkpoint", None)):
            held = getattr(part, "__dict__", {})  # a path has none
            writers = any(_is_path(getattr(v, "log_dir", None)) for v in held.values())
            if writers or any(key.startswith("f_") or key in _FOLDERS for key in held):
                yield name, part


def _is_relative(file: Any) -> bool:
    return file is None or (isinstance(file, str) and not os.path.isabs(file))


def _is_path(file: Any) -> bool:
    return isinstance(file, str | os.PathLike)


def _is_open(file: Any) -> bool:
    return hasattr(file, "write")


def _writer_to(name: str, writer: Any, folder: str) -> Any:
    """A writer like one of TensorBoard's, to another folder."""
    try:
        return type(writer)(folder)
    except Exception as error:
        raise ValueError(
            f"The callback {name} of nets that are trained together must have a writer that can be "
            f"made anew for the folder of each net, as type(writer)(log_dir). Got {writer!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
