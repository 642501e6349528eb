// The page on real machines, carried out: its configurations and its commands, on this one machine.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "../scripts/free-port.ts";
import { startPims } from "../src/demo/pims-process.ts";
import { startSwtpm } from "../src/tpm/swtpm.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const PAGE = join(import.meta.dirname, "../docs/deployment.md");
const READY_MS = 30_000;

const blocks = [...readFileSync(PAGE, "utf8").matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, info, text]) => ({
  info: info!,
  text: text!.trim(),
}));

test("the page's configurations and commands lead to a host with good evidence", async (t) => {
  const folder = temporaryFolder(t);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  const started: { stop(): Promise<void> }[] = [swtpm];
  t.after(async () => {
    for (const one of started.reverse()) await one.stop();
  });
  mkdirSync(join(folder, "tpm-roots"));
  const port = await freePort();
  const here = (text: string) =>
    text.replaceAll("/etc/pims", folder).replaceAll("verifier.example:7467", `127.0.0.1:${port}`);
  const config = (info: string, changes: object): string => {
    const { text } = blocks.find((block) => block.info === `json ${info}`)!;
    const path = join(folder, `${info}.json`);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(here(text)), ...changes }));
    return path;
  };
  const [runVerifier, enroll, runAgent] = blocks
    .filter(({ info }) => info === "sh")
    .map(({ text }) => here(text).split(" ").slice(1));
  const state = join(folder, "verifier");
  const { listen } = JSON.parse(readFileSync(config("verifier", {}), "utf8"));
  config("verifier", { state, listen: { ...listen, port, host: "127.0.0.1" } });
  config("agent", { state: join(folder, "agent"), tpm: swtpm.address, attestIntervalMs: 500 });

  const verifier = startPims(runVerifier!);
  started.push(verifier);
  const [, shown] = await verifier.waitFor(/hosts reach it at (\S+)/, READY_MS);
  await verifier.waitFor(/listens on/, READY_MS);
  assert.match(shown!, new RegExp(`^https://127\\.0\\.0\\.1:${port}#sha256:`));
  const operator = ["--verifier", shown!, "--operator-token", join(state, "operator-token")];

  // Without it the host has nobody to speak to.
  const refused = await pimsMeanwhile(runAgent!);
  assert.deepEqual([refused.status, /there is no join file/.test(refused.stderr)], [1, true], refused.stderr);
  const output = join(folder, "web-1.json");
  const made = await pimsMeanwhile([...enroll!.with(-1, output), "--uncertified", ...operator]);
  assert.equal(made.status, 0, made.stderr);
  assert.equal(statSync(output).mode & 0o777, 0o600);
  assert.equal(JSON.parse(readFileSync(output, "utf8")).verifier, shown);
  // Whoever passes for the verifier has another key: the host shows them nothing, and says so.
  const honest = readFileSync(output, "utf8");
  writeFileSync(join(folder, "join.json"), honest.replace(/sha256:[^"]*/, `sha256:${"A".repeat(43)}=`));
  const deceived = await pimsMeanwhile(runAgent!);
  assert.equal(deceived.status, 1);
  assert.match(deceived.stderr, /^pims: what answers at .* has another key than the pinned one .*$/m);
  renameSync(output, join(folder, "join.json"));
  const agent = startPims(runAgent!);
  started.push(agent);
  await agent.waitFor(/the verifier accepts the evidence/, READY_MS);
  // It has served its turn.
  rmSync(join(folder, "join.json"));
  await agent.stop();
  const again = startPims(runAgent!);
  started.push(again);
  await again.waitFor(/the verifier accepts the evidence/, READY_MS);
  const status = await pimsMeanwhile(["status", "--verifier", shown!, "--json"]);
  const { hosts } = JSON.parse(status.stdout) as { hosts: { host: string; evidence: string }[] };
  assert.deepEqual(
    hosts.map(({ host, evidence }) => [host, evidence]),
    [["web-1", "good"]],
  );
});
