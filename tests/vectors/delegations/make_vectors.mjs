// Makes the requests in this folder with @dfinity/identity and @dfinity/agent; the keys are new on
// every run. Run it in a folder with both installed: `node make_vectors.mjs <target folder>`.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HttpAgent } from '@dfinity/agent';
import {
  DelegationChain,
  DelegationIdentity,
  ECDSAKeyIdentity,
  Ed25519KeyIdentity,
} from '@dfinity/identity';
import { Principal } from '@dfinity/principal';

const TARGET = 'rkp4c-7iaaa-aaaaa-aaaca-cai';
const EXPIRATION = new Date(Date.UTC(2040, 0, 1));

async function capture(identity, send) {
  let body;
  const fetch = async (_url, options) => {
    body = options.body;
    return new Response(new Uint8Array(), { status: 202 });
  };
  const host = 'http://127.0.0.1:1';
  const agent = HttpAgent.createSync({
    host,
    identity,
    fetch,
    retryTimes: 0,
    verifyQuerySignatures: false,
  });
  await send(agent).catch(() => undefined);
  return body;
}

const folder = process.argv[2];
const save = (name, body) => writeFileSync(join(folder, name), Buffer.from(body));
const fields = { methodName: 'x', arg: new Uint8Array([68, 73, 68, 76, 0, 0]) };

// Ed25519 delegates to P-256 for one canister, and P-256 to Ed25519.
const root = Ed25519KeyIdentity.generate();
const middle = await ECDSAKeyIdentity.generate();
const session = Ed25519KeyIdentity.generate();
const first = await DelegationChain.create(root, middle.getPublicKey(), EXPIRATION, {
  targets: [Principal.fromText(TARGET)],
});
const second = await DelegationChain.create(middle, session.getPublicKey(), EXPIRATION, {
  previous: first,
});
const twoHops = DelegationIdentity.fromDelegation(session, second);
save('call_ed25519_p256_ed25519.cbor', await capture(twoHops, (a) => a.call(TARGET, fields)));

// Ed25519 delegates to P-256, which signs the request, as a browser's session does.
const browser = await ECDSAKeyIdentity.generate();
const chain = await DelegationChain.create(root, browser.getPublicKey(), EXPIRATION);
const oneHop = DelegationIdentity.fromDelegation(browser, chain);
save('query_ed25519_p256.cbor', await capture(oneHop, (a) => a.query(TARGET, fields)));
