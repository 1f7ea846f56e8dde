"""Admin calls made by the tool that deployed, which runs as a real process."""

from pathlib import Path

import pytest

from icfleet.admin_calls import Member, Signer, SignerChoice, ToolCaller, choose_signer
from icfleet.errors import AttachError
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER

INTERFACE = parse_did("service : { follow : (principal) -> (variant { Done : nat }) }")
MEMBER = Member(name="replica_1", id=MANAGEMENT_CANISTER, interface=INTERFACE)
DONE = INTERFACE.encode_results("follow", [{"Done": 7}]).hex()
ARG = INTERFACE.encode_args("follow", [ANONYMOUS]).hex()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for stand-ins of dfx and icp."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def write_tool(path: Path, *lines: str) -> None:
    """An executable that notes its arguments and working directory, then does as told."""
    note = f"printf '%s\\n' \"$PWD\" \"$@\" > '{path}.asked'"
    path.write_text("\n".join(["#!/bin/sh", note, *lines, ""]))
    path.chmod(0o755)


async def test_dfx_makes_the_call_as_its_own_identity(tmp_path: Path, tools: Path) -> None:
    """Argument and reply travel as hex, so that nothing depends on how dfx shows Candid."""
    write_tool(tools / "dfx", f"echo {DONE}")

    answer = await ToolCaller(Signer.DFX, "ic", tmp_path).call(MEMBER, "follow", ANONYMOUS)

    assert answer == {"Done": 7}
    asked = (tools / "dfx.asked").read_text().split()
    assert asked[0] == str(tmp_path)
    assert " ".join(asked[1:]) == (
        f"canister call replica_1 follow {ARG} --type raw --output raw --update --network ic"
    )


async def test_icp_makes_the_call_in_its_environment(tmp_path: Path, tools: Path) -> None:
    """icp-cli knows environments where dfx knows networks."""
    write_tool(tools / "icp", f"echo {DONE}")

    answer = await ToolCaller(Signer.ICP, "localnet", tmp_path).call(MEMBER, "follow", ANONYMOUS)

    assert answer == {"Done": 7}
    asked = (tools / "icp.asked").read_text().split()
    assert " ".join(asked[1:]) == (
        f"canister call replica_1 follow {ARG} "
        "--args-format hex --output hex --environment localnet"
    )


async def test_a_failing_tool_is_quoted(tmp_path: Path, tools: Path) -> None:
    """What the tool said is shown below the error."""
    write_tool(tools / "dfx", "echo 'no identity' >&2", "exit 3")

    with pytest.raises(AttachError, match="ended with code 3") as caught:
        await ToolCaller(Signer.DFX, "ic", tmp_path).call(MEMBER, "follow", ANONYMOUS)

    assert caught.value.detail == "no identity"


@pytest.mark.parametrize("answer", ["(variant { Done })", "4449444c", "zz"])
async def test_an_odd_answer_is_an_error(tmp_path: Path, tools: Path, answer: str) -> None:
    """Anything but a reply of the method's type is shown, not guessed at."""
    write_tool(tools / "dfx", f"echo '{answer}'")

    with pytest.raises(AttachError, match="unexpected") as caught:
        await ToolCaller(Signer.DFX, "ic", tmp_path).call(MEMBER, "follow", ANONYMOUS)

    assert answer in caught.value.detail


async def test_a_missing_tool_is_named(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--signer icp`` on a machine without icp-cli."""
    monkeypatch.setenv("PATH", str(tools))

    with pytest.raises(AttachError, match="cannot run icp"):
        await ToolCaller(Signer.ICP, "ic", tmp_path).call(MEMBER, "follow", ANONYMOUS)


def test_the_tool_that_runs_us_signs() -> None:
    """As dfx's post_install or icp-cli's sync step, nobody has to say who deployed."""
    dfx, icp = {"DFX_VERSION": "0.32.0"}, {"ICP_CLI_ENVIRONMENT": "ic"}

    assert choose_signer(None, None, {}).signer is Signer.KEY
    assert choose_signer(None, None, dfx).signer is Signer.DFX
    assert choose_signer(None, None, icp).signer is Signer.ICP


def test_the_users_choice_goes_first() -> None:
    """A key or a tool that is named is taken, whoever runs us."""
    dfx, key = {"DFX_VERSION": "0.32.0"}, Path("owner.pem")

    assert choose_signer(Signer.ICP, None, dfx).signer is Signer.ICP
    assert choose_signer(None, key, dfx) == SignerChoice(Signer.KEY, key)
    assert choose_signer(Signer.KEY, None, dfx) == SignerChoice(Signer.KEY, None)
