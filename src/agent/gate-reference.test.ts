// The gate lets go what nobody has promised anything of, never what nobody could ask about.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BaselineState } from "../ledger/baseline-cache.ts";
import type { ReferenceName } from "../measure/gate/protocol.ts";
import { gateReference, isComplete } from "./gate-reference.ts";

const info = { runtime: "docker", id: "1", name: "web", image: null, imageName: null, labels: {} } as const;
const held: ReferenceName = { baseline: "web" };
const reference = (state: BaselineState | null, before?: ReferenceName, complete = true) =>
  gateReference(state, { name: "web", complete, before });

test("an image that could not be told is nobody's word that there is none", () => {
  const unresolved = { info: { ...info, unresolved: "its content is not there" }, problem: null };
  assert.equal(isComplete(unresolved), false);
  assert.equal(isComplete({ info, problem: null }), true);
  assert.equal(reference(null, undefined, isComplete(unresolved)), "unverified");
  assert.equal(reference(null, "unverified", isComplete(unresolved)), "unverified");
  assert.deepEqual(reference(null, held, isComplete(unresolved)), held);
  assert.equal(reference(null, "unverified", true), "none", "once it is known that there is no image");
});

test("what the ledger has said before it was silent counts", () => {
  for (const status of ["none", "proposed"] as const) assert.equal(reference({ status }, held), "none");
  assert.equal(reference({ status: "revoked", text: "" }, held), "unverified");
  const silent = { status: "unverified", text: "", isApproved: false } as const;
  assert.equal(reference(silent, "none"), "none");
  for (const before of [undefined, held, "unverified"] as const) assert.equal(reference(silent, before), "unverified");
  // It has spoken since, and only what it approved cannot be had.
  for (const status of ["altered", "unverified"] as const)
    assert.equal(reference({ status, text: "", isApproved: true }, "none"), "unverified");
});
