import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { platformPolicySchema } from "../attest/judge-platform.ts";
import { readReleases } from "../attest/release-manifest.ts";
import { PCR, TestHost, temporaryFolder } from "../attest/testing.ts";
import { MANIFEST, RELEASES, TestPlatform } from "../attest/testing-platform.ts";
import { buildApi } from "./api.ts";
import { Enrollment } from "./enrollment.ts";
import { Platforms } from "./platforms.ts";
import { Store } from "./store.ts";
import { STALE_MS, TestClock, TPM } from "./testing.ts";
import { Verifier } from "./verifier.ts";

test("a new boot's firmware log and list of files are taken from the beginning; a suspension's go on", async (t) => {
  const host = await TestHost.start(t);
  let platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/opt/pims/main.ts", "main");
  const store = Store.open(":memory:");
  t.after(() => store.close());
  const platforms = new Platforms(platformPolicySchema.parse({ require: ["boot", "agent"] }), RELEASES, store);
  const lookUp = async () => ({ found: false, reason: "no-baseline", text: "" }) as const;
  const verifier = new Verifier(
    { pcr: PCR, staleAfterMs: STALE_MS },
    { store, clock: new TestClock(), platforms, lookUp },
  );
  verifier.enroll("node1", host.akPublic, TPM);
  // The agent does so (agent.ts): what another boot's verifier lacks is all.
  const attest = async () => {
    const { nonce, from, boot, platform: wanted } = verifier.nonce("node1");
    const lacks = boot === null || boot === host.bootId ? wanted! : { firmwareLog: true, imaFrom: 0 };
    return verifier.appraise("node1", await platform.answer(nonce, from, lacks, undefined, boot));
  };
  const states = async () => (await verifier.reportHost("node1")).links!.map(({ state }) => state);
  assert.deepEqual(await attest(), { accepted: true, records: 2 });
  assert.deepEqual(await states(), ["proved", "proved", "proved", "missing"]);

  await host.powerOff("state");
  await host.powerOn({ startup: "state" });
  assert.deepEqual(verifier.nonce("node1").platform, { firmwareLog: false, imaFrom: 1 });
  assert.deepEqual(await attest(), { accepted: true, records: 3 });

  await host.reboot("clear");
  platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/usr/sbin/runc", "runc");
  await platform.measure("/opt/pims/main.ts", "another");
  assert.deepEqual(await attest(), { accepted: true, records: 2 });
  assert.deepEqual(await states(), ["proved", "proved", "broken", "proved"]);
});

test("what is below an agent is asked for once, kept, and leaves nothing trusted when it is wrong", async (t) => {
  const host = await TestHost.start(t);
  const platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/opt/pims/main.ts", "main");
  const path = join(await temporaryFolder(t), "verifier.sqlite");
  let store = Store.open(path);
  t.after(() => store.close());
  const start = () => {
    const platforms = new Platforms(platformPolicySchema.parse({ require: ["agent"] }), RELEASES, store);
    const lookUp = async () => ({ found: false, reason: "no-baseline", text: "" }) as const;
    const modules = { store, clock: new TestClock(), platforms, lookUp };
    return new Verifier({ pcr: PCR, staleAfterMs: STALE_MS }, modules);
  };
  let verifier = start();
  verifier.enroll("node1", host.akPublic, TPM);
  const attest = async () => {
    const { nonce, from, platform: wanted } = verifier.nonce("node1");
    return { wanted, outcome: await verifier.appraise("node1", await platform.answer(nonce, from, wanted!)) };
  };

  assert.deepEqual((await verifier.reportHost("node1")).links?.[0]?.state, "missing");
  const first = await attest();
  assert.deepEqual(first.wanted, { firmwareLog: true, imaFrom: 0 });
  assert.deepEqual(first.outcome, { accepted: true, records: 2 });
  const report = await verifier.reportHost("node1");
  assert.deepEqual(
    [report.evidence, ...report.links!.map(({ state }) => state)],
    ["good", "proved", "proved", "proved", "missing"],
  );

  store.close();
  store = Store.open(path);
  verifier = start();
  await platform.measure("/usr/sbin/runc", "another");
  const second = await attest();
  assert.deepEqual(second.wanted, { firmwareLog: false, imaFrom: 1 });
  assert.equal(second.outcome.accepted, true);
  const after = await verifier.reportHost("node1");
  assert.deepEqual([after.evidence, after.reason], ["refused", "runtime-modified"]);
  assert.match(after.text, /\/usr\/sbin\/runc/);

  const modules = { verifier, store: store.enrollments, clock: new TestClock() };
  const app = buildApi(verifier, new Enrollment({ roots: [], uncertified: false, operator: "00".repeat(32) }, modules));
  t.after(() => app.close());
  const answer = await app.inject({ method: "GET", url: "/v1/hosts/node1/platform" });
  assert.equal(answer.json().platform.state.firmware.secureBoot, "on");
  assert.equal((await app.inject({ method: "GET", url: "/v1/hosts/other/platform" })).statusCode, 404);

  // Enrolled anew, it has proved nothing.
  store.enroll("node1", host.akPublic, "00".repeat(32));
  assert.equal(store.platform("node1"), null);
});

test("manifests are read with their place and fault named", async (t) => {
  const path = join(await temporaryFolder(t), "manifest.json");
  await writeFile(path, JSON.stringify(MANIFEST));
  assert.equal((await readReleases([path])).id, RELEASES.id);
  for (const [text, problem] of [
    ["{", /not JSON/],
    [JSON.stringify({ ...MANIFEST, version: 1 }), /wrong at version/],
    [JSON.stringify({ ...MANIFEST, runtime: { files: [{ path: "runc", sha256: "" }] } }), /runtime\.files\.0/],
  ] as const) {
    await writeFile(path, text);
    await assert.rejects(readReleases([path]), { code: "release-invalid", message: problem });
  }
  await assert.rejects(readReleases([`${path}.not`]), { code: "release-invalid", message: /ENOENT/ });
});
