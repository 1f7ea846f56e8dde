// A JavaScript library on a computer whose clock is wrong: it must learn the network's time.
// Arguments: dfinity or icp-sdk, base URL, canister id, seconds that the clock is ahead.
import { load, print, probeFactory, run } from "./libraries.mjs";

const [name, host, canisterId, ahead] = process.argv.slice(2);
const { now } = Date;
const RealDate = Date;
Date.now = () => now() + Number(ahead) * 1000;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    super(...(parts.length === 0 ? [Date.now()] : parts));
  }
};

const { agent: library, identity } = await load(name);
const who = identity.Ed25519KeyIdentity.generate();
const agent = await library.HttpAgent.create({ host, identity: who, shouldFetchRootKey: true });
const actor = library.Actor.createActor(probeFactory, { agent, canisterId });

print(
  await run({
    update: () => actor.increment(),
    difference: async () => agent.getTimeDiffMsecs(),
    query: () => actor.greet("late"),
  }),
);
