"""Any sequence of management calls ends as a small model of a canister's life says."""

import hashlib
from dataclasses import dataclass, field
from functools import cache

from foreign_wasm import foreign_wasm
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from localnet_client import NO_ARGS, START_NS, Client
from management_calls import (
    START,
    STOP,
    Pending,
    ask,
    error_code,
    install,
    manage,
    set_settings,
    submit,
    submit_management,
)
from probe_canisters import HOLD

from icfleet_localnet.bundle import write_module
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

USERS = [Ed25519Identity.from_seed(bytes([number]) * 32) for number in (1, 2)]
CANISTERS_MAX = 2
TRAPPING = "from kybra import init, void\n\n\n@init\ndef start() -> void:\n    1 / 0\n"


@cache
def code(kind: str) -> bytes:
    """A module of each kind."""
    match kind:
        case "python":
            return write_module("main", {"main.py": HOLD.encode()}, "service : {}")
        case "trapping":
            return write_module("main", {"main.py": TRAPPING.encode()}, "service : {}")
        case "inert":
            return foreign_wasm()
        case _:
            return b"\0asm garbage"


@dataclass
class Model:
    """What should be true of one canister."""

    id: Principal
    status: str = "running"
    code: str | None = None
    users: set[int] = field(default_factory=lambda: {0})
    is_deleted: bool = False
    stops: list[Pending] = field(default_factory=list[Pending])
    """Calls to stop it that wait."""

    def refusal(self, user: int) -> str:
        """Why a user may not manage it."""
        if self.is_deleted:
            return "IC0301"
        return "" if user in self.users else "IC0512"

    def install_refusal(self, mode: str, kind: str) -> str:
        """Why code cannot be put into it in this way."""
        if mode == "install" and self.code is not None:
            return "IC0514"
        if mode == "upgrade" and self.code is None:
            return "IC0537"
        if kind == "garbage":
            return "IC0505"
        if mode == "upgrade" and (self.code == "inert") != (kind == "inert"):
            return "IC0504"
        # The trap is in ``init``, which an upgrade does not run.
        return "IC0503" if kind == "trapping" and mode != "upgrade" else ""

    def call_refusal(self) -> str:
        """Why it takes no calls."""
        if self.is_deleted:
            return "IC0301"
        if self.code in {None, "inert"}:
            return "IC0537" if self.code is None else "IC0536"
        if self.code == "trapping" and self.status == "running":
            return "IC0536"
        return {"running": "", "stopping": "IC0509", "stopped": "IC0508"}[self.status]


class ManagementMachine(RuleBasedStateMachine):
    """Two users and some canisters, each of which controls itself too."""

    canisters: Bundle[Model] = Bundle("canisters")

    def __init__(self) -> None:
        super().__init__()
        network = Network(InProcessExecutor(), seed=b"model", now_ns=START_NS)
        self.client = Client(HttpInterface(network), network)
        self.models: list[Model] = []

    def act(self, user: int) -> Client:
        """Be somebody."""
        self.client.identity = USERS[user]
        return self.client

    @initialize(target=canisters)
    def begin(self) -> Model:
        """Start with a canister that has code, for most of life needs it."""
        model = self.new_model()
        install(self.client, model.id, code("python"))
        model.code = "python"
        return model

    @precondition(lambda self: len(self.models) < CANISTERS_MAX)
    @rule(target=canisters)
    def make(self) -> Model:
        return self.new_model()

    def new_model(self) -> Model:
        """Make a canister that controls itself."""
        canister = self.act(0).create()
        model = Model(canister)
        set_settings(self.client, canister, controllers=[USERS[0].sender, canister])
        self.models.append(model)
        return model

    @rule(
        canister=canisters,
        user=st.integers(0, 1),
        mode=st.sampled_from(["install", "reinstall", "upgrade"]),
        kind=st.sampled_from(["python", "python", "inert", "trapping", "garbage"]),
    )
    def install_code(self, canister: Model, user: int, mode: str, kind: str) -> None:
        if canister.status == "stopping":
            return
        expected = canister.refusal(user) or canister.install_refusal(mode, kind)

        found = error_code(lambda: install(self.act(user), canister.id, code(kind), mode))

        assert found == expected
        canister.code = canister.code if expected else kind

    @rule(canister=canisters, user=st.integers(0, 1))
    def uninstall_code(self, canister: Model, user: int) -> None:
        if canister.status == "stopping":
            return
        expected = canister.refusal(user)

        found = error_code(
            lambda: manage(self.act(user), "uninstall_code", canister_id=canister.id)
        )

        assert found == expected
        if not expected:
            canister.code = None

    @rule(canister=canisters, user=st.integers(0, 1))
    def start(self, canister: Model, user: int) -> None:
        expected = canister.refusal(user)

        found = error_code(lambda: manage(self.act(user), START, canister_id=canister.id))

        assert found == expected
        if not expected:
            canister.status = "running"
            assert {stop.error_code for stop in canister.stops} <= {"IC0511"}
            canister.stops.clear()

    @rule(canister=canisters, user=st.integers(0, 1))
    def stop(self, canister: Model, user: int) -> None:
        expected = canister.refusal(user)
        if canister.status == "stopping" and not expected:
            canister.stops.append(submit_management(self.act(user), STOP, canister.id))
            return

        found = error_code(lambda: manage(self.act(user), STOP, canister_id=canister.id))

        assert found == expected
        if not expected:
            canister.status = "stopped"

    @rule(canister=canisters, user=st.integers(0, 1))
    def delete(self, canister: Model, user: int) -> None:
        expected = canister.refusal(user)
        if not expected and canister.status != "stopped":
            expected = "IC0510"

        found = error_code(
            lambda: manage(self.act(user), "delete_canister", canister_id=canister.id)
        )

        assert found == expected
        canister.is_deleted |= not expected

    @rule(canister=canisters, user=st.integers(0, 1), users=st.sets(st.integers(0, 1), min_size=1))
    def hand_over(self, canister: Model, user: int, users: set[int]) -> None:
        expected = canister.refusal(user)
        controllers = [*(USERS[one].sender for one in users), canister.id]

        found = error_code(
            lambda: set_settings(self.act(user), canister.id, controllers=controllers)
        )

        assert found == expected
        if not expected:
            canister.users = users

    @rule(canister=canisters)
    def call(self, canister: Model) -> None:
        """A call that stays open, for the canister stops itself while it is."""
        expected = canister.call_refusal()
        if expected:
            found = error_code(lambda: self.act(1).update(canister.id, "hold", NO_ARGS))
            assert found == expected
            return
        canister.stops.clear()
        submit(self.act(1), canister.id, "hold", NO_ARGS)
        canister.status = "stopping"

    @precondition(lambda self: self.models)
    @invariant()
    def what_is_shown_is_what_should_be(self) -> None:
        for model in self.models:
            user = min(model.users)
            if model.is_deleted:
                assert model.id not in self.client.subnet.canisters
                continue
            shown = ask(self.act(user), "canister_status", canister_id=model.id)
            assert shown["status"] == {model.status: None}
            assert shown["module_hash"] == (
                None if model.code is None else hashlib.sha256(code(model.code)).digest()
            )
            expected = {*(USERS[one].sender for one in model.users), model.id}
            assert set(shown["settings"]["controllers"]) == expected
            assert {stop.status for stop in model.stops} <= {"processing"}


TestManagementModel = ManagementMachine.TestCase
TestManagementModel.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    # Shrinking would run hundreds of networks; the steps of a failure tell enough.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
