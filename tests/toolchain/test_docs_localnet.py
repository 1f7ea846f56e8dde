"""What ``docs/localnet.md`` says of options and of the operator's port is so."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast, get_args

import pytest

from icfleet.localnet_command import NetworkChoice
from icfleet.testing import Localnet
from icfleet_localnet.fault_rules import Command, Effect

DOCUMENT = (Path(__file__).parents[2] / "docs/localnet.md").read_text()
ADMIN_URL = "http://127.0.0.1:4944"
CURL = re.compile(
    rf"^curl -s (-X DELETE )?{re.escape(ADMIN_URL)}(\S+)(?: -d '([^']*)')?", re.MULTILINE
)

CANISTER = """
from kybra import nat64, query


@query
def one() -> nat64:
    return 1
"""


def _section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## )", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


def _help_options(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "icfleet", command, "--help"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
        env={"COLUMNS": "200", "PYTHONUTF8": "1"},
    )
    return set(re.findall(r"^\W*(--[a-z-]+)", done.stdout, re.MULTILINE)) - {"--help"}


def test_every_option_is_told_with_its_command() -> None:
    """Nothing is missing, and nothing is told that there is not."""
    told: dict[str, set[str]] = {"localnet": set(), "up": set()}
    for names, command in re.findall(r"^\| (`--[^|]*) \| (\S+) \|", DOCUMENT, re.MULTILINE):
        for name in re.findall(r"--[a-z-]+", names):
            for each in told if command == "both" else [command.strip("`")]:
                told[each].add(name)

    assert told == {command: _help_options(command) for command in told}


def test_every_effect_and_every_command_is_told() -> None:
    section = _section("Faults")
    tags = {str(kind.__struct_config__.tag) for kind in get_args(Effect)}
    commands = {str(kind.__struct_config__.tag) for kind in get_args(Command)}

    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)) == tags
    assert {name for name in commands if name not in section} == set()


@pytest.fixture
def admin_url(tmp_path: Path) -> Iterator[str]:
    """The operator's port of a network with one canister, the first of every network."""
    entry = tmp_path / "main.py"
    entry.write_text(CANISTER)
    with Localnet(NetworkChoice(port=0, admin_port=0)) as localnet:
        installed = localnet.install(entry)
        assert str(installed.id) in DOCUMENT
        url = localnet.server.admin_url
        assert url is not None
        yield url


def test_every_curl_command_works(admin_url: str) -> None:
    """In the order of the page, as a reader types them."""
    commands = CURL.findall(_section("Faults"))
    assert len(commands) == _section("Faults").count("curl ")

    answers: list[object] = []
    for is_delete, path, body in commands:
        method = "DELETE" if is_delete else "POST" if body else "GET"
        request = urllib.request.Request(
            admin_url + path, data=body.encode() if body else None, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answers.append(json.load(response))

    assert answers[0] == {"id": "fault-1"}
    assert answers[-1] == {}


def test_the_page_shows_what_the_status_page_has(admin_url: str) -> None:
    with urllib.request.urlopen(f"{admin_url}/status.json", timeout=10) as response:
        shown = json.load(response)

    assert {"label", "url", "executor"} <= shown.keys()
    assert shown["label"] in DOCUMENT


def test_a_breakpoint_in_a_canisters_own_file_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As IDEs set them: by file and line, for every thread."""
    entry = tmp_path / "canisters" / "one" / "main.py"
    entry.parent.mkdir(parents=True)
    entry.write_text(CANISTER)
    monkeypatch.chdir(tmp_path)
    met: list[int] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if frame.f_code.co_filename != str(entry.resolve()):
            return None
        if event == "line":
            met.append(frame.f_lineno)
        return trace

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        with Localnet() as localnet:
            installed = localnet.install(entry)
            met.clear()
            assert installed.query("one") == 1
    finally:
        threading.settrace(cast("Any", before))

    assert met == [7]
