# Types of the parts of gevent 24+ that are used here; it ships none.

from collections.abc import Callable
from typing import ParamSpec

from gevent.greenlet import Greenlet as Greenlet
from gevent.hub import get_hub as get_hub
from gevent.timeout import Timeout as Timeout

_P = ParamSpec("_P")

class GreenletExit(BaseException): ...

def sleep(seconds: float = 0) -> None: ...
def spawn(function: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> Greenlet: ...
def joinall(greenlets: list[Greenlet], timeout: float | None = None) -> list[Greenlet]: ...
