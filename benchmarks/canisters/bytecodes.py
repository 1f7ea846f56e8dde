"""How many bytecodes CPython runs: what an interpreter on chain is paid for, time aside.

Work inside built-in functions (a sort, ``heapq`` where it is written in C) counts as one call.
RustPython compiles Python much as CPython does but writes ``heapq`` in Python, so counts are good
for ratios and for growth, not for cycles to the digit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["count_bytecodes"]


def count_bytecodes(function: Callable[[], object]) -> int:
    """Run a function and return how many bytecodes it takes, all it calls included.

    What a function that does nothing takes is taken off, and with it what counting itself costs.
    """
    count = _count_by_monitoring if "monitoring" in vars(sys) else _count_by_tracing
    return count(function) - count(_do_nothing)


def _do_nothing() -> None:
    pass


def _count_by_tracing(function: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            count += 1
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(previous)
    return count


def _count_by_monitoring(function: Callable[[], object]) -> int:
    monitoring: Any = vars(sys)["monitoring"]  # new in 3.12
    events = monitoring.events
    tool = monitoring.PROFILER_ID
    count = 0

    def on_instruction(_code: CodeType, _offset: int) -> None:
        nonlocal count
        count += 1

    monitoring.use_tool_id(tool, "bytecodes")
    monitoring.register_callback(tool, events.INSTRUCTION, on_instruction)
    monitoring.set_events(tool, events.INSTRUCTION)
    try:
        function()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    return count
