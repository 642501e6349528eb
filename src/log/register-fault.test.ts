import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEvent } from "./event.ts";
import { describeFault, faultKind, LastFoundRight } from "./register-fault.ts";
import { RegisterWatch } from "./register-watch.ts";
import { extendValue, replay, ZERO_PCR } from "./replay.ts";

const digests = Array.from({ length: 300 }, (_, index) => index.toString(16).padStart(64, "0"));
const foreign = "ff".repeat(32);
const time = "2026-01-02T03:04:05.678Z";

test("a value tells whether the register was extended, set back to zero, or set back to an earlier value", () => {
  const value = replay(digests);
  assert.equal(faultKind(extendValue(value, foreign), ZERO_PCR, digests), "extended");
  assert.equal(faultKind(replay([foreign, ...digests]), ZERO_PCR, digests), "extended");
  assert.equal(faultKind(ZERO_PCR, ZERO_PCR, digests), "reset");
  // Reset, and the log went on: the last records lead there from zero.
  for (const last of [1, 2, 64]) assert.equal(faultKind(replay(digests.slice(-last)), ZERO_PCR, digests), "reset");
  for (const count of [1, 2, 299])
    assert.equal(faultKind(replay(digests.slice(0, count)), ZERO_PCR, digests), "set-back");
  // Also where only what came after a known value is at hand.
  const known = replay(digests.slice(0, 10));
  assert.equal(faultKind(known, known, digests.slice(10)), "set-back");
  assert.equal(faultKind(replay(digests.slice(10, 50)), known, digests.slice(10, 50)), "reset");
});

test("how long a register was right is known from when it was last read", () => {
  const watch = new RegisterWatch(13, ZERO_PCR, null);
  let value = ZERO_PCR;
  const append = (recnum: number) => {
    value = extendValue(value, digests[recnum % 300]!);
    watch.extended(digests[recnum % 300]!, { recnum, time });
  };
  append(0);
  assert.equal(watch.check(value, value), null);
  append(1);
  assert.deepEqual(watch.explain(extendValue(value, foreign)).fault, { kind: "extended", since: { recnum: 0, time } });
  // However many records came since then.
  for (let recnum = 2; recnum < 3000; recnum++) append(recnum);
  assert.deepEqual(watch.check(ZERO_PCR, value)?.fault, { kind: "reset", since: { recnum: 0, time } });
  assert.equal(watch.check(value, value), null);
  assert.equal(watch.check(extendValue(value, foreign), value)?.message.split(" after ")[1], `record 2999 (${time})`);
});

test("a log shows when its register was last found right: before a record that came after looking", () => {
  const event = (type: string) => ({ type, time }) as LogEvent;
  const records = (...types: string[][]) =>
    types.map((of, recnum) => ({ recnum, pcr: 13, digest: digests[recnum]!, events: of.map(event) }));
  const last = (...types: string[][]) => {
    const right = new LastFoundRight();
    for (const record of records(...types)) right.add(record);
    return right.place?.recnum ?? null;
  };
  assert.equal(last(), null);
  assert.equal(last(["boot"]), null);
  assert.equal(last(["boot"], ["agent-start"]), 0);
  assert.equal(last(["boot"], ["agent-start"], ["sweep"]), 0, "it may have been wrong after this one");
  assert.equal(last(["boot"], ["agent-start"], ["sweep"], ["code"]), 2);
  assert.equal(last(["boot"], ["agent-start"], ["sweep"], ["code"], ["gap", "agent-start"], ["sweep"]), 3);
  assert.equal(
    describeFault(13, { kind: "extended", since: null }),
    "PCR 13 of the TPM was extended by another program",
  );
});
