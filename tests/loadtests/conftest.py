"""Locust replaces the standard library's sockets and threads when it is imported.

These tests import it beside asyncio tests, so the replacing is switched off here; the tests of the
real thing run Locust in a process of its own.
"""

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
