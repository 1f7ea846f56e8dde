"""The choice of ``--signer``, apart from the calls: the command line starts without an agent."""

from enum import Enum

__all__ = ["Signer"]


class Signer(Enum):
    """Who signs admin calls."""

    KEY = "key"
    DFX = "dfx"
    ICP = "icp"
