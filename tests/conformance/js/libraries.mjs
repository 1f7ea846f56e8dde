// The two JavaScript libraries for the IC, under one set of names.
const MODULES = {
  dfinity: {
    agent: "@dfinity/agent",
    candid: "@dfinity/candid",
    identity: "@dfinity/identity",
    secp256k1: "@dfinity/identity-secp256k1",
    principal: "@dfinity/principal",
  },
  "icp-sdk": {
    agent: "@icp-sdk/core/agent",
    candid: "@icp-sdk/core/candid",
    identity: "@icp-sdk/core/identity",
    secp256k1: "@icp-sdk/core/identity/secp256k1",
    principal: "@icp-sdk/core/principal",
  },
};

export const load = async (name) => {
  const entries = Object.entries(MODULES[name]).map(async ([part, path]) => [part, await import(path)]);
  return Object.fromEntries(await Promise.all(entries));
};

export const probeFactory = ({ IDL }) =>
  IDL.Service({
    greet: IDL.Func([IDL.Text], [IDL.Text], ["query"]),
    count: IDL.Func([], [IDL.Nat64], ["query"]),
    increment: IDL.Func([], [IDL.Nat64], []),
    whoami: IDL.Func([], [IDL.Principal], ["query"]),
    whoami_certified: IDL.Func([], [IDL.Principal], []),
    refuse: IDL.Func([IDL.Text], [IDL.Text], []),
    refuse_query: IDL.Func([IDL.Text], [IDL.Text], ["query"]),
    fail: IDL.Func([IDL.Text], [IDL.Text], []),
    fail_query: IDL.Func([IDL.Text], [IDL.Text], ["query"]),
    nowhere: IDL.Func([], [], []),
    nowhere_query: IDL.Func([], [], ["query"]),
  });

const plain = (value) => {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Map) return Object.fromEntries(value);
  return value;
};

// JSON.stringify calls toJSON before the replacer: principals come out as objects with their text.
export const print = (report) => console.log(JSON.stringify(report, (_, value) => plain(value)));

// What each case gives, or the message of the error that it ends in.
export const run = async (cases) => {
  const report = {};
  for (const [name, ask] of Object.entries(cases)) {
    try {
      report[name] = { value: await ask() };
    } catch (error) {
      report[name] = { error: String(error.message), kind: error.name };
    }
  }
  return report;
};
