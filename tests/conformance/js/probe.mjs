// An unmodified JavaScript library against a probe canister, verifying certificates and node
// signatures itself.
// Arguments: dfinity or icp-sdk, base URL, canister id, id of a canister that is not there.
// Prints one JSON object: for each case its value or its error.
import { load, print, probeFactory, run } from "./libraries.mjs";

const [name, host, canisterId, absentId] = process.argv.slice(2);
const { agent: library, candid, identity, secp256k1, principal } = await load(name);
const { Actor, CanisterStatus, HttpAgent, polling } = library;
const { DelegationChain, DelegationIdentity, ECDSAKeyIdentity, Ed25519KeyIdentity } = identity;
const { Principal } = principal;
const { IDL } = candid;
const canister = Principal.fromText(canisterId);
const text = (...values) => IDL.encode(values.map(() => IDL.Text), values);

const connect = (who) =>
  HttpAgent.create({ host, identity: who, shouldFetchRootKey: true, retryTimes: 0 });
const actorOf = async (who, id = canisterId) =>
  Actor.createActor(probeFactory, { agent: await connect(who), canisterId: id });

const user = Ed25519KeyIdentity.generate();
const actor = await actorOf(user);

const identities = {
  anonymous: undefined,
  ed25519: Ed25519KeyIdentity.generate(),
  secp256k1: secp256k1.Secp256k1KeyIdentity.generate(),
  p256: await ECDSAKeyIdentity.generate(),
};

// Keys, first to last: the first one's holder lets the next act for it, and so on.
const delegated = async (keys, options) => {
  const expiry = new Date(Date.now() + 3_600_000);
  let previous;
  for (let at = 1; at < keys.length; at += 1) {
    const more = previous === undefined ? options : { ...options, previous };
    previous = await DelegationChain.create(keys[at - 1], keys[at].getPublicKey(), expiry, more);
  }
  return DelegationIdentity.fromDelegation(keys.at(-1), previous);
};

const whoami = async (who) => {
  const seen = await actorOf(who);
  const said = [await seen.whoami(), await seen.whoami_certified()];
  const self = who === undefined ? Principal.anonymous() : who.getPrincipal();
  return said.map((one) => one.toText() === self.toText());
};

const polled = async (method, arg) => {
  const agent = await connect(user);
  const submitted = await agent.call(canisterId, { methodName: method, arg, callSync: false });
  const target = name === "dfinity" ? canister : { canisterId: canister };
  const { reply } = await polling.pollForResponse(agent, target, submitted.requestId);
  return { status: submitted.response.status, reply };
};

const raw = async (arg) => {
  const agent = await connect(user);
  const answer = await agent.query(canisterId, { methodName: "echo", arg });
  return { sent: arg, got: IDL.decode([IDL.Vec(IDL.Nat8)], answer.reply.arg)[0] };
};

const canisterStatus = async () => {
  const agent = await connect(undefined);
  const paths = ["time", "controllers", "module_hash", "candid", "subnet"];
  const status = await CanisterStatus.request({ canisterId: canister, agent, paths });
  return {
    time: status.get("time").getTime(),
    controllers: status.get("controllers").map((one) => one.toText()),
    moduleHash: status.get("module_hash"),
    candid: status.get("candid"),
    subnet: status.get("subnet").subnetId.toString(),
    nodes: status.get("subnet").nodeKeys.size,
  };
};

const subnetStatus = async () => {
  const agent = await connect(undefined);
  const subnetId = await agent.getSubnetIdFromCanister(canister);
  const paths = ["time", "canisterRanges", "publicKey", "nodeKeys"];
  const status = await library.SubnetStatus.request({ subnetId, agent, paths });
  return {
    subnet: subnetId.toText(),
    time: status.get("time").getTime(),
    ranges: status.get("canisterRanges").length,
    publicKey: status.get("publicKey"),
    nodes: status.get("nodeKeys").size,
  };
};

const cases = {
  rootKey: async () => (await connect(undefined)).rootKey,
  status: async () => (await (await connect(undefined)).status()).replica_health_status,
  query: () => actor.greet("JavaScript"),
  update: async () => [await actor.increment(), await actor.increment(), await actor.count()],
  refused: () => actor.refuse("not like this"),
  refusedQuery: () => actor.refuse_query("not like this"),
  trapped: () => actor.fail("no way"),
  trappedQuery: () => actor.fail_query("no way"),
  unknownMethod: () => actor.nowhere(),
  unknownQueryMethod: () => actor.nowhere_query(),
  unknownCanister: async () => (await actorOf(user, absentId)).increment(),
  unknownCanisterQuery: async () => (await actorOf(user, absentId)).greet("nobody"),
  rawBytes: () => raw(text("any", "bytes")),
  polled: async () => {
    const { status, reply } = await polled("increment", IDL.encode([], []));
    return { status, count: IDL.decode([IDL.Nat64], reply)[0] };
  },
  polledTrap: () => polled("fail", text("no way")),
  canisterStatus,
  anotherRootKey: async () => {
    const mainnet = await HttpAgent.create({ host, shouldFetchRootKey: false, retryTimes: 0 });
    return Actor.createActor(probeFactory, { agent: mainnet, canisterId }).increment();
  },
  anotherRootKeyQuery: async () => {
    const mainnet = await HttpAgent.create({ host, shouldFetchRootKey: false, retryTimes: 0 });
    return Actor.createActor(probeFactory, { agent: mainnet, canisterId }).greet("mainnet");
  },
  delegation: async () => whoami(await delegated([user, Ed25519KeyIdentity.generate()])),
  delegationForTheCanister: async () =>
    whoami(await delegated([user, Ed25519KeyIdentity.generate()], { targets: [canister] })),
  delegationsOfEachKind: async () =>
    whoami(await delegated(Object.values(identities).filter((one) => one !== undefined))),
  delegationForAnother: async () => {
    const targets = [Principal.fromText(absentId)];
    const who = await delegated([user, Ed25519KeyIdentity.generate()], { targets });
    return (await actorOf(who)).increment();
  },
};
for (const [kind, who] of Object.entries(identities)) {
  cases[`identity-${kind}`] = () => whoami(who);
}
if (library.SubnetStatus !== undefined) cases.subnetStatus = subnetStatus;

print(await run(cases));
