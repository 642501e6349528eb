import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentConfig } from "../src/agent/config.ts";
import type { HostReport } from "../src/attest/report.ts";
import type { BundleReport } from "../src/attest/verify-bundle.ts";
import { buildFromFolder } from "../src/baseline/build.ts";
import { sha256Hex } from "../src/core/digest.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "../src/demo/containers.ts";
import { type DemoImages, prepareImages } from "../src/demo/images.ts";
import { overwriteEntryPoint, processesOf, workerOf } from "../src/demo/patch-memory.ts";
import { type PimsProcess, startPims } from "../src/demo/pims-process.ts";
import { VerifierView } from "../src/demo/verifier-view.ts";
import { approveBaseline } from "../src/ledger/approve.ts";
import { deployRegistry } from "../src/ledger/deploy.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";
import { createKey } from "../src/ledger/keys/keys.ts";
import { proposeBaseline } from "../src/ledger/propose.ts";
import { readLog } from "../src/log/read-log.ts";
import { parseRecord } from "../src/log/record.ts";
import { startSwtpm } from "../src/tpm/swtpm.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";
import { serveSilentFiles } from "./silent-files.ts";

const READY_MS = 30_000;
const never = new AbortController().signal;
/** For agent and verifier. */
const STARTS = [{ containers: ["*-may"], allow: ["host-root" as const] }];

/** A TPM, a chain, a verifier, an agent and runc containers; what is killed in a test can be started again. */
class Site {
  readonly folder: string;
  readonly publishers = [createKey(), createKey()] as const;
  readonly #closing: (() => Promise<void>)[] = [];
  images!: DemoImages;
  runtime!: DemoRuntime;
  tpm = "";
  ledger = { url: "", registry: "" };
  view!: VerifierView;
  agent!: PimsProcess;
  verifier!: PimsProcess;
  #port = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  static async open(t: TestContext): Promise<Site> {
    const site = new Site(temporaryFolder(t));
    // Set before anything starts, so that a half-way failure is cleaned up too; the folder goes last.
    t.after(() => site.close());
    site.images = await prepareImages();
    site.runtime = await openDemoRuntime({ kind: "runc" });
    site.#closing.push(() => site.runtime.cleanup());
    const swtpm = await startSwtpm({ folder: join(site.folder, "tpm") });
    site.#closing.push(() => swtpm.stop());
    site.tpm = swtpm.address;
    const chain = await startAnvil({ folder: join(site.folder, "ledger") });
    site.#closing.push(() => chain.stop());
    const { address } = await deployRegistry({
      url: chain.url,
      deployerKey: createKey(),
      publishers: site.publishers.map((key) => key.address),
      quorum: 2,
    });
    site.ledger = { url: chain.url, registry: address };
    await site.startVerifier();
    return site;
  }

  async startVerifier(): Promise<void> {
    const state = join(this.folder, "verifier");
    const config = join(this.folder, "verifier.json");
    await writeFile(
      config,
      JSON.stringify({
        ...{ state, listen: { port: this.#port }, ledger: this.ledger, staleAfterMs: 5000 },
        enrollment: { uncertified: true },
        policy: { starts: STARTS },
      }),
    );
    this.verifier = startPims(["verifier", "run", "--config", config]);
    const [, address] = await this.verifier.waitFor(/listens on (\S+)/, READY_MS);
    this.#port = Number(new URL(address!).port);
    this.view = new VerifierView(address!, "host-1");
  }

  async startAgent(changes: Partial<AgentConfig> = {}): Promise<void> {
    const config = join(this.folder, "agent.json");
    const content = {
      host: "host-1",
      state: join(this.folder, "agent"),
      tpm: this.tpm,
      verifier: { joinFile: join(this.folder, "join.json") },
      ledger: this.ledger,
      sweepIntervalMs: 200,
      attestIntervalMs: 300,
      policy: { starts: STARTS },
      ...changes,
    };
    await writeFile(config, JSON.stringify(content));
    await this.invite();
    this.agent = startPims(["agent", "run", "--config", config]);
    await this.agent.waitFor(/the agent watches/, READY_MS);
  }

  /** Decides as an operator that the host may come once more. */
  async invite(): Promise<void> {
    const operator = join(this.folder, "verifier", "operator-token");
    const [output, address] = [join(this.folder, "join.json"), this.view.address];
    const more = ["--output", output, "--verifier", address, "--operator-token", operator];
    const { status, stderr } = await pimsMeanwhile(["host", "enroll", "host-1", ...more]);
    assert.equal(status, 0, stderr);
  }

  get logPath(): string {
    return join(this.folder, "agent", "log", "measurements.jsonl");
  }

  async events() {
    const { lines } = await readLog(this.logPath);
    return lines.flatMap((line, index) => parseRecord(line, index).events);
  }

  async startWeb(name: string, identity: string, binds: Record<string, string> = {}): Promise<DemoContainer> {
    await this.runtime.provideImage(this.images.web);
    const volume = join(this.folder, `web-${name}`);
    await mkdir(volume);
    return this.runtime.start({ name, image: this.images.web, identity, volume, binds });
  }

  /** A container whose image's baseline is approved, and an agent whose gate has this mode for it. */
  async startUnderGate(mode: "observe" | "enforce"): Promise<DemoContainer> {
    const { lines, header } = await buildFromFolder({ root: this.images.web.rootfs, name: "web" });
    const [proposer, approver] = this.publishers;
    const { id } = await proposeBaseline({ ...this.ledger, key: proposer, lines });
    await approveBaseline({ ...this.ledger, key: approver, id });
    const containers = [{ name: this.runtime.namePattern, mode }];
    await this.startAgent({ gate: { mode: "off", containers, unanswered: "allow", exceptions: [] } });
    return this.startWeb("one", header.identity);
  }

  until(
    what: string,
    container: DemoContainer,
    wished: (one: HostReport["containers"][number], host: HostReport) => boolean,
  ) {
    return this.view.waitUntil(what, READY_MS, never, (host) =>
      host.containers.some((one) => one.container.id === container.ref.id && wished(one, host)),
    );
  }

  status(...args: string[]) {
    return pimsMeanwhile(["status", "--verifier", this.view.address, ...args]);
  }

  async close(): Promise<void> {
    await this.agent?.stop();
    await this.verifier?.stop();
    for (const close of this.#closing.splice(0).reverse()) await close();
  }
}

test("no baseline, one signature, two signatures: unknown, unknown, trusted", async (t) => {
  const site = await Site.open(t);
  const baseline = await buildFromFolder({ root: site.images.web.rootfs, name: "web" });
  const { identity } = baseline.header;
  const container = await site.startWeb("one", identity);
  await site.startAgent();
  await site.until(
    "no-baseline",
    container,
    ({ status, reasons }) => status === "unknown" && reasons[0]?.reason === "no-baseline",
  );
  // Other tests may run containers meanwhile, which this agent sees too.
  const before = await site.status(container.ref.id);
  assert.equal(before.status, 3, before.stderr);
  assert.match(before.stdout, /no-baseline/);

  const [proposer, approver] = site.publishers;
  const { id } = await proposeBaseline({ ...site.ledger, key: proposer, lines: baseline.lines });
  await site.until(
    "baseline-unapproved",
    container,
    ({ status, reasons }) => status === "unknown" && reasons[0]?.reason === "baseline-unapproved",
  );
  await approveBaseline({ ...site.ledger, key: approver, id });
  await site.until("trusted", container, ({ status }) => status === "trusted");
  const trusted = await site.status(container.ref.id);
  assert.equal(trusted.status, 0, trusted.stdout + trusted.stderr);

  // What the verifier says of it a bundle shows to others: by the same rules, and by a script that has none of them.
  const file = join(site.folder, "host-1.bundle");
  const operator = [
    "--verifier",
    site.view.address,
    "--operator-token",
    join(site.folder, "verifier", "operator-token"),
  ];
  const exported = await pimsMeanwhile(["bundle", "export", "host-1", "--out", file, ...operator]);
  assert.equal(exported.status, 0, exported.stderr);
  const [, pin] = await site.verifier.waitFor(/results are signed by (\S+)/, READY_MS);
  const verified = await pimsMeanwhile(["verify", file, "--verifier-key", pin!, "--json"]);
  const report = JSON.parse(verified.stdout) as BundleReport;
  assert.deepEqual(
    report.checks.filter(({ outcome }) => outcome !== "ok"),
    [],
  );
  assert.equal(report.containers.find((one) => one.container.id === container.ref.id)?.status, "trusted");
  const script = join(import.meta.dirname, "../docs/verify-bundle.py");
  const checked = spawnSync("python3", [script, "--verifier-key", pin!, file], { encoding: "utf8", timeout: 60_000 });
  assert.match(checked.stdout, /^results: .*of this bundle$/m, checked.stderr);
  assert.match(checked.stdout, new RegExp(`^runc:${container.ref.id} .*: trusted$`, "m"));
});

test("a killed agent goes on with log and PCR in agreement; a killed verifier with its verdicts", async (t) => {
  const site = await Site.open(t);
  const baseline = await buildFromFolder({ root: site.images.web.rootfs, name: "web" });
  const [proposer, approver] = site.publishers;
  const { id } = await proposeBaseline({ ...site.ledger, key: proposer, lines: baseline.lines });
  await approveBaseline({ ...site.ledger, key: approver, id });
  const container = await site.startWeb("one", baseline.header.identity);
  const bystander = await site.startWeb("two", baseline.header.identity);
  await site.startAgent({ method: "fallback" });
  await site.until("trusted", container, ({ status }) => status === "trusted");
  await site.until("trusted", bystander, ({ status }) => status === "trusted");

  // Changed while nobody watches, and found by the next agent; the policy is alert only.
  await site.agent.kill();
  await overwriteEntryPoint(workerOf(container.ref));
  await site.startAgent({ method: "fallback" });
  await site.until(
    "untrusted",
    container,
    ({ status, findings }) => status === "untrusted" && findings[0]?.reason === "code-modified",
  );
  const gaps = (await site.events()).filter(({ type }) => type === "gap");
  assert.equal(gaps.length, 1);
  assert.ok(!(await site.events()).some(({ type }) => type === "action"), "alert is the default");

  // Many kills at random instants, and each time the log goes on where the TPM is.
  for (let round = 0; round < 5; round++) {
    await sleep(Math.random() * 400);
    await site.agent.kill();
    await site.startAgent();
  }
  await site.view.waitUntil("evidence after the kills", READY_MS, never, ({ evidence }) => evidence === "good");

  const proved = (await site.view.report()).records;
  await site.verifier.kill();
  await site.startVerifier();
  const after = await site.view.report();
  assert.ok(after.records >= proved);
  assert.equal(after.containers.find(({ container: { id: one } }) => one === container.ref.id)?.status, "untrusted");
  await site.until("fresh evidence", bystander, ({ status }, { records }) => status === "trusted" && records > proved);

  // Put back or ended, what was seen stays true for the container's life; the neighbour is not condemned for it.
  const last = await site.status(container.ref.id, "--json");
  assert.equal(last.status, 2);
  await site.agent.stop();
  const verified = await pimsMeanwhile(["log", "verify", site.logPath, "--tpm", site.tpm]);
  assert.equal(verified.status, 0, verified.stderr);
  await site.view.waitUntil("stale", READY_MS, never, ({ evidence }) => evidence === "stale");
  await site.until("stale", bystander, ({ status }) => status === "stale");
  await site.until("still untrusted", container, ({ status }) => status === "untrusted");
});

test("an altered or shortened log stops the agent before it says anything", async (t) => {
  const site = await Site.open(t);
  await site.startAgent();
  await site.view.waitUntil("evidence", READY_MS, never, ({ evidence }) => evidence === "good");
  await site.agent.stop();
  const log = await readFile(site.logPath, "utf8");
  const lines = log.trimEnd().split("\n");
  const config = join(site.folder, "agent.json");
  for (const [altered, reason] of [
    [log.replace(/"sweeps":\d+/, '"sweeps":99'), /record \d+ of the log has another content/],
    [`${lines.slice(0, -3).join("\n")}\n`, /does not match the log's/],
    ["", /already in use, and there is no log/],
  ] as const) {
    await writeFile(site.logPath, altered);
    const { status, stderr } = await pimsMeanwhile(["agent", "run", "--config", config]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, reason);
  }
  // With its last line torn off, as by a power failure, it is mended.
  await writeFile(site.logPath, `${log}{"recnum":${lines.length},"pcr":13,"dig`);
  await site.startAgent();
  await site.view.waitUntil("evidence again", READY_MS, never, ({ evidence }) => evidence === "good");
});

test("a verifier that lost its memory is given everything anew", async (t) => {
  const site = await Site.open(t);
  await site.startAgent();
  const before = await site.view.waitUntil(
    "evidence",
    READY_MS,
    never,
    ({ evidence, records }) => evidence === "good" && records > 5,
  );
  await site.verifier.kill();
  // Its key is what it is known by, and is kept.
  for (const end of ["", "-wal", "-shm"])
    await rm(join(site.folder, "verifier", `verifier.sqlite${end}`), { force: true });
  await site.startVerifier();
  await site.agent.waitFor(/a join token that is not used up/, READY_MS);
  await site.invite();
  await site.view.waitUntil(
    "evidence again",
    READY_MS,
    never,
    ({ evidence, records }) => evidence === "good" && records > before.records,
  );
});

test("a second agent in the same folder is refused, and the first one's log is not touched", async (t) => {
  const site = await Site.open(t);
  await site.startAgent();
  await site.view.waitUntil("evidence", READY_MS, never, ({ evidence }) => evidence === "good");
  const second = await pimsMeanwhile(["agent", "run", "--config", join(site.folder, "agent.json")]);
  assert.equal(second.status, 1);
  assert.match(second.stderr, /^pims: another process runs an agent in .*stop that one first/);
  const { records } = await site.view.report();
  await site.view.waitUntil(
    "further evidence",
    READY_MS,
    never,
    (host) => host.evidence === "good" && host.records > records,
  );
});

test("a container with the host's root in it is untrusted, unless agent and verifier allow it that", async (t) => {
  const site = await Site.open(t);
  const { rootfs, entrypoint } = site.images.web;
  const baseline = await buildFromFolder({ root: rootfs, name: "web", entrypoint });
  const [proposer, approver] = site.publishers;
  const { id } = await proposeBaseline({ ...site.ledger, key: proposer, lines: baseline.lines });
  await approveBaseline({ ...site.ledger, key: approver, id });
  await site.startAgent();
  const { identity } = baseline.header;
  const [one, may] = [
    await site.startWeb("one", identity, { "/mnt": "/" }),
    await site.startWeb("may", identity, { "/mnt": "/" }),
  ];
  await site.until("untrusted", one, ({ status, findings }) => status === "untrusted" && findings.length > 0);
  await site.until("trusted", may, ({ status }) => status === "trusted");
  const told = await site.status(one.ref.id);
  assert.equal(told.status, 2);
  assert.match(
    told.stdout,
    /container-config: .*host's root folder, writable, at \/mnt; .*"host-root" in policy\.starts/,
  );
  const events = (await site.events()).filter((event) => "container" in event && event.container?.id === one.ref.id);
  const start = events.find((event) => event.type === "container-start");
  assert.equal(start?.type === "container-start" && start.start?.runtime?.program, entrypoint[0]);
  const violations = events.flatMap((event) => (event.type === "violation" ? [event.object.path] : []));
  assert.deepEqual(violations, ["[host-root]"], "said once");
});

test("what the gate refuses is a finding, and status shows what it does", async (t) => {
  const site = await Site.open(t);
  const container = await site.startUnderGate("enforce");
  const enforced = (one: HostReport["containers"][number]) => one.gate?.mode === "enforce" && one.gate.watched > 0;
  await site.until("trusted", container, (one) => one.status === "trusted" && enforced(one));

  await site.runtime.copyIn(container, site.images.dropper, "/tmp/dropper", 0o755);
  await site.runtime.exec(container, ["/bin/sh", "-c", "/tmp/dropper -h; echo $? >/run/web/status"]);
  await site.until("untrusted", container, ({ status }) => status === "untrusted");
  assert.equal((await readFile(join(site.folder, "web-one", "status"), "utf8")).trim(), "126");
  const violations = (await site.events()).flatMap((event) =>
    event.type === "violation" && event.container?.id === container.ref.id ? [event] : [],
  );
  const [denied, ...others] = violations;
  assert.deepEqual(others, [], "said once");
  assert.deepEqual([denied!.reason, denied!.comm, denied!.object.path], ["exec-denied", "sh", "/tmp/dropper"]);
  assert.equal(denied!.object.digest, sha256Hex(await readFile(site.images.dropper)));
  assert.match(denied!.text, /was not let execute \/tmp\/dropper, which the image does not have$/);
  await site.until("the count", container, ({ gate }) => gate!.denials === 1);
  const { stdout } = await site.status(container.ref.id);
  assert.match(stdout, /enforce, \d+ mounts, \d+ decisions, 1 denied, slowest [\d.]+ ms$/m);

  // What may never answer is not watched, and that is said.
  const [first] = processesOf(container.ref);
  const program = join(site.images.web.rootfs, "bin/true");
  const server = await serveSilentFiles({ pid: first!, folder: "/mnt", program, silent: "when executed" });
  t.after(() => server.end());
  await site.until("the place", container, ({ gate }) => gate!.unwatched.includes("/mnt"));
  const { stdout: then } = await site.status(container.ref.id);
  assert.match(then, /enforce, \d+ mounts, \d+ decisions, 1 denied, slowest [\d.]+ ms, unwatched: \/mnt$/m);
});

test("what is only observed is found however soon it ends, in a crowd of others", async (t) => {
  const site = await Site.open(t);
  const container = await site.startUnderGate("observe");
  await site.until("trusted", container, (one) => one.status === "trusted" && (one.gate?.watched ?? 0) > 0);

  const commands = `i=0; while [ $i -lt 30 ]; do cp /bin/true /tmp/p$i; echo $i >>/tmp/p$i; i=$((i + 1)); done
i=0; while [ $i -lt 30 ]; do /bin/true; /tmp/p$i & /bin/true; i=$((i + 1)); done; wait`;
  await site.runtime.exec(container, ["/bin/sh", "-c", commands]);
  const names = Array.from({ length: 30 }, (_, index) => `/tmp/p${index}`);
  const found = (one: HostReport["containers"][number]) => one.findings.map(({ object }) => `${object.path}`);
  await site.until("all of them", container, (one) => names.every((name) => found(one).includes(name)));
  const { containers: all } = await site.view.waitUntil("a report", READY_MS, never, () => true);
  const { findings } = all.find(({ container: { id: one } }) => one === container.ref.id)!;
  assert.deepEqual(new Set(findings.map(({ reason }) => reason)), new Set(["unknown-executable"]));
  assert.equal(findings.length, names.length, "each said once");
});
