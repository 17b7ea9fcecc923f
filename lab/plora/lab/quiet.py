"""Calls into peft without the deprecation warnings that are its own business with transformers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Args = ParamSpec("Args")
Result = TypeVar("Result")


def quietly(call: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """`call(*args, **kwargs)` with FutureWarning and DeprecationWarning silenced, all others kept.

    >>> quietly(warnings.warn, "old", FutureWarning)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return call(*args, **kwargs)
