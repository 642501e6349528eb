import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { nextCheckpoint } from "../src/ledger/checkpoints.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";
import { startSigner } from "../src/ledger/header/testing-signer.ts";
import { createKey, generateKeyFile } from "../src/ledger/keys/keys.ts";
import { openLedger } from "../src/ledger/open-ledger.ts";
import { verifierConfigSchema } from "../src/verifier/config.ts";
import { runVerifier } from "../src/verifier/run.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

test("a verifier's checkpoints are on the ledger, and a file that was changed is not what it said", async (t) => {
  const folder = temporaryFolder(t);
  const chain = await startAnvil({ folder: join(folder, "chain") });
  t.after(() => chain.stop());
  const [key, passphraseFile] = [join(folder, "key"), join(folder, "passphrase")];
  writeFileSync(passphraseFile, "three small words", { mode: 0o600 });
  const cost = { n: 16, r: 8, p: 1 };
  const { address: reporter } = await generateKeyFile({ path: key, passphrase: "three small words", cost });
  const signing = ["--key", key, "--passphrase-file", passphraseFile, "--ledger", chain.url];
  const [contract, hosts] = await Promise.all(
    ["checkpoints", "hosts"].map(async (name) => {
      const own = join(folder, name);
      await generateKeyFile({ path: own, passphrase: "three small words", cost });
      const ended = await pimsMeanwhile(["ledger", "deploy", "--contract", name, ...signing.with(1, own)]);
      assert.equal(ended.status, 0, ended.stderr);
      return ended.stdout.trim();
    }),
  );
  const nothing = await pimsMeanwhile(["ledger", "deploy", "--contract", "registry", ...signing]);
  assert.match(nothing.stderr, /the registry is deployed with --publisher/);

  const state = join(folder, "verifier");
  const config = {
    ...{ state, listen: { port: 0 }, ledger: { url: chain.url, registry: `0x${"1".repeat(40)}` } },
    checkpoints: { contract, hosts, key, passphraseFile, intervalMs: 1000 },
  };
  const running = await runVerifier(verifierConfigSchema.parse(config));
  const kept = join(state, "checkpoints");
  let closed = false;
  const close = async () => {
    if (!closed) await running.close();
    closed = true;
  };
  t.after(close);
  const files = (): string[] => {
    try {
      return readdirSync(kept)
        .filter((name) => name.endsWith(".jsonl"))
        .sort();
    } catch {
      return [];
    }
  };
  for (const deadline = performance.now() + 20_000; files().length < 2; await sleep(50))
    assert.ok(performance.now() < deadline, "no two checkpoints");
  await close();

  const remoteKey = createKey();
  const signer = await startSigner(t, remoteKey);
  const other = { contract, signer: signer.url, from: remoteKey.address.toLowerCase(), intervalMs: 1000 };
  const signed = await runVerifier(
    verifierConfigSchema.parse({ ...config, state: join(folder, "other"), checkpoints: other }),
  );
  t.after(() => signed.close());
  const place = { url: chain.url, registry: contract! };
  const said = async () => {
    const checkpoints = await openLedger(place).contract("Checkpoints");
    return nextCheckpoint(checkpoints, remoteKey.address);
  };
  for (const deadline = performance.now() + 20_000; (await said()) === 0n; await sleep(50))
    assert.ok(performance.now() < deadline, "no checkpoint by a remote signer");
  for (const wrong of [{ contract }, { ...other, key }, { contract, key, from: other.from }, { contract, key }])
    assert.throws(() => verifierConfigSchema.parse({ ...config, checkpoints: wrong }), /who signs is/);

  const file = join(kept, files()[0]!);
  const check = async (path: string, who: string, more: readonly string[] = []) => {
    const at = ["--ledger", chain.url, "--contract", contract!, "--reporter", who];
    return pimsMeanwhile(["ledger", "checkpoint", path, ...at, ...more]);
  };
  const good = await check(file, reporter);
  assert.deepEqual([good.status, good.stdout.includes("checkpoint 0 of ")], [0, true], good.stderr);
  const changed = join(folder, "changed.jsonl");
  writeFileSync(changed, readFileSync(file, "utf8").replace(/"time":"\d/, '"time":"1'));
  assert.equal((await check(changed, reporter)).status, 2);
  assert.equal((await check(file, createKey().address)).status, 3);
  for (const text of [
    "",
    "{}\n",
    `${readFileSync(file, "utf8")}{"host":"x"}\n`,
    readFileSync(file, "utf8").trimEnd(),
  ]) {
    writeFileSync(changed, text);
    const ended = await check(changed, reporter);
    assert.equal(ended.status, 1);
    assert.match(ended.stderr, /^pims: [^\n]* is not a checkpoint's lines[^\n]*\n$/);
  }
  assert.match((await check(file, reporter, ["--host", "nobody"])).stderr, /no such host/);
});
