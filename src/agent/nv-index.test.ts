import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { fromHex, toHex } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { replay } from "../log/replay.ts";
import { tctiOf } from "../tpm/address.ts";
import { nvReadPublic, nvUndefine } from "../tpm/commands/nv.ts";
import { TPMA_NV } from "../tpm/constants.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { openTpm } from "../tpm/tpm.ts";
import { verifierConfigSchema } from "../verifier/config.ts";
import { runVerifier } from "../verifier/run.ts";
import { AgentSite } from "./testing-run.ts";

const run = promisify(execFile);
const INDEX = 0x01800020;
const SETTING = "nv:0x01800020";
const good = ({ evidence }: { evidence: string }) => evidence === "good";
const refused = ({ evidence, reason, text }: { evidence: string; reason: string | null; text: string }) =>
  evidence === "refused" && reason === "pcr-mismatch" && text.includes("the agent says");

test("a log in an NV index is proved, goes on after a restart, and agrees with what tpm2-tools read", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const first = site.startAgent();
  await site.until("good evidence", good);
  await first.stop();
  const second = site.startAgent();
  const { records: before } = await site.report();
  await site.until("good evidence again", (report) => good(report) && report.records > before + 3);
  await second.stop();
  const records = await site.records();
  assert.ok(records.every(({ pcr }) => pcr === INDEX));
  const [boot] = records[0]!.events;
  assert.ok(boot?.type === "boot" && Number(boot.nv?.count) > 0);
  const line = (await readFile(join(site.folder, "agent/log/measurements.jsonl"), "utf8")).split("\n")[1]!;
  assert.ok(line.startsWith('{"recnum":1,"nv_index":25165856,"digests":[{'), line);
  const value = join(site.folder, "value");
  await run("tpm2_nvread", ["-T", tctiOf(site.tpm), "-o", value, "0x1800020"]);
  assert.equal(toHex(await readFile(value)), toHex(replay(records.map(({ digest }) => digest))));
});

test("an NV index that is deleted and filled again with the same records is noticed and named", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  const tpm = await openTpm(site.tpm);
  try {
    await run("tpm2_nvundefine", ["-T", tctiOf(site.tpm), "-C", "o", "0x1800020"]);
    // Whoever extends all of the log, but for what no quote has shown yet, has the value that the agent expects.
    const thief = new NvRegister(tpm, INDEX);
    await thief.begin();
    for (const { digest } of await site.records()) await thief.extend(fromHex(digest));
  } finally {
    await tpm.close();
  }
  const error = await agent.ended;
  assert.equal(errorCode(error), "pcr-mismatch");
  assert.match(
    error!.message,
    /^NV index 0x01800020 of the TPM was deleted, or defined anew, by another program after record \d+ \(/,
  );
  const again = await site.startAgent().ended;
  assert.match(again!.message, /^NV index 0x01800020 of the TPM was deleted, or defined anew/);
  const report = await site.until("the refusal", ({ evidence }) => evidence === "refused");
  assert.equal(report.reason, "pcr-mismatch");
  assert.match(report.text, /^the NV index 0x01800020 of the TPM is not the one that the log began with: /);
});

test("an index of another kind in its place is named as what it is, and left there", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  const tcti = tctiOf(site.tpm);
  await run("tpm2_nvundefine", ["-T", tcti, "-C", "o", "0x1800020"]);
  await run("tpm2_nvdefine", ["-T", tcti, "-C", "o", "-s", "32", "-a", "authread|authwrite|nt=extend", "0x1800020"]);
  const error = await agent.ended;
  assert.match(error!.message, /^NV index 0x01800020 of the TPM was deleted, or defined anew, .* after record \d+ \(/);
  const { stdout } = await run("tpm2_nvreadpublic", ["-T", tcti, "0x1800020"]);
  assert.match(stdout, /authwrite/);
});

test("an extend by another program, which has to follow the policy, is noticed and named", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const agent = site.startAgent();
  await site.until("good evidence", good);
  const [boot] = (await site.records())[0]!.events;
  assert.ok(boot?.type === "boot" && boot.nv !== undefined);
  const tpm = await openTpm(site.tpm);
  try {
    const other = new NvRegister(tpm, INDEX);
    other.goOn(BigInt(boot.nv.count));
    await other.extend(new Uint8Array(32).fill(0x5a));
  } finally {
    await tpm.close();
  }
  const error = await agent.ended;
  assert.match(error!.message, /^NV index 0x01800020 of the TPM was extended by another program after record \d+ \(/);
  const report = await site.until("the refusal", refused);
  assert.ok(report.text.endsWith(error!.message), report.text);
});

test("what is no index of the agent's is told and never touched", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const tcti = tctiOf(site.tpm);
  await run("tpm2_nvdefine", ["-T", tcti, "-C", "o", "-s", "32", "-a", "authread|authwrite|nt=extend", "0x1800020"]);
  await writeFile(join(site.folder, "data"), "somebody's");
  await run("tpm2_nvextend", ["-T", tcti, "-C", "0x1800020", "-i", join(site.folder, "data"), "0x1800020"]);
  const tpm = await openTpm(site.tpm);
  t.after(() => tpm.close());
  const before = (await nvReadPublic(tpm, INDEX))!;
  const error = await site.startAgent().ended;
  assert.equal(errorCode(error), "nv-index-taken");
  assert.match(error!.message, /^the NV index 0x01800020 of the TPM is of another kind, .* is left as it is$/);
  const after = (await nvReadPublic(tpm, INDEX))!;
  assert.deepEqual(after, before);
  assert.ok(after.nvPublic.attributes & TPMA_NV.written);
  await nvUndefine(tpm, after);
  site.startAgent();
  await site.until("good evidence", good);
});

test("two agents on one NV index, and a log of another register", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const first = site.startAgent();
  await site.until("good evidence", good);
  const second = await site.startAgent({ state: join(site.folder, "second") }).ended;
  assert.equal(second!.message, "another agent on this host extends NV index 0x01800020 of the TPM");
  await first.stop();
  const error = await site.startAgent({ pcr: 13 }).ended;
  assert.match(
    error!.message,
    /^record 0 of the log .* is of NV index 0x01800020 of the TPM, not of PCR 13 of the TPM$/,
  );
});

test("a verifier that wants what is below the agents proved does not take an NV index", async (t) => {
  const site = await AgentSite.open(t, SETTING);
  const config = verifierConfigSchema.parse({
    state: join(site.folder, "other-verifier"),
    listen: { port: 0 },
    ledger: { url: "http://127.0.0.1:1", registry: `0x${"00".repeat(20)}` },
    pcr: SETTING,
    platform: {},
  });
  await assert.rejects(runVerifier(config), { code: "config-invalid", message: /'pcr' must be a PCR/ });
  for (const pcr of [17, -1, "13", "nv:13", "nv:0x017fffff", "nv:0x01bfffff", "nv:0x01800000 ", "nv:25165824"])
    assert.match(
      String(verifierConfigSchema.safeParse({ ledger: config.ledger, pcr }).error),
      /0 to 16, an NV index nv:0x0/,
    );
});
