import assert from "node:assert/strict";
import { test } from "node:test";
import { decideExec, type Question } from "./decide.ts";

const listed = { digests: new Set(["listed"]), sizes: new Set([7n]) };
const question: Question = {
  settings: { mode: "enforce", reference: { baseline: "image" } },
  listed: [listed],
  size: 7n,
  sha256: "listed",
  current: true,
  unchanged: true,
};
const decide = (changes: Partial<Question>) => decideExec({ ...question, ...changes });

test("by size unread, then by digest", () => {
  assert.deepEqual(decide({ size: 8n, sha256: null }), { allow: false, sha256: null, late: false });
  assert.equal(decide({ sha256: null }), "read");
  assert.deepEqual(decide({ sha256: "other" }), { allow: false, sha256: "other", late: false });
  assert.deepEqual(decide({}), { allow: true, keep: true });
  assert.deepEqual(decide({ unchanged: false }), { allow: true, keep: false });
  assert.deepEqual(decide({ listed: [] }), { allow: false, sha256: null, late: false });
});

test("where files of any size are listed, each is read", () => {
  const any = [{ digests: listed.digests, sizes: null }];
  assert.equal(decide({ listed: any, size: 8n, sha256: null }), "read");
  assert.deepEqual(decide({ listed: any, size: 8n }), { allow: true, keep: true });
  assert.deepEqual(decide({ listed: any, size: 8n, sha256: "other" }), { allow: false, sha256: "other", late: false });
});

test("a listed digest from before counts only while nobody can have changed the file, another one always", () => {
  assert.equal(decide({ current: false, unchanged: false }), "read");
  assert.deepEqual(decide({ sha256: "other", current: false }), { allow: false, sha256: "other", late: false });
});

test("where nothing is promised nothing is refused, and where nobody knows nothing is judged", () => {
  const reference = (reference: "none" | "unverified") => ({ settings: { mode: "enforce" as const, reference } });
  assert.deepEqual(decide({ ...reference("none"), sha256: "other" }), { allow: true, keep: false });
  assert.equal(decide(reference("unverified")), "unjudged");
  const off = { mode: "off" as const, reference: { baseline: "image" } };
  assert.deepEqual(decide({ settings: off, sha256: "other" }), { allow: true, keep: false });
});
