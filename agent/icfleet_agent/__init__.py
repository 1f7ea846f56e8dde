"""Client library for the Internet Computer: every answer verified, every call's fate told.

```python
async with Agent("http://127.0.0.1:4943", identity=Ed25519Identity.generate()) as agent:
    counter = Canister(agent, "bkyz2-fmaaa-aaaaa-qaaaq-cai", Path("counter.did").read_text())
    await counter.update("increment", 5)
    count = await counter.query("read")
```
"""

from typing import TYPE_CHECKING, Any

from icfleet_agent.adaptors import IdentityLike, PrincipalLike, as_identity, as_principal
from icfleet_agent.agent import EMPTY_ARGS, Agent
from icfleet_agent.aiohttp_transport import AiohttpTransport
from icfleet_agent.cache import TtlCache
from icfleet_agent.canister import Canister
from icfleet_agent.clock import Clock, SystemClock
from icfleet_agent.config import AgentConfig, PollingConfig, RetryConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import (
    AbandonedError,
    AgentError,
    CertifiedRejectError,
    ClockSkewError,
    ClosedError,
    HttpStatusError,
    MalformedReplyError,
    NotExecutedError,
    NotSentError,
    QueueFullError,
    RejectedError,
    ReplyTooLargeError,
    SettingsError,
    TransportError,
    TransportTimeoutError,
    UncertifiedRejectError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)
from icfleet_agent.group_commit import GroupCommit, GroupCommitConfig
from icfleet_agent.ic_py_candid import encode_ic_py, to_candid_type
from icfleet_agent.management import (
    CanisterRunState,
    CanisterSettings,
    CanisterStatus,
    InstallMode,
    LogVisibility,
    ManagementCanister,
)
from icfleet_agent.retry_budget import RetryBudget, RetryBudgetConfig
from icfleet_agent.single_flight import SingleFlight
from icfleet_agent.status import NodeStatus
from icfleet_agent.transport import HttpMethod, HttpReply, Transport
from icfleet_agent.trust import MAINNET_ROOT_KEY_DER
from icfleet_agent.update import UpdateReply

if TYPE_CHECKING:
    from icfleet_agent.httpx_transport import HttpxTransport

__all__ = [
    "EMPTY_ARGS",
    "MAINNET_ROOT_KEY_DER",
    "AbandonedError",
    "Agent",
    "AgentConfig",
    "AgentError",
    "AiohttpTransport",
    "Canister",
    "CanisterRunState",
    "CanisterSettings",
    "CanisterStatus",
    "CertifiedRejectError",
    "Clock",
    "ClockSkewError",
    "ClosedError",
    "Deadline",
    "GroupCommit",
    "GroupCommitConfig",
    "HttpMethod",
    "HttpReply",
    "HttpStatusError",
    "HttpxTransport",
    "IdentityLike",
    "InstallMode",
    "LogVisibility",
    "MalformedReplyError",
    "ManagementCanister",
    "NodeStatus",
    "NotExecutedError",
    "NotSentError",
    "PollingConfig",
    "PrincipalLike",
    "QueueFullError",
    "RejectedError",
    "ReplyTooLargeError",
    "RetryBudget",
    "RetryBudgetConfig",
    "RetryConfig",
    "SettingsError",
    "SingleFlight",
    "SystemClock",
    "Transport",
    "TransportError",
    "TransportTimeoutError",
    "TtlCache",
    "UncertifiedRejectError",
    "UnknownOutcomeError",
    "UnverifiedReplyError",
    "UpdateReply",
    "as_identity",
    "as_principal",
    "encode_ic_py",
    "to_candid_type",
]


def __getattr__(name: str) -> Any:
    """Import httpx, which takes as long as all the rest, only for those who want it."""
    if name != "HttpxTransport":
        reason = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(reason)
    from icfleet_agent.httpx_transport import HttpxTransport  # noqa: PLC0415 - see above

    return HttpxTransport
