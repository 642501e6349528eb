import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { MAX_LINE_BYTES } from "../log/record.ts";
import { type Evidence, MAX_RECORDS, parseEvidence } from "./evidence.ts";

const good: Evidence = {
  nonce: "5a".repeat(32),
  from: 7,
  records: ["a", "b"],
  attest: Buffer.alloc(145, 1).toString("base64"),
  signature: Buffer.alloc(72, 2).toString("base64"),
};

/** Parses to the same value, or is refused as malformed in one short sentence. */
function attempt(body: unknown): "accepted" | "refused" {
  try {
    assert.deepEqual(parseEvidence(body), body);
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof PimsError, String(error));
    assert.equal(error.code, "evidence-malformed");
    assert.ok(error.message.length < 300 && printable(error.message) === error.message, error.message.slice(0, 400));
    return "refused";
  }
}

test("evidence travels as it is", () => {
  assert.deepEqual(parseEvidence(JSON.parse(JSON.stringify(good))), good);
  assert.equal(attempt({ ...good, records: [], from: 0, nonce: "" }), "accepted");
});

test("what is not evidence is refused", () => {
  for (const body of [undefined, null, 1, "", [], {}, [good], true]) assert.equal(attempt(body), "refused");
  for (const key of Object.keys(good)) {
    const { [key as keyof Evidence]: _, ...rest } = good;
    assert.equal(attempt(rest), "refused", `without ${key}`);
    for (const value of [null, {}, [[]], -1, 1.5, "\u0000", Number.MAX_VALUE, [null]])
      assert.equal(attempt({ ...good, [key]: value }), "refused", `${key} = ${JSON.stringify(value)}`);
  }
});

test("a key too many is refused, and does not come back as it is", () => {
  assert.equal(attempt({ ...good, extra: 1 }), "refused");
  assert.equal(attempt({ ...good, [`\u001b[2J${"x".repeat(1_000_000)}`]: 1 }), "refused");
  assert.equal(attempt(JSON.parse(`{"__proto__":1,${JSON.stringify(good).slice(1)}`)), "refused");
});

test("numbers, digits and base64 are exact", () => {
  for (const nonce of ["5", "5A", "xy", "5a ", "5a".repeat(65)]) assert.equal(attempt({ ...good, nonce }), "refused");
  for (const from of [2 ** 53, -0.5, "7"]) assert.equal(attempt({ ...good, from }), "refused");
  for (const text of ["=", "A", "AA", "AAA*", "AAAA\n", "____", "AAAA AAAA"])
    for (const part of ["attest", "signature"]) assert.equal(attempt({ ...good, [part]: text }), "refused", text);
});

test("every part has a bound", () => {
  const base64 = (bytes: number) => Buffer.alloc(bytes).toString("base64");
  assert.equal(attempt({ ...good, attest: base64(4096), signature: base64(1024) }), "accepted");
  assert.equal(attempt({ ...good, attest: base64(4099) }), "refused");
  assert.equal(attempt({ ...good, signature: base64(1027) }), "refused");
  assert.equal(attempt({ ...good, records: Array.from({ length: MAX_RECORDS }, () => "") }), "accepted");
  assert.equal(attempt({ ...good, records: Array.from({ length: MAX_RECORDS + 1 }, () => "") }), "refused");
  assert.equal(attempt({ ...good, records: ["x".repeat(MAX_LINE_BYTES)] }), "accepted");
  assert.equal(attempt({ ...good, records: ["x".repeat(MAX_LINE_BYTES + 1)] }), "refused");
});

test("whatever JSON comes, it is evidence or malformed", () => {
  const part = fc.constantFrom(...(Object.keys(good) as (keyof Evidence)[]));
  fc.assert(
    fc.property(fc.array(fc.tuple(part, fc.jsonValue()), { minLength: 1, maxLength: 3 }), (changes) => {
      attempt({ ...good, ...Object.fromEntries(changes) });
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.jsonValue(), (body) => attempt(body) === "refused"));
});
