"""Candid values and the Python values of Kybra canisters, converted both ways at the border.

What canister code sees and may give back is what Kybra's compiler decides, down to the errors:
an ``int`` is no ``float64``, an ``Opt`` field may not be left out, a list is copied. Errors that
the compiled canister would raise inside Python are raised here as ``TypeError``,
``OverflowError``, ``KeyError``, ``IndexError`` or ``AttributeError``.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/vm_value_conversion`` and ``kybra_vm_value_derive``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from icfleet_localnet.kybra_host.annotations import python_name
from icfleet_localnet.kybra_host.leaf_values import (
    ITERABLE_ELEMENTS,
    LEAF_TAKERS,
    Convert,
    as_bytes,
    as_principal,
    as_raw_principal,
    as_reserved,
    wrong_type,
)
from icfleet_protocol.candid import (
    CandidType,
    EmptyType,
    FieldType,
    FuncType,
    NamedType,
    NullType,
    OptType,
    PrincipalType,
    RecordType,
    ReservedType,
    ServiceType,
    Some,
    TypeEnvironment,
    VariantType,
    VecType,
)
from icfleet_protocol.candid.types import nat8
from icfleet_protocol.principal import Principal

__all__ = ["HostClasses", "PythonSide"]

_Label = str | int


class HostClasses(Protocol):
    """The classes of one canister that values are made of."""

    @property
    def principal(self) -> type[Any]:
        """The canister's ``kybra.Principal``."""
        ...

    def service(self, name: str) -> Any:
        """Return a ``Service`` class of the canister's scope; ``NameError`` if there is none."""
        ...


class PythonSide:
    """The conversions of one canister, made once per type.

    Args:
        environment: What names in types stand for.
        classes: The canister's own classes.
    """

    def __init__(self, environment: TypeEnvironment, classes: HostClasses) -> None:
        self._environment = environment
        self._classes = classes
        self._named_takers: dict[str, Convert] = {}
        self._named_givers: dict[str, Convert | None] = {}
        self._takers: Mapping[type[CandidType], Callable[[Any], Convert]] = {
            NamedType: self._take_named,
            OptType: self._take_opt,
            VecType: self._take_vec,
            RecordType: self._take_record,
            VariantType: self._take_variant,
        }
        self._givers: Mapping[type[CandidType], Callable[[Any], Convert | None]] = {
            NamedType: self._give_named,
            OptType: self._give_opt,
            VecType: self._give_vec,
            RecordType: self._give_record,
            VariantType: self._give_variant,
        }
        self._leaf_takers = {**LEAF_TAKERS, PrincipalType: self._principal_in}
        self._leaf_givers: Mapping[type[CandidType], Convert] = {
            PrincipalType: self._principal_out,
            ServiceType: self._principal_out,
            FuncType: self._func_out,
            EmptyType: _empty_out,
        }

    def take(self, candid_type: CandidType) -> Convert:
        """Return the conversion of what canister code gives, to what the codec encodes."""
        make = self._takers.get(type(candid_type))
        return self._leaf_takers[type(candid_type)] if make is None else make(candid_type)

    def give(self, candid_type: CandidType) -> Convert | None:
        """Return the conversion of what the codec decoded, to what canister code gets.

        ``None`` where the decoded value is what the code gets.
        """
        make = self._givers.get(type(candid_type))
        return self._leaf_givers.get(type(candid_type)) if make is None else make(candid_type)

    def _resolve(self, candid_type: CandidType) -> CandidType:
        while isinstance(candid_type, NamedType):
            candid_type = self._environment[candid_type.name]
        return candid_type

    def _is_nullable(self, candid_type: CandidType) -> bool:
        return isinstance(self._resolve(candid_type), (OptType, NullType, ReservedType))

    def _take_named(self, named: NamedType) -> Convert:
        def later(value: Any) -> Any:
            return self._named_takers[named.name](value)

        if named.name not in self._named_takers:
            self._named_takers[named.name] = later  # A type that holds itself finds this.
            self._named_takers[named.name] = self.take(self._environment[named.name])
        return self._named_takers[named.name]

    def _take_opt(self, opt: OptType) -> Convert:
        return _opt_in(self.take(opt.inner), is_nested=self._is_nullable(opt.inner))

    def _take_vec(self, vec: VecType) -> Convert:
        if self._resolve(vec.inner) == nat8:
            return as_bytes
        is_strict = not isinstance(self._resolve(vec.inner), ITERABLE_ELEMENTS)
        return _list_in(self.take(vec.inner)) if is_strict else _iterable_in(self.take(vec.inner))

    def _take_record(self, record: RecordType) -> Convert:
        if record.is_tuple:
            return _tuple_in([self.take(one.type) for one in record.fields])
        return _record_in(
            [(one.name, _python_name(one.name), self.take(one.type)) for one in record.fields]
        )

    def _take_variant(self, variant: VariantType) -> Convert:
        return _variant_in([self._case_in(one) for one in variant.fields])

    def _case_in(self, case: FieldType) -> tuple[_Label, _Label, Convert]:
        # A case without a value takes any: the compiled code looks at the key only.
        is_bare = isinstance(self._resolve(case.type), NullType)
        return case.name, _python_name(case.name), as_reserved if is_bare else self.take(case.type)

    def _principal_in(self, value: Any) -> Principal:
        if type(value) is self._classes.principal:
            return as_raw_principal(value.bytes)
        return as_principal(value)

    def _give_named(self, named: NamedType) -> Convert | None:
        def later(value: Any) -> Any:
            convert = self._named_givers[named.name]
            return convert(value) if convert else value

        if isinstance(self._resolve(named), ServiceType):
            return self._service_out(named.name)
        if named.name not in self._named_givers:
            self._named_givers[named.name] = later
            self._named_givers[named.name] = self.give(self._environment[named.name])
        return self._named_givers[named.name]

    def _give_opt(self, opt: OptType) -> Convert | None:
        give, is_nested = self.give(opt.inner), self._is_nullable(opt.inner)
        return _opt_out(give or _itself) if give or is_nested else None

    def _give_vec(self, vec: VecType) -> Convert | None:
        give = self.give(vec.inner)
        return None if give is None else _list_out(give)

    def _give_record(self, record: RecordType) -> Convert | None:
        gives = [self.give(one.type) for one in record.fields]
        if record.is_tuple:
            return _tuple_out([give or _itself for give in gives]) if any(gives) else None
        # Built anew even where no field changes: keys come in the order of the class body.
        names = [one.name for one in record.fields]
        return _record_out(
            [
                (_python_name(name), name, give or _itself)
                for name, give in zip(names, gives, strict=True)
            ]
        )

    def _give_variant(self, variant: VariantType) -> Convert | None:
        cases = {one.name: (_python_name(one.name), self.give(one.type)) for one in variant.fields}
        if all(name == key and give is None for name, (key, give) in cases.items()):
            return None
        return _variant_out({name: (key, give or _itself) for name, (key, give) in cases.items()})

    def _principal_out(self, value: Principal) -> Any:
        return self._classes.principal(value.raw)

    def _func_out(self, value: tuple[Principal, str]) -> tuple[Any, str]:
        return self._principal_out(value[0]), value[1]

    def _service_out(self, name: str) -> Convert:
        return lambda value: self._classes.service(name)(self._principal_out(value))


def _python_name(name: _Label) -> _Label:
    return python_name(name) if isinstance(name, str) else name


def _itself(value: Any) -> Any:
    return value


def _require(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise wrong_type(kind, value)
    return value


def _empty_out(value: object) -> None:
    del value
    reason = 'type "empty" cannot be represented in python'
    raise TypeError(reason)


def _opt_in(take: Convert, *, is_nested: bool) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        return Some(take(value)) if is_nested else take(value)

    return convert


def _list_in(take: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        items = _require(list, value)
        try:
            return [take(item) for item in items]
        except Exception as error:
            reason = "Could not convert value to Vec"
            raise TypeError(reason) from error

    return convert


def _iterable_in(take: Convert) -> Convert:
    return lambda value: [take(item) for item in value]


def _tuple_in(takes: Sequence[Convert]) -> Convert:
    def convert(value: Any) -> tuple[Any, ...]:
        items = _require(tuple, value)
        if len(items) < len(takes):
            reason = "tuple index out of range"
            raise IndexError(reason)
        return tuple(take(item) for take, item in zip(takes, items, strict=False))

    return convert


def _record_in(parts: Sequence[tuple[_Label, _Label, Convert]]) -> Convert:
    def convert(value: Any) -> dict[_Label, Any]:
        # All fields are fetched before the first is converted, so a missing one is told first.
        found = [value[key] for _, key, _ in parts]
        return {name: take(item) for (name, _, take), item in zip(parts, found, strict=True)}

    return convert


def _variant_in(cases: Sequence[tuple[_Label, _Label, Convert]]) -> Convert:
    def convert(value: Any) -> dict[_Label, Any]:
        for name, key, take in cases:
            try:
                item = value[key]
            except Exception:  # noqa: BLE001, S112  # The compiled code swallows all of them.
                continue
            return {name: take(item)}
        reason = "Enum variant does not exist"
        raise TypeError(reason)

    return convert


def _opt_out(give: Convert) -> Convert:
    def convert(value: Any) -> Any:
        content = value.value if isinstance(value, Some) else value
        return None if content is None else give(content)

    return convert


def _list_out(give: Convert) -> Convert:
    return lambda value: [give(item) for item in value]


def _tuple_out(gives: Sequence[Convert]) -> Convert:
    return lambda value: tuple(give(item) for give, item in zip(gives, value, strict=True))


def _record_out(parts: Sequence[tuple[_Label, _Label, Convert]]) -> Convert:
    return lambda value: {key: give(value[name]) for key, name, give in parts}


def _variant_out(cases: Mapping[_Label, tuple[_Label, Convert]]) -> Convert:
    def convert(value: Any) -> dict[_Label, Any]:
        name, content = next(iter(cast("Mapping[_Label, Any]", value).items()))
        key, give = cases[name]
        return {key: give(content)}

    return convert
