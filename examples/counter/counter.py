"""A counter for each principal, and the sum of all: the smallest canister that joins a fleet.

This file is what a studio writes; `icfleet generate` makes the others beside it.
"""

import json
from typing import NamedTuple

from fleet_types import Position
from kybra import GuardResult, Principal, Record, Variant, nat64, null, query

from icfleet_canister import OWN, SCOPE, Application, RowKind, View, refuse

ROW_SIZE_MAX = 100


class AddArgs(Record):
    amount: nat64


class Operation(Variant, total=False):  # what callers send by `submit`; decided by Add and Reset
    Add: AddArgs
    Reset: null


class Counter(NamedTuple):  # a row of stable memory
    owner: str
    value: int
    adds: int = 0  # since version 2


COUNTERS = RowKind(
    16,
    Counter,
    write=lambda writer, row: writer.text(row.owner).number(row.value, 8).number(row.adds, 8),
    readers={
        1: lambda reader: Counter(reader.text(), reader.number(8)),
        2: lambda reader: Counter(reader.text(), reader.number(8), reader.number(8)),
    },
    key=lambda row: "c:" + row.owner,
)


class Add(NamedTuple):
    amount: int

    def evaluate(self, journal):
        slot = journal.slot_of("c:" + journal.subject)
        if slot is None:
            slot = journal.add(Counter(journal.subject, 0))
        counter = journal.row(slot)
        value = counter.value + self.amount
        if value >= 2**64:
            refuse("TooLarge", "a counter has 64 bits")
        journal.put(slot, counter._replace(value=value, adds=counter.adds + 1))


class Reset(NamedTuple):
    def evaluate(self, journal):
        slot = journal.slot_of("c:" + journal.subject)
        journal.put(slot, journal.row(slot)._replace(value=0))  # owners have one


class Total:  # what the heap derives from the rows, alike on main and replicas
    def reset(self):
        self.value = 0

    def fold(self, slot, before, after):
        for row, sign in ((before, -1), (after, 1)):
            self.value += sign * row.value if isinstance(row, Counter) else 0
        return ["total"]  # views of this tag are computed again

    def dump(self):
        return json.dumps(self.value).encode()

    def load(self, data, table):
        self.value = json.loads(data)


app = Application(
    operations=[Add, Reset],
    kinds=[COUNTERS],
    authority={
        "Add": {"stranger": OWN, "owner": OWN, "gateway": SCOPE},
        "Reset": {"owner": OWN},
    },
    owner_key="c:",  # who has a row of this key is an `owner`
    derived=Total,
    views=lambda app: [View("total", app.derived.dump, tags=["total"])],
)


class Reading(Record):
    as_of: Position
    value: nat64
    adds: nat64


def readable() -> GuardResult:
    return app.readable()


@query(guard=readable)
def value(principal: Principal) -> Reading:
    counter = app.table.row_by_key("c:" + principal.to_str()) or Counter("", 0)
    head = app.as_of()
    as_of = {"epoch": head.epoch, "seq": head.seq}
    return {"as_of": as_of, "value": counter.value, "adds": counter.adds}
