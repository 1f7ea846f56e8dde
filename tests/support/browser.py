"""A headless Chromium: the machine's own, or the one that ``make`` has fetched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["rendered"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_BUDGET_MS = 3_000
"""Of the page's time: it asks for news every second."""
_TIMEOUT_S = 40


def rendered(url: str, profile: Path) -> str:
    """The page's HTML after its scripts have run for a while."""
    command = [
        _browser(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        f"--virtual-time-budget={_BUDGET_MS}",
        "--dump-dom",
        url,
    ]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=_TIMEOUT_S)
    return done.stdout


def _browser() -> str:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = (shutil.which(name, path=places) for name in _NAMES)
    browser = next((name for name in found if name is not None), None)
    assert browser is not None, "no Chromium: run the tests by 'make test', which fetches one"
    return browser
