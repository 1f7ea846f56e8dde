"""Exceptions out of a canister's code: their text as Kybra traps with it, and their frames."""

import traceback

__all__ = ["describe", "release_frames"]


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
