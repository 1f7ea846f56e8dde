"""Exceptions out of a canister's code: their text as Kybra traps with it, and their frames."""

import traceback
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["chain_cut", "describe", "release_frames"]


_CHAIN_MAX = 20
"""Exceptions of a chain that are told."""


@contextmanager
def chain_cut(error: BaseException) -> Generator[None]:
    """Let an exception be the end of some others only, as printing it recurses along the chain."""
    links: list[tuple[BaseException, BaseException | None, BaseException | None, bool]] = []
    seen: set[int] = set()
    pending = [error]
    for one in pending:
        seen.add(id(one))
        cause, context = one.__cause__, one.__context__
        following = [other for other in (cause, context) if other and id(other) not in seen]
        if len(pending) + len(following) <= _CHAIN_MAX:
            pending += following
        elif following:
            links.append((one, cause, context, one.__suppress_context__))
            one.__cause__ = one.__context__ = None
    try:
        yield
    finally:
        for one, cause, context, is_suppressed in links:
            one.__cause__, one.__context__ = cause, context
            one.__suppress_context__ = is_suppressed


def describe(error: BaseException) -> str:
    """Return ``TypeName: text``, as a compiled canister traps or rejects."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except BaseException:  # noqa: BLE001  # The canister's own ``__str__``, which may even trap.
        return f"Attribute Error: '{kind}' object has no attribute '__str__'"


def release_frames(error: BaseException) -> None:
    """Let go of everything the exception's frames hold.

    Otherwise a generator held by a frame would end, and run its ``finally``, when the exception
    is collected: after the rollback, whose work it would spoil.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        pending += [one.__cause__, one.__context__]
