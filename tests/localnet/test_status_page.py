"""The status page in a real browser."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser import rendered
from live_network import Live, live

from icfleet_agent import ManagementCanister
from icfleet_localnet.fault_rules import FaultRule, HaltSubnet, HttpError

HOSTILE = (
    """<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>"""
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def net(anyio_backend: str) -> AsyncIterator[Live]:  # noqa: ARG001 - its scope is needed
    """A network with something to see."""
    async with live(subnets=2) as found:
        await ManagementCanister(found.agent).create()
        await found.canister.update("say", "a line of two words")
        await found.canister.update("say", HOSTILE)
        rule = FaultRule(effect=HttpError(), name="<b>bold</b>", probability=0.5)
        found.server.faults.add(rule)
        yield found


async def page(net: Live, folder: Path, fragment: str = "") -> str:
    """What the browser makes of the page."""
    return await asyncio.to_thread(rendered, f"{net.server.admin_url}/{fragment}", folder)


def text_of(dom: str) -> str:
    """What a reader sees, roughly."""
    without_scripts = re.sub(r"<(script|style)>.*?</\1>", "", dom, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", without_scripts))


async def test_it_shows_canisters_subnets_rates_and_faults(net: Live, tmp_path: Path) -> None:
    """Everything at a glance, labelled as a model."""
    report = net.server.report()

    dom = await page(net, tmp_path)
    seen = text_of(dom)

    assert all(canister.id in seen for canister in report.canisters)
    assert len(report.canisters) == 2
    assert all(f'title="{subnet.id}"' in dom for subnet in report.subnets)
    for text in ("running", "empty", "queries/s", net.server.url, "every request", report.label):
        assert text in seen
    assert "Choose a canister." in seen
    assert "no answer from the network" in seen
    assert re.search(r'id="lost" hidden', dom)


async def test_a_chosen_canisters_log_is_shown_as_text(net: Live, tmp_path: Path) -> None:
    """Whatever it prints: the address chooses it, as a click does."""
    dom = await page(net, tmp_path, f"#{net.id}")

    assert "a line of two words" in text_of(dom)
    assert html.escape(HOSTILE, quote=False) in dom
    assert "<title>icfleet localnet</title>" in dom
    assert "<img" not in dom
    assert "<b>bold</b>" not in dom
    assert re.search(r'class="canister chosen"[^>]*data-id="' + str(net.id), dom)


async def test_a_halted_subnet_looks_halted(tmp_path: Path) -> None:
    """And an empty network says what to do."""
    async with live() as net:
        net.server.obey(HaltSubnet(str(net.server.network.root.id)))
        assert "halted" in text_of(await page(net, tmp_path))
