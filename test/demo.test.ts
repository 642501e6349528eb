import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ScanReport } from "../src/agent/scan.ts";
import { startDockerd } from "./dockerd.ts";
import { PROGRAM, pims } from "./pims.ts";

const TAMPERING = [
  ["record-altered", "log-broken"],
  ["record-removed", "log-broken"],
  ["record-rewritten", "pcr-mismatch"],
  ["log-cut-off", "log-rollback"],
  ["quote-replayed", "nonce-mismatch"],
  ["foreign-key", "quote-invalid"],
  ["baseline-altered", "baseline-altered"],
];
const ATTACKS = [
  ["overwrite-code", "web-2", "code-modified"],
  ["drop-program", "app-1", "unknown-executable"],
  ["inject-library", "web-3", "preload-injection"],
];

type Named = Record<string, unknown> & { name: string };

for (const runtime of ["runc", "docker"]) {
  test(`the demo on ${runtime} catches every attack and refuses every altered evidence`, async (t) => {
    const env = { ...process.env };
    if (runtime === "docker") env.DOCKER_HOST = `unix://${(await startDockerd(t)).socketPath}`;
    const child = spawn(PROGRAM, ["demo", "--json", "--runtime", runtime], { env, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    const [status] = (await once(child, "close")) as [number];
    assert.equal(status, 0, `${stdout.text}\n${stderr.text}`);
    const report = JSON.parse(stdout.text);
    assert.equal(report.schema, "pims.demo/v1");
    assert.equal(report.runtime, runtime);
    assert.equal(report.ok, true);
    assert.deepEqual(
      report.attacks.map(({ name, container, reason }: Named) => [name, container, reason]),
      ATTACKS,
    );
    for (const attack of report.attacks) {
      assert.equal(attack.detected, true);
      assert.equal(attack.action, "pause done");
      assert.ok(attack.detectMs >= 0 && attack.verdictMs >= attack.detectMs - 50, JSON.stringify(attack));
    }
    const [page] = report.attacks[0].finding.pages;
    assert.match(page.expected, /^[0-9a-f]{64}$/);
    assert.match(page.actual, /^[0-9a-f]{64}$/);
    assert.notEqual(page.expected, page.actual);
    assert.deepEqual(
      report.tampering.map(({ name, reason }: Named) => [name, reason]),
      TAMPERING,
    );
    assert.deepEqual(
      report.containers.map(({ name, verdict, answers }: Named) => [name, verdict, answers]),
      [
        ["web-1", "trusted", true],
        ["web-2", "untrusted", false],
        ["app-1", "untrusted", false],
        ["web-3", "untrusted", false],
      ],
    );
  });
}

test("a kept demo can be looked around in, and Ctrl-C removes everything", async (t) => {
  const { child, lines, line } = startKept(t);
  const [, url] = await line(/status --verifier (\S+)/);
  const [, log, address] = await line(/log verify (\S+) --tpm (\S+)/);
  const [, host, token] = await line(/attest (\S+) --verifier \S+ --operator-token (\S+)/);
  const status = pims(["status", "--verifier", url!]);
  assert.equal(status.status, 2, status.stderr);
  assert.match(status.stdout, /web-1 .*trusted/);
  assert.match(status.stdout, /unknown-executable: process \d+ \(\/tmp\/\.cache\/kworker\)/);
  assert.equal(pims(["attest", host!, "--verifier", url!, "--operator-token", token!, "--json"]).status, 2);
  const unknown = pims(["status", "no-such", "--verifier", url!]);
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /no container "no-such"/);
  // The agent goes on appending while log and PCR are read.
  for (let tries = 0; tries < 3; tries++) {
    const verified = pims(["log", "verify", log!, "--tpm", address!]);
    assert.equal(verified.status, 0, verified.stderr);
  }
  assert.match(pims(["log", "show", log!, "--type", "action"]).stdout, /pause done by policy because of code-modified/);
  // A scan finds what is left of the attacks, and without images nothing; other tests may run containers meanwhile.
  const [own] = JSON.parse(readFileSync(join(log!, "../../../agent.json"), "utf8")).policy.containers as [string];
  const found = (...args: string[]) =>
    (JSON.parse(pims(["scan", "--json", ...args]).stdout) as ScanReport).findings
      .filter(({ container }) => container?.name.startsWith(own.replace("*", "")))
      .map(({ reason }) => reason)
      .toSorted();
  assert.deepEqual(found(), ["preload-injection", "unknown-executable"]);
  assert.deepEqual(found("--no-images"), []);
  // Left alone, Node and malloc(3) keep more than twice as much.
  const resident = residentOwnMegabytes(child.pid!, "agent");
  assert.ok(resident > 10 && resident < 140, `the agent has ${resident} MB of its own`);
  child.kill("SIGINT");
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 0, lines.join("\n"));
  assert.equal(existsSync(log!), false);
});

test("Ctrl-C in the middle ends everything that was started", async (t) => {
  const { child, lines, line } = startKept(t);
  await line(/attack on web-2/);
  child.kill("SIGINT");
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 1);
  assert.match(lines.at(-1)!, /^pims: the demo was interrupted/);
});

/** Resident memory, without pages of files, of the child process that runs this command. */
function residentOwnMegabytes(parent: number, command: string): number {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "latin1").trim().split(" ");
  const pid = children.find((one) => readFileSync(`/proc/${one}/cmdline`, "latin1").includes(`main.ts\0${command}\0`));
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))!;
  return Math.round(Number(kilobytes) / 1024);
}

function collect(stream: NodeJS.ReadableStream): { text: string } {
  const collected = { text: "" };
  stream.on("data", (chunk: Buffer) => {
    collected.text += chunk;
  });
  return collected;
}

/** A demo that goes on running, and a way to wait for a line that it says. */
function startKept(t: TestContext) {
  const child = spawn(PROGRAM, ["demo", "--runtime", "runc", "--keep"], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGINT");
    await once(child, "exit");
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (text) => lines.push(text));
  const line = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      for (const text of lines) {
        const match = pattern.exec(text);
        if (match) return match;
      }
      assert.equal(child.exitCode, null, lines.join("\n"));
      await sleep(20);
    }
  };
  return { child, lines, line };
}
