import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import type { LogEvent } from "../log/event.ts";
import { MeasurementLog } from "../log/measurement-log.ts";
import { formatRecord, parseRecord } from "../log/record.ts";
import { replay } from "../log/replay.ts";
import { createAk } from "../tpm/attestation-key.ts";
import { nvCertify } from "../tpm/commands/certify.ts";
import type { LoadedKey } from "../tpm/commands/create-primary.ts";
import { nvDefine, nvExtend, nvReadPublic, nvUndefine } from "../tpm/commands/nv.ts";
import { quote } from "../tpm/commands/quote.ts";
import { TPMA_NV } from "../tpm/constants.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
import { appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import { collectEvidence } from "./collect.ts";
import type { Evidence } from "./evidence.ts";
import { gapEvent, sweepEvent } from "./sample-events.ts";
import { assertAccepted, assertRefused, encodeQuote, nvRegister, TestHost, temporaryFolder } from "./testing.ts";
import { verifyLog } from "./verify-log.ts";

const NONCE = "5a".repeat(32);
const INDEX = 0x01800040;
const BOOT = "00000000-0000-4000-8000-000000000001";

const undos: (() => Promise<void>)[] = [];
after(async () => {
  for (const undo of undos.toReversed()) await undo();
});
let tpm: Tpm;
let ak: LoadedKey;
let nv: NvRegister;
let log: MeasurementLog;
let good: Evidence;

const collect = (from: number) =>
  collectEvidence({
    segments: log.segmentsFrom(from),
    from,
    nonce: fromHex(NONCE),
    quote: (nonce) => nv.certify(ak, nonce),
  });

before(async () => {
  const ending = { after: (undo: () => Promise<void>) => void undos.push(undo) };
  const folder = await temporaryFolder(ending);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  undos.push(() => swtpm.stop());
  tpm = await openTpm(swtpm.address);
  undos.push(() => tpm.close());
  ak = await createAk(tpm);
  nv = new NvRegister(tpm, INDEX);
  ({ log } = await MeasurementLog.open(join(folder, "log"), nvRegister(nv), BOOT));
  undos.push(() => log.close());
  for (const events of [[gapEvent("one")], [sweepEvent({ nonce: NONCE })]]) await log.append(events);
  good = await collect(0);
});

function judge(evidence: Evidence, proved: Proved = NOTHING_PROVED, first = good.records[0]!, handle = INDEX) {
  const expected = { akPublic: ak.publicArea, nonce: NONCE, pcr: handle, first: parseRecord(first, 0) };
  return appraise(evidence, expected, proved);
}

const replaced = (index: number, line: string): Evidence => ({ ...good, records: good.records.with(index, line) });
const eventsOf = (index: number): readonly LogEvent[] => parseRecord(good.records[index]!, index).events;

test("what the TPM certifies of the index proves the log, from its beginning and later", async () => {
  const { proved, records } = assertAccepted(judge(good));
  assert.equal(proved.length, 3);
  assert.equal(proved.value, toHex(replay(records.map(({ digest }) => digest))));
  await log.append([sweepEvent({ nonce: NONCE })]);
  const next = await collect(3);
  assert.equal(assertAccepted(judge(next, { ...proved, tpm: null })).proved.length, 4);
  const quoted = { ak: ak.publicArea, nonce: fromHex(NONCE), ...(await nv.certify(ak, fromHex(NONCE))) };
  const report = await verifyLog(log.path, INDEX, { kind: "quote", ...quoted });
  assert.deepEqual([report.agrees, report.records, report.beyond], [true, 4, 0], report.text);
  const other = await verifyLog(log.path, INDEX, { kind: "quote", ...quoted, nonce: fromHex("a5".repeat(32)) });
  assert.equal(other.reason, "nonce-mismatch");
});

test("quote-invalid: only the register is another kind, or a bit of the certification is another", async () => {
  const ofPcr = await quote(tpm, { keyHandle: ak.handle, nonce: fromHex(NONCE), pcrs: [13] });
  assertRefused(judge({ ...good, ...encodeQuote(ofPcr) }), "quote-invalid", /not a certification of NV memory/);
  assertRefused(judge(good, NOTHING_PROVED, good.records[0], 13), "quote-invalid", /not a quote/);
  for (const part of ["attest", "signature"] as const) {
    const whole = new Uint8Array(Buffer.from(good[part], "base64"));
    for (let bit = 0; bit < whole.length * 8; bit += 3) {
      const bytes = whole.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const appraisal = judge({ ...good, [part]: Buffer.from(bytes).toString("base64") });
      assert.equal(appraisal.accepted ? "accepted" : appraisal.reason, "quote-invalid", `bit ${bit} of ${part}`);
    }
  }
});

test("log-broken: only the log does not say which index it began with", () => {
  const [boot] = eventsOf(0);
  assert.ok(boot?.type === "boot" && boot.nv !== undefined);
  const { nv: _nv, ...without } = boot;
  for (const events of [[without], [gapEvent("none")]] as LogEvent[][])
    assertRefused(judge(replaced(0, formatRecord(0, INDEX, events).line)), "log-broken", /does not say at which count/);
  const late = formatRecord(0, INDEX, [gapEvent("first"), boot]).line;
  assertRefused(judge(replaced(0, late)), "log-broken", /tells of a boot/);
  assertRefused(judge(replaced(1, formatRecord(1, 13, eventsOf(1)).line)), "log-broken", /is of PCR 13, not NV index/);
  for (const count of ["-1", "1e3", "99999999999999999999", " 1", "007"])
    assert.throws(() => formatRecord(0, INDEX, [{ ...boot, nv: { count } }]), { code: "event-invalid" }, count);
});

test("pcr-mismatch: only the index is one that was defined later, with the very same contents", async () => {
  const [boot] = eventsOf(0);
  assert.ok(boot?.type === "boot" && boot.nv !== undefined);
  const later = { ...boot, nv: { count: String(BigInt(boot.nv.count) + 1n) } };
  assertRefused(
    judge(replaced(0, formatRecord(0, INDEX, [later]).line)),
    "pcr-mismatch",
    /NV index 0x01800040 .* deleted and defined anew/,
  );
  // An index of the same contents that anybody may extend.
  const free = {
    index: INDEX + 2,
    nameAlg: "sha256" as const,
    attributes: TPMA_NV.typeExtend | TPMA_NV.authRead | TPMA_NV.authWrite,
    authPolicy: new Uint8Array(0),
    size: 32,
  };
  await nvDefine(tpm, free);
  const records = good.records.map((line, index) => parseRecord(line, index));
  for (const { digest } of records) await nvExtend(tpm, (await nvReadPublic(tpm, free.index))!, fromHex(digest));
  const index = (await nvReadPublic(tpm, free.index))!;
  const certified = await nvCertify(tpm, { index, signer: ak, nonce: fromHex(NONCE) });
  assertRefused(
    judge({ ...good, ...encodeQuote(certified) }),
    "pcr-mismatch",
    /is not the one that the log began with/,
  );
  await nvUndefine(tpm, index);
});

test("pcr-mismatch: a record is rewritten or withheld; an index that was extended only once proves nothing", async () => {
  const rewritten = formatRecord(1, INDEX, [gapEvent("nothing")]).line;
  assertRefused(judge(replaced(1, rewritten)), "pcr-mismatch", /does not lead/);
  assertRefused(judge({ ...good, records: good.records.slice(0, 2) }), "pcr-mismatch", /does not lead/);
  const once = new NvRegister(tpm, INDEX + 4);
  const count = String(await once.begin());
  const boot: LogEvent = {
    type: "boot",
    time: "2026-01-02T03:04:05.678Z",
    bootId: BOOT,
    previous: null,
    nv: { count },
  };
  const { line, digest } = formatRecord(0, INDEX + 4, [boot, sweepEvent({ nonce: NONCE })]);
  await once.extend(fromHex(digest));
  const certified = await once.certify(ak, fromHex(NONCE));
  const evidence = { ...good, records: [line], ...encodeQuote(certified) };
  assertRefused(judge(evidence, NOTHING_PROVED, line, INDEX + 4), "pcr-mismatch", /does not lead/);
});

test("a log whose beginning is pruned says by its checkpoint which index it is in", async (t) => {
  const host = await TestHost.start(t, undefined, INDEX);
  const first = await host.answer(NONCE, 0, gapEvent("one"));
  const expected = { akPublic: host.akPublic, nonce: NONCE, pcr: INDEX, first: parseRecord(first.records[0]!, 0) };
  const { proved } = assertAccepted(appraise(first, expected, NOTHING_PROVED));
  const { recnum } = await host.log.rotate(0);
  const next = await host.answer(NONCE, proved.length);
  const later = assertAccepted(appraise(next, expected, proved)).proved;
  await host.log.prune(recnum);
  await host.log.close();

  const register = nvRegister(new NvRegister(host.tpm, INDEX));
  const again = (await MeasurementLog.open(host.logFolder, register, host.bootId)).log;
  await again.append([sweepEvent({ nonce: NONCE })]);
  await again.close();
  const quoted = { ak: host.akPublic, nonce: fromHex(NONCE), ...(await host.quote(fromHex(NONCE))) };
  const report = await verifyLog(again.path, INDEX, { kind: "quote", ...quoted });
  assert.deepEqual([report.agrees, report.from, report.records], [true, recnum, 3], report.text);
  const evidence = await host.collect(NONCE, later.length);
  assert.equal(assertAccepted(appraise(evidence, expected, later)).proved.length, later.length + 1);
});
