"""A network that makes and deletes canisters for weeks keeps nothing of those that are gone."""

import gc
import sys
import weakref
from collections.abc import Callable

from localnet_client import COUNTER, Client, Deployed
from management_calls import DELETE, STOP, manage

from icfleet_localnet.fault_rules import FaultRule, StaleNode
from icfleet_localnet.faults import FaultPlan
from icfleet_localnet.stale_states import StaleStates


def _delete(client: Client, canister: Deployed) -> None:
    for method in (STOP, DELETE):
        manage(client, method, canister_id=canister.id)


def test_a_deleted_canisters_code_and_old_states_are_let_go(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    faults = FaultPlan(b"seed")
    faults.add(FaultRule(effect=StaleNode(rounds=1)))
    stale = StaleStates(client.network, faults, client.interface.data_certificate)
    gone, other = deploy(COUNTER), deploy(COUNTER)
    record = client.subnet.canisters[gone.id]
    assert record.instance is not None
    kept = weakref.ref(record.instance)
    del record
    for _ in range(3):
        for report in client.network.run_round(client.now_ns + 10**9):
            stale.after_round(report)
        client.now_ns += 10**9
    assert stale.find(gone.id, StaleNode(rounds=1)) is not None

    _delete(client, gone)
    for report in client.network.run_round(client.now_ns + 10**9):
        stale.after_round(report)
    gc.collect()

    assert kept() is None
    assert stale.find(gone.id, StaleNode(rounds=1)) is None
    assert stale.find(other.id, StaleNode(rounds=1)) is not None


def test_data_certificates_are_kept_for_one_state_only(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    """They are made once a round for all queries, and are none of the next round's business."""
    canister, other = deploy(COUNTER), deploy(COUNTER)
    interface, subnet = client.interface, client.subnet
    made = interface.data_certificate(subnet, canister.id)
    assert interface.data_certificate(subnet, canister.id) is made
    references = sys.getrefcount(made)

    _delete(client, canister)
    interface.data_certificate(subnet, other.id)

    assert sys.getrefcount(made) == references - 1
