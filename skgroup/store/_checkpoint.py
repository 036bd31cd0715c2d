"""What a fit keeps on the disk, for the same fit to go on after its process was killed."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import math
import os
import pickle
import shutil
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote
from zipfile import BadZipFile, ZipFile

import cloudpickle
import joblib
import numpy as np
import torch
from torch import Tensor

from skgroup._compat import Hidden
from skgroup._random import draw_seeds
from skgroup.exceptions import NotWrittenWarning
from skgroup.store._atomic import replaced_file
from skgroup.store._identity import key_of
from skgroup.store._paths import path_of

T = TypeVar("T")

_SUFFIX = ".kept"
_LOCK = "lock"
_SEEDS = "seeds"
_PICKLE = "value"
#: The time between two savings is at least so many times what the last one took.
_REST = 50
#: Seconds of work that are sooner done again than kept.
_LITTLE = 1.0
#: What tensors are of that NumPy can hold.
_PLAIN = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128,
}  # fmt: skip
#: What is equal wherever it stands, and so names no object.
_ATOMS = (int, float, complex, str, bytes, type(None), type(...))


@dataclass(frozen=True)
class CheckpointFolder:
    """Where fits keep what they need to go on, and how often.

    To be given as `checkpoint=` to any estimator that has this parameter; a path alone stands for
    the folder with the default interval.

    Each fit has a sub-folder of its own, named after what the fit is: the parameters (without
    `n_jobs`, `verbose` and `checkpoint`), the data, the number of torch's threads, and the versions
    of skgroup, torch and NumPy. Started again after its process was killed, at whatever moment, the
    same fit goes on from there, and ends with the same numbers as one that was never killed. Any
    other fit begins anew and touches nothing of it, and so does the same fit while the first is
    running. When a fit ends, its sub-folder is deleted; that of a fit that nobody starts again
    stays until the user deletes it.

    With `random_state=None`, the seed that was drawn is kept too.

    Parameters
    ----------
    path : str or path-like
        The folder; made if it is not there.
    every : float, default=30.0
        Seconds after which a training writes its state anew, in the middle of an epoch too; 0
        after every step. What is finished (a net, a stage) is written at once, but for nets that
        took less than a second. Writing that takes long, as of large nets on slow disks, is done
        less often: it has at most 2 % of the time.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, or `every` no number of at least 0.

    Notes
    -----
    Files are pickles, as those of joblib: whoever can write to the folder can run code in the
    process that goes on. They are replaced as a whole, and one that is damaged counts as not there.
    Where a file cannot be written (a full disk), training goes on with a warning, and what was
    written before stays.

    The bits are the same where training is deterministic, which some operations on GPUs are not.
    Of a Dataset, the class, the length, 1000 samples and all labels tell the data from others. In
    the middle of an epoch, a state is kept where the order of samples is drawn when the epoch
    begins, as torch's samplers do; of other loaders, between epochs. Of callbacks all attributes
    are kept, or what their methods `state_dict` and `load_state_dict` say, but not what they were
    given, nor what they change elsewhere (a list, a file). What they may write to (lists, dicts,
    open files, loggers) tells no fits apart: settings of a callback of your own are better numbers,
    strings or tuples.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import mkdtemp
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.store import CheckpointFolder
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 2]])
    >>> folder = CheckpointFolder(mkdtemp(), every=60)
    >>> net = MultiTaskNet(max_epochs=3, random_state=0, checkpoint=folder).fit(X, Y)
    """

    path: Any
    every: float = 30.0

    def __post_init__(self) -> None:
        path_of(self.path, "The 'path' of CheckpointFolder")
        if isinstance(self.every, bool) or not isinstance(self.every, Real) or not self.every >= 0:
            raise ValueError(
                f"The 'every' of CheckpointFolder must be a number >= 0. Got {self.every!r}."
            )


class RunningFit:
    """What a running fit, or a part of one, keeps; made by `running_fit`.

    One without a folder keeps nothing, and is false.

    Parameters
    ----------
    folder : Path or None
    every : float
    prefix : str, default=""
        Of the names of the files of this part.
    is_part : bool, default=False
        Whether a larger fit goes on when this one has ended.
    """

    def __init__(
        self, folder: Path | None, every: float, prefix: str = "", *, is_part: bool = False
    ) -> None:
        self.folder, self.every, self.prefix, self.is_part = folder, every, prefix, is_part
        self.keep = False
        self._told: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self._saved = self._since = time.monotonic()
        self._cost = 0.0

    def __bool__(self) -> bool:
        return self.folder is not None

    def __repr__(self) -> str:
        return f"RunningFit({str(self.folder)!r}, {self.every}, {self.prefix!r})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()  # another process, or machine, has another clock
        self._since = -math.inf  # one of many, which together take long

    @property
    def recent(self) -> bool:
        """Whether so little was done since this part began, or kept something, that it is not
        worth a file: whoever goes on does it again."""
        return time.monotonic() - self._since < min(self.every, _LITTLE)

    def due(self) -> bool:
        """Whether it is time to save the state of what is running."""
        if self.folder is None:
            return False
        wait = max(self.every, _REST * self._cost) if self.every else 0.0
        return time.monotonic() - self._saved >= wait

    def save(self, name: str, value: Any, known: Mapping[Any, Any] | None = None) -> bool:
        """Keep a value, of whatever can be pickled, in the place of an earlier one.

        Where it cannot be written, there is one warning, and the earlier one stays.

        Parameters
        ----------
        name : str
        value : object
        known : dict, default=None
            Objects that are not kept, but named, wherever they stand inside of the value: `load`
            is given those that take their place.

        Returns
        -------
        saved : bool
        """
        if self.folder is None:
            return False
        saved, began = True, time.monotonic()
        try:
            to_disk = began - self._saved >= self.every > 0
            with replaced_file(self._file(name), to_disk=to_disk) as file:
                _write(file, value, known)
        except Exception as error:  # of the disk, or whatever a value may raise that is pickled
            saved = False
            if not self._told:
                warnings.warn(
                    f"The checkpoint in {self.folder} stays as it is: a part could not be kept. "
                    f"{type(error).__name__}: {error}",
                    NotWrittenWarning,
                    stacklevel=2,
                )
            self._told.add(name)
        self._saved = self._since = time.monotonic()
        self._cost = self._saved - began
        return saved

    def check(self, value: Any, known: Mapping[Any, Any] | None = None) -> None:
        """Raise what saving a value would."""
        _write(io.BytesIO(), value, known)

    def load(self, name: str, default: Any = None, known: Mapping[Any, Any] | None = None) -> Any:
        """What was kept; the default if there is nothing, or it is damaged."""
        if self.folder is None:
            return default
        try:
            with open(self._file(name), "rb") as file:
                return _read(file, known or {})
        except Exception:  # a file that was cut off, a class that is no more
            return default

    def has(self, name: str) -> bool:
        """Whether there is a file, which may be damaged."""
        return self.folder is not None and self._file(name).exists()

    def stage(self, name: str, compute: Callable[[], T]) -> T:
        """What an earlier run of this fit has computed, else what is computed now, and kept in the
        place of what the `child` of this name has."""
        missing = object()
        found: Any = self.load(name, missing)
        if found is missing:
            found = compute()
            if self.save(name, found):
                self.child(name).remove()
        return found

    def draw_seeds(self, random_state: Any, size: int) -> list[int]:
        """Seeds from a `random_state`; where it is None, those that an earlier run has drawn."""
        seeds = draw_seeds(random_state, size)
        return self.stage(_SEEDS, lambda: seeds) if random_state is None else seeds

    def child(self, name: str) -> Self:
        """That of a part of the fit: of a net, a fold, a stage.

        It can be sent to another process, and be the `checkpoint` of another estimator, whose fits
        then have their sub-folders in this one.

        Parameters
        ----------
        name : str
            Unlike those of other parts, and the same in the run that goes on.
        """
        quoted = quote(name, safe="")
        quoted = quoted if len(quoted) <= 60 else str(joblib.hash(name))
        part = type(self)(self.folder, self.every, f"{self.prefix}{quoted}@", is_part=True)
        part._told = self._told
        return part

    def forget(self, name: str) -> None:
        """Delete a value."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self._file(name).unlink()

    def remove(self) -> None:
        """Delete what this part has kept; the rest of the fit has what it needs of it."""
        for path in self._paths():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _paths(self) -> list[Path]:
        if self.folder is None:
            return []
        with contextlib.suppress(OSError):
            return [p for p in self.folder.iterdir() if p.name.startswith(self.prefix or "\0")]
        return []

    def _file(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.prefix}{quote(name, safe='')}{_SUFFIX}"


#: Keeps nothing.
NOT_KEPT = RunningFit(None, 0.0)

#: What `_parameter_constraints` say of a `checkpoint`.
CHECKPOINT: list[Any] = [str, os.PathLike, CheckpointFolder, Hidden(RunningFit), None]


@contextlib.contextmanager
def running_fit(checkpoint: Any, owner: Any, *identity: Any) -> Iterator[RunningFit]:
    """The sub-folder of a fit, held as long as the block runs and deleted when it ends.

    After an error it stays, for the same fit to go on; so it does where `keep` of what is given is
    set. The sub-folder of a part of another fit is left for that fit to delete.

    Parameters
    ----------
    checkpoint : path-like, CheckpointFolder, RunningFit or None
        As the estimator was given it. None keeps nothing.
    owner : estimator
        Whose parameters tell the fit from others.
    *identity
        What else does: the data, of kinds that `key_of` knows.

    Raises
    ------
    TypeError, ValueError
        If the path is none, or fits cannot be told apart.
    OSError
        If the folder cannot be written to.
    """
    is_part = isinstance(checkpoint, RunningFit)
    # Of a fit that has ended, where an estimator has kept a part of its own, nothing is left.
    if checkpoint is None or (is_part and not (checkpoint and checkpoint.folder.is_dir())):
        yield NOT_KEPT
        return
    name = f"The 'checkpoint' parameter of {type(owner).__name__}"
    if is_part:
        folder, prefix = checkpoint.folder, checkpoint.prefix
    else:
        if not isinstance(checkpoint, CheckpointFolder):
            path_of(checkpoint, name)
            checkpoint = CheckpointFolder(checkpoint)
        folder, prefix = path_of(checkpoint.path, name).absolute(), ""
    try:
        key = key_of(owner, identity, _circumstances(), within_callbacks=False)
    except TypeError as error:
        raise TypeError(
            f"{name} must be None where parameters or data cannot be told from others: {error}"
        ) from error
    try:
        own, lock = _taken(folder, f"{prefix}{type(owner).__name__}-{key}")
    except OSError as error:
        raise OSError(
            error.errno,
            f"{name} must be a folder that can be written to. Got {str(folder)!r} "
            f"({error.strerror})",
        ) from error
    running = RunningFit(own, checkpoint.every, is_part=is_part)
    done = False
    try:
        yield running
        done = not is_part and not running.keep
    except BaseException:
        # Whether there is nothing to go on with: seeds can be drawn anew.
        done = {path.name for path in own.glob("*")} <= {_LOCK, f"{_SEEDS}{_SUFFIX}"}
        raise
    finally:
        _given_back(own, lock, delete=done)


@contextlib.contextmanager
def handed_on(estimator: Any, part: RunningFit) -> Iterator[None]:
    """Lend the estimators of a composition that take a `checkpoint` and have none a part of a
    running fit; what stands inside of one of them is left to it."""
    lent: list[str] = []
    params = estimator.get_params(deep=True) if part else {}
    for name in sorted(params, key=lambda name: name.count("__")):
        owner, _, last = name.rpartition("__")
        taker = params[owner] if owner else estimator
        if last != "checkpoint" or not _has_parameter(taker, "checkpoint"):
            continue
        if params[name] is None and not any(_is_inside(owner, other) for other in lent):
            lent.append(name)
    try:
        estimator.set_params(**{name: part.child(name) for name in lent})
        yield
    finally:
        estimator.set_params(**dict.fromkeys(lent))


def _is_inside(owner: str, name: str) -> bool:
    """Whether an estimator is inside of the one whose parameter has this name."""
    outer = name.rpartition("__")[0]
    return not outer or owner.startswith(f"{outer}__")


def _has_parameter(estimator: Any, name: str) -> bool:
    """Whether an estimator is made with a parameter of this name."""
    return name in signature(type(estimator)).parameters


def _circumstances() -> list[Any]:
    """What else the bits of a fit depend on."""
    packages = [sys.modules[name].__version__ for name in ("skgroup", "torch", "numpy")]
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return [*packages, torch.get_num_threads(), cuda]


# -- files -----------------------------------------------------------------------------------------


class _Pickler(cloudpickle.Pickler):
    """Pickles functions and classes that no module has, too, and tensors as their numbers."""

    def __init__(self, file: Any, known: Mapping[Any, Any]) -> None:
        named = {id(value): name for name, value in known.items() if not isinstance(value, _ATOMS)}
        self._name_of = named.get
        super().__init__(file, protocol=5)

    def persistent_id(self, value: Any) -> Any:
        return self._name_of(id(value))

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is Tensor and value.layout is torch.strided and value.dtype in _PLAIN:
            if value.is_leaf or not value.requires_grad:
                array = value.detach().cpu().numpy()
                return _tensor, (array, str(value.device), value.requires_grad)
        elif isinstance(value, type | types.FunctionType) and _can_be_found(value):
            return NotImplemented
        return super().reducer_override(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, known: Mapping[Any, Any]) -> None:
        self._known = known
        # Classes of functions and notebooks: cloudpickle would fill those anew that are here.
        self._here = set(cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.values())
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if name != "_class_setstate" or not module.startswith("cloudpickle"):
            return found
        return lambda kind, state: kind if kind in self._here else found(kind, state)

    def persistent_load(self, name: Any) -> Any:
        return self._known[name]


def _tensor(array: np.ndarray, device: str, requires_grad: bool) -> Tensor:
    return torch.from_numpy(array).to(device).requires_grad_(requires_grad)


def _can_be_found(value: Any) -> bool:
    """Whether a class or function is where its name says."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _write(file: BinaryIO, value: Any, known: Mapping[Any, Any] | None) -> None:
    """A zip file of one pickle, for the sum of its bytes."""
    with ZipFile(file, "w") as whole, whole.open(_PICKLE, "w", force_zip64=True) as pickled:
        _Pickler(pickled, known or {}).dump(value)


def _read(file: BinaryIO, known: Mapping[Any, Any]) -> Any:
    with ZipFile(file) as whole:
        if whole.testzip() is not None:
            raise BadZipFile("damaged")
        with whole.open(_PICKLE) as pickled:
            return _Unpickler(pickled, known).load()


# -- who has a sub-folder --------------------------------------------------------------------------

# Locks are those of a process, so that one it was forked into lets go of none and has none: the
# workers of a DataLoader outlive a killed process for some seconds. Threads are told apart here.
_MINE: set[str] = set()
_LOOK = threading.Lock()


def _after_fork() -> None:
    global _LOOK
    _LOOK = threading.Lock()
    _MINE.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _taken(folder: Path, name: str) -> tuple[Path, int]:
    """The first sub-folder of a name that nobody else has, and its open lock."""
    for i in itertools.count():
        own = Path(os.path.realpath(folder)) / (f"{name}-{i}" if i else name)
        with _LOOK:
            if str(own) in _MINE:
                continue
            if (lock := _locked(own)) is None:
                continue
            _MINE.add(str(own))
        for path in own.glob(".skgroup-*.part"):  # of a writing that was killed
            with contextlib.suppress(OSError):
                path.unlink()
        return own, lock
    raise AssertionError


def _locked(own: Path) -> int | None:
    """The open lock of a folder; None if another process has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    while True:
        own.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(own / _LOCK, flags, 0o666)
        except FileNotFoundError:  # who had it has just deleted it
            continue
        if not _try_lock(handle):
            os.close(handle)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(own / _LOCK), os.fstat(handle)):
                return handle
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        windows: Any = msvcrt
        try:
            windows.locking(handle, windows.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # file systems without locks have others
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _given_back(own: Path, lock: int, *, delete: bool) -> None:
    with _LOOK:
        if delete and os.name != "nt":  # while nobody else can have it
            shutil.rmtree(own, ignore_errors=True)
        os.close(lock)
        if delete and os.name == "nt":
            shutil.rmtree(own, ignore_errors=True)
        _MINE.discard(str(own))
