import assert from "node:assert/strict";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import { ZERO_PCR } from "../log/replay.ts";
import { gapEvent, sweepEvent } from "./sample-events.ts";
import { PCR, TestHost } from "./testing.ts";
import { type Expectation, verifyLog } from "./verify-log.ts";

const undos: (() => Promise<void>)[] = [];
after(async () => {
  for (const undo of undos.toReversed()) await undo();
});
const nonce = new Uint8Array(32).fill(7);
let host: TestHost;
let lines: string[];
let value: Expectation;
let quoted: Extract<Expectation, { kind: "quote" }>;

before(async () => {
  host = await TestHost.start({ after: (undo) => void undos.push(undo) });
  for (const text of ["one", "two", "three"]) await host.append(gapEvent(text));
  lines = (await readFile(host.log.path, "utf8")).trimEnd().split("\n");
  value = { kind: "value", value: host.log.value };
  quoted = { kind: "quote", ...(await host.quote(nonce)), ak: host.akPublic, nonce };
});

/** The report on a log of these lines. */
async function verify(text: readonly string[] | string | Uint8Array, expectation: Expectation = value, pcr = PCR) {
  const path = join(host.folder, "log.jsonl");
  await writeFile(path, Array.isArray(text) ? text.map((line) => `${line}\n`).join("") : (text as string | Uint8Array));
  return verifyLog(path, pcr, expectation);
}

test("the log agrees with the register's value and with a quote", async () => {
  for (const expectation of [value, quoted]) {
    const report = await verifyLog(host.log.path, PCR, expectation);
    assert.deepEqual(report, {
      agrees: true,
      from: 0,
      records: 4,
      value: toHex(host.log.value),
      beyond: 0,
      reason: null,
      text: "",
    });
  }
});

test("an altered, missing, doubled or foreign record is named, and what stands before it is counted", async () => {
  for (const expectation of [value, quoted]) {
    const altered = await verify(lines.with(2, lines[2]!.replace("two", "owt")), expectation);
    assert.deepEqual([altered.agrees, altered.reason, altered.records], [false, "log-broken", 2]);
    assert.match(altered.text, /^record 2 .*digest/);
    const missing = await verify(lines.toSpliced(1, 1), expectation);
    assert.deepEqual([missing.reason, missing.records], ["log-broken", 1]);
    assert.match(missing.text, /^record 1 .*missing/);
    const doubled = await verify([lines[0]!, lines[0]!], expectation);
    assert.match(doubled.text, /^record 1 .*missing/);
    const foreign = await verify(lines.with(3, lines[3]!.replace('"pcr":13', '"pcr":14')), expectation);
    assert.match(foreign.text, /^record 3 is of PCR 14, not 13/);
  }
});

test("a record that was rewritten with its digest is a disagreement that no record can be blamed for", async () => {
  const content = JSON.stringify({ events: [gapEvent("nothing")] });
  const rewritten = lines[2]!.replace(/"digest":"\w+"/, `"digest":"${sha256Hex(content)}"`);
  const line = `${rewritten.slice(0, rewritten.indexOf('"content":'))}"content":${content}}`;
  for (const expectation of [value, quoted]) {
    const report = await verify(lines.with(2, line), expectation);
    assert.deepEqual([report.agrees, report.reason, report.records], [false, "pcr-mismatch", 4]);
  }
});

test("a log whose end is cut off, or that is empty or absent, does not agree", async () => {
  for (const expectation of [value, quoted]) {
    for (const length of [3, 2, 1, 0]) {
      const report = await verify(lines.slice(0, length), expectation);
      assert.deepEqual([report.agrees, report.reason, report.records], [false, "pcr-mismatch", length]);
      assert.match(report.text, /missing at the end/);
    }
    assert.equal((await verifyLog(join(host.folder, "nowhere"), PCR, expectation)).agrees, false);
  }
});

test("cut at every byte of its last record, a log never agrees, and the torn line is told", async () => {
  const whole = `${lines.join("\n")}\n`;
  const start = whole.length - lines[3]!.length - 1;
  for (let end = start; end < whole.length; end++) {
    const report = await verify(whole.slice(0, end));
    assert.deepEqual([report.agrees, report.reason], [false, "pcr-mismatch"]);
    assert.equal(report.text.includes("torn"), end > start);
  }
});

test("a torn line behind records that agree is told and changes nothing", async () => {
  const report = await verify(`${lines.join("\n")}\n{"recnum":4,`);
  assert.deepEqual([report.agrees, report.text], [true, "its last line is torn"]);
});

test("records behind the quoted one are told; behind the register's value they are a disagreement", async () => {
  await host.append(sweepEvent());
  const longer = (await readFile(host.log.path, "utf8")).trimEnd().split("\n");
  assert.equal(longer.length, 5);
  const byQuote = await verify(longer, quoted);
  assert.deepEqual([byQuote.agrees, byQuote.beyond], [true, 1]);
  const byValue = await verify(longer, value);
  assert.deepEqual([byValue.agrees, byValue.beyond, byValue.reason], [false, 1, "pcr-mismatch"]);
  assert.match(byValue.text, /stands at record 3, and the log goes on to record 4/);
});

test("a quote that is not valid, or of another nonce or key, is the reason", async (t) => {
  const signature = quoted.signature.slice();
  signature[20]! ^= 1;
  assert.equal((await verify(lines, { ...quoted, signature })).reason, "quote-invalid");
  assert.equal((await verify(lines, { ...quoted, nonce: new Uint8Array(32) })).reason, "nonce-mismatch");
  assert.equal((await verify(lines, quoted, 14)).reason, "quote-invalid");
  const other = await TestHost.start(t);
  assert.equal((await verify(lines, { ...quoted, ak: other.akPublic })).reason, "quote-invalid");
});

test("a log of another TPM or of the boot before does not agree", async (t) => {
  const other = await TestHost.start(t);
  const before = await readFile(other.log.path, "utf8");
  assert.equal((await verify(before)).reason, "pcr-mismatch");
  await other.reboot();
  await other.append(gapEvent("after the boot"));
  const now: Expectation = { kind: "quote", ...(await other.quote(nonce)), ak: other.akPublic, nonce };
  assert.equal((await verifyLog(other.log.path, PCR, now)).agrees, true);
  assert.equal((await verify(before, now)).reason, "pcr-mismatch");
});

test("an untouched register agrees with an empty log, and with no other", async () => {
  const zero: Expectation = { kind: "value", value: ZERO_PCR };
  assert.equal((await verify("", zero)).agrees, true);
  assert.equal((await verify(lines, zero)).agrees, false);
});

test("bytes that are no text, a line without an end and other rubbish are log-broken, not an exception", async () => {
  const rubbish: (string | Uint8Array)[] = [
    "\n",
    "{}\n",
    "x".repeat(1024 * 1024 + 1),
    fromHex("7bff0a"),
    Buffer.concat([Buffer.from(`${lines[0]}\n`), fromHex("fffe0a")]),
  ];
  for (const bytes of rubbish) {
    const report = await verify(bytes);
    assert.deepEqual([report.agrees, report.reason], [false, "log-broken"]);
    assert.ok(report.text.length < 400 && !report.text.includes("\n"));
  }
  await verify(lines);
  await appendFile(join(host.folder, "log.jsonl"), "\n");
  assert.equal((await verifyLog(join(host.folder, "log.jsonl"), PCR, value)).reason, "log-broken");
});
