"""Canisters in one process do not see each other, nor the process."""

import builtins
import logging
import random
import sys
from pathlib import Path

import pytest
from native_canister import (
    ADA,
    NO_ARGS,
    START_NS,
    NativeCanister,
    TrappedError,
    bundle,
    install,
)

from icfleet_localnet.executor import Environment, Query
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.principal import Principal

TWO_FILES = {
    "main.py": """
    from kybra import Vec, float64, ic, nat64, query, text, update, void
    import helper
    from pkg import sub

    LABEL = "@LABEL@"


    @update
    def add(number: nat64) -> nat64:
        helper.total += number
        return helper.total


    @query
    def label() -> text:
        import late
        from pkg.deep import word
        return f"{LABEL} {helper.LABEL} {sub.LABEL} {late.LABEL} {word}"


    @update
    def load_late() -> text:
        import late
        late.LABEL += "!"
        return late.LABEL


    @update
    def fail_after_loading() -> void:
        import late
        late.LABEL += "?"
        raise ValueError(late.LABEL)


    @query
    def modules() -> Vec[text]:
        import sys
        return sorted(name for name in sys.modules if name in ("main", "helper", "late", "pkg"))


    @query
    def fail_below() -> void:
        sub.fail()
    """,
    "helper.py": 'LABEL = "@LABEL@"\ntotal = 0\n',
    "late.py": 'LABEL = "@LABEL@"\n',
    "pkg/__init__.py": "",
    "pkg/sub.py": 'LABEL = "@LABEL@"\n\n\ndef fail():\n    raise ValueError(LABEL)\n',
    "pkg/deep.py": "from pkg.sub import LABEL\n\nword = LABEL.upper()\n",
}


def labelled(label: str) -> dict[str, str]:
    return {path: source.replace("@LABEL@", label) for path, source in TWO_FILES.items()}


def test_equal_module_names_do_not_meet() -> None:
    """Two canisters with ``main`` and ``helper`` run in turns, each in its own modules."""
    first, second = (NativeCanister.install(labelled(label)) for label in ("one", "two"))

    totals = [first.update("add", 1), second.update("add", 10), first.update("add", 1)]

    assert totals == [1, 10, 2]
    assert first.query("label") == "one one one one ONE"
    assert second.query("label") == "two two two two TWO"


def test_the_process_s_modules_are_as_before() -> None:
    """Also those of the same name, and ``kybra`` itself."""
    before = dict(sys.modules)

    canister = NativeCanister.install(labelled("one"))
    canister.query("label")

    gone = {name for name, module in before.items() if sys.modules.get(name) is not module}
    assert gone == set()
    assert {"main", "helper", "late", "pkg.deep"}.isdisjoint(sys.modules)
    assert not hasattr(builtins, "_kybra_ic")


def test_a_message_sees_its_own_modules_in_sys_modules() -> None:
    canister = NativeCanister.install(labelled("one"))

    assert canister.query("modules") == ["helper", "main", "pkg"]


def test_modules_loaded_by_a_message_that_traps_are_unloaded() -> None:
    """Later, they are loaded afresh; loaded by a commit, they stay."""
    canister = NativeCanister.install(labelled("one"))

    assert canister.trap_of("fail_after_loading").message == "ValueError: one?"
    assert canister.query("label") == "one one one one ONE"
    assert canister.update("load_late") == "one!"
    assert canister.query("label") == "one one one one! ONE"


def test_tracebacks_name_files_inside_packages() -> None:
    canister = NativeCanister.install(labelled("one"))

    with pytest.raises(TrappedError) as caught:
        canister.query("fail_below")

    assert 'File "main.py"' in caught.value.trap.traceback
    assert 'File "pkg/sub.py", line 5, in fail\n    raise ValueError(LABEL)' in (
        caught.value.trap.traceback
    )


def test_tracebacks_of_other_code_with_the_same_file_names_show_its_own_lines() -> None:
    """The process keeps source lines by file name, so each code has its own."""
    sources = [
        f"from kybra import query, void\n\n\n@query\ndef fail() -> void:\n    {line}\n"
        for line in ("raise ValueError('first code')", "raise KeyError('second code')")
    ]
    canisters = [NativeCanister.install(source) for source in sources]

    tracebacks = [one.trap_of("fail").traceback for one in canisters]

    assert "raise ValueError('first code')" in tracebacks[0]
    assert "raise KeyError('second code')" in tracebacks[1]


def test_files_found_on_disk_are_debugged_under_their_own_path(tmp_path: Path) -> None:
    """A breakpoint set in the editor is hit; a file that differs is not taken for the bundle's."""
    source = (
        "from kybra import query, void\n\n\n@query\ndef fail() -> void:\n    raise ValueError\n"
    )
    (tmp_path / "main.py").write_text(source)
    executor = InProcessExecutor(source_roots=[tmp_path])
    canister = NativeCanister.install(source, executor=executor)

    assert str(tmp_path / "main.py") in canister.trap_of("fail").traceback

    changed = NativeCanister.install(source + "# changed\n", executor=executor)
    assert 'File "main.py"' in changed.trap_of("fail").traceback


IMPORTS = [
    pytest.param("aiohttp", "No module named 'aiohttp'", id="installed-but-not-bundled"),
    pytest.param("basilisk", "No module named 'basilisk'", id="not-installed"),
    pytest.param("asyncio", "No module named 'asyncio'", id="absent-in-canisters"),
    pytest.param("http.client", "No module named 'http.client'", id="absent-submodule"),
    pytest.param("icfleet_localnet", "No module named 'icfleet_localnet'", id="the-host-itself"),
]


@pytest.mark.parametrize(("name", "message"), IMPORTS)
def test_only_what_a_compiled_canister_has_can_be_imported(name: str, message: str) -> None:
    source = f"""
    from kybra import query, text

    @query
    def attempt() -> text:
        try:
            import {name}
        except ImportError as error:
            return str(error)
        return "imported"
    """

    assert NativeCanister.install(source).query("attempt") == message


def test_the_standard_library_wins_over_a_bundled_module() -> None:
    """As in the compiled canister, where it is registered last."""
    source = {
        "main.py": """
        import json
        from kybra import query, text

        @query
        def where() -> text:
            return json.dumps([1])
        """,
        "json.py": "def dumps(value):\n    return 'bundled'\n",
    }

    assert NativeCanister.install(source).query("where") == "[1]"


def test_random_numbers_of_the_process_are_not_drawn() -> None:
    source = """
    import random
    from kybra import float64, update

    @update
    def draw() -> float64:
        random.seed(5)
        return random.random() + random.choice([0.0])
    """
    canister = NativeCanister.install(source)
    before = random.getstate()

    canister.update("draw")

    assert random.getstate() == before


def test_print_writes_nowhere_and_says_so(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    source = """
    from kybra import update, void

    @update
    def say() -> void:
        print("hello")
    """

    with caplog.at_level(logging.WARNING):
        NativeCanister.install(source).update("say")

    assert capsys.readouterr().out == ""
    assert "ic.print" in caplog.text


def test_functions_missing_from_the_entry_s_scope_are_key_errors() -> None:
    """Kybra exports methods of every module, but looks them up in the entry's star-import."""
    source = {
        "main.py": "import methods\n",
        "methods.py": """
        from kybra import query, text

        @query
        def hidden() -> text:
            return "x"
        """,
    }
    canister = NativeCanister.install(source)

    with pytest.raises(TrappedError, match="KeyError: 'hidden'"):
        canister.query("hidden")


def test_one_executor_serves_sixty_four_canisters_in_turns() -> None:
    executor = InProcessExecutor()
    module = bundle(labelled("many"))
    ids = [Principal(number.to_bytes(8, "big") + b"\x01\x01") for number in range(64)]
    canisters: list[NativeCanister] = []
    for one in ids:
        installed = install(executor, module, canister=one)
        assert installed.instance is not None
        canisters.append(NativeCanister(executor, installed.instance, installed.outcome, one))

    for _ in range(2):
        for number, canister in enumerate(canisters):
            canister.update("add", number)

    assert [canister.update("add", 0) for canister in canisters] == [2 * n for n in range(64)]


def test_instances_answer_for_the_canister_they_are_asked_as() -> None:
    """Identity comes with each message, and never from the process."""
    source = """
    from kybra import ic, query, text

    @query
    def who() -> text:
        return f"{ic.id().to_str()} {ic.caller().to_str()} {ic.time()}"
    """
    canister = NativeCanister.install(source)
    environment = Environment(canister=ADA, caller=ADA, time_ns=START_NS + 1, cycles=0)

    outcome = canister.instance.execute(Query("who", NO_ARGS), environment)

    assert canister.value("who", outcome) == f"{ADA} {ADA} {START_NS + 1}"
