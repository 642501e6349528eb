import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEvent } from "../log/event.ts";
import type { Reason } from "../log/finding.ts";
import { applyRecords, emptyHostState, type HostState, keyOf } from "./host-state.ts";
import type { ReferenceValues } from "./judge.ts";
import {
  codeEvent,
  containerOf,
  digestOf,
  startEvent,
  stopEvent,
  sweepEvent,
  violationEvent,
} from "./sample-events.ts";
import { type BaselineLookup, decide, exitStatusOf, type HostStanding, type Verdict } from "./verdict.ts";

const web = containerOf("web");
const app = containerOf("app");
const good: HostStanding = { standing: "good" };
const listed = ["/usr/bin/server", "/lib/libc.so.6"];
const reference: ReferenceValues = {
  hasDigest: (sha256) => listed.map(digestOf).includes(sha256),
  hasPath: (path) => listed.some((known) => known === path),
  exposes: () => false,
  mayCompile: () => false,
  mayBeDisplaced: () => false,
  mayPreload: () => false,
};
const found: BaselineLookup = { found: true, reference };

function stateOf(...events: LogEvent[]): HostState {
  const state = emptyHostState();
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "00".repeat(32), events }]);
  return state;
}

/** A host with two containers, whose code is all listed and which was swept whole; then more events. */
function healthy(...events: LogEvent[]): HostState {
  const life = [web, app].flatMap((container) => [
    startEvent(container),
    ...listed.map((path) => codeEvent(container, path)),
  ]);
  return stateOf(...life, sweepEvent(), ...events);
}

function verdict(state: HostState, container = web, lookup = found, host = good): Verdict {
  return decide(state, state.containers.get(keyOf(container))!, lookup, host);
}

const reasons = ({ reasons }: Verdict) => reasons.map(({ reason }) => reason);

test("good evidence, a baseline, complete coverage and nothing found: trusted", () => {
  const { status, reasons, findings, container, imageName } = verdict(healthy());
  assert.deepEqual([status, reasons, findings], ["trusted", [], []]);
  assert.deepEqual([container, imageName], [web, "web:latest"]);
});

test("without a baseline, for whatever reason, a container is unknown and never trusted", () => {
  const without: Reason[] = [
    "no-baseline",
    "baseline-unapproved",
    "baseline-revoked",
    "baseline-altered",
    "ledger-unverified",
  ];
  for (const reason of without) {
    const decided = verdict(healthy(), web, { found: false, reason, text: "there is none" });
    assert.deepEqual([decided.status, reasons(decided)], ["unknown", [reason]]);
  }
});

test("without a baseline what is wrong in itself condemns all the same", () => {
  const memfd = codeEvent(web, "/memfd:x", { backing: "memfd" });
  const decided = verdict(healthy(memfd), web, { found: false, reason: "no-baseline", text: "there is none" });
  assert.equal(decided.status, "untrusted");
  assert.deepEqual(
    decided.findings.map(({ reason }) => reason),
    ["memfd-executable"],
  );
});

test("what the agent found condemns its container, stays, and leaves the neighbour trusted", () => {
  const state = healthy(violationEvent(web), sweepEvent(), sweepEvent());
  const decided = verdict(state);
  assert.equal(decided.status, "untrusted");
  assert.deepEqual(
    decided.findings.map(({ reason, text }) => [reason, text]),
    [["code-modified", "a code page differs from the file"]],
  );
  assert.ok(!("time" in decided.findings[0]!));
  assert.equal(verdict(state, app).status, "trusted");
});

test("a finding stays when its process is gone, the container stops, is started again or says that it is another image", () => {
  const renamed = { ...web, image: app.image };
  const state = healthy(violationEvent(web), stopEvent(web), startEvent(renamed), sweepEvent());
  assert.equal(verdict(state).status, "untrusted");
  assert.equal(verdict(state).container.image, web.image);
});

test("the verifier judges the facts itself, also where the agent found nothing", () => {
  const decided = verdict(healthy(codeEvent(web, "/tmp/evil")));
  assert.equal(decided.status, "untrusted");
  assert.deepEqual(
    decided.findings.map(({ reason, object }) => [reason, object.path]),
    [["unknown-executable", "/tmp/evil"]],
  );
});

test("the agent's finding and the verifier's own of the same thing are one", () => {
  const event = codeEvent(web, "/tmp/evil");
  const { pid, startTime, comm, exe, object } = event;
  const said = violationEvent(web, {
    ...{ reason: "unknown-executable", pid, startTime, comm, exe, object, pages: [], text: "the agent's words" },
  });
  assert.deepEqual(
    verdict(healthy(event, said)).findings.map(({ text }) => text),
    ["the agent's words"],
  );
});

test("a memory file does not go unseen because a listed file with the same bytes is seen later or was before", () => {
  const memfd = codeEvent(web, listed[0]!, { backing: "memfd" });
  for (const events of [[memfd], [memfd, codeEvent(web, listed[0]!)]])
    assert.equal(verdict(healthy(...events)).status, "untrusted");
  assert.equal(verdict(stateOf(startEvent(web), memfd, codeEvent(web, listed[0]!), sweepEvent())).status, "untrusted");
});

test("what a finding says does not change when the same code is seen in another process", () => {
  const state = healthy(codeEvent(web, "/tmp/evil"), codeEvent(web, "/tmp/evil", { pid: 5000, comm: "other" }));
  assert.deepEqual(
    verdict(state).findings.map(({ pid }) => pid),
    [4711],
  );
});

test("refused evidence leaves none of a host's containers trusted, and condemned ones condemned", () => {
  const state = healthy(violationEvent(web));
  const refused: HostStanding = { standing: "refused", reason: "pcr-mismatch", text: "the log does not fit" };
  assert.deepEqual(
    [verdict(state, app, found, refused).status, reasons(verdict(state, app, found, refused))],
    ["unknown", ["pcr-mismatch"]],
  );
  assert.equal(verdict(state, web, found, refused).status, "untrusted");
});

test("evidence that is too old makes stale, and condemned stays condemned", () => {
  const state = healthy(violationEvent(web));
  const stale: HostStanding = { standing: "stale", text: "no evidence for more than 60 s" };
  const decided = verdict(state, app, found, stale);
  assert.deepEqual([decided.status, reasons(decided)], ["stale", ["coverage-stale"]]);
  assert.equal(verdict(state, web, found, stale).status, "untrusted");
});

test("coverage that is incomplete counts for the container it concerns", () => {
  const sweep = sweepEvent({ unreadable: 2, incomplete: [{ container: keyOf(web), text: "process 7: no access" }] });
  const state = healthy(sweep);
  const decided = verdict(state);
  assert.deepEqual(
    [decided.status, decided.reasons],
    ["unknown", [{ reason: "coverage-incomplete", text: "process 7: no access" }]],
  );
  assert.equal(verdict(state, app).status, "trusted");
  assert.equal(verdict(healthy(sweep, sweepEvent())).status, "trusted");
});

test("coverage that is incomplete nobody knows where, or at more places than the event names, counts for all", () => {
  const others = Array.from({ length: 64 }, (_, index) => ({ container: `docker:${index}`, text: "no access" }));
  for (const incomplete of [[], others]) {
    const state = healthy(sweepEvent({ unreadable: 70, incomplete }));
    for (const container of [web, app]) {
      const decided = verdict(state, container);
      assert.deepEqual([decided.status, reasons(decided)], ["unknown", ["coverage-incomplete"]]);
    }
  }
  const one = healthy(sweepEvent({ unreadable: 63, incomplete: others.slice(1) }));
  assert.equal(verdict(one).status, "trusted");
});

test("a container that no sweep has covered yet is not trusted; one that has stopped needs no more sweeps", () => {
  const decided = verdict(stateOf(startEvent(web)));
  assert.deepEqual([decided.status, reasons(decided)], ["unknown", ["coverage-incomplete"]]);
  const stopped = healthy(stopEvent(web), sweepEvent({ unreadable: 1 }));
  assert.equal(verdict(stopped).status, "trusted");
});

test("exit status: the worst wins, untrusted before not determined", () => {
  assert.equal(exitStatusOf([]), 0);
  assert.equal(exitStatusOf(["trusted", "trusted"]), 0);
  for (const status of ["unknown", "stale", "unreachable"] as const)
    assert.equal(exitStatusOf(["trusted", status, "trusted"]), 3);
  assert.equal(exitStatusOf(["unknown", "stale", "untrusted", "trusted"]), 2);
  assert.equal(exitStatusOf(["untrusted", "unknown"]), 2);
});

test("without a baseline only what no baseline could allow is a finding, since findings stay", () => {
  const deleted = codeEvent(web, "/usr/bin/server", { deleted: true });
  const memory = codeEvent(web, "/memfd:x", { backing: "memfd" });
  const without: BaselineLookup = { found: false, reason: "ledger-unverified", text: "no chain answers" };
  assert.deepEqual(verdict(healthy(deleted), web, without).findings, []);
  assert.deepEqual(
    verdict(healthy(deleted, memory), web, without).findings.map(({ reason }) => reason),
    ["memfd-executable"],
  );
});
