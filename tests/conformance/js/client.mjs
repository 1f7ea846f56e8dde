// An unmodified @dfinity/agent against one canister: makes a player, is refused a transfer to itself,
// reads, and meets each kind of rejection.
// Arguments: base URL, canister id. Prints one JSON object.
import { Actor, HttpAgent } from "@dfinity/agent";
import { Ed25519KeyIdentity } from "@dfinity/identity";

const [host, canisterId] = process.argv.slice(2);

const idlFactory = ({ IDL }) => {
  const Position = IDL.Record({ epoch: IDL.Nat64, seq: IDL.Nat64 });
  const Refusal = IDL.Record({ position: Position, code: IDL.Text, reason: IDL.Text });
  const OperationResult = IDL.Variant({
    Applied: Position,
    Refused: Refusal,
    Forbidden: IDL.Text,
    Expired: IDL.Null,
    InFuture: IDL.Null,
    IdReused: IDL.Null,
    Invalid: IDL.Text,
    RateLimited: IDL.Nat64,
    Deferred: IDL.Null,
    Busy: IDL.Nat64,
  });
  const Operation = IDL.Variant({
    CreatePlayer: IDL.Record({ name: IDL.Text }),
    Transfer: IDL.Record({ target: IDL.Principal, amount: IDL.Nat64 }),
  });
  const Envelope = IDL.Record({
    id: IDL.Vec(IDL.Nat8),
    subject: IDL.Principal,
    created_at: IDL.Nat64,
    body: Operation,
  });
  const SubmitResult = IDL.Variant({
    Done: IDL.Record({ as_of: Position, results: IDL.Vec(OperationResult) }),
    NotMain: IDL.Opt(IDL.Principal),
    TooLarge: IDL.Text,
  });
  const Entry = IDL.Record({
    rank: IDL.Nat32,
    player: IDL.Principal,
    name: IDL.Text,
    score: IDL.Nat64,
  });
  const Leaderboard = IDL.Record({
    as_of: Position,
    computed_at: IDL.Nat64,
    entries: IDL.Vec(Entry),
  });
  return IDL.Service({
    submit: IDL.Func([IDL.Record({ ops: IDL.Vec(Envelope) })], [SubmitResult], []),
    leaderboard: IDL.Func([IDL.Nat32], [Leaderboard], ["query"]),
    attach: IDL.Func([IDL.Principal], [IDL.Text], []),
    no_such_query: IDL.Func([], [], ["query"]),
  });
};

const rejection = async (call) => {
  try {
    await call();
    return "no rejection";
  } catch (error) {
    return String(error.message);
  }
};

const misinformedFactory = ({ IDL }) =>
  IDL.Service({ submit: IDL.Func([IDL.Text], [IDL.Text], []) });

const identity = Ed25519KeyIdentity.generate();
const agent = await HttpAgent.create({ host, identity, shouldFetchRootKey: true, retryTimes: 1 });
const actor = Actor.createActor(idlFactory, { agent, canisterId });
const misinformed = Actor.createActor(misinformedFactory, { agent, canisterId });
const subject = identity.getPrincipal();
const operation = (body) => ({
  id: [...crypto.getRandomValues(new Uint8Array(16))],
  subject,
  created_at: BigInt(Date.now()) * 1_000_000n,
  body,
});
const submitted = await actor.submit({
  ops: [
    operation({ CreatePlayer: { name: "javascript" } }),
    operation({ Transfer: { target: subject, amount: 1n } }),
  ],
});
const board = await actor.leaderboard(10);
const report = {
  subject: subject.toText(),
  submitted,
  as_of: board.as_of,
  undecodable: await rejection(() => misinformed.submit("text")),
  not_admitted: await rejection(() => actor.attach(subject)),
  query_rejection: await rejection(() => actor.no_such_query()),
};
console.log(JSON.stringify(report, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
