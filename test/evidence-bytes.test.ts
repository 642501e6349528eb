// Every byte of evidence altered, cut off and added: none of it is accepted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "../src/attest/appraise.ts";
import { type Evidence, parseEvidence } from "../src/attest/evidence.ts";
import { gapEvent, sweepEvent, TIME } from "../src/attest/sample-events.ts";
import { assertAccepted, encodeQuote, PCR, TestHost } from "../src/attest/testing.ts";
import { fromHex, toHex } from "../src/core/bytes.ts";
import type { LogEvent } from "../src/log/event.ts";
import { formatRecord } from "../src/log/record.ts";
import { createAk } from "../src/tpm/attestation-key.ts";
import { createPrimary } from "../src/tpm/commands/create-primary.ts";
import { quote } from "../src/tpm/commands/quote.ts";
import { TPM_RH_ENDORSEMENT } from "../src/tpm/constants.ts";
import { NvRegister } from "../src/tpm/nv-register.ts";
import { attestationTemplate } from "../src/tpm/templates.ts";
import { WireReader, WireWriter } from "../src/tpm/wire.ts";
import { NONCE } from "./evidence/attester.ts";
import { Site } from "./evidence/site.ts";

/** All bits of each byte instead of three, and more requests over the network. */
const THOROUGH = process.env.PIMS_TEST_THOROUGH !== undefined;
const MASKS = THOROUGH ? [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] : [0x01, 0x20, 0x80];
const OVER_NETWORK = THOROUGH ? 1000 : 60;
const NV_INDEX = 0x01800040;
const BOOT_ID = "00000000-0000-4000-8000-000000000001";
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

interface Given {
  readonly evidence: Evidence;
  readonly akPublic: Uint8Array;
  readonly nonce: string;
  readonly proved: Proved;
  /** 13 without it. */
  readonly register?: number;
}

function judge({ evidence, akPublic, nonce, proved, register = PCR }: Given): Appraisal {
  return appraise(evidence, { akPublic, nonce, pcr: register }, proved);
}

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** Every byte of these with bits turned, every beginning of them, every byte left out and doubled, and one more at the end. */
function* damaged(whole: Uint8Array): Generator<[string, Uint8Array]> {
  for (const [at, byte] of whole.entries())
    for (const mask of MASKS) yield [`byte ${at} with ${mask}`, whole.with(at, byte ^ mask)];
  for (let length = 0; length < whole.length; length++) yield [`cut to ${length}`, whole.slice(0, length)];
  for (let at = 0; at < whole.length; at++) {
    yield [`byte ${at} left out`, new Uint8Array([...whole.subarray(0, at), ...whole.subarray(at + 1)])];
    yield [`byte ${at} doubled`, new Uint8Array([...whole.subarray(0, at + 1), ...whole.subarray(at)])];
  }
  for (const more of [0, 0x0a, 0x20, 0xff]) yield [`${more} behind it`, new Uint8Array([...whole, more])];
}

/** None of the damage is accepted; what does not change the bytes (one of two that are the same left out) is passed over. */
function refusesDamage(what: string, good: Given, whole: Uint8Array, put: (bytes: Uint8Array) => Given): void {
  assertAccepted(judge(put(whole)));
  const seen = new Set<string>();
  for (const [damage, bytes] of damaged(whole)) {
    const key = toHex(bytes);
    if (key === toHex(whole) || seen.has(key)) continue;
    seen.add(key);
    const appraisal = judge(put(bytes));
    if (appraisal.accepted) assert.fail(`${what}, ${damage}: it was accepted`);
    assert.match(
      appraisal.reason,
      /^(quote-invalid|log-broken|pcr-mismatch|nonce-mismatch|log-rollback|coverage-stale)$/,
    );
  }
  assert.ok(seen.size > whole.length * MASKS.length);
  assertAccepted(judge(good));
}

for (const kind of ["ecc-p256", "rsa-2048"] as const)
  test(`no byte of quote, signature and key can be another, nor of nonce, log and what was proved: ${kind}`, async (t) => {
    const host = await TestHost.start(t);
    const { handle, publicArea } = await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, attestationTemplate(kind));
    const quoted = async (nonce: string) =>
      encodeQuote(await quote(host.tpm, { keyHandle: handle, nonce: fromHex(nonce), pcrs: [PCR] }));
    const earlier: Given = {
      evidence: { ...(await host.answer(NONCE, 0, gapEvent("one"), gapEvent("two"))), ...(await quoted(NONCE)) },
      ...{ akPublic: publicArea, nonce: NONCE, proved: NOTHING_PROVED },
    };
    const { proved } = assertAccepted(judge(earlier));
    const nonce = "5b".repeat(32);
    const good: Given = {
      evidence: { ...(await host.answer(nonce, proved.length, gapEvent("thrée"))), ...(await quoted(nonce)) },
      ...{ akPublic: publicArea, nonce, proved },
    };
    const { evidence } = good;
    const sent = (fields: Partial<Evidence>): Given => ({ ...good, evidence: { ...evidence, ...fields } });
    for (const part of ["attest", "signature"] as const)
      refusesDamage(part, good, bytesOf(evidence[part]), (bytes) => sent({ [part]: base64(bytes) }));
    refusesDamage("the key", good, publicArea, (akPublic) => ({ ...good, akPublic }));
    if (kind !== "ecc-p256") return;
    refusesDamage("the nonce", good, fromHex(nonce), (bytes) => ({ ...good, nonce: toHex(bytes) }));
    refusesDamage("the proved value", good, fromHex(proved.value), (bytes) => ({
      ...good,
      proved: { ...proved, value: toHex(bytes) },
    }));
    for (const [index, line] of evidence.records.entries())
      refusesDamage(`record ${index}`, good, new Uint8Array(Buffer.from(line)), (bytes) =>
        sent({ records: evidence.records.with(index, Buffer.from(bytes).toString()) }),
      );
  });

test("no byte of what a TPM certifies of an NV index can be another, nor of the log in it", async (t) => {
  const host = await TestHost.start(t);
  const { tpm, akPublic } = host;
  const register = new NvRegister(tpm, NV_INDEX);
  const nv = { count: String(await register.begin()) };
  const boot: LogEvent = { type: "boot", time: TIME, bootId: BOOT_ID, previous: null, nv };
  const records: string[] = [];
  for (const event of [boot, gapEvent("one"), sweepEvent({ nonce: NONCE })]) {
    const { line, digest } = formatRecord(records.length, NV_INDEX, [event]);
    await register.extend(fromHex(digest));
    records.push(line);
  }
  const certified = encodeQuote(await register.certify(await createAk(tpm), fromHex(NONCE)));
  const good: Given = {
    evidence: { nonce: NONCE, from: 0, records, ...certified },
    ...{ akPublic, nonce: NONCE, proved: NOTHING_PROVED, register: NV_INDEX },
  };
  const sent = (fields: Partial<Evidence>): Given => ({ ...good, evidence: { ...good.evidence, ...fields } });
  for (const part of ["attest", "signature"] as const)
    refusesDamage(part, good, bytesOf(good.evidence[part]), (bytes) => sent({ [part]: base64(bytes) }));
  for (const [index, line] of records.entries())
    refusesDamage(`record ${index}`, good, new Uint8Array(Buffer.from(line)), (bytes) =>
      sent({ records: records.with(index, Buffer.from(bytes).toString()) }),
    );
});

test("no record can be left out, doubled, moved or added in its place", async (t) => {
  const host = await TestHost.start(t);
  for (const text of ["one", "two", "three", "four"]) await host.append(gapEvent(text));
  const evidence = await host.answer(NONCE, 0);
  const good: Given = { evidence, akPublic: host.akPublic, nonce: NONCE, proved: NOTHING_PROVED };
  const { records } = evidence;
  assert.equal(assertAccepted(judge(good)).proved.length, records.length);
  const refused = (lines: readonly string[], what: string) => {
    const appraisal = judge({ ...good, evidence: { ...evidence, records: [...lines] } });
    if (appraisal.accepted) assert.fail(`${what}: it was accepted`);
  };
  const renumbered = (lines: readonly string[]) =>
    lines.map((line, recnum) => line.replace(/^\{"recnum":\d+/, `{"recnum":${recnum}`));
  for (const [at, line] of records.entries()) {
    for (const numbered of [(lines: readonly string[]) => lines, renumbered]) {
      refused(numbered(records.toSpliced(at, 1)), `record ${at} left out`);
      refused(numbered(records.slice(0, at)), `cut to ${at}`);
      // A record behind what is quoted is not believed, so the last one may be doubled there.
      if (at < records.length - 1) refused(numbered(records.toSpliced(at, 0, line)), `record ${at} doubled`);
      for (let to = at + 1; to < records.length; to++)
        refused(numbered(records.with(at, records[to]!).with(to, line)), `records ${at} and ${to} exchanged`);
    }
  }
  const behind = judge({ ...good, evidence: { ...evidence, records: renumbered([...records, records[1]!]) } });
  assert.equal(
    assertAccepted(behind).proved.length,
    records.length,
    "what stands behind the quoted value is not believed",
  );
});

test("over the network: no byte of a request can be another", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const path = `/v1/hosts/${member.name}/evidence`;
  let accepted = 0;
  for (let round = 0; round < OVER_NETWORK; round++) {
    const evidence = await site.evidence(member);
    const body = new Uint8Array(Buffer.from(JSON.stringify(evidence)));
    const at = Math.floor((round * body.length) / OVER_NETWORK);
    const mask = MASKS[round % MASKS.length]!;
    body[at]! ^= mask;
    const { json } = await site.ask(path, member.token, body);
    if (json.accepted !== true) {
      assert.ok(json.reason !== undefined || json.error !== undefined, JSON.stringify(json));
      await site.prove(member);
      continue;
    }
    // Base64 has bits at its end that say nothing: then it is the same evidence.
    accepted++;
    const meant = parseEvidence(JSON.parse(Buffer.from(body).toString()));
    const plain = ({ attest, signature, ...rest }: Evidence) => [
      toHex(bytesOf(attest)),
      toHex(bytesOf(signature)),
      rest,
    ];
    assert.deepEqual(plain(meant), plain(evidence), `byte ${at} with mask ${mask}`);
  }
  assert.ok(accepted <= 4, `${accepted} altered requests were accepted`);
});

test("the mirror image of an ECDSA signature signs the same quote, and is taken in its place but not besides it", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const evidence = await site.evidence(member);
  const mirrored = { ...evidence, signature: base64(mirror(bytesOf(evidence.signature))) };
  assert.notEqual(mirrored.signature, evidence.signature);
  assert.equal(await site.send(member, mirrored), "accepted");
  await site.refuses(member, evidence, "nonce-mismatch");
  await site.refuses(member, mirrored, "nonce-mismatch");
});

/** (r, n - s) for (r, s): whoever sees a signature can make it. */
function mirror(signature: Uint8Array): Uint8Array {
  const reader = new WireReader(signature, "signature");
  const [scheme, hash, r, s] = [reader.u16(), reader.u16(), reader.sized(48), reader.sized(48)];
  const other = (P256_ORDER - BigInt(`0x${toHex(s)}`)).toString(16).padStart(64, "0");
  return new WireWriter().u16(scheme).u16(hash).sized(r).sized(fromHex(other)).done();
}
