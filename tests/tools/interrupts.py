"""Ctrl-C between any two operations of the engine's Python code, one after another."""

import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest

import fastlstm.engine

monitored = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")

TOOL = 4
"""Number of a tool, of those that are nobody's."""


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _codes() -> list[CodeType]:
    """Of all functions of the engine."""
    functions = [found for found in gc.get_objects() if type(found) is FunctionType]
    return [
        code for function in functions if str(function.__module__).startswith(fastlstm.engine.__name__)
        for code in _with_inner(function.__code__)
    ]


def interrupted_anywhere(call: Callable[[], Any]) -> Iterator[int]:
    """Run `call` again and again, each time up to one operation more, until it comes to its end."""
    watch, left, codes = sys.monitoring, -1, _codes()

    def operation(code: CodeType, offset: int) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise KeyboardInterrupt

    watch.use_tool_id(TOOL, "interrupts")
    watch.register_callback(TOOL, watch.events.INSTRUCTION, operation)
    for code in codes:
        watch.set_local_events(TOOL, code, watch.events.INSTRUCTION)
    try:
        for count in itertools.count():
            left = count
            try:
                call()
                return
            except KeyboardInterrupt:
                yield count
    finally:
        for code in codes:
            watch.set_local_events(TOOL, code, 0)
        watch.free_tool_id(TOOL)
