"""The rules that Kybra's compiler does not check: what it drops, or what runs otherwise on chain.

The compiler's own rules are in ``icfleet_localnet.kybra_host.rules``; the codes continue there.

Source: ``kybra`` 0.7.1 and its RustPython, observed case by case.
"""

from icfleet_localnet.kybra_host.findings import Rule

__all__ = [
    "ABSENT_STDLIB",
    "ASYNC_FUNCTION",
    "BROKEN_SOURCE",
    "CALLED_HOOK",
    "DICT_UNPACKING",
    "EXTENSION_MODULE",
    "FIELD_DEFAULT",
    "FLAT_CLASH",
    "FOREIGN_BASE",
    "HOOK_GUARD",
    "KEYWORD_ONLY",
    "MAP_NOT_TOP_LEVEL",
    "MAP_TOO_SMALL",
    "MAP_UNBOUNDED",
    "NAMESPACE_PACKAGE",
    "NESTED_FUNCTION",
    "NOT_A_BARE_NAME",
    "NOT_VISIBLE",
    "PARAMETER_DEFAULT",
    "PREDICTABLE_RANDOM",
    "PRINCIPAL_IDENTITY",
    "PRINT_CALL",
    "RELATIVE_IMPORT",
    "SHADOWED_BY_STDLIB",
    "TWO_NAMES",
    "YIELD_IN_QUERY",
]

# Methods and hooks.
NOT_A_BARE_NAME = Rule(
    "KY101", "Write `from kybra import query` and `@query`; the compiler knows only bare names."
)
NESTED_FUNCTION = Rule("KY102", "Move the function to module level.")
ASYNC_FUNCTION = Rule("KY103", "Write `def`, return `Async[...]`, and `yield` the calls.")
KEYWORD_ONLY = Rule("KY109", "Make it a parameter by position.")
CALLED_HOOK = Rule("KY116", "Write it without parentheses.")
NOT_VISIBLE = Rule("KY117", "Import it by name in the entry file, without an underscore in front.")
YIELD_IN_QUERY = Rule("KY118", "Return `Async[...]`, which makes it a composite query.")
PARAMETER_DEFAULT = Rule("KY119", "Take an `Opt[...]` and test it for None.", "warning")

# Types.
FIELD_DEFAULT = Rule("KY213", "Leave the default out; callers give every field.", "warning")
FOREIGN_BASE = Rule("KY214", "Rename the base class.", "warning")

# Modules.
RELATIVE_IMPORT = Rule("KY401", "Import it by its full name.")
ABSENT_STDLIB = Rule("KY403", "Do without it; there is no operating system below a canister.")
NAMESPACE_PACKAGE = Rule("KY404", "Add an `__init__.py` to the folder.")
FLAT_CLASH = Rule("KY405", "Rename one of them.")
SHADOWED_BY_STDLIB = Rule("KY406", "Rename it, or move it into a package.")
EXTENSION_MODULE = Rule("KY407", "Use a pure-Python package.")
TWO_NAMES = Rule("KY409", "Import the file by one name everywhere, and never the entry.")
BROKEN_SOURCE = Rule("KY411", "Mend the file, or leave it out of the package.")

# Guards.
HOOK_GUARD = Rule("KY505", "Check at the start of the hook itself.")

# Stable maps.
MAP_NOT_TOP_LEVEL = Rule("KY601", "Assign the map to a name at module level, and use that name.")
MAP_UNBOUNDED = Rule(
    "KY607", "Key the map by consecutive numbers and read a bounded page of them.", "warning"
)
MAP_TOO_SMALL = Rule("KY608", "Sizes are of the Candid encoding: 7 bytes and the value's own.")

# Behaviour on chain.
PRINT_CALL = Rule("KY701", "Use `ic.print`.", "warning")
DICT_UNPACKING = Rule("KY702", "Put `**` last, or use `a | b`.", "warning")
PRINCIPAL_IDENTITY = Rule("KY703", "Compare and key by `.to_str()`.", "warning")
PREDICTABLE_RANDOM = Rule(
    "KY704", "Draw from the management canister's `raw_rand`, in an update.", "warning"
)
