import assert from "node:assert/strict";
import { test } from "node:test";
import { vector, withoutVectors } from "../../../test/vectors.ts";
import { fromHex, toHex } from "../../core/bytes.ts";
import type { HashName } from "../algorithms.ts";
import { refusesTruncation, survivesMutation } from "../fixtures.ts";
import { WireWriter } from "../wire.ts";
import { EV_NO_ACTION, parseBootLog } from "./pc-client.ts";
import { replayBootLog } from "./replay.ts";

/** Little-endian numbers. */
const le32 = (...values: number[]): Uint8Array => new Uint8Array(new Uint32Array(values).buffer);

/** A log of one sha256 bank. */
function logOf(...events: { pcr: number; type: number; digest: Uint8Array; data: Uint8Array }[]): Uint8Array {
  const specId = Buffer.concat([Buffer.from("Spec ID Event03\0"), fromHex("00000000000200020100000" + "00b00200000")]);
  const log = new WireWriter().bytes(le32(0, EV_NO_ACTION)).bytes(new Uint8Array(20)).bytes(le32(specId.length));
  log.bytes(specId);
  for (const { pcr, type, digest, data } of events)
    log
      .bytes(le32(pcr, type, 1))
      .bytes(fromHex("0b00"))
      .bytes(digest)
      .bytes(le32(data.length))
      .bytes(data);
  return log.done();
}

const event = (pcr: number, fill: number, type = 0x8000_0001) => ({
  ...{ pcr, type, digest: new Uint8Array(32).fill(fill), data: new Uint8Array([1, 2, 3]) },
});

test("a log is replayed bank by bank", () => {
  const log = parseBootLog(logOf(event(0, 1), event(4, 2)));
  assert.deepEqual(log.banks, ["sha256"]);
  assert.equal(log.events.length, 2);
  const values = replayBootLog(log, "sha256");
  assert.equal(values.size, 24);
  assert.equal(toHex(values.get(16)!), "00".repeat(32));
  assert.equal(toHex(values.get(17)!), "ff".repeat(32));
  assert.throws(() => replayBootLog(log, "sha1"), { code: "tpm-malformed" });
});

test("the locality of the start is in PCR 0 before anything else", () => {
  const data = new Uint8Array([...Buffer.from("StartupLocality\0"), 3]);
  const locality = { pcr: 0, type: EV_NO_ACTION, digest: new Uint8Array(32), data };
  const values = replayBootLog(parseBootLog(logOf(locality)), "sha256");
  assert.equal(toHex(values.get(0)!), `${"00".repeat(31)}03`);
});

test("an end within an event, and anything else that does not fit, is malformed", () => {
  const whole = logOf(event(4, 2));
  const headerLength = logOf().length;
  for (let length = 0; length < whole.length; length++)
    if (length !== headerLength)
      assert.throws(() => parseBootLog(whole.subarray(0, length)), { code: "tpm-malformed" }, `${length}`);
  survivesMutation(whole, parseBootLog);
  assert.throws(() => parseBootLog(new Uint8Array(16 * 1024 * 1024 + 1)), { code: "tpm-malformed" });
  assert.throws(() => parseBootLog(logOf(event(40, 1))), { code: "tpm-malformed", message: /PCR 40/ });
  refusesTruncation(logOf(), parseBootLog);
});

test("a log of the largest size takes seconds at most", () => {
  const one = logOf(event(4, 2)).subarray(logOf().length);
  const count = Math.floor((15 * 1024 * 1024) / one.length);
  const log = new Uint8Array(Buffer.concat([logOf(), ...Array.from({ length: count }, () => one)]));
  const start = performance.now();
  assert.equal(parseBootLog(log).events.length, count);
  assert.ok(performance.now() - start < 10_000);
});

test("a real machine's log gives its PCRs", { skip: withoutVectors() }, () => {
  const log = parseBootLog(vector("tpm2-tools-event-arch-linux.bin"));
  assert.equal(log.events.length, 24);
  const yaml = Buffer.from(vector("tpm2-tools-event-arch-linux.bin.yaml")).toString("utf8");
  let compared = 0;
  for (const bank of ["sha1", "sha256"] as const satisfies HashName[]) {
    const values = replayBootLog(log, bank);
    const block = new RegExp(`^ {2}${bank}:\\n((?: {4}.*\\n?)+)`, "m").exec(yaml.slice(yaml.indexOf("\npcrs:")))![1]!;
    for (const [, pcr, hex] of block.matchAll(/^\s+(\d+)\s*: 0x([0-9a-f]+)$/gm)) {
      assert.equal(toHex(values.get(Number(pcr))!), hex, `PCR ${pcr} of ${bank}`);
      compared++;
    }
  }
  assert.equal(compared, 18);
});

test("another real log gives the PCRs expected of it", { skip: withoutVectors() }, () => {
  const bytes = vector("HIRS-TpmLog.bin");
  const log = parseBootLog(bytes);
  const values = replayBootLog(log, "sha256");
  const expected = Buffer.from(vector("HIRS-TpmLogExpectedPcrs.txt")).toString("utf8").trim().split(/\s+/);
  assert.equal(expected.length, 24);
  assert.deepEqual([...values.values()].map(toHex), expected);
  assert.equal(log.events.length, 55);
  survivesMutation(bytes, parseBootLog);
});
