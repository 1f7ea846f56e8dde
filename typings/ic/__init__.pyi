# ic-py 1.0.1 ships no types: everything is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
