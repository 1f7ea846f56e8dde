"""Sessions: they see what they wrote, and never go back."""

from collections.abc import Mapping
from typing import Any

from icfleet_agent import PrincipalLike
from icfleet_router.errors import OperationRefusedError
from icfleet_router.position import START, Position
from icfleet_router.read_path import ReadPath
from icfleet_router.write_path import WritePath
from icfleet_router.write_policy import Receipt

__all__ = ["Session"]


class Session:
    """One player's, or one game server's, view of the fleet.

    A read is answered by a canister that has everything the session has written or read before the
    read began. Calls that overlap have no order between them. A canister whose replies have no
    ``as_of`` is routed like any other, without these promises.

    Attributes:
        position: The latest that the session has seen; keep it to continue the session elsewhere.
    """

    def __init__(self, reads: ReadPath, writes: WritePath, position: Position = START) -> None:
        self._reads = reads
        self._writes = writes
        self.position = position

    async def submit(
        self,
        operation: Mapping[str, object],
        *,
        subject: PrincipalLike,
        operation_id: bytes | None = None,
        created_at_ns: int | None = None,
    ) -> Receipt:
        """Have an operation applied on main, exactly once.

        To submit again after ``OperationPendingError`` or a crash, pass the same id and time: the
        operation is then applied at most once in all, and the first result comes back.

        Args:
            operation: A value of the canister's ``Operation``, such as ``{"Add": {"amount": 5}}``.
            subject: Whose operation it is.
            operation_id: 16 to 32 bytes, unique per subject; random if not given.
            created_at_ns: Nanoseconds since 1970, within the last 20 minutes; now if not given.

        Raises:
            OperationError: If it was not applied, or if that is not known in time.
            ArgumentsError: If the canister takes no operations.
            FleetClosedError: Outside of the fleet's context.
        """
        try:
            receipt = await self._writes.submit(
                operation,
                subject=subject,
                operation_id=operation_id,
                created_at_ns=created_at_ns,
            )
        except OperationRefusedError as error:
            # A refusal is in the log too: what explains it must be visible to the next read.
            self._saw(error.position)
            raise
        self._saw(receipt.position)
        return receipt

    async def query(self, method: str, *args: object) -> Any:
        """Call a query method on a canister that has seen what this session has.

        Args:
            method: Its name in the .did.
            *args: Its arguments.

        Returns:
            The result; a tuple if the method has not exactly one.

        Raises:
            ReadError: If there is no usable answer.
            ArgumentsError: If the call does not fit the .did.
            FleetClosedError: Outside of the fleet's context.
        """
        answer = await self._reads.read(method, args, self.position)
        if answer.as_of is not None:
            self._saw(answer.as_of)
        return answer.results[0] if len(answer.results) == 1 else answer.results

    def _saw(self, position: Position) -> None:
        self.position = max(self.position, position)
