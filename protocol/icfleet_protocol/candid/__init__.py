"""Candid: types, binary messages, interfaces (.did) and values as text.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md
"""

from icfleet_protocol.candid.codec import decode, encode
from icfleet_protocol.candid.did import format_did, parse_did
from icfleet_protocol.candid.interface import Method, ServiceInterface
from icfleet_protocol.candid.limits import DEFAULT_LIMITS, DecodeLimits
from icfleet_protocol.candid.names import field_id
from icfleet_protocol.candid.types import (
    BoolType,
    CandidType,
    EmptyType,
    FieldType,
    Float32Type,
    Float64Type,
    FuncType,
    Int8Type,
    Int16Type,
    Int32Type,
    Int64Type,
    IntType,
    MethodKind,
    NamedType,
    Nat8Type,
    Nat16Type,
    Nat32Type,
    Nat64Type,
    NatType,
    NullType,
    OptType,
    PrimitiveType,
    PrincipalType,
    RecordType,
    ReservedType,
    ServiceType,
    TextType,
    TypeEnvironment,
    VariantType,
    VecType,
    record,
    variant,
)
from icfleet_protocol.candid.value_format import format_value
from icfleet_protocol.candid.value_text import parse_args
from icfleet_protocol.candid.values import Some

__all__ = [
    "DEFAULT_LIMITS",
    "BoolType",
    "CandidType",
    "DecodeLimits",
    "EmptyType",
    "FieldType",
    "Float32Type",
    "Float64Type",
    "FuncType",
    "Int8Type",
    "Int16Type",
    "Int32Type",
    "Int64Type",
    "IntType",
    "Method",
    "MethodKind",
    "NamedType",
    "Nat8Type",
    "Nat16Type",
    "Nat32Type",
    "Nat64Type",
    "NatType",
    "NullType",
    "OptType",
    "PrimitiveType",
    "PrincipalType",
    "RecordType",
    "ReservedType",
    "ServiceInterface",
    "ServiceType",
    "Some",
    "TextType",
    "TypeEnvironment",
    "VariantType",
    "VecType",
    "decode",
    "encode",
    "field_id",
    "format_did",
    "format_value",
    "parse_args",
    "parse_did",
    "record",
    "variant",
]
