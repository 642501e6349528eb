// The commands of publishers, one after the other, as people would give them.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeBaselineFile } from "../src/baseline/file.ts";
import { parseBaseline } from "../src/baseline/format.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";
import { createKey, generateKeyFile } from "../src/ledger/keys/keys.ts";
import { testIdentity, testLines } from "../src/ledger/testing.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const PASSPHRASE = "three small words";
/** Deriving a key costs next to nothing: what is tested is not scrypt. */
const cost = { n: 16, r: 8, p: 1 };

test("publishers deploy, publish, approve, supersede, revoke and hand over by commands, with encrypted keys", async (t) => {
  const folder = temporaryFolder(t);
  const chain = await startAnvil({ folder: join(folder, "chain") });
  t.after(() => chain.stop());
  const passphraseFile = join(folder, "passphrase");
  writeFileSync(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o600 });
  const file = (name: string) => join(folder, name);
  const people: Record<string, string> = {};
  for (const name of ["alice", "bob", "deployer"]) {
    const key = await generateKeyFile({ path: file(name), passphrase: PASSPHRASE, cost });
    people[name] = key.address;
  }
  const made = await pimsMeanwhile(["ledger", "key", file("carol"), "--passphrase-file", passphraseFile]);
  assert.equal(made.status, 0, made.stderr);
  const carol = made.stdout.trim();
  assert.equal(JSON.parse(readFileSync(file("carol"), "utf8")).address, carol.slice(2).toLowerCase());

  const run = async (args: readonly string[], status = 0) => {
    const ended = await pimsMeanwhile([...args, "--json"]);
    assert.equal(ended.status, status, `${args.join(" ")}: ${ended.stderr}`);
    return { ...ended, said: status === 1 ? null : JSON.parse(ended.stdout || "null") };
  };
  const by = (name: string) => ["--key", file(name), "--passphrase-file", passphraseFile];
  const publishers = ["--publisher", people.alice!, people.bob!];
  const deployed = await run(["ledger", "deploy", "--ledger", chain.url, ...publishers, ...by("deployer")]);
  const at = ["--ledger", chain.url, "--registry", deployed.said.registry];

  const publish = async (name: string, variant: string) => {
    await writeBaselineFile(file("baseline"), parseBaseline(testLines(name, 2, variant)));
    const { said } = await run(["baseline", "publish", file("baseline"), ...at, ...by("alice")]);
    return said.id as string;
  };
  const approve = (id: string) => run(["baseline", "approve", id, ...at, ...by("bob")]);
  const first = await publish("v1", "first");
  assert.deepEqual((await approve(first)).said.differences, []);
  const second = await publish("v1", "second");
  const changed = await approve(second);
  assert.match(changed.stderr, /against what is approved now, 2 files with other content: \/usr\/lib\/lib000000\.so/);
  assert.deepEqual(changed.said.differences, ["2 files with other content: /usr/lib/lib000000.so and 1 more"]);

  const next = await publish("v2", "");
  await approve(next);
  const supersede = ["baseline", "supersede", second, "--by", next, ...at, ...by("bob")];
  const ends = Date.parse((await run([...supersede, "--overlap", "2"])).said.until);
  assert.ok(ends > Date.now() + 7_000_000 && ends < Date.now() + 7_400_000, `${ends - Date.now()}`);
  assert.match((await run([...supersede, "--overlap", "3"], 1)).stderr, /can only be made shorter/);
  assert.match((await run([...supersede, "--overlap", "x"], 1)).stderr, /--overlap is a number of hours, 8784 at most/);
  await run(["baseline", "revoke", second, ...at, ...by("alice")]);
  const { said: list } = await run(["baseline", "list", ...at]);
  assert.deepEqual(
    list.baselines.map(({ status, until }: { status: string; until: number }) => [status, until > 0]),
    [
      ["revoked", true],
      ["approved", false],
    ],
  );
  await run(["baseline", "show", testIdentity("v1"), ...at], 3);

  const change = ["ledger", "publishers", ...at, "--set", people.bob!, carol, "--quorum", "2"];
  assert.equal((await run([...change, ...by("alice")])).said.motion.signatures, 1);
  const { said: governance } = await run([...change, ...by("bob")]);
  assert.deepEqual([governance.epoch, governance.quorum, governance.motion.signatures], [1, 2, 2]);
  assert.deepEqual([...governance.publishers].sort(), [people.bob!, carol].sort());
  assert.match((await run(["baseline", "revoke", next, ...at, ...by("alice")], 1)).stderr, /not a publisher/);
  await run(["baseline", "revoke", next, ...at, ...by("carol")]);
});

test("a key or passphrase that does not serve is one sentence, and neither is in it", async (t) => {
  const folder = temporaryFolder(t);
  const [key, plain, passphraseFile] = [join(folder, "key"), join(folder, "plain"), join(folder, "passphrase")];
  await generateKeyFile({ path: key, passphrase: PASSPHRASE, cost });
  const secret = "7".repeat(64);
  writeFileSync(plain, secret, { mode: 0o600 });
  writeFileSync(passphraseFile, "another one", { mode: 0o600 });
  const revoke = ["baseline", "revoke", `0x${"1".repeat(64)}`, "--registry", createKey().address];
  for (const [args, message] of [
    [["--key", key, "--passphrase-file", passphraseFile], /the passphrase is not the one of this key file/],
    [["--key", key], /no terminal to ask for the passphrase/],
    [["--key", plain], /holds a key that is not encrypted/],
    [["--key", key, "--signer", "http://127.0.0.1:1"], /give the key that signs/],
    [["--signer", "http://127.0.0.1:1"], /--signer needs --from/],
    [[], /give the key that signs/],
  ] as const) {
    const { status, stderr } = await pimsMeanwhile([...revoke, ...args]);
    assert.equal(status, 1);
    assert.match(stderr, message);
    assert.match(stderr, /^pims: [^\n]*\n$/);
    for (const hidden of [secret, PASSPHRASE, "another one"]) assert.ok(!stderr.includes(hidden));
  }
});
