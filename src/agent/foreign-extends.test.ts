import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { errorCode } from "../core/errors.ts";
import { formatRecord, parseRecord } from "../log/record.ts";
import { tctiOf } from "../tpm/address.ts";
import { AgentSite } from "./testing-run.ts";

const run = promisify(execFile);
const good = ({ evidence }: { evidence: string }) => evidence === "good";
/** Evidence that was quoted between the agent's look and the extend is refused before, in other words. */
const refused = ({ evidence, reason, text }: { evidence: string; reason: string | null; text: string }) =>
  evidence === "refused" && reason === "pcr-mismatch" && text.includes("the agent says");

const extend = (site: AgentSite, pcr = 13) =>
  run("tpm2_pcrextend", ["-T", tctiOf(site.tpm), `${pcr}:sha256=${"5a".repeat(32)}`]);

test("another program's extend ends the agent, and agent and verifier say what it was and since when", async (t) => {
  const site = await AgentSite.open(t);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await extend(site);
  const error = await agent.ended;
  assert.equal(errorCode(error), "pcr-mismatch");
  const said = /^PCR 13 of the TPM was extended by another program after record (\d+) \(([0-9TZ:.-]+)\)$/;
  const [, recnum, time] = said.exec(error!.message) ?? assert.fail(error!.message);
  const records = await site.records();
  const at = records[Number(recnum)]!;
  assert.equal(at.events.at(-1)!.time, time);
  assert.ok(
    at.events.some(({ type }) => type === "sweep"),
    "it was looked at after a record of sweeps",
  );
  assert.ok(!records.at(-1)!.events.some(({ type }) => type === "agent-stop"), "nothing more was written");
  const report = await site.until("the refusal", refused);
  assert.equal(report.text, `the log does not lead to the quoted PCR value: the agent says that ${error!.message}`);

  // At the next start the agent cannot tell it from an altered log any more.
  const again = await site.startAgent().ended;
  assert.equal(errorCode(again), "pcr-mismatch");
  assert.match(
    again!.message,
    new RegExp(
      `^PCR 13 of the TPM was extended by another program after record ${recnum} .*, or the log was altered: `,
    ),
  );
  assert.deepEqual(await site.records(), records);
});

test("an extend while the agent is stopped: it does not start, and the verifier hears why", async (t) => {
  const site = await AgentSite.open(t);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await agent.stop();
  await extend(site);
  const error = await site.startAgent().ended;
  assert.equal(errorCode(error), "pcr-mismatch");
  const records = await site.records();
  const sweep = records.findLast(({ events }) => events.some(({ type }) => type === "sweep"))!;
  assert.match(error!.message, new RegExp(`extended by another program after record ${sweep.recnum} \\(`));
  const report = await site.until("the refusal", refused);
  assert.match(report.text, new RegExp(`the agent says that PCR 13 .* after record ${sweep.recnum} \\(`));
});

test("a register that is in use before there is a log", async (t) => {
  const site = await AgentSite.open(t);
  await extend(site);
  const error = await site.startAgent().ended;
  assert.equal(errorCode(error), "pcr-mismatch");
  assert.match(error!.message, /^PCR 13 of the TPM is already in use, and there is no log: another program extends it/);
  assert.ok(!existsSync(join(site.folder, "agent", "log", "measurements.jsonl")));
});

test("a PCR that anybody can reset: the reset is named, also without a verifier", async (t) => {
  const site = await AgentSite.open(t, 16);
  const reset = () => run("tpm2_pcrreset", ["-T", tctiOf(site.tpm), "16"]);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await reset();
  const error = await agent.ended;
  assert.match(error!.message, /^PCR 16 of the TPM was set back to zero after record \d+ \(/);
  const report = await site.until("the refusal", refused);
  assert.ok(report.text.endsWith(error!.message), report.text);
});

test("an extend is noticed although no verifier answers", async (t) => {
  const site = await AgentSite.open(t);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await site.closeVerifier();
  await extend(site);
  assert.match((await agent.ended)!.message, /^PCR 13 of the TPM was extended by another program after record \d+ \(/);
});

test("a second agent on the same register says that it is taken, and does not disturb the first one", async (t) => {
  const site = await AgentSite.open(t);
  site.startAgent();
  await site.until("good evidence", good);
  const path = site.tpm.slice("unix:".length);
  await symlink(path, join(site.folder, "other-name"));
  const second = { state: join(site.folder, "second"), tpm: `unix:${join(site.folder, "other-name")}`, host: "host-2" };
  const error = await site.startAgent(second).ended;
  assert.equal(errorCode(error), "agent-in-use");
  assert.equal(error!.message, "another agent on this host extends PCR 13 of the TPM");
  assert.ok(!existsSync(join(second.state, "log")));
  const { records } = await site.report();
  await site.until("further evidence", (report) => good(report) && report.records > records);
  // Another register of the same TPM is free; the verifier's name for the host is another matter.
  const third = site.startAgent({ ...second, state: join(site.folder, "third"), pcr: 14 });
  assert.equal(errorCode(await third.ended), "host-cloned");
});

test("a changed setting under a log of this boot is told, and not taken for an attack", async (t) => {
  const site = await AgentSite.open(t);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await agent.stop();
  const error = await site.startAgent({ pcr: 14 }).ended;
  assert.match(error!.message, /^record 0 of the log .* is of PCR 13 of the TPM, not of PCR 14 of the TPM$/);
});

test("a register that is in use when a machine has booted: the verifier is told what the agent found", async (t) => {
  const site = await AgentSite.open(t);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  await agent.stop();
  // As after a boot: the log is another boot's, the TPM was reset, and somebody has extended the PCR before the agent.
  const path = join(site.folder, "agent", "log", "measurements.jsonl");
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  const other = "00000000-0000-4000-8000-000000000001";
  const records = lines.map(parseRecord).map(({ recnum, pcr, events }) => {
    const told = events.map((event) => (event.type === "boot" ? { ...event, bootId: other } : event));
    return formatRecord(recnum, pcr, told).line;
  });
  assert.ok(lines[0]!.includes(bootId));
  await writeFile(path, records.map((line) => `${line}\n`).join(""));
  const error = await site.startAgent().ended;
  assert.match(error!.message, /^PCR 13 of the TPM is already in use, and the log is of another boot: another program/);
  const report = await site.until("the refusal", ({ evidence }) => evidence === "refused");
  assert.match(report.text, /: the agent says that PCR 13 of the TPM was extended by another program$/);
});
