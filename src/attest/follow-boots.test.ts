import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../core/bytes.ts";
import { MAX_EARLIER_BOOTS } from "../log/earlier-logs.ts";
import type { LogEvent } from "../log/event.ts";
import { formatRecord } from "../log/record.ts";
import { replay } from "../log/replay.ts";
import { NOTHING_PROVED, type Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";
import { type BootPart, endValue, followBoots } from "./follow-boots.ts";
import { gapEvent, TIME } from "./sample-events.ts";
import { bootIdOf, PCR } from "./testing.ts";

type Previous = Extract<LogEvent, { type: "boot" }>["previous"];

/** Logs of boots one after the other, each with a `boot` record and so many others, each naming the end of the one before. */
function chain(...counts: number[]): { lines: string[]; value: string }[] {
  let previous: Previous = null;
  return counts.map((count, boot) => {
    const events: LogEvent[] = [
      { type: "boot", time: TIME, bootId: bootIdOf(boot), previous },
      ...Array.from({ length: count }, (_, index) => gapEvent(`${boot}.${index}`)),
    ];
    const records = events.map((event, recnum) => formatRecord(recnum, PCR, [event]));
    const value = toHex(replay(records.map(({ digest }) => digest)));
    previous = { bootId: bootIdOf(boot), recnum: count, digest: records.at(-1)!.digest, pcr: value };
    return { lines: records.map(({ line }) => line), value };
  });
}

/** What a verifier has proved of the first boot. */
function provedOf({ lines }: { lines: readonly string[] }, length: number): Proved {
  const digests = lines.slice(0, length).map((line) => /"digest":"([0-9a-f]+)"/.exec(line)![1]!);
  return { bootId: bootIdOf(0), length, digest: digests.at(-1)!, value: toHex(replay(digests)), tpm: null };
}

const evidence = (from: number, records: string[]): Evidence => ({
  ...{ nonce: "", from, records, attest: "", signature: "" },
});

function partsOf(...given: Parameters<typeof followBoots>): BootPart[] {
  const { told, current } = followBoots(...given);
  return [...told, current];
}

const refuses = (code: string, message: RegExp) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code);
  assert.match(String((error as Error).message), message);
  return true;
};

test("a log that goes on is one part; logs of further boots are parts of their own, each from record 0", () => {
  const [first, second, third] = chain(3, 2, 1);
  const proved = provedOf(first!, 2);
  const tail = first!.lines.slice(2);
  const [only, ...more] = partsOf(evidence(2, tail), proved, PCR);
  assert.deepEqual([only?.from, only?.lines, more.length], [2, tail, 0]);
  const parts = partsOf(evidence(2, [...tail, ...second!.lines, ...third!.lines]), proved, PCR);
  assert.deepEqual(
    parts.map(({ bootId, from, lines }) => [bootId, from, lines]),
    [
      [bootIdOf(0), 2, tail],
      [bootIdOf(1), 0, second!.lines],
      [bootIdOf(2), 0, third!.lines],
    ],
  );
  assert.deepEqual(
    parts.map((part) => toHex(endValue(part))),
    [first!.value, second!.value, third!.value],
  );
});

test("nothing needs to follow on what was proved last", () => {
  const [first, second] = chain(1, 1);
  const parts = partsOf(evidence(2, second!.lines), provedOf(first!, 2), PCR);
  assert.deepEqual(
    parts.map(({ from, lines }) => [from, lines.length]),
    [
      [2, 0],
      [0, 2],
    ],
  );
});

test("before anything was proved the first log gives the boot", () => {
  const [first, second] = chain(1, 0);
  assert.equal(followBoots(evidence(0, first!.lines), NOTHING_PROVED, PCR).current.bootId, bootIdOf(0));
  const lines = [...first!.lines, ...second!.lines];
  assert.equal(partsOf(evidence(0, lines), NOTHING_PROVED, PCR).length, 2);
});

test("log-rollback: a boot is left out, a record of it, or one of the proved log's rest", () => {
  const [first, second, third] = chain(3, 2, 1);
  const proved = provedOf(first!, 2);
  const tail = first!.lines.slice(2);
  const follow = (...records: string[]) => followBoots(evidence(2, records), proved, PCR);
  assert.throws(() => follow(...tail, ...third!.lines), refuses("log-rollback", /follows on .*0002, not on .*0001/));
  assert.throws(() => follow(...second!.lines), refuses("log-rollback", /does not lead to the end/));
  assert.throws(() => follow(...tail.slice(0, 1), ...second!.lines), refuses("log-rollback", /does not lead/));
  assert.throws(
    () => follow(...tail, ...second!.lines.slice(0, -1), ...third!.lines),
    refuses("log-rollback", /does not lead/),
  );
});

test("log-rollback: the log before is said to have ended before what was proved, or with another value", () => {
  const [first, second] = chain(3, 0);
  const proved = provedOf(first!, 4);
  const [boot] = JSON.parse(second!.lines[0]!).content.events as [Extract<LogEvent, { type: "boot" }>];
  const begin = (fields: object) =>
    formatRecord(0, PCR, [{ ...boot, previous: { ...boot.previous!, ...fields } }]).line;
  const follow = (line: string) => partsOf(evidence(4, [line]), proved, PCR);
  assert.equal(follow(begin({})).length, 2);
  assert.throws(
    () => follow(begin({ recnum: 2 })),
    refuses("log-rollback", /after 3 records, but 4 were already proved/),
  );
  assert.throws(() => follow(begin({ recnum: 4 })), refuses("log-rollback", /does not lead/));
  assert.throws(() => follow(begin({ digest: "ab".repeat(32) })), refuses("log-rollback", /does not lead/));
  assert.throws(() => follow(begin({ pcr: "ab".repeat(32) })), refuses("log-rollback", /does not lead/));
  assert.throws(() => follow(begin({ bootId: bootIdOf(7) })), refuses("log-rollback", /follows on/));
});

test("log-rollback: a log begins anew that names nothing, is of the same boot, or does not begin with a boot", () => {
  const [first] = chain(1);
  const proved = provedOf(first!, 2);
  const follow = (event: LogEvent) => followBoots(evidence(2, [formatRecord(0, PCR, [event]).line]), proved, PCR);
  const boot = { type: "boot" as const, time: TIME, bootId: bootIdOf(1), previous: null };
  assert.throws(() => follow(boot), refuses("log-rollback", /follows on none/));
  assert.throws(() => follow({ ...boot, bootId: bootIdOf(0) }), refuses("log-rollback", /has a log already/));
  assert.throws(() => follow(gapEvent("x")), refuses("log-rollback", /not with a boot/));
});

test("log-rollback: more boots than are followed", () => {
  const boots = chain(...Array.from({ length: MAX_EARLIER_BOOTS + 2 }, () => 0));
  const lines = boots.slice(1).flatMap((boot) => boot.lines);
  const proved = provedOf(boots[0]!, 1);
  assert.equal(partsOf(evidence(1, lines.slice(0, -1)), proved, PCR).length, MAX_EARLIER_BOOTS + 1);
  assert.throws(() => followBoots(evidence(1, lines), proved, PCR), refuses("log-rollback", /more than 64 boots/));
});

test("log-rollback or log-broken: the first log does not go on where the proof ended", () => {
  const [first, second] = chain(3, 0);
  const proved = provedOf(first!, 4);
  assert.throws(() => followBoots(evidence(2, second!.lines), proved, PCR), refuses("log-rollback", /after 2 records/));
  assert.throws(() => followBoots(evidence(5, second!.lines), proved, PCR), refuses("log-broken", /start at 5/));
  const again = [...first!.lines.slice(3), ...second!.lines];
  assert.throws(() => followBoots(evidence(3, again), proved, PCR), refuses("log-broken", /start at 3/));
});

test("log-broken: a boot is told of anywhere but at a log's beginning", () => {
  const [first] = chain(0);
  const boot = { type: "boot" as const, time: TIME, bootId: bootIdOf(1), previous: null };
  const lines = [formatRecord(1, PCR, [boot]).line];
  assert.throws(
    () => followBoots(evidence(1, lines), provedOf(first!, 1), PCR),
    refuses("log-broken", /record 1 tells/),
  );
  const second = formatRecord(0, PCR, [boot, boot]).line;
  assert.throws(() => followBoots(evidence(0, [second]), NOTHING_PROVED, PCR), refuses("log-broken", /record 0 tells/));
});

test("nothing that was told can be dropped, doubled, moved or written anew, whichever record it is", () => {
  const [first, second, third] = chain(3, 2, 1);
  const proved = provedOf(first!, 2);
  const lines = [...first!.lines.slice(2), ...second!.lines, ...third!.lines];
  const refused = (records: string[], what: string) =>
    assert.throws(() => followBoots(evidence(2, records), proved, PCR), /^PimsError/, what);
  const told = lines.length - third!.lines.length;
  for (let at = 0; at < told; at++) {
    refused(lines.toSpliced(at, 1), `without ${at}`);
    refused(lines.toSpliced(at, 0, lines[at]!), `${at} twice`);
    refused(lines.with(at, lines[at + 1]!).with(at + 1, lines[at]!), `${at} behind the next`);
    const { recnum, content } = JSON.parse(lines[at]!) as { recnum: number; content: { events: LogEvent[] } };
    const events = [...content.events, gapEvent("one more")];
    refused(lines.with(at, formatRecord(recnum, PCR, events).line), `${at} with an event more`);
    for (let end = 0; end < at; end++) refused(lines.toSpliced(end, at - end + 1), `without ${end} to ${at}`);
  }
  assert.equal(partsOf(evidence(2, lines), proved, PCR).length, 3);
});
