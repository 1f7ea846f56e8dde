"""Rust's ``Ord`` of decoded Candid values, as Python keys that sort and compare the same.

Numbers by value, text by its UTF-8 bytes (which is the order of code points), false before true,
``None`` first, records and tuples field by field and variants by case as declared, vectors
lexicographically, principals by length and then bytes.

Source: the ``derive`` that Kybra's compiler puts on keys; ``candid`` 0.10.10 for principals.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from icfleet_protocol.candid import (
    CandidType,
    Float32Type,
    Float64Type,
    FuncType,
    NamedType,
    OptType,
    PrincipalType,
    RecordType,
    ServiceType,
    Some,
    TypeEnvironment,
    VariantType,
    VecType,
)
from icfleet_protocol.candid.types import nat8
from icfleet_protocol.principal import Principal

__all__ = ["SortKey", "sort_key_for"]

SortKey = Callable[[Any], Any]
"""Takes a value as the Candid codec gives it."""


def sort_key_for(candid_type: CandidType, environment: TypeEnvironment) -> SortKey:
    """Return the function that makes sort keys for values of one type.

    Keys are hashable, and equal for equal values.
    """
    return _Orders(environment).order(candid_type)


class _Orders:
    def __init__(self, environment: TypeEnvironment) -> None:
        self._environment = environment
        self._named: dict[str, SortKey] = {}
        self._makers: Mapping[type[CandidType], Callable[[Any], SortKey]] = {
            NamedType: self._order_named,
            OptType: self._order_opt,
            VecType: self._order_vec,
            RecordType: self._order_record,
            VariantType: self._order_variant,
        }

    def order(self, candid_type: CandidType) -> SortKey:
        make = self._makers.get(type(candid_type))
        return _LEAVES.get(type(candid_type), _itself) if make is None else make(candid_type)

    def _order_vec(self, vec: VecType) -> SortKey:
        return _itself if vec.inner == nat8 else _order_items(self.order(vec.inner))

    def _order_record(self, record: RecordType) -> SortKey:
        parts = [(one.name, self.order(one.type)) for one in record.fields]
        return lambda value: tuple(order(value[name]) for name, order in parts)

    def _order_variant(self, variant: VariantType) -> SortKey:
        return _order_case(
            {one.name: (index, self.order(one.type)) for index, one in enumerate(variant.fields)}
        )

    def _order_named(self, named: NamedType) -> SortKey:
        def later(value: Any) -> Any:
            return self._named[named.name](value)

        if named.name not in self._named:
            self._named[named.name] = later  # A type that holds itself finds this.
            self._named[named.name] = self.order(self._environment[named.name])
        return self._named[named.name]

    def _order_opt(self, opt: OptType) -> SortKey:
        return _order_present(self.order(opt.inner))


def _itself(value: Any) -> Any:
    # Of one type only: numbers, booleans, text, and None where null is the one value.
    return value


def _order_float(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _order_principal(value: Principal) -> tuple[int, bytes]:
    return len(value.raw), value.raw


def _order_func(value: Any) -> tuple[tuple[int, bytes], str]:
    return _order_principal(value[0]), value[1]


def _order_present(inner: SortKey) -> SortKey:
    def order(value: Any) -> tuple[Any, ...]:
        if value is None:
            return ()
        return (inner(value.value if isinstance(value, Some) else value),)

    return order


def _order_items(inner: SortKey) -> SortKey:
    return lambda value: tuple(map(inner, value))


def _order_case(cases: Mapping[str | int, tuple[int, SortKey]]) -> SortKey:
    def order(value: Any) -> tuple[int, Any]:
        name, content = next(iter(cast("Mapping[str | int, Any]", value).items()))
        index, inner = cases[name]
        return index, inner(content)

    return order


_LEAVES: Mapping[type[CandidType], SortKey] = {
    PrincipalType: _order_principal,
    ServiceType: _order_principal,
    FuncType: _order_func,
    Float32Type: _order_float,
    Float64Type: _order_float,
}
"""Types whose values do not sort as they are."""
