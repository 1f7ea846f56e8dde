from typing import Any

class Client:
    url: str
    def __init__(self, url: str = ...) -> None: ...
    def status(self) -> bytes: ...

class ReplicaReject(Exception):  # noqa: N818 - the library's name
    reject_code: int
    reject_message: str
    error_code: str | None

def __getattr__(name: str) -> Any: ...
