"""Progress on terminals and elsewhere."""

import io

from icfleet.progress import progress_on


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_scripts_see_warnings_only() -> None:
    """Steps are silent on a stream that is no terminal."""
    stream = io.StringIO()
    progress = progress_on(stream)

    with progress.step("Building main"):
        progress.warn("two canisters share a subnet")

    assert stream.getvalue() == "icfleet: warning: two canisters share a subnet\n"


def test_people_see_each_step_ticked() -> None:
    """A finished step stays as a line; square brackets in its name are no markup."""
    stream = Terminal()
    progress = progress_on(stream)

    with progress.step("Building [main]"):
        pass

    assert "✓" in stream.getvalue()
    assert "Building [main]" in stream.getvalue()


def test_long_work_has_a_bar() -> None:
    """It is ticked off when done; scripts see nothing."""
    stream, script = Terminal(), io.StringIO()

    for each in (stream, script):
        with progress_on(each).bar("Restoring [state]") as show:
            show(0.5)
            show(1.0)

    assert "✓" in stream.getvalue()
    assert "Restoring [state]\n" in stream.getvalue()
    assert script.getvalue() == ""
