"""Rules of this repository that no linter knows."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from icfleet_localnet.kybra_host.findings import Rule

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "icfleet": ROOT / "toolchain/icfleet",
    "icfleet_agent": ROOT / "agent/icfleet_agent",
    "icfleet_canister": ROOT / "canisters/icfleet_canister",
    "icfleet_loadtests": ROOT / "loadtests/icfleet_loadtests",
    "icfleet_localnet": ROOT / "localnet/icfleet_localnet",
    "icfleet_protocol": ROOT / "protocol/icfleet_protocol",
    "icfleet_router": ROOT / "router/icfleet_router",
}
MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# What only the reference game may say: packages serve any game.
GAME_WORDS = re.compile(
    r"leaderboard|portfolio|CreatePlayer|OpenDeposit|CloseDeposit|RecordScore|SetPrice|\bTransfer\b"
    r"|InsufficientFunds|paise",
)


def _tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_and_functions_stay_readable() -> None:
    too_long: list[str] = []
    for path in _tracked("*.py"):
        text = path.read_text()
        if text.count("\n") > MODULE_LINES_MAX:
            too_long.append(f"{path}: {text.count(chr(10))} lines")
        too_long += [
            f"{path}:{node.lineno} {node.name}"
            for node in _functions(ast.parse(text))
            if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
        ]

    assert too_long == []


CHECK_PUBLIC_NAMES = """
import importlib, sys
package = importlib.import_module(sys.argv[1])
public = getattr(package, "__all__", [])
assert len(set(public)) == len(public), public
missing = [name for name in public if not hasattr(package, name)]
assert not missing, missing
"""


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_public_names_exist_once(name: str) -> None:
    """``__all__`` is the promise. In a process of its own: locust patches whatever imports it."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK_PUBLIC_NAMES, name],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_packages_ship_their_types(name: str) -> None:
    assert (PACKAGES[name] / "py.typed").is_file()


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_packages_serve_any_game(name: str) -> None:
    """The game's own words appear in ``canisters/game`` and the scenario only."""
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for pattern in ("*.py", "*.txt")
        for path in sorted(PACKAGES[name].rglob(pattern))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if GAME_WORDS.search(line)
    ]

    assert found == []


def test_nothing_is_skipped_or_left_for_later() -> None:
    marks = re.compile(
        r"pytest\.mark\.(skip|xfail)|pytest\.skip\(|\bTODO\b|\bFIXME\b|NotImplemented"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in _tracked("*.py")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]

    assert found == []


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in _tracked("*.md")
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", _without_code(path.read_text()))
        if "://" not in target and not (path.parent / target).exists()
    ]

    assert broken == []


def test_the_readme_shows_real_output() -> None:
    """Output goes in after it was seen, in place of a word in capitals."""
    readme = (ROOT / "README.md").read_text()

    assert re.findall(r"^[A-Z]+_(?:OUTPUT|CODE)$", readme, re.MULTILINE) == []


def test_every_lint_rule_is_documented() -> None:
    document = (ROOT / "docs/linting.md").read_text()
    rules = [
        rule
        for module in ("icfleet.lint.rules", "icfleet_localnet.kybra_host.rules")
        for rule in vars(importlib.import_module(module)).values()
        if isinstance(rule, Rule)
    ]

    assert [rule.code for rule in rules if f"| {rule.code} |" not in document] == []
    assert [rule.code for rule in rules if rule.fix.replace("|", "\\|") not in document] == []
