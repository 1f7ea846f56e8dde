"""A server under load as seen from outside: started, watched through ``/proc``, and ended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["ServerProcess", "start_server"]

HERE = Path(__file__).parent
_STOP_TIMEOUT_S = 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server."""

    pid: int
    url: str
    root_key_der: bytes
    started_s: float
    """``time.perf_counter`` at the moment before it was started."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def cpu_s(self) -> float:
        """CPU seconds of it and its children so far, those that ended included."""
        return sum(_cpu_ticks(pid) for pid in _family(self.pid)) / _TICKS_PER_S

    def memory_mb(self) -> float:
        """Proportional share of memory of it and its children, in MB of 10^6 bytes."""
        return sum(_pss_kib(pid) for pid in _family(self.pid)) * 1024 / 1e6


@contextmanager
def start_server(script: str, *arguments: str) -> Generator[ServerProcess]:
    """Run a script of this folder that prints its address; it ends with the block."""
    started_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            reason = f"{script} ended before it served; its error is above"
            raise RuntimeError(reason)
        fields: dict[str, str] = json.loads(line)
        root_key = bytes.fromhex(fields.get("root_key", ""))
        yield ServerProcess(process.pid, fields["url"], root_key, started_s)
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            named = children.read_text().split()
        except OSError:  # The thread or process has ended meanwhile.
            continue
        for child in named:
            yield from _family(int(child))


def _cpu_ticks(pid: int) -> int:
    try:
        # The second field is the name in brackets, which may hold spaces. Source: proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
