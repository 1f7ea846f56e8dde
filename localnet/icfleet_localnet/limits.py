"""The limits of execution: how much one message, one round or one queue may hold.

Source: dfinity/ic ``rs/config/src/subnet_config.rs``, ``rs/limits`` and ``rs/replicated_state``;
dfinity/developer-docs ``docs/references/resource-limits.md``.
"""

__all__ = [
    "CANISTER_ROUND_INSTRUCTIONS_MAX",
    "INGRESS_HISTORY_MAX",
    "INGRESS_QUEUE_MAX",
    "INSPECT_INSTRUCTIONS_MAX",
    "LOCAL_PAYLOAD_SIZE_MAX",
    "QUERY_CALL_OVERHEAD_INSTRUCTIONS",
    "QUERY_DEPTH_MAX",
    "QUERY_INSTRUCTIONS_MAX",
    "QUEUE_CAPACITY",
    "REMOTE_PAYLOAD_SIZE_MAX",
    "ROUND_INSTRUCTIONS_MAX",
    "ROUND_MESSAGES_MAX",
    "UPDATE_INSTRUCTIONS_MAX",
]

UPDATE_INSTRUCTIONS_MAX = 40_000_000_000
"""Of an update, a callback, a timer or a heartbeat. Source: ``MAX_INSTRUCTIONS_PER_MESSAGE``."""

QUERY_INSTRUCTIONS_MAX = 5_000_000_000
"""Of a query, also in replicated mode, and of a composite query with all that it calls. Source:
``MAX_INSTRUCTIONS_PER_QUERY_MESSAGE`` and ``max_query_call_graph_instructions``."""

INSPECT_INSTRUCTIONS_MAX = 200_000_000
"""Of ``inspect_message``. Source: ``max_instructions_for_message_acceptance_calls``."""

QUERY_DEPTH_MAX = 6
"""Nested calls of a composite query. Source: ``max_query_call_graph_depth``."""

QUERY_CALL_OVERHEAD_INSTRUCTIONS = 50_000_000
"""What each call of a composite query takes of the common limit, beside its own instructions.
Source: ``instruction_overhead_per_query_call``."""

CANISTER_ROUND_INSTRUCTIONS_MAX = 7_000_000_000
"""After so many in one round a canister rests until the next. Source:
``MAX_INSTRUCTIONS_PER_ROUND``, which is for a thread, and a canister runs on one."""

ROUND_INSTRUCTIONS_MAX = 4 * CANISTER_ROUND_INSTRUCTIONS_MAX
"""After so many a round ends. Source: ``NUMBER_OF_EXECUTION_THREADS`` is 4."""

ROUND_MESSAGES_MAX = 500
"""Ours: bounds how long one round holds up queries and the certification of what is done."""

QUEUE_CAPACITY = 500
"""Calls that one canister may have under way to one other. Source: ``DEFAULT_QUEUE_CAPACITY``,
which counts calls by the places kept for their answers."""

INGRESS_QUEUE_MAX = 10_000
"""Users' messages that may wait for one canister. Ours: a node of the mainnet refuses by the load
of its whole subnet."""

INGRESS_HISTORY_MAX = 600_000
"""Requests a subnet remembers. Source: ``INGRESS_HISTORY_MAX_MESSAGES``."""

LOCAL_PAYLOAD_SIZE_MAX = 10 * 1024 * 1024
"""Bytes of a call's method and argument within a subnet: five times the limit between subnets.
Source: dfinity/developer-docs ``resource-limits.md``."""

REMOTE_PAYLOAD_SIZE_MAX = 2 * 1024 * 1024
"""Bytes of a call's method and argument to another subnet. Source:
``MAX_INTER_CANISTER_PAYLOAD_IN_BYTES``."""
