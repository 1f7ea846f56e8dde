"""The rules Kybra's compiler holds sources to, each with its stable code and its cure.

``icfleet lint`` adds rules for what compiles and then behaves otherwise than it reads; their
codes continue these groups: 1xx methods and hooks, 2xx types, 3xx statements and syntax,
4xx modules, 5xx guards, 6xx stable maps, 7xx behaviour on chain.

Source: ``kybra`` 0.7.1's compiler front end, observed case by case.
"""

from icfleet_localnet.kybra_host.findings import Rule

__all__ = [
    "ASYNC_HOOK",
    "CHAINED_ASSIGNMENT",
    "DUPLICATE_FIELD",
    "DUPLICATE_GUARD",
    "DUPLICATE_HOOK",
    "DUPLICATE_MAP_ID",
    "DUPLICATE_METHOD",
    "DUPLICATE_TYPE",
    "ENDLESS_TYPE",
    "ENTRY_NAME",
    "FUNC_FORM",
    "GUARD_NOT_A_NAME",
    "GUARD_PARAMETERS",
    "GUARD_UNDEFINED",
    "HOOK_NOT_VOID",
    "HOOK_PARAMETERS",
    "MAP_FORM",
    "MAP_ID_RANGE",
    "MAP_NOT_LITERAL",
    "MAP_SIZE_RANGE",
    "MATCH_STATEMENT",
    "MEMBER_FORM",
    "MISSING_ANNOTATION",
    "MISSING_MODULE",
    "MISSING_RETURN",
    "NEW_SYNTAX",
    "NONE_AS_TYPE",
    "PARENTHESISED_WITH",
    "SELF_PARAMETER",
    "SERVICE_DECORATOR",
    "SERVICE_FORM",
    "STRING_TYPE",
    "TARGET_NOT_A_NAME",
    "TOO_LARGE",
    "TOO_MANY_PARAMETERS",
    "TYPE_FORM",
    "TYPE_NAME",
    "TYPE_SUBSCRIPT",
    "UNALIASED_TYPE",
    "UNDEFINED_TYPE",
    "VARIADIC_PARAMETERS",
    "VOID_VALUE",
]

# Methods and hooks.
MISSING_ANNOTATION = Rule("KY104", "Annotate it with a Candid type, such as `nat64` or `text`.")
MISSING_RETURN = Rule(
    "KY105", "Say what it returns, with `-> void` when it returns nothing to the caller."
)
NONE_AS_TYPE = Rule("KY106", "Write `void` for no result, or `null` for the Candid value null.")
TOO_MANY_PARAMETERS = Rule("KY107", "Gather the parameters in one Record.")
VARIADIC_PARAMETERS = Rule("KY108", "Name each parameter, or take a `Vec[...]`.")
SELF_PARAMETER = Rule(
    "KY110", "A method is a plain function without `self`; in a Service `self` comes first."
)
DUPLICATE_METHOD = Rule("KY111", "Rename one of them; all bundled files share one interface.")
DUPLICATE_HOOK = Rule("KY112", "Keep one, and let it call the other parts.")
HOOK_NOT_VOID = Rule("KY113", "Write `-> void`.")
HOOK_PARAMETERS = Rule("KY114", "Take no parameters; only init and post_upgrade have arguments.")
ASYNC_HOOK = Rule("KY115", "Write `-> void` and start the asynchronous part with `ic.set_timer`.")

# Types.
TYPE_SUBSCRIPT = Rule("KY201", "Use Vec, Opt, Tuple, Async or Manual.")
TYPE_FORM = Rule("KY202", "Name a Candid type, or declare one with Record, Variant or Alias.")
UNDEFINED_TYPE = Rule("KY203", "Declare it at module level with Record, Variant or Alias.")
UNALIASED_TYPE = Rule("KY204", "Write `X = Alias[...]`.")
STRING_TYPE = Rule("KY206", 'Quote only the name, as in `Vec["Node"]`.')
MEMBER_FORM = Rule("KY207", "Write only lines of the form `name: type`; put text in a comment.")
SERVICE_FORM = Rule("KY208", "Write only decorated methods, each with the body `...`.")
SERVICE_DECORATOR = Rule(
    "KY209", "Put exactly one of `@service_query` and `@service_update` above it, without `()`."
)
FUNC_FORM = Rule("KY210", "Write `Func(Query[[A, B], R])`, or Update, or `Oneway[[A], void]`.")
DUPLICATE_TYPE = Rule("KY211", "Rename it; all bundled files and Kybra's own types share names.")
TYPE_NAME = Rule("KY212", "Rename the type.")
VOID_VALUE = Rule("KY215", "Write `null` for a value; `void` is only for what a method returns.")
DUPLICATE_FIELD = Rule("KY216", "Remove or rename one of them.")
ENDLESS_TYPE = Rule("KY217", "Make the recursive type a Record, a Variant or a Tuple.")

# Statements and syntax.
TARGET_NOT_A_NAME = Rule(
    "KY301", "Assign to one plain name, or move the statement into a function or `if True:`."
)
CHAINED_ASSIGNMENT = Rule("KY302", "Write one assignment per line.")
MATCH_STATEMENT = Rule("KY303", "Use if and elif.")
PARENTHESISED_WITH = Rule("KY304", "Write the items without parentheses around them.")
NEW_SYNTAX = Rule("KY305", "Write Python 3.10; the compiler's parser knows nothing newer.")

# Modules.
MISSING_MODULE = Rule("KY402", "Put its folder on the search path, or install the package.")
ENTRY_NAME = Rule("KY408", "Name the entry file like a Python variable, such as `main.py`.")
TOO_LARGE = Rule("KY410", "Leave out what the canister does not need.")

# Guards.
GUARD_NOT_A_NAME = Rule("KY501", "Give the name of a module-level function, as in `guard=owner`.")
GUARD_UNDEFINED = Rule("KY502", "Declare it at module level with `-> GuardResult`.")
GUARD_PARAMETERS = Rule("KY503", "Take no parameters; ask `ic.caller()` inside.")
DUPLICATE_GUARD = Rule("KY504", "Rename one of them; all bundled files share guard names.")

# Stable maps.
MAP_NOT_LITERAL = Rule("KY602", "Write the numbers out, as in `memory_id=0`.")
DUPLICATE_MAP_ID = Rule("KY603", "Give each map its own memory_id.")
MAP_ID_RANGE = Rule("KY604", "Use a memory_id from 0 to 254.")
MAP_SIZE_RANGE = Rule("KY605", "Use a size from 1 to 4294967295 bytes of Candid encoding.")
MAP_FORM = Rule(
    "KY606",
    "Write `StableBTreeMap[K, V](memory_id=0, max_key_size=100, max_value_size=1_000)`.",
)
