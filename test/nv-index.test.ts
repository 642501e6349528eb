// A whole agent whose log is in an NV index, looked at with the commands and by a script that has none of PIMS's code.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { AgentSite } from "../src/agent/testing-run.ts";
import type { Bundle } from "../src/attest/bundle.ts";
import type { BundleReport } from "../src/attest/verify-bundle.ts";
import { sha256Hex } from "../src/core/digest.ts";
import { parseRecord } from "../src/log/record.ts";
import { pimsMeanwhile } from "./pims.ts";

const SETTING = "nv:0x01800020";
const SCRIPT = join(import.meta.dirname, "../docs/verify-bundle.py");

test("log, status and bundle of a host whose log is in an NV index", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const agent = site.startAgent();
  await site.until("good evidence", ({ evidence, records }) => evidence === "good" && records > 5);
  await agent.stop();

  const log = await pimsMeanwhile(["log", "verify", join(site.folder, "agent"), "--tpm", site.tpm, "--pcr", SETTING]);
  assert.equal(log.status, 0, log.stderr);
  const other = await pimsMeanwhile(["log", "verify", join(site.folder, "agent"), "--tpm", site.tpm]);
  assert.equal(other.status, 2);
  assert.match(other.stderr, /record 0 is of NV index 0x01800020, not PCR 13/);
  const none = await pimsMeanwhile(["log", "verify", join(site.folder, "agent"), "--tpm", site.tpm, "--pcr", "nv:13"]);
  assert.equal(none.status, 1);
  assert.match(none.stderr, /an NV index nv:0x01800000 to nv:0x01bffffe/);

  const file = join(site.folder, "bundle");
  const exported = await pimsMeanwhile(["bundle", "export", "host-1", "--out", file, ...site.operator]);
  assert.equal(exported.status, 0, exported.stderr);
  const bundle = JSON.parse(await readFile(file, "utf8")) as Bundle;
  const verify = async (records: string[], pcr = bundle.evidence.pcr) => {
    const altered = { ...bundle, evidence: { ...bundle.evidence, pcr }, log: { ...bundle.log, records } };
    await writeFile(file, JSON.stringify(altered));
    const ours = await pimsMeanwhile(["verify", file, "--json", "--undated"]);
    const theirs = spawnSync("python3", [SCRIPT, "--undated", file], { encoding: "utf8", timeout: 60_000 });
    const failed = (JSON.parse(ours.stdout) as BundleReport).checks.filter(({ outcome }) => outcome === "failed");
    return { ours: ours.status, theirs: theirs.status, failed, said: theirs.stdout + theirs.stderr };
  };
  const { records } = bundle.log;
  const honest = await verify(records);
  assert.deepEqual([honest.failed, honest.ours, honest.theirs], [[], 3, 3], honest.said);
  assert.match(honest.said, /^log: .*\d+ records from number 0 lead to the quoted value/m);
  const failing = async (what: string, altered: ReturnType<typeof verify>, why: RegExp) => {
    const { ours, theirs, failed, said } = await altered;
    assert.deepEqual([ours, theirs], [2, 2], `${what}: ${said}`);
    assert.match(said, why, what);
    assert.ok(failed.length > 0, what);
  };
  await failing("a record less", verify(records.slice(0, -1)), /does not lead to the quoted register/);
  await failing("as a quote", verify(records, 13), /not what a TPM says of such a register/);
  await failing(
    "another index",
    verify(records, bundle.evidence.pcr + 2),
    /log: .*not the one that the log began with/,
  );
  const content = JSON.stringify({ events: parseRecord(records[0]!, 0).events }).replace(
    /"count":"(\d+)"/,
    '"count":"1$1"',
  );
  const begun = records[0]!
    .replace(/"digest":"[0-9a-f]{64}"/, `"digest":"${sha256Hex(content)}"`)
    .replace(/"content":.*$/, () => `"content":${content}}`);
  await failing("another count", verify(records.with(0, begun)), /not the one that the log began with/);
});
