"""Domain separators: the prefix that says what a hash or signature is about.

Source: IC interface specification, "Domain separators".
"""

__all__ = [
    "HASH_TREE_EMPTY",
    "HASH_TREE_FORK",
    "HASH_TREE_LABELED",
    "HASH_TREE_LEAF",
    "REQUEST",
    "REQUEST_DELEGATION",
    "RESPONSE",
    "STATE_ROOT",
]

REQUEST = b"\x0aic-request"
REQUEST_DELEGATION = b"\x1aic-request-auth-delegation"
RESPONSE = b"\x0bic-response"
STATE_ROOT = b"\x0dic-state-root"
HASH_TREE_EMPTY = b"\x11ic-hashtree-empty"
HASH_TREE_FORK = b"\x10ic-hashtree-fork"
HASH_TREE_LABELED = b"\x13ic-hashtree-labeled"
HASH_TREE_LEAF = b"\x10ic-hashtree-leaf"
