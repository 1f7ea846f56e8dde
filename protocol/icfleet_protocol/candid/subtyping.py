"""Is one type a subtype of another? Asked only for references to functions and services.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#upgrading-and-subtyping
"""

from collections.abc import Callable, Mapping, Sequence

from icfleet_protocol.candid.graph import Node, Opcode

__all__ = ["WIDENINGS", "is_subtype"]

_Pair = tuple[Node, Node]


def is_subtype(lower: Node, upper: Node) -> bool:
    """Return whether every value of ``lower`` may be used where ``upper`` is expected.

    Every rule is a conjunction (whatever does not fit below an ``opt`` is ``null`` there), so a
    list of pairs still to check is all the state there is: the largest relation without a
    contradiction is the answer, as the specification wants for recursive types.
    """
    seen: set[_Pair] = set()
    pending: list[_Pair] = [(lower, upper)]
    while pending:
        pair = pending.pop()
        if pair in seen:
            continue
        seen.add(pair)
        premises = _premises(*pair)
        if premises is None:
            return False
        pending += premises
    return True


def _premises(lower: Node, upper: Node) -> list[_Pair] | None:
    """Return what must hold for ``lower <: upper``, or ``None`` when nothing can make it hold."""
    if upper.opcode in _TOP or lower.opcode is Opcode.EMPTY:
        return []
    if lower.opcode is not upper.opcode:
        return [] if (lower.opcode, upper.opcode) in WIDENINGS else None
    rule = _RULES.get(lower.opcode)
    return [] if rule is None else rule(lower, upper)


_TOP = frozenset({Opcode.RESERVED, Opcode.OPT})

WIDENINGS = frozenset({(Opcode.NAT, Opcode.INT), (Opcode.SERVICE, Opcode.PRINCIPAL)})
"""The types whose values are also values of another, with the same meaning."""


def _future_premises(_lower: Node, _upper: Node) -> None:
    return None


def _vector_premises(lower: Node, upper: Node) -> list[_Pair]:
    return [(lower.inner, upper.inner)]


def _record_premises(lower: Node, upper: Node) -> list[_Pair] | None:
    present = {part.id: part.node for part in lower.fields}
    premises: list[_Pair] = []
    for part in upper.fields:
        if part.id in present:
            premises.append((present[part.id], part.node))
        elif not part.node.is_nullable:
            return None
    return premises


def _variant_premises(lower: Node, upper: Node) -> list[_Pair] | None:
    known = {part.id: part.node for part in upper.fields}
    if any(part.id not in known for part in lower.fields):
        return None
    return [(part.node, known[part.id]) for part in lower.fields]


def _function_premises(lower: Node, upper: Node) -> list[_Pair] | None:
    if lower.annotations != upper.annotations:
        return None
    args = _sequence_premises(upper.args, lower.args)
    results = _sequence_premises(lower.results, upper.results)
    return None if args is None or results is None else args + results


def _sequence_premises(lower: Sequence[Node], upper: Sequence[Node]) -> list[_Pair] | None:
    missing = upper[len(lower) :]
    if any(not node.is_nullable for node in missing):
        return None
    return list(zip(lower, upper, strict=False))


def _service_premises(lower: Node, upper: Node) -> list[_Pair] | None:
    present = dict(lower.methods)
    if any(name not in present for name, _ in upper.methods):
        return None
    return [(present[name], method) for name, method in upper.methods]


_RULES: Mapping[Opcode, Callable[[Node, Node], list[_Pair] | None]] = {
    Opcode.VEC: _vector_premises,
    Opcode.RECORD: _record_premises,
    Opcode.VARIANT: _variant_premises,
    Opcode.FUNC: _function_premises,
    Opcode.SERVICE: _service_premises,
    Opcode.FUTURE: _future_premises,
}
"""For two types of the same kind; the kinds that are not here have no parts."""
