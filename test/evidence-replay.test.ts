// Evidence that was good once, or good elsewhere, or in another order: over the network, by hosts with real TPMs.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { gapEvent, sweepEvent, violationEvent } from "../src/attest/sample-events.ts";
import { encodeQuote } from "../src/attest/testing.ts";
import { fromHex } from "../src/core/bytes.ts";
import { web } from "../src/verifier/testing.ts";
import { Site } from "./evidence/site.ts";

const NONCE_MS = 60_000;

test("old evidence is refused: as it was, under a new nonce, and its quote with new records", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const old = await site.evidence(member);
  assert.equal(await site.send(member, old), "accepted");
  await site.refuses(member, old, "nonce-mismatch", "as it was");
  const { nonce, from } = await site.nonce(member);
  await site.refuses(member, { ...old, nonce }, "nonce-mismatch", "under a new nonce");
  const next = await site.evidence(member);
  const { attest, signature } = old;
  await site.refuses(member, { ...next, attest, signature }, "nonce-mismatch", "its quote with new records");
  const again = await site.nonce(member);
  const fresh = encodeQuote(await member.host.quote(fromHex(again.nonce)));
  await site.refuses(
    member,
    { ...old, ...fresh, ...again },
    /^(log-broken|pcr-mismatch)$/,
    "its records with a new quote",
  );
  assert.equal(from, again.from);
  await site.prove(member);
  assert.equal(await site.standing(member), "trusted");
});

test("another host's evidence is refused: its token, its nonce, its quote, its log", async (t) => {
  const site = await Site.start(t);
  const [mine, theirs] = [await site.enroll(t, "node1"), await site.enroll(t, "node2")];
  const stolen = await site.evidence(theirs);
  await site.refuses(mine, stolen, "nonce-mismatch", "under my name");
  assert.equal(await site.send({ ...mine, token: theirs.token }, stolen), "not-authorized");
  assert.equal(await site.send(theirs, stolen), "accepted");

  // The other host's TPM and log answer my nonce: two machines are of one mind.
  await site.prove(mine);
  const { nonce, from } = await site.nonce(mine);
  const lent = await theirs.host.answer(nonce, from);
  await site.refuses(mine, lent, "quote-invalid", "its quote and log");
  const own = await site.evidence(mine);
  const { attest, signature } = encodeQuote(await theirs.host.quote(fromHex(own.nonce)));
  await site.refuses(mine, { ...own, attest, signature }, "quote-invalid", "its quote with my log");
  const more = await site.evidence(mine);
  const { records } = await theirs.host.answer(more.nonce, more.from);
  await site.refuses(mine, { ...more, records }, /^(log-broken|pcr-mismatch)$/, "its log with my quote");
  await site.prove(mine);
});

test("withheld and re-ordered records are refused, in the evidence and ahead of it", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const events = [violationEvent(web), gapEvent("one"), gapEvent("two")];
  for (const event of events) await member.host.append(event);
  const whole = async () => site.evidence(member);
  const renumbered = (from: number, lines: readonly string[]) =>
    lines.map((line, index) => line.replace(/^\{"recnum":\d+/, `{"recnum":${from + index}`));
  const tampered: readonly [string, (lines: readonly string[]) => readonly string[]][] = [
    ["the first withheld", (lines) => lines.slice(1)],
    ["one in the middle withheld", (lines) => lines.toSpliced(1, 1)],
    ["the last withheld", (lines) => lines.slice(0, -1)],
    ["all withheld", () => []],
    ["two exchanged", (lines) => lines.with(0, lines[1]!).with(1, lines[0]!)],
    ["turned round", (lines) => lines.toReversed()],
    ["one doubled", (lines) => lines.toSpliced(1, 0, lines[1]!)],
  ];
  for (const [what, tamper] of tampered)
    for (const number of [false, true]) {
      const evidence = await whole();
      const records = tamper(evidence.records);
      const sent = { ...evidence, records: number ? renumbered(evidence.from, records) : [...records] };
      await site.refuses(member, sent, /^(log-broken|pcr-mismatch)$/, what);
      // The same, the first of them ahead of the evidence.
      const later = await whole();
      const lines = number ? renumbered(later.from, tamper(later.records)) : [...tamper(later.records)];
      const ahead = lines.slice(0, 2);
      const body = JSON.stringify({ from: later.from, records: ahead });
      assert.equal((await site.ask("/v1/hosts/node1/records", member.token, body)).status, 200);
      const rest = { ...later, from: later.from + ahead.length, records: lines.slice(2) };
      await site.refuses(member, rest, /^(log-broken|log-rollback|pcr-mismatch)$/, `${what}, ahead`);
    }
  await site.prove(member);
  assert.equal(await site.standing(member), "untrusted", "the violation that was to be withheld");
});

test("a shortened log with the older quote that fits it is refused once a longer one was proved", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  // Asked for before the attack and kept back: all of it fits together, and its nonce is still open.
  const kept = await site.evidence(member);
  await site.prove(member, violationEvent(web));
  assert.equal(await site.standing(member), "untrusted");
  await site.refuses(member, kept, "nonce-mismatch", "the whole of it");
  const second = await site.evidence(member);
  const from = site.bench.verifier.records(member.name, 0).length;
  await site.refuses(member, { ...kept, nonce: second.nonce }, /^(nonce-mismatch|log-broken)$/, "under a newer nonce");
  for (const length of [0, from - 1]) {
    const short = { ...(await site.evidence(member)), from: length, records: [] };
    await site.refuses(member, short, "log-rollback", `the log cut to ${length}`);
  }
  await site.prove(member);
  assert.equal(await site.standing(member), "untrusted");
});

test("what was made before an attack and sent after it proves nothing of the time between, and not for long", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const kept = await site.evidence(member);
  await member.host.append(violationEvent(web));
  site.bench.clock.pass(NONCE_MS);
  // Within a nonce's life it is evidence of what was before.
  assert.equal(await site.send(member, kept), "accepted");
  const older = await site.evidence(member);
  site.bench.clock.pass(NONCE_MS + 1);
  await site.refuses(member, older, "nonce-mismatch");
  await site.prove(member);
  assert.equal(await site.standing(member), "untrusted");
});

test("clocks turned back open no nonce again and keep no silent host good", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const evidence = await site.evidence(member);
  site.bench.clock.pass(NONCE_MS + 1);
  site.bench.clock.wall -= 2 * NONCE_MS;
  await site.refuses(member, evidence, "nonce-mismatch", "the verifier's wall clock");
  await site.prove(member);
  assert.equal(await site.standing(member), "trusted");
  site.bench.clock.wall -= 86_400_000;
  assert.equal(await site.standing(member), "stale", "accepted in what is now the future");
  // The host's own clock is its word and decides nothing.
  const { nonce, from } = await site.nonce(member);
  await member.host.append(sweepEvent({ nonce, time: "1999-12-31T23:59:59.000Z" }));
  assert.equal(await site.send(member, await member.host.collect(nonce, from)), "accepted");
  assert.equal(await site.standing(member), "trusted");
});

test("evidence that comes twice is taken once, however it comes", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const evidence = await site.evidence(member, gapEvent("told twice"));
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => site.send(member, evidence)));
  assert.deepEqual(outcomes.toSorted(), ["accepted", ...Array.from({ length: 7 }, () => "nonce-mismatch")]);
  const records = site.bench.verifier.records(member.name, 0);
  assert.equal(records.filter((line) => line.includes("told twice")).length, 1);
  // Two rounds under way at once: the older one has come too late.
  const [first, second] = [await site.evidence(member), await site.evidence(member)];
  assert.equal(await site.send(member, second), "accepted");
  await site.refuses(member, first, "nonce-mismatch");
  // Nonces are not stored: what was under way when the verifier ended comes too late as well.
  const late = await site.evidence(member);
  await site.restart();
  await site.refuses(member, late, "nonce-mismatch");
  await site.prove(member);
});

test("half of evidence proves nothing: cut off on its way, without what went ahead, or ahead alone", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const evidence = await site.evidence(member, gapEvent("x"));
  const body = JSON.stringify(evidence);
  for (const half of [body.slice(0, body.length / 2), body.slice(0, -1), ""])
    await cutOff(site.url, `/v1/hosts/node1/evidence`, member.token, half, body.length);
  assert.equal((await site.ask("/v1/hosts/node1/evidence", member.token, body.slice(0, -1))).status, 400);
  assert.equal(await site.standing(member), "trusted", "who was cut off is not to blame");
  assert.equal(await site.send(member, evidence), "accepted", "its nonce is still open");

  const ahead = async (from: number, records: readonly string[]) =>
    (await site.ask("/v1/hosts/node1/records", member.token, JSON.stringify({ from, records }))).json.next;
  const proved = site.bench.verifier.records(member.name, 0);
  const whole = await site.evidence(member, gapEvent("y"));
  assert.equal(await ahead(whole.from, whole.records.slice(0, 1)), whole.from + 1);
  assert.deepEqual(site.bench.verifier.records(member.name, 0), proved, "what is sent ahead is not believed");
  const rest = { ...whole, from: whole.from + 1, records: whole.records.slice(1) };
  site.bench.verifier.enroll("node2", member.host.akPublic, { ekName: "000b", certified: null });
  await site.refuses({ ...member, name: "node2" }, rest, "not-authorized", "ahead of another host's");
  assert.equal(await site.send(member, rest), "accepted");
  const next = await site.evidence(member);
  await site.refuses(
    member,
    { ...next, from: next.from + 1, records: next.records.slice(1) },
    "log-broken",
    "its half went astray",
  );
  await site.prove(member);
});

/** Sends the beginning of a request that says it is longer, and hangs up. */
async function cutOff(url: string, path: string, token: string, half: string, length: number): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  const closed = once(socket, "close");
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
  await new Promise<void>((resolve) => socket.write(head + half, () => resolve()));
  socket.destroy();
  await closed;
}
