"""The game canister: main or replica of a fleet, by the role it is installed with.

Wiring only. What a method does is in ``game_service``, what a fleet is in ``icfleet_canister``;
here are the stable maps, the exported methods, and the timers that keep a canister going.
"""

from fleet_candid import (
    admin_variant,
    batch_record,
    position_record,
    principal_opt,
    pull_answer,
    status_record,
    verdict_variant,
)
from fleet_types import (
    AdminResult,
    CachedView,
    LogReply,
    Position,
    Role,
    Scope,
    Status,
    SubmitResult,
)
from game_candid import (
    accounts_record,
    cached_view_opt,
    leaderboard_record,
    market_record,
    pending_operation,
    player_record,
)
from game_service import AdminOutcome, Game, GameStores
from game_types import (
    AccountsReply,
    LeaderboardReply,
    MarketReply,
    PlayerReply,
    SubmitArgs,
)
from kybra import (
    Async,
    CallResult,
    GuardResult,
    Opt,
    Principal,
    Service,
    StableBTreeMap,
    blob,
    ic,
    init,
    inspect_message,
    nat32,
    nat64,
    post_upgrade,
    query,
    service_query,
    service_update,
    text,
    update,
    void,
)

from icfleet_canister import (
    PULL_LEASE_S,
    Alarms,
    BatchRefusedError,
    LogHead,
    PullAnswer,
    PullRequest,
    batch_problem,
)

rows = StableBTreeMap[nat64, blob](memory_id=0, max_key_size=16, max_value_size=1_300)
slots = StableBTreeMap[text, nat64](memory_id=1, max_key_size=100, max_value_size=16)
member_state = StableBTreeMap[text, blob](memory_id=2, max_key_size=32, max_value_size=8_000)
log_pages = StableBTreeMap[nat64, blob](memory_id=3, max_key_size=16, max_value_size=8_000)

#: Half of what one update may use, so that the operation in hand can always be finished.
INSTRUCTIONS_MAX = 20_000_000_000

game = Game(GameStores(rows, slots, member_state, log_pages))
alarms = Alarms(ic.set_timer, ic.clear_timer)


class Upstream(Service):  # noqa: D101 - Kybra's compiler refuses docstrings in services
    @service_query
    def log_since(  # noqa: D102 - as above
        self, position: Position, chain_hash: blob, max_bytes: nat32
    ) -> LogReply: ...

    @service_update
    def acknowledge(self, position: Position) -> void: ...  # noqa: D102 - as above


def caller_text() -> str:
    """Return the caller; principals are compared as text, for Kybra's have no equality."""
    return ic.caller().to_str()


def own_text() -> str:
    """Return this canister's principal as text."""
    return ic.id().to_str()


def is_exhausted() -> bool:
    """Return whether this message should take on no more operations."""
    return ic.performance_counter(0) > INSTRUCTIONS_MAX


def done(outcome: AdminOutcome) -> AdminResult:
    """Answer an admin's call, and see to the timers that it may have made necessary."""
    keep_running()
    return admin_variant(outcome, game.member.head)


@init
def install(role: Role) -> void:
    """Begin empty, in the role that the canister has for good."""
    game.start(
        is_main="Main" in role,
        installer=caller_text(),
        canister=own_text(),
        now_ns=ic.time(),
    )
    keep_running()


@post_upgrade
def upgraded() -> void:
    """Go on; the heap is restored by timers, in slices."""
    game.resume()
    keep_running()


@inspect_message
def inspect() -> void:
    """Refuse ingress messages that would come to nothing, before they cost anything."""
    size = ic.arg_data_raw_size()
    if game.admits(caller_text(), ic.method_name(), size, ic.time()):
        ic.accept_message()


@update
def submit(args: SubmitArgs) -> SubmitResult:
    """Decide a batch of operations, in order; on the main only."""
    if not game.member.is_main:
        return {"NotMain": principal_opt(game.ledger.main)}
    problem = batch_problem(len(args["ops"]), ic.arg_data_raw_size())
    if problem is not None:
        return {"TooLarge": problem}
    verdicts = game.submit(
        caller_text(),
        [pending_operation(envelope) for envelope in args["ops"]],
        now_ns=ic.time(),
        is_exhausted=is_exhausted,
    )
    keep_running()
    head = game.member.head
    results = [verdict_variant(verdict, head.epoch) for verdict in verdicts]
    return {"Done": {"as_of": position_record(head.epoch, head.seq), "results": results}}


@query
def status() -> Status:
    """Return role, position and figures; cycles to admins only."""
    may_know = game.forbids(caller_text(), "status", "cycles") is None
    return status_record(game, own_text(), ic.canister_balance128() if may_know else None)


@query
def player(principal: Principal) -> PlayerReply:
    """Return a player, to those who may see it."""
    return player_record(game, game.player(caller_text(), principal.to_str()))


@query
def leaderboard(count: nat32) -> LeaderboardReply:
    """Return the best players, at most ``count`` and at most 100."""
    return leaderboard_record(game, count)


@query
def market() -> MarketReply:
    """Return all prices."""
    return market_record(game)


@query
def cached_query(name: text) -> Opt[CachedView]:
    """Return a view as JSON: ``leaderboard`` or ``market``."""
    return cached_view_opt(game, name)


def auditors_only() -> GuardResult:
    """Let only those read all accounts whom the authority table names."""
    reason = game.forbids(caller_text(), "accounts")
    return {"Ok": None} if reason is None else {"Err": reason}


@query(guard=auditors_only)
def accounts(cursor: nat64) -> AccountsReply:
    """Return one page of all accounts; begin at 0, go on at ``next``."""
    return accounts_record(game, cursor)


@query
def log_since(position: Position, chain_hash: blob, max_bytes: nat32) -> LogReply:
    """Return the records after a position, to attached replicas and to admins."""
    if game.forbids(caller_text(), "log_since") is not None:
        return {"NotAttached": None}
    head = game.member.head
    asked = LogHead(position["epoch"], position["seq"], chain_hash)
    answer = game.member.answer_pull(asked, max_bytes)
    if answer is None:
        return {"Diverged": position_record(head.epoch, head.seq)}
    return {"Batch": batch_record(answer)}


@update
def acknowledge(position: Position) -> void:
    """Note how far an attached replica is."""
    game.member.replicas.acknowledge(caller_text(), position["epoch"], position["seq"], ic.time())


@update
def attach(replica: Principal) -> AdminResult:
    """Let a canister pull from this one."""
    return done(game.attach(caller_text(), own_text(), replica.to_str()))


@update
def detach(replica: Principal) -> AdminResult:
    """Let it pull no more."""
    return done(game.detach(caller_text(), replica.to_str()))


@update
def follow(upstream: Principal) -> AdminResult:
    """Pull from this canister from now on; on a replica only."""
    outcome = game.follow(caller_text(), own_text(), upstream.to_str())
    if outcome.case == "Done":
        alarms.set("pull", pull, 0, ic.time())
    return done(outcome)


@update
def grant_gateway(gateway: Principal, scope: Scope) -> AdminResult:
    """Let a principal act for players, within a scope; on the main only."""
    outcome = game.grant_gateway(
        caller_text(),
        gateway.to_str(),
        scope["operations"],
        all_players=scope["all_players"],
        now_ns=ic.time(),
    )
    return done(outcome)


@update
def revoke_gateway(gateway: Principal) -> AdminResult:
    """Take a gateway's scope; on the main only."""
    return done(game.revoke_gateway(caller_text(), gateway.to_str(), ic.time()))


@update
def grant_role(principal: Principal, role: text) -> AdminResult:
    """Give ``admin``, ``treasury`` or ``oracle``; on the main only."""
    return done(game.grant_role(caller_text(), principal.to_str(), role, ic.time()))


@update
def revoke_role(principal: Principal, role: text) -> AdminResult:
    """Take such a role; on the main only."""
    return done(game.revoke_role(caller_text(), principal.to_str(), role, ic.time()))


def keep_running() -> None:
    """Arm the timers that are needed now; called at the end of whatever may have changed that.

    A job whose timer was lost to a trap is found here too, by the next message of any kind.
    """
    now_ns = ic.time()
    if not game.is_restored:
        alarms.by("restore", restore, 0, now_ns)
    view_delay_s = game.view_delay_s(now_ns)
    if view_delay_s is not None:
        alarms.by("views", tend_views, view_delay_s, now_ns)
    sweep_delay_s = game.sweeper.next_delay_s(now_ns)
    if sweep_delay_s is not None:
        alarms.by("sweep", sweep, sweep_delay_s, now_ns)
    replication = game.member.replication
    if replication.upstream is not None and not alarms.is_armed("pull", now_ns):
        alarms.set("pull", pull, replication.next_delay_s, now_ns)


def restore() -> None:
    """Bring back a slice of what the upgrade has swept from the heap."""
    alarms.ring("restore")
    game.restore_step(ic.time())
    keep_running()


def tend_views() -> None:
    """Compute what is left over and re-date what has expired."""
    alarms.ring("views")
    game.tend_views(ic.time())
    keep_running()


def sweep() -> None:
    """Give back memory, a bounded amount of it."""
    alarms.ring("sweep")
    report = game.sweeper.tick(ic.time())
    if report.next_delay_s is not None:
        alarms.set("sweep", sweep, report.next_delay_s, ic.time())
    keep_running()


def pull() -> Async[void]:
    """Ask the upstream for what is new, and apply it.

    The timer that is set before the question is the lease: it pulls again if the answer, or the
    generator that waits for it, is lost. The answer replaces it by the next regular pull.
    """
    alarms.ring("pull")
    alarms.set("pull", pull, PULL_LEASE_S, ic.time())
    request = game.member.pull_request(ic.time())
    keep_running()
    if request is None:
        return
    upstream = Upstream(Principal.from_str(request.upstream))
    head = request.head
    result: CallResult[LogReply] = yield upstream.log_since(
        position_record(head.epoch, head.seq), head.chain_hash, request.size_max
    )
    try:
        finish_pull(request, result)
    except Exception as error:  # noqa: BLE001 - Kybra drops it and keeps what it had changed
        ic.trap(f"pull: {type(error).__name__}: {error}")


def finish_pull(request: PullRequest, result: CallResult) -> None:
    """Take in the answer to a pull, and set the time of the next one."""
    replication = game.member.replication
    if result.Err is not None:
        replication.receive_trouble(result.Err)
    elif "Batch" in result.Ok:
        apply_batch(request, pull_answer(result.Ok["Batch"]))
    elif "Diverged" in result.Ok:
        there = result.Ok["Diverged"]
        reason = f"diverged from the upstream, which is at {there['epoch']}/{there['seq']}"
        replication.receive_trouble(reason)
    else:
        replication.receive_trouble("not attached at the upstream")
    alarms.set("pull", pull, replication.next_delay_s, ic.time())
    keep_running()


def apply_batch(request: PullRequest, answer: PullAnswer) -> None:
    """Apply an upstream's records, and tell it from time to time how far this canister is."""
    try:
        game.receive_pull(answer, ic.time())
    except BatchRefusedError as error:
        ic.print(f"pull refused: {error}")
        return
    head = game.member.replication.acknowledgement(ic.time())
    if head is not None:
        upstream = Upstream(Principal.from_str(request.upstream))
        upstream.acknowledge(position_record(head.epoch, head.seq)).notify()
