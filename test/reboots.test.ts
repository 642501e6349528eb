// A real agent and verifier over power cycles of a TPM. Each boot has an id of its own, which the agent reads where the kernel
// tells it: a file is mounted over that in the agent's own mount namespace.
import assert from "node:assert/strict";
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { bootIdOf } from "../src/attest/testing.ts";
import { type PimsProcess, startPims } from "../src/demo/pims-process.ts";
import { VerifierView } from "../src/demo/verifier-view.ts";
import { earlierLogPath } from "../src/log/earlier-logs.ts";
import { type Swtpm, startSwtpm } from "../src/tpm/swtpm.ts";
import { verifierConfigSchema } from "../src/verifier/config.ts";
import { type RunningVerifier, runVerifier } from "../src/verifier/run.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const WAIT_MS = 30_000;
const never = new AbortController().signal;
const ledger = { url: "http://127.0.0.1:9", registry: `0x${"11".repeat(20)}` };
const BOOT_ID = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';

/** A host with a software TPM and an agent, and a verifier that may be away. */
class Site {
  readonly folder: string;
  readonly logs: string;
  view!: VerifierView;
  agent: PimsProcess | undefined;
  #swtpm: Swtpm | undefined;
  #verifier: RunningVerifier | undefined;
  #boots = 0;
  #port = 0;

  constructor(t: TestContext) {
    this.folder = temporaryFolder(t);
    this.logs = join(this.folder, "agent/log");
    t.after(async () => {
      await this.powerOff();
      await this.stopVerifier();
    });
  }

  async startVerifier(): Promise<void> {
    const state = join(this.folder, "verifier");
    const settings = { state, ledger, listen: { port: this.#port }, enrollment: { uncertified: true } };
    this.#verifier = await runVerifier(verifierConfigSchema.parse(settings));
    this.#port = Number(new URL(this.#verifier.address).port);
    this.view = new VerifierView(this.#verifier.address, "host-1");
  }

  async stopVerifier(): Promise<void> {
    await this.#verifier?.close();
    this.#verifier = undefined;
  }

  /** The next boot. Returns its id. */
  async powerOn(): Promise<string> {
    this.#swtpm = await startSwtpm({ folder: join(this.folder, "tpm") });
    const [bootId, file, config] = [
      bootIdOf(this.#boots++),
      join(this.folder, "boot-id"),
      join(this.folder, "agent.json"),
    ];
    await writeFile(file, `${bootId}\n`);
    const verifier = { joinFile: join(this.folder, "join.json") };
    if (this.#boots === 1) await this.#invite(verifier.joinFile);
    const settings = {
      ...{ host: "host-1", state: join(this.folder, "agent"), tpm: this.#swtpm.address, verifier, ledger },
      ...{ sweepIntervalMs: 200, attestIntervalMs: 300 },
    };
    await writeFile(config, JSON.stringify(settings));
    const wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT_ID, file];
    this.agent = startPims(["agent", "run", "--config", config], () => {}, wrapper);
    await this.agent.waitFor(/the agent watches/, WAIT_MS);
    return bootId;
  }

  /** An operator decides that the host may come: once, for all its boots. */
  async #invite(joinFile: string): Promise<void> {
    const operator = join(this.folder, "verifier", "operator-token");
    const options = ["--output", joinFile, "--verifier", this.view.address, "--operator-token", operator];
    const { status, stderr } = await pimsMeanwhile(["host", "enroll", "host-1", ...options]);
    assert.equal(status, 0, stderr);
  }

  /** Power goes at once: nothing is told to end. */
  async powerOff(): Promise<void> {
    await this.agent?.kill();
    if (this.#swtpm !== undefined) process.kill(this.#swtpm.pid, "SIGKILL");
    await this.#swtpm?.stop();
    this.agent = this.#swtpm = undefined;
  }

  until(what: string, wished: Parameters<VerifierView["waitUntil"]>[3]) {
    return this.view.waitUntil(what, WAIT_MS, never, wished);
  }

  /** Good evidence of this boot. */
  untilProved(bootId: string) {
    return this.until(`evidence of ${bootId}`, ({ evidence, boots }) => {
      return evidence === "good" && boots.last.at(-1)?.bootId === bootId;
    });
  }
}

test("power goes again and again, also while the verifier is away, and the host goes on without anybody's help", async (t) => {
  const site = new Site(t);
  await site.startVerifier();
  await site.untilProved(await site.powerOn());
  await site.powerOff();
  const second = await site.untilProved(await site.powerOn());
  assert.equal(second.boots.known, 2);

  await site.stopVerifier();
  await site.powerOff();
  await site.powerOn();
  await site.powerOff();
  const last = await site.powerOn();
  await site.startVerifier();
  const { boots } = await site.untilProved(last);
  assert.equal(boots.known, 4);
  // Of the boot in between nothing was proved, and all of it was told.
  const [, , between] = boots.last;
  assert.deepEqual([between?.bootId, between?.proved], [bootIdOf(2), 0]);
  assert.ok(between!.records >= 1 && boots.told >= between!.records);
  const { stdout } = await pimsMeanwhile(["status", "--verifier", site.view.address]);
  assert.match(
    stdout,
    /evidence good.*\n.*\n +rebooted 3 times, .*; \d+ records? (was|were) told after a reboot and never proved/,
  );
  const shown = await pimsMeanwhile(["host", "show", "host-1", "--verifier", site.view.address]);
  assert.match(shown.stdout, new RegExp(`boot ${bootIdOf(2)} .* 0 of ${between!.records} records proved`));
});

test("log-rollback: an old copy of the log is put back; the true one is accepted later", async (t) => {
  const site = new Site(t);
  await site.startVerifier();
  const first = await site.powerOn();
  await site.untilProved(first);
  const log = join(site.logs, "measurements.jsonl");
  await site.powerOff();
  await copyFile(log, join(site.folder, "true"));
  await writeFile(log, `${(await readFile(log, "utf8")).split("\n", 1)[0]}\n`);
  await site.powerOn();
  const refused = await site.until("a refusal", ({ evidence }) => evidence === "refused");
  assert.equal(refused.reason, "log-rollback");
  assert.match(refused.text, /1 records, but \d+ were already proved/);
  assert.equal(refused.boots.known, 1);
  const { status, stdout } = await pimsMeanwhile(["status", "--verifier", site.view.address]);
  assert.equal(status, 3);
  assert.match(stdout, /log-rollback/);

  await site.powerOff();
  await rm(earlierLogPath(site.logs, first));
  await copyFile(join(site.folder, "true"), log);
  const { boots } = await site.untilProved(await site.powerOn());
  assert.deepEqual([boots.known, boots.unloggedResets], [2, 1]);
});
