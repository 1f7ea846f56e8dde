"""The management canister: its interface, its methods, and who may call them."""

from icfleet_localnet.management.code import remove_code
from icfleet_localnet.management.interface import MANAGEMENT_INTERFACE
from icfleet_localnet.management.methods import effective_canister
from icfleet_localnet.management.service import Management

__all__ = ["MANAGEMENT_INTERFACE", "Management", "effective_canister", "remove_code"]
