import assert from "node:assert/strict";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryFolder } from "../attest/testing.ts";
import { concatBytes } from "../core/bytes.ts";
import { imaNg } from "../tpm/event-log/sample-ima.ts";
import { PlatformLogs } from "./platform-logs.ts";

const entry = (name: string) => imaNg(`/usr/bin/${name}`, "ab".repeat(32));
const base64 = (...parts: Uint8Array[]) => Buffer.from(concatBytes(...parts)).toString("base64");

test("only what is wanted is given, in whole entries, also after a boot that began the list anew", async (t) => {
  const folder = await temporaryFolder(t);
  const [firmwareLog, imaList] = [join(folder, "firmware"), join(folder, "ima")];
  const logs = new PlatformLogs({ firmwareLog, imaList });
  assert.deepEqual(await logs.read({ firmwareLog: true, imaFrom: 0 }), { firmwareLog: null, ima: null });

  await writeFile(firmwareLog, "a log");
  const [a, b, c] = [entry("a"), entry("bb"), entry("ccc")];
  await writeFile(imaList, concatBytes(a, b, c.subarray(0, 20)));
  const first = await logs.read({ firmwareLog: true, imaFrom: 0 });
  assert.deepEqual(first, {
    firmwareLog: Buffer.from("a log").toString("base64"),
    ima: { from: 0, entries: base64(a, b) },
  });
  assert.deepEqual(await logs.read({ firmwareLog: false, imaFrom: 1 }), { ima: { from: 1, entries: base64(b) } });
  assert.deepEqual((await logs.read({ firmwareLog: false, imaFrom: 2 })).ima, { from: 2, entries: "" });
  await appendFile(imaList, c.subarray(20));
  assert.deepEqual((await logs.read({ firmwareLog: false, imaFrom: 2 })).ima, { from: 2, entries: base64(c) });
  assert.deepEqual((await logs.read({ firmwareLog: false, imaFrom: 1 })).ima, { from: 1, entries: base64(b, c) });
  assert.deepEqual((await logs.read({ firmwareLog: false, imaFrom: 9 })).ima, { from: 0, entries: base64(a, b, c) });

  await writeFile(firmwareLog, new Uint8Array(1024 * 1024 + 1));
  assert.equal((await logs.read({ firmwareLog: true, imaFrom: 0 })).firmwareLog, null);
});
