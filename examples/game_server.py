"""A game server in thirty lines: two players, some money, one transfer, and a read that sees it.

Needs ``icfleet up`` in another terminal; run it from the project's folder.
"""

import asyncio
import sys
from pathlib import Path

from icfleet import Ed25519Identity, Fleet
from icfleet_router import FleetConfig, Position, RouterError

DEFAULT_HOST = "http://127.0.0.1:4943"
PATIENCE = FleetConfig(submit_timeout_s=5.0)
GATEWAY_PEM = Path(".icfleet/identities/gateway.pem")


async def main(host: str, gateway: Ed25519Identity) -> None:
    """Play one transfer."""
    ada, bob = Ed25519Identity.generate().sender, Ed25519Identity.generate().sender

    async with Fleet.from_dfx("dfx.json", host=host, identity=gateway, config=PATIENCE) as fleet:
        session = fleet.session()
        await session.submit({"CreatePlayer": {"name": "Ada"}}, subject=ada)
        await session.submit({"CreatePlayer": {"name": "Bob"}}, subject=bob)
        await session.submit({"Credit": {"account": str(ada), "amount": 1_000}}, subject=ada)

        await session.submit({"RecordScore": {"score": 4_200}}, subject=ada)
        receipt = await session.submit({"Transfer": {"target": bob, "amount": 300}}, subject=ada)

        reply = await session.query("player", bob)  # from a canister that has the transfer
    print(f"applied at {receipt.position}, read at {Position(**reply['as_of'])}")
    print(f"Bob has {reply['player']['Found']['balance']} paise")


def run(host: str) -> None:
    """Play, or say what is missing."""
    try:
        gateway = Ed25519Identity.from_pem(GATEWAY_PEM.read_text())
        asyncio.run(main(host, gateway))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run 'icfleet up', and this in the same folder")
    except RouterError as error:
        sys.exit(f"no fleet to play with at {host}: start it with 'icfleet up' ({error})")


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_HOST)
