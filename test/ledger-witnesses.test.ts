// Commands of publishers with three endpoints of which one lies, and it is the one that is named first.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { identityToHash, zeroHash } from "../src/ledger/contract/identity.ts";
import { currentSlot } from "../src/ledger/contract/registry-storage.ts";
import { changePublishers } from "../src/ledger/governance.ts";
import { generateKeyFile } from "../src/ledger/keys/keys.ts";
import {
  ending,
  temporaryFolder as ledgerFolder,
  startTestLedger,
  type TestLedger,
  testActions,
  testIdentity,
  testLines,
} from "../src/ledger/testing.ts";
import { lieAbout, startNode } from "../src/ledger/testing-endpoints.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const PASSPHRASE = "three small words";
const file = ending();
after(() => file.end());
let ledger: TestLedger;
/** One that lies, and two that do not. */
let endpoints: [string, string, string];
let ids: Record<"first" | "next", string>;
/** Options by which a publisher signs. */
let signing: string[];

before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  const folder = await ledgerFolder(file);
  const [a, b, c] = ledger.publishers;
  const passphraseFile = join(folder, "passphrase");
  writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 });
  const path = join(folder, "dora");
  const dora = await generateKeyFile({ path, passphrase: PASSPHRASE, cost: { n: 16, r: 8, p: 1 } });
  signing = ["--key", path, "--passphrase-file", passphraseFile];
  const publishers = [a, b, dora].map(({ address }) => address);
  for (const key of [a, c]) await changePublishers({ ...ledger.place, key, publishers, quorum: 2 });
  const first = await actions.propose(a, testLines("web", 3, "first"));
  await actions.approve(b, first.id);
  const next = await actions.propose(a, testLines("web", 3, "next"));
  ids = { first: first.id, next: next.id };
  await actions.propose(a, testLines("other", 1));
  const liar = await startNode(file, ledger.folder);
  await liar.cheat("anvil_rollback", [1]);
  const current = currentSlot(identityToHash(testIdentity("web")));
  await liar.cheat("anvil_setStorageAt", [ledger.place.registry, current, zeroHash]);
  await liar.cheat("evm_mine", []);
  endpoints = [liar.url, ledger.chain.url, await lieAbout(file, ledger.chain.url, (_, result) => result)];
});

test("a lying endpoint is named and left out: show, list and approve say what is proved, and at which block", async (t) => {
  const [url, ...witnesses] = endpoints;
  const registry = ["--registry", ledger.place.registry];
  const options = ["--ledger", url, ...witnesses.flatMap((witness) => ["--witness", witness]), ...registry];
  const isNamed = new RegExp(`pims: the ledger's endpoint ${url} is left out: .*has another block`);
  const isProved = /pims: proved at block \d+ \(0x[0-9a-f]{8}, \d+ s old\), which 2 of 3 endpoints have/;

  const deceived = await pimsMeanwhile(["baseline", "show", testIdentity("web"), "--ledger", url, ...registry]);
  assert.equal(deceived.status, 3, deceived.stderr);
  assert.match(deceived.stderr, /pims: proved at block .*, on the word of one endpoint only: --witness names others/);

  const shown = await pimsMeanwhile(["baseline", "show", testIdentity("web"), ...options, "--json"]);
  assert.equal(shown.status, 0, shown.stderr);
  const { status, at } = JSON.parse(shown.stdout);
  assert.deepEqual([status, at.agreed, at.endpoints, at.sealed], ["approved", 2, 3, false]);
  for (const said of [isNamed, isProved]) assert.match(shown.stderr, said);

  const config = join(temporaryFolder(t), "verifier.json");
  const chosen = { url, witnesses, registry: ledger.place.registry };
  writeFileSync(config, JSON.stringify({ state: "/nowhere", ledger: chosen }));
  const listed = await pimsMeanwhile(["baseline", "list"], { PIMS_LEDGER_CONFIG: config });
  assert.equal(listed.status, 0, listed.stderr);
  assert.match(listed.stdout, new RegExp(`${testIdentity("web")} +approved +3 +${ids.first}`));
  assert.match(listed.stdout, new RegExp(`${testIdentity("web")} +proposed +3 +${ids.next}`));
  for (const said of [isNamed, isProved]) assert.match(listed.stderr, said);

  const approved = await pimsMeanwhile(["baseline", "approve", ids.next, ...signing, "--config", config]);
  assert.equal(approved.status, 0, approved.stderr);
  assert.match(approved.stdout, / approved, 2 signatures\n/);
  assert.match(approved.stderr, /against what is approved now, 3 files with other content/);
  for (const said of [isNamed, isProved]) assert.match(approved.stderr, said);

  for (const [args, message] of [
    [["--config", config, "--witness", url], /--config says where the ledger is/],
    [["--ledger", url], /give --registry/],
    [["--ledger", url, "--witness", `${url}/`, ...registry], /an endpoint stands twice/],
    [["--ledger", url, "--witness", url.replace("127.0.0.1", "localhost"), ...registry], /an endpoint stands twice/],
    [["--ledger", url, "--witness", url.replace("127.0.0.1", "[::1]"), ...registry], /an endpoint stands twice/],
    [["--config", join(config, "none")], /cannot be read/],
  ] as const) {
    const ended = await pimsMeanwhile(["baseline", "list", ...args]);
    assert.equal(ended.status, 1);
    assert.match(ended.stderr, message);
    assert.match(ended.stderr, /^pims: [^\n]*\n$/);
  }
});

test("one witness that does not answer is at fault, not the endpoint that does", async () => {
  const options = [
    "--ledger",
    ledger.chain.url,
    "--witness",
    "http://127.0.0.1:1",
    "--registry",
    ledger.place.registry,
  ];
  const ended = await pimsMeanwhile(["baseline", "list", ...options]);
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /the ledger's endpoint http:\/\/127\.0\.0\.1:1 is left out: it does not answer\n/);
  const why = `${ledger.chain.url} is the only one without a fault; the chain at http://127.0.0.1:1 does not answer`;
  assert.ok(ended.stderr.includes(why), ended.stderr);
});
