"""The tables of ``docs/localnet-fidelity.md`` are whole, and what they claim of us has tests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from icfleet_localnet.kybra_host.system_api import SystemApi
from icfleet_localnet.management.methods import METHODS, refuse_method

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/localnet-fidelity.md"

OURS = ("same", "approximated", "absent", "present")
OTHERS = (*OURS, "as PocketIC", "not known")
COLUMNS = ["here", "tests", "PocketIC", "dfx, icp-cli", "lightic"]
SECTIONS = [
    *("HTTP interface", "Authentication", "Certification", "Execution", "Cycles and fees"),
    *("Limits", "Management canister", "System API", "Subnets", "Time and capacity", "Faults"),
    *("Executors", "The Python world"),
]

# Methods of the interface specification that the package refuses by name; found by asking it.
MANAGEMENT_NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    section: str
    what: str
    here: str
    tests: Sequence[str]
    others: Sequence[str]

    @property
    def place(self) -> str:
        return f"{self.section}: {self.what}"

    @property
    def names(self) -> list[str]:
        """What the first cell has in code font."""
        return re.findall(r"`([^`]+)`", self.what)


def _read_rows() -> list[Row]:
    rows: list[Row] = []
    section = ""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("|") or section == "":
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if cells[1:] == COLUMNS or set(line) <= set("|- "):
            continue
        assert len(cells) == len(COLUMNS) + 1, f"{section}: {line}"
        tests = re.findall(r"\]\(\.\./(tests/[^)]+)\)", cells[2])
        rows.append(Row(section, cells[0], cells[1], tests, cells[3:]))
    return rows


ROWS = _read_rows()


def _rows_of(section: str) -> list[Row]:
    return [row for row in ROWS if row.section == section]


def _verdict(cell: str, allowed: Sequence[str]) -> str | None:
    found = re.match(rf"({'|'.join(allowed)})(?=$|[:;,. ])", cell)
    return None if found is None else found[1]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_its_table(section: str) -> None:
    assert len(_rows_of(section)) >= 5


def test_no_row_lacks_a_verdict() -> None:
    wrong = [row.place for row in ROWS if _verdict(row.here, OURS) is None]
    wrong += [
        f"{row.place}: {cell}"
        for row in ROWS
        for cell in row.others
        if _verdict(cell, OTHERS) is None
    ]

    assert wrong == []


def test_what_is_approximated_is_told() -> None:
    """A reader learns how, and not only that something differs."""
    bare = [
        row.place
        for row in ROWS
        for cell in (row.here, *row.others)
        if cell.strip() in {"approximated", "approximated:"}
    ]

    assert bare == []


def test_what_we_claim_is_held_by_tests_that_exist() -> None:
    claimed = [row for row in ROWS if _verdict(row.here, OURS) != "absent"]

    assert [row.place for row in claimed if not row.tests] == []
    assert [
        f"{row.place}: {test}" for row in ROWS for test in row.tests if not (ROOT / test).is_file()
    ] == []


def test_no_row_stands_twice() -> None:
    places = [row.place for row in ROWS]

    assert len(set(places)) == len(places)


def test_every_management_method_has_its_row() -> None:
    """What is served is not called absent, and what is refused by name not present."""
    told = {name: row for row in _rows_of("Management canister") for name in row.names}
    served = {name for name, row in told.items() if _verdict(row.here, OURS) != "absent"}

    assert served == METHODS.keys()
    assert set(told) - served == _refused_by_name(told)


def _refused_by_name(candidates: "dict[str, Row]") -> set[str]:
    """Find the methods that the package knows and does not serve, in its own words too."""
    source = (ROOT / "localnet/icfleet_localnet/management/methods.py").read_text()
    known = {*candidates, *MANAGEMENT_NAME.findall(source)}
    refusals = {name: refuse_method(name, is_user=False) for name in known - METHODS.keys()}
    return {
        name
        for name, reject in refusals.items()
        if reject is not None and "not served by the local network" in reject.message
    }


def test_every_system_call_has_its_row() -> None:
    told = {name for row in _rows_of("System API") for name in row.names}

    assert [name for name in vars_of(SystemApi) if name not in told] == []


def vars_of(kind: type) -> list[str]:
    """Public functions of a class and its bases."""
    return sorted(name for name in dir(kind) if not name.startswith("_"))
