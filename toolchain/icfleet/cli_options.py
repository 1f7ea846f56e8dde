"""Options that several commands take: where the project is, which network, who signs."""

from pathlib import Path
from typing import Annotated

import typer

from icfleet.signer import Signer

__all__ = [
    "DFX_DEFAULT",
    "NETWORK_DEFAULT",
    "DfxOption",
    "HostOption",
    "IdentityOption",
    "JsonOption",
    "NetworkOption",
    "SignerOption",
]

DfxOption = Annotated[Path, typer.Option("--dfx", help="The project's dfx.json.")]
NetworkOption = Annotated[
    str, typer.Option("--network", envvar="DFX_NETWORK", help="A network of dfx.json, or a URL.")
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Reach the network at this URL instead.")
]
IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        help="PEM file of an Ed25519 key. Otherwise .icfleet/identities/admin.pem beside dfx.json; "
        "where that is not there, deploy makes it, and call and status are anonymous.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

SignerOption = Annotated[
    Signer | None,
    typer.Option(
        help="Who signs the admin calls: the key of --identity, or the current identity of dfx "
        "or icp. Otherwise dfx or icp where it runs this command as its script, else the key."
    ),
]

DFX_DEFAULT = Path("dfx.json")
NETWORK_DEFAULT = "local"
