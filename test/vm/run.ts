// A real kernel's boot and files, in a virtual machine: what a verifier outside makes of it. Ends with `N passed, N failed`.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeReleaseManifest } from "../../src/agent/make-release.ts";
import { invite, readOperatorToken } from "../../src/attest/operator.ts";
import type { HostReport } from "../../src/attest/report.ts";
import { buildFromFolder } from "../../src/baseline/build.ts";
import { toHex } from "../../src/core/bytes.ts";
import { describeError } from "../../src/core/errors.ts";
import { ociSpec } from "../../src/demo/oci-spec.ts";
import { startPims } from "../../src/demo/pims-process.ts";
import { VerifierView } from "../../src/demo/verifier-view.ts";
import { approveBaseline } from "../../src/ledger/approve.ts";
import { deployRegistry } from "../../src/ledger/deploy.ts";
import { startAnvil } from "../../src/ledger/embedded/anvil.ts";
import { createKey } from "../../src/ledger/keys/keys.ts";
import { proposeBaseline } from "../../src/ledger/propose.ts";
import { secureBootOf } from "../../src/tpm/event-log/boot-chain.ts";
import { parseImaList, replayImaList } from "../../src/tpm/event-log/ima.ts";
import { parseBootLog } from "../../src/tpm/event-log/pc-client.ts";
import { replayBootLog } from "../../src/tpm/event-log/replay.ts";
import { setUpSwtpm } from "../../src/tpm/swtpm-setup.ts";
import { pimsMeanwhile } from "../pims.ts";
import { writeCpio } from "./cpio.ts";
import { AGENT, BUNDLE, kernelImage, RUNC, stageGuest } from "./guest.ts";
import { Machine } from "./machine.ts";

/** Software emulation on a busy machine is slow. */
const WAIT_MS = 120_000;
const STALE_MS = 30_000;
/** The host, as the machine's network names it. */
const OUTSIDE = "10.0.2.2";
const SECURITY = "/sys/kernel/security";
const never = new AbortController().signal;

const closing: (() => Promise<void>)[] = [];
let [passed, failed] = [0, 0];
/** What the agent has said last. */
let agentLog = async (): Promise<string> => "";

async function check(what: string, work: () => Promise<void>): Promise<void> {
  const start = performance.now();
  try {
    await work();
    passed++;
    console.log(`passed  ${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`failed  ${what}: ${error instanceof assert.AssertionError ? error.message : describeError(error)}`);
    console.log(await agentLog().catch(describeError));
  }
}

/** A TPM with its maker's certificate. */
async function makeTpm(folder: string): Promise<void> {
  const options = ["--create-ek-cert", "--pcr-banks", "sha1,sha256"];
  await setUpSwtpm(join(folder, "tpm"), options, join(folder, "maker"));
}

/** The folder of the maker's roots, once it has made a TPM. */
async function rootsOf(folder: string): Promise<string> {
  const [ca, roots] = [join(folder, "maker"), join(folder, "roots")];
  await mkdir(roots);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"])
    await copyFile(join(ca, name), join(roots, name));
  return roots;
}

async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pims-vm-"));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  // What it has started ends with this process; the folder does not.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      rmSync(folder, { recursive: true, force: true });
      process.exit(1);
    });
  const root = join(folder, "root");
  await stageGuest(root);
  const baseline = await buildFromFolder({ root: join(root, BUNDLE, "rootfs"), name: "web" });
  await writeFile(join(root, BUNDLE, "config.json"), JSON.stringify(spec(baseline.header.identity)));
  const manifest = await makeReleaseManifest({
    folder: join(root, AGENT),
    installedAt: AGENT,
    runtime: [join(root, RUNC)],
  });
  const runtime = { files: manifest.runtime.files.map((file) => ({ ...file, path: RUNC })) };
  const release = join(folder, "release.json");
  await writeFile(release, JSON.stringify({ ...manifest, runtime }));
  const initrd = join(folder, "initrd");
  await writeCpio(root, initrd);

  const chain = await startAnvil({ folder: join(folder, "ledger") });
  closing.push(() => chain.stop());
  const keys = [createKey(), createKey()] as const;
  const publishers = keys.map(({ address }) => address);
  const deployed = await deployRegistry({ url: chain.url, deployerKey: createKey(), publishers, quorum: 2 });
  const ledger = { url: chain.url, registry: deployed.address };
  const { id } = await proposeBaseline({ ...ledger, key: keys[0], lines: baseline.lines });
  await approveBaseline({ ...ledger, key: keys[1], id });

  await makeTpm(folder);
  const roots = await rootsOf(folder);
  const state = join(folder, "verifier");
  const config = join(folder, "verifier.json");
  const platform = { releases: [release], require: ["boot", "files", "agent", "runtime"] };
  const settings = {
    state,
    listen: { port: 0 },
    ledger,
    staleAfterMs: STALE_MS,
    platform,
    enrollment: { roots },
  };
  await writeFile(config, JSON.stringify(settings));
  const verifier = startPims(["verifier", "run", "--config", config]);
  closing.push(() => verifier.stop());
  const [, address] = await verifier.waitFor(/listens on (\S+)/, WAIT_MS);
  const view = new VerifierView(address!, "vm");
  const operator = { address: address!, token: await readOperatorToken(join(state, "operator-token")) };
  const inviteHost = () => invite(operator, { host: "vm", uncertified: false, anew: false, uses: 1, hours: 1 });
  const invited = await inviteHost();

  const machine = new Machine(folder);
  closing.push(() => machine.stop());
  agentLog = () => machine.run("tail -c 1000 /run/agent.log");
  const outside = (address: string) => address.replace(/127\.0\.0\.1|localhost/, OUTSIDE);
  const boot = async (joined: typeof invited | null) => {
    // With a root device of its own the first file system is ramfs, which `tcb` measures, and not tmpfs, which it leaves out.
    await machine.boot(
      await kernelImage(),
      initrd,
      "console=ttyS0 root=/dev/ram0 rdinit=/init ima_policy=tcb panic=-1 quiet",
    );
    await machine.run("mkdir -p /etc/pims");
    if (joined !== null)
      await machine.write("/etc/pims/join.json", JSON.stringify({ ...joined, verifier: outside(joined.verifier) }));
    await machine.write(
      "/etc/pims/agent.json",
      JSON.stringify({
        host: "vm",
        // A host that was enrolled needs no such file any more.
        verifier: { joinFile: "/etc/pims/join.json" },
        ledger: { ...ledger, url: outside(ledger.url) },
        sweepIntervalMs: 2000,
        attestIntervalMs: 3000,
        gate: { mode: "off" },
      }),
    );
  };
  await boot(invited);
  const until = (what: string, wished: (report: HostReport) => boolean) => view.waitUntil(what, WAIT_MS, never, wished);

  await check("the kernel's and the firmware's real lists lead to the PCRs of /dev/tpmrm0", async () => {
    // Reading with a program that was used before adds nothing to the list meanwhile.
    await machine.run(
      `base64 ${SECURITY}/ima/binary_runtime_measurements >/run/warm; cat /sys/class/tpm/tpm0/pcr-sha256/10 >/run/warm`,
    );
    const list = parseImaList(await machine.read(`${SECURITY}/ima/binary_runtime_measurements`));
    assert.ok(list.length > 3, `${list.length} entries`);
    for (const bank of ["sha1", "sha256"] as const)
      assert.equal(toHex(replayImaList(list, bank)), await pcr(machine, bank, 10), `PCR 10 of ${bank}`);
    assert.ok(list.some(({ file }) => file?.path === "/bin/busybox" || file?.path === "/init"));
    const log = parseBootLog(await machine.read(`${SECURITY}/tpm0/binary_bios_measurements`));
    const values = replayBootLog(log, "sha256");
    for (let index = 0; index < 10; index++)
      assert.equal(toHex(values.get(index)!), await pcr(machine, "sha256", index), `PCR ${index}`);
    // SeaBIOS knows no Secure Boot.
    assert.equal(secureBootOf(log, "sha256"), "unknown");
  });

  await check("a container in the machine is trusted, and every link below its agent is proved", async () => {
    await startWeb(machine);
    await startAgent(machine);
    const report = await until("trusted", ({ containers }) => containers.some(({ status }) => status === "trusted"));
    assert.equal(report.evidence, "good");
    const links = report.links!.map(({ link, state }) => `${link} ${state}`);
    assert.deepEqual(links, ["boot proved", "files proved", "agent proved", "runtime proved"]);
    const shown = await pimsMeanwhile(["host", "show", "vm", "--verifier", address!]);
    assert.equal(shown.status, 0, shown.stdout + shown.stderr);
    assert.match(shown.stdout, /PCR 0 .*[0-9a-f]{64}/);
  });

  await check("the host is enrolled with the certificate of its TPM's maker", async () => {
    const { tpm, notice } = await until("evidence", ({ evidence }) => evidence === "good");
    assert.deepEqual([tpm?.certified?.model, notice], ["swtpm", null]);
  });
  await check("a program dropped into the container is found", async () => {
    const rootfs = `${BUNDLE}/rootfs`;
    await machine.run(`cp /bin/busybox ${rootfs}/tmp/busybox && echo x >>${rootfs}/tmp/busybox`);
    await machine.run(`${RUNC} exec --detach web /tmp/busybox sleep 1000 </dev/null >/run/exec.log 2>&1`);
    const report = await until("untrusted", ({ containers }) =>
      containers.some(({ status }) => status === "untrusted"),
    );
    const [finding] = report.containers.flatMap(({ findings }) => findings);
    assert.equal(finding?.reason, "unknown-executable");
    assert.equal(finding?.object.path, "/tmp/busybox");
    assert.equal(report.evidence, "good");
  });

  await check("runc is replaced and used: runtime-modified", async () => {
    await machine.run(
      `cp ${RUNC} /usr/sbin/new && echo x >>/usr/sbin/new && mv /usr/sbin/new ${RUNC} && ${RUNC} list >/dev/null`,
    );
    const report = await until("runtime-modified", ({ reason }) => reason === "runtime-modified");
    assert.ok(report.text.includes(RUNC), report.text);
    assert.deepEqual(statesOf(report), ["proved", "proved", "proved", "broken"]);
  });

  await check("a file of the agent is changed and used: agent-modified", async () => {
    await machine.run(`echo '// x' >>${AGENT}/src/core/version.ts && ${AGENT}/bin/pims log --help >/run/help`);
    const report = await until("agent-modified", ({ reason }) => reason === "agent-modified");
    assert.match(report.text, /\/opt\/pims\/src\/core\/version\.ts/);
    assert.deepEqual(statesOf(report), ["proved", "proved", "broken", "broken"]);
    const shown = await pimsMeanwhile(["host", "show", "vm", "--verifier", address!]);
    assert.equal(shown.status, 2, shown.stdout);
    assert.match(shown.stdout, /agent-modified/);
  });

  await check("the agent is killed: stale by the deadline", async () => {
    await machine.run("kill -9 $(cat /run/agent.pid)");
    const killed = Date.now();
    const report = await until("stale", ({ evidence }) => evidence === "stale");
    assert.ok(report.containers.every(({ status }) => status !== "trusted"));
    const late = Date.now() - Date.parse(report.acceptedAt!) - STALE_MS;
    assert.ok(Date.now() - killed < STALE_MS + 30_000 && late < 10_000, `${late} ms late`);
  });

  await check("the host reboots: its log leads back, and it is trusted again without anybody's help", async () => {
    await startAgent(machine);
    const { boots: before } = await until("evidence", ({ acceptedAt, text }) => {
      return acceptedAt !== null && Date.now() - Date.parse(acceptedAt) < 5000 && text !== "";
    });
    assert.equal(before.known, 1);
    // The file system has no journal; the agent goes on logging.
    await machine.run("sync");
    await machine.reset();
    await boot(null);
    await startWeb(machine);
    await startAgent(machine);
    const report = await until(
      "trusted again",
      ({ evidence, boots, containers }) =>
        evidence === "good" &&
        boots.known === 2 &&
        containers.some(({ status, stoppedAt }) => status === "trusted" && stoppedAt === null),
    );
    // What was changed on the machine is gone with its memory, and its kernel measures anew.
    assert.deepEqual(statesOf(report), ["proved", "proved", "proved", "proved"]);
    const [first, second] = report.boots.last;
    assert.ok(first?.bootId !== second?.bootId && first!.proved > 0 && second!.proved > 0);
    assert.deepEqual([report.boots.unloggedResets, report.notice], [0, null]);
    const shown = await pimsMeanwhile(["status", "--verifier", address!]);
    assert.match(shown.stdout, /rebooted once/);
  });

  await check("another TPM under the host's name: tpm-changed", async () => {
    await machine.reset();
    await rename(join(folder, "tpm"), join(folder, "tpm-before"));
    await rm(join(folder, "disk"));
    await makeTpm(folder);
    await boot(await inviteHost());
    await startAgent(machine);
    const report = await until("tpm-changed", ({ reason }) => reason === "tpm-changed");
    assert.equal(report.notice?.reason, "tpm-changed");
    assert.ok(report.containers.every(({ status }) => status !== "trusted"));
    // What the first TPM has proved is still there.
    assert.ok(report.records > 0 && report.boots.known === 2);
    const listed = await pimsMeanwhile(["host", "list", "--verifier", address!]);
    assert.equal(listed.status, 2);
    assert.match(listed.stdout, /tpm-changed/);
  });
}

const statesOf = (report: HostReport) => report.links!.map(({ state }) => state);

async function pcr(machine: Machine, bank: string, index: number): Promise<string> {
  return (await machine.run(`cat /sys/class/tpm/tpm0/pcr-${bank}/${index}`)).trim().toLowerCase();
}

async function startWeb(machine: Machine): Promise<void> {
  await machine.run(
    `${RUNC} run --no-pivot --detach --bundle ${BUNDLE} web </dev/null >/run/web.log 2>&1 || { cat /run/web.log; false; }`,
  );
}

async function startAgent(machine: Machine): Promise<void> {
  const command = `${AGENT}/bin/pims agent run --config /etc/pims/agent.json`;
  await machine.run(`{ ${command} </dev/null >/run/agent.log 2>&1 3>&- 4>&- & echo $! >/run/agent.pid; }`);
}

function spec(identity: string): object {
  const annotations = { "pims.image": identity, "pims.image.name": "web" };
  const whole = ociSpec({
    id: "web",
    args: ["/bin/busybox", "sleep", "100000"],
    rootfs: "rootfs",
    volume: "/srv/web/volume",
    annotations,
  });
  return JSON.parse(JSON.stringify(whole));
}

try {
  await run();
} catch (error) {
  failed++;
  console.log(`failed  ${describeError(error)}`);
} finally {
  for (const close of closing.reverse()) await close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
