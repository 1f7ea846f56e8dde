"""The rules that Kybra's compiler does not check: what it drops, or what runs otherwise on chain.

The compiler's own rules are in ``icfleet_localnet.kybra_host.rules``; the codes continue there,
with 8xx for the project's files and 9xx for the linter's own comments.

Source: ``kybra`` 0.7.1 and its RustPython, observed case by case.
"""

from icfleet_localnet.kybra_host.findings import Rule

__all__ = [
    "ABSENT_STDLIB",
    "ASYNC_FUNCTION",
    "BROKEN_SOURCE",
    "CALLED_HOOK",
    "CALL_NOT_MADE",
    "CANISTER_NAME",
    "DICT_UNPACKING",
    "EXTENSION_MODULE",
    "FIELD_DEFAULT",
    "FILE_ACCESS",
    "FLAG_AFTER_YIELD",
    "FLAT_CLASH",
    "FOREIGN_BASE",
    "HEARTBEAT",
    "HOOK_GUARD",
    "INT_FOR_FLOAT",
    "KEYWORD_ONLY",
    "KYBRA_ARGUMENTS",
    "LOST_CHANGE",
    "LOST_IN_QUERY",
    "LOST_TIMERS",
    "MANUAL_VALUE",
    "MAP_LOOP",
    "MAP_NOT_TOP_LEVEL",
    "MAP_OPERATOR",
    "MAP_TOO_SMALL",
    "MAP_UNBOUNDED",
    "MISSING_FIELD",
    "NAMESPACE_PACKAGE",
    "NESTED_FUNCTION",
    "NESTED_OPT",
    "NEVER_ACCEPTS",
    "NOT_A_BARE_NAME",
    "NOT_VISIBLE",
    "NO_CANDID_PATH",
    "NO_REPLY",
    "PARAMETER_DEFAULT",
    "PAYMENT_FORM",
    "PREDICTABLE_RANDOM",
    "PRINCIPAL_IDENTITY",
    "PRINT_CALL",
    "RAW_STABLE_MEMORY",
    "RELATIVE_IMPORT",
    "REPLY_TWICE",
    "RESULT_NOT_DICT",
    "SERVICE_KEYWORD",
    "SHADOWED_BY_STDLIB",
    "STUCK_UPGRADE",
    "SWALLOWED_EXCEPTION",
    "SYNC_GENERATOR",
    "SYSTEM_ARGUMENT",
    "THREAD",
    "TWO_NAMES",
    "UNCAUGHT_FAILURE",
    "UNFIT_VALUE",
    "UNKNOWN_CASE",
    "UNKNOWN_SYSTEM_CALL",
    "UNSEEN_SERVICE",
    "UNTYPED_NUMBER",
    "UNUSED_SUPPRESSION",
    "UPDATE_FROM_QUERY",
    "UPGRADE_ARGUMENT",
    "WRONG_CONTEXT",
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
SYNC_GENERATOR = Rule("KY120", "Start the part that waits with `ic.set_timer(0, ...)`.")
NEVER_ACCEPTS = Rule("KY121", "Call `ic.accept_message()` for the messages to let in.")
UPGRADE_ARGUMENT = Rule(
    "KY122",
    "Take no parameters and keep the settings in a stable map, or make each an `Opt[...]`.",
    "warning",
)
NO_REPLY = Rule("KY123", "Call `ic.reply(...)` or `ic.reject(...)`, or return the value itself.")
REPLY_TWICE = Rule("KY124", "Return `Manual[...]`, or return the value instead.")
MANUAL_VALUE = Rule("KY125", "Give the value to `ic.reply(...)`.", "warning")
HEARTBEAT = Rule("KY126", "Use `ic.set_timer_interval`, which costs only when due.", "warning")
STUCK_UPGRADE = Rule(
    "KY127", "Tell the trouble with `ic.print` and go on; keep state in stable maps.", "warning"
)

# Types.
FIELD_DEFAULT = Rule("KY213", "Leave the default out; callers give every field.", "warning")
FOREIGN_BASE = Rule("KY214", "Rename the base class.", "warning")
UNSEEN_SERVICE = Rule("KY218", "Declare it at module level, with the bare base `Service`.")
NESTED_OPT = Rule("KY219", "Declare a Variant that says which None is meant.", "warning")

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
MAP_UNBOUNDED = Rule("KY607", "Key the map by consecutive numbers and read a bounded page of them.")
MAP_TOO_SMALL = Rule("KY608", "Sizes are of the Candid encoding: 7 bytes and the value's own.")
MAP_OPERATOR = Rule("KY609", "Use `contains_key`, `get`, `insert`, `remove`, `len` or `is_empty`.")
LOST_CHANGE = Rule("KY610", "Put the changed value back with `insert`.", "warning")
RAW_STABLE_MEMORY = Rule("KY611", "Keep the bytes in a stable map of `blob` values.")
MAP_LOOP = Rule("KY612", "Go through the map in slices, each in a timer of its own.", "warning")

# Behaviour on chain.
PRINT_CALL = Rule("KY701", "Use `ic.print`.", "warning")
DICT_UNPACKING = Rule("KY702", "Put `**` last, or use `a | b`.", "warning")
PRINCIPAL_IDENTITY = Rule("KY703", "Compare and key by `.to_str()`.", "warning")
PREDICTABLE_RANDOM = Rule(
    "KY704", "Draw from the management canister's `raw_rand`, in an update.", "warning"
)
INT_FOR_FLOAT = Rule("KY705", "Write it with a point, such as `1.0`, or wrap it in `float(...)`.")
MISSING_FIELD = Rule("KY706", "Give every field, also an Opt one, which takes None.")
UNKNOWN_CASE = Rule("KY707", "Use one of the cases that the Variant declares.")
UNFIT_VALUE = Rule("KY708", "Give a value of the declared type, or declare the value's own.")
WRONG_CONTEXT = Rule("KY709", "Move the call to where the platform has it.")
UNKNOWN_SYSTEM_CALL = Rule("KY710", "Call what `kybra.ic` has, as it has it.")
SYSTEM_ARGUMENT = Rule("KY711", "Give an argument that the call takes.")
FILE_ACCESS = Rule("KY712", "Keep the content in a stable map, or in the source.", "warning")
THREAD = Rule("KY713", "Do the work at once, or in slices by `ic.set_timer`.", "warning")
LOST_IN_QUERY = Rule("KY714", "Make it an update, or leave the change out.", "warning")
LOST_TIMERS = Rule("KY715", "Set the timers again in `@post_upgrade`.", "warning")
SWALLOWED_EXCEPTION = Rule(
    "KY716", "Catch Exception around its body, and print it or `ic.trap`.", "warning"
)
FLAG_AFTER_YIELD = Rule(
    "KY717", "Keep a deadline by `ic.time()` instead, after which the work is free.", "warning"
)
UNCAUGHT_FAILURE = Rule("KY718", "Use `yield from`, and test the result's `.Err`.", "warning")
CALL_NOT_MADE = Rule("KY719", "Write `yield` in front, or `.notify()` behind it.")
SERVICE_KEYWORD = Rule("KY720", "Give the arguments by position.")
PAYMENT_FORM = Rule("KY721", "Give all cycles at once: `.with_cycles(n)`, or call_raw's payment.")
RESULT_NOT_DICT = Rule("KY722", "Read `.Ok` and `.Err`, or use `kybra.match`.")
UPDATE_FROM_QUERY = Rule("KY723", "Make the method an update, or call a query.")
UNTYPED_NUMBER = Rule("KY724", "Write the type, as in `42 : nat64`.", "warning")

# The project's files.
CANISTER_NAME = Rule("KY801", "Use letters, digits and underscores.")
KYBRA_ARGUMENTS = Rule("KY802", "Write `python -m kybra NAME ENTRY`.")
NO_CANDID_PATH = Rule("KY803", 'Add `"candid": ".kybra/NAME/NAME.did"`.')

# The linter's own comments.
UNUSED_SUPPRESSION = Rule("KY901", "Remove the comment, or correct its code.", "warning")
