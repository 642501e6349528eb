import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { createKey, generateKeyFile, readKeyFile } from "./keys.ts";
import { temporaryFolder } from "./testing.ts";

test("a generated key file is its owner's alone and reads back as the same key", async (t) => {
  const path = join(await temporaryFolder(t), "publisher.key");
  const key = await generateKeyFile(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await readKeyFile(path)).address, key.address);
  await assert.rejects(generateKeyFile(path), { code: "key-exists" });
  const secret = (await readFile(path, "utf8")).trim();
  assert.match(secret, /^0x[0-9a-f]{64}$/);
  assert.ok(!inspect(key, { depth: 5, showHidden: true }).includes(secret.slice(2)), "the secret can be printed");
  assert.ok(!JSON.stringify(key).includes(secret.slice(2)), "the secret can be serialised");
});

test("no two keys are the same", () => {
  assert.notEqual(createKey().address, createKey().address);
});

test("a key file that others can read is refused, and so is anything that is no key", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "key");
  const good = `0x${"1".padStart(64, "0")}\n`;
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    await writeFile(path, good, { mode: 0o600 });
    await chmod(path, mode);
    await assert.rejects(readKeyFile(path), { code: "key-unreadable", hint: `run chmod 600 ${path}` });
  }
  await chmod(path, 0o600);
  assert.equal((await readKeyFile(path)).address, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
  const beyondOrder = "f".repeat(64);
  for (const text of [
    "",
    "0x",
    "7".repeat(63),
    "7".repeat(65),
    `${good}${good}`,
    "g".repeat(64),
    "0".repeat(64),
    beyondOrder,
  ]) {
    await writeFile(path, text);
    await assert.rejects(readKeyFile(path), (error: Error & { code?: string }) => {
      assert.equal(error.code, "key-unreadable");
      assert.ok(!text || !error.message.includes(text), "the file's content is in the message");
      return true;
    });
  }
  await mkdir(join(folder, "folder"), { mode: 0o700 });
  await assert.rejects(readKeyFile(join(folder, "folder")), { code: "key-unreadable" });
  await assert.rejects(readKeyFile(join(folder, "nothing")), { code: "key-unreadable" });
});
