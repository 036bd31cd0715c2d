"""What classes of the user's are built with."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any

from torch import nn

from skgroup.store import key_of


def wanted_arguments(factory: Any, learned: dict[str, Any]) -> dict[str, Any]:
    """Those of the learned arguments that the signature names.

    Where a class passes `**kwargs` on, those that its base classes name too; all, if it takes
    `**kwargs` and neither it nor a base class names anything.
    """
    if isinstance(factory, nn.Module):
        factory = type(factory)
    names: set[str] = set()
    if isinstance(factory, functools.partial):
        names |= signature(factory).parameters.keys()
        bound = {name for name, p in signature(factory.func).parameters.items()} - names
        return {k: v for k, v in wanted_arguments(factory.func, learned).items() if k not in bound}
    takes_any = False
    for part in factory.__mro__ if isinstance(factory, type) else [factory]:
        if part is nn.Module:
            break
        if isinstance(part, type) and "__init__" not in vars(part):
            continue
        kinds = {name: p.kind for name, p in signature(part).parameters.items()}
        names |= {name for name, kind in kinds.items() if kind not in _VARIADIC}
        takes_any = Parameter.VAR_KEYWORD in kinds.values()
        if not takes_any:
            break
    if takes_any and not names:
        return dict(learned)
    return {key: value for key, value in learned.items() if key in names}


@contextmanager
def named_in_errors(name: str, factory: Any, kwargs: dict[str, Any]) -> Iterator[None]:
    """Say which part of a net cannot be built, and with what."""
    try:
        yield
    except Exception as error:  # whatever a class of the user's may raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        said = str(error).rstrip(".")
        # What it is built with holds arrays of all tasks.
        given = ", ".join(f"{key}={reprlib.repr(value)}" for key, value in kwargs.items())
        raise kind(
            f"The '{name}' parameter cannot be built: {type(error).__name__}: {said}. Got "
            f"{factory!r} with {given or 'no arguments'}."
        ) from error


def same_value(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return key_of(a) == key_of(b)
    except TypeError:  # not to be told apart by what it holds
        return False


_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
