import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { temporaryFolder } from "../testing.ts";
import { createKey, generateKeyFile, readKeyFile, readPassphraseFile } from "./keys.ts";
import type { ScryptCost } from "./keystore.ts";

const passphrase = "correct horse";
const cost: ScryptCost = { n: 1024, r: 8, p: 1 };
const ask = async () => passphrase;
const never = async (): Promise<string> => assert.fail("the passphrase was asked for");

test("a key file is encrypted, its owner's alone, and reads back as the same key", async (t) => {
  const path = join(await temporaryFolder(t), "publisher.key");
  const key = await generateKeyFile({ path, passphrase, cost });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const read = await readKeyFile(path, ask);
  assert.equal(read.address, key.address);
  const transaction = { type: "legacy", chainId: 7, nonce: 1, gas: 21_000n, gasPrice: 1n, data: "0x12" } as const;
  assert.equal(await read.signTransaction(transaction), await key.signTransaction(transaction));
  await assert.rejects(generateKeyFile({ path, passphrase, cost }), { code: "key-exists" });
  await assert.rejects(
    readKeyFile(path, async () => "correct hors"),
    { code: "passphrase-wrong" },
  );
  for (const weak of ["", "1234567"])
    await assert.rejects(generateKeyFile({ path: `${path}2`, passphrase: weak, cost }), { code: "passphrase-weak" });
});

test("a key in plain is not read, but encrypted into a new file, and is in no output", async (t) => {
  const folder = await temporaryFolder(t);
  const [plain, path] = [join(folder, "plain"), join(folder, "key")];
  const secret = "1".padStart(64, "0");
  await writeFile(plain, `0x${secret}\n`, { mode: 0o600 });
  await assert.rejects(readKeyFile(plain, never), { code: "key-unreadable", message: /not encrypted/ });
  const key = await generateKeyFile({ path, passphrase, cost, importFrom: plain });
  assert.equal(key.address, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
  assert.equal((await readKeyFile(path, ask)).address, key.address);
  assert.ok(!(await readFile(path, "utf8")).includes(secret));
  assert.ok(!inspect(key, { depth: 9, showHidden: true }).includes(secret), "the secret can be printed");
  assert.ok(!JSON.stringify(key).includes(secret), "the secret can be serialised");
  for (const text of ["", "g".repeat(64), "0".repeat(64), "f".repeat(64), "7".repeat(63)]) {
    await writeFile(plain, text);
    const importing = generateKeyFile({ path: `${path}2`, passphrase, cost, importFrom: plain });
    await assert.rejects(importing, { code: "key-unreadable" });
  }
});

test("no two keys are the same", () => {
  assert.notEqual(createKey().address, createKey().address);
});

test("a key file that others can read is refused, and so is anything that is no key", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "key");
  await generateKeyFile({ path, passphrase, cost });
  const good = await readFile(path, "utf8");
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    await chmod(path, mode);
    await assert.rejects(readKeyFile(path, never), { code: "key-unreadable", hint: `run chmod 600 ${path}` });
  }
  await chmod(path, 0o600);
  assert.ok(await readKeyFile(path, ask));
  const texts = ["", "{}", "null", good.slice(0, -3), good + good, good.padEnd(5000), "7".repeat(63), "0".repeat(64)];
  for (const text of texts) {
    await writeFile(path, text);
    await assert.rejects(readKeyFile(path, never), (error: Error & { code?: string }) => {
      assert.equal(error.code, "key-unreadable");
      assert.ok(!text || !error.message.includes(text), "the file's content is in the message");
      return true;
    });
  }
  await mkdir(join(folder, "folder"), { mode: 0o700 });
  await assert.rejects(readKeyFile(join(folder, "folder"), never), { code: "key-unreadable" });
  await assert.rejects(readKeyFile(join(folder, "nothing"), never), { code: "key-unreadable" });
});

test("a passphrase file is its owner's alone, and its last line break is not part of it", async (t) => {
  const path = join(await temporaryFolder(t), "passphrase");
  for (const [text, expected] of [
    ["two words\n", "two words"],
    ["two words\r\n", "two words"],
    [" two  words \n\n", " two  words \n"],
  ] as const) {
    await writeFile(path, text, { mode: 0o600 });
    assert.equal(await readPassphraseFile(path), expected);
  }
  await chmod(path, 0o644);
  await assert.rejects(readPassphraseFile(path), { code: "key-unreadable" });
});
