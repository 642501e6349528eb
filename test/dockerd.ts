import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dockerAnswers } from "../src/container/docker.ts";
import { type DockerAddress, dockerJson, dockerText } from "../src/container/docker-http.ts";
import { removeTree } from "../src/demo/run-folder.ts";
import { toolPath } from "../src/demo/run-tool.ts";

/** What can be given an end: a test, or a suite's hooks. */
type Owner = Pick<TestContext, "after">;

const startMs = 30_000;
const stopMs = 15_000;

/**
 * A Docker Engine with a containerd of its own that shares nothing with one of this machine: no network, no firewall
 * rules, all state in a folder that is gone at the end of the test. After hooks run in the order in which they were set,
 * so what needs the engine to be cleaned up must do it in a `finally` of its own. `settings` are those of daemon.json.
 */
export async function startDockerd(owner: Owner, settings: object = {}): Promise<DockerAddress> {
  // Short: a unix socket's path has at most 107 bytes.
  const folder = await mkdtemp(join(tmpdir(), "pims-de-"));
  const running: ChildProcess[] = [];
  const address = { socketPath: join(folder, "d.sock") };
  owner.after(async () => {
    try {
      await removeContainers(address);
      for (const child of running.reverse()) await stop(child);
    } finally {
      await removeTree(folder);
    }
  });
  const at = (name: string): string => join(folder, name);
  const containerdSocket = at("c.sock");
  running.push(
    await start(folder, "containerd", [
      ...["--config", "/dev/null", "--root", at("containerd"), "--state", at("cs")],
      ...["--address", containerdSocket],
    ]),
  );
  // Not the settings of an engine that this machine may have.
  await writeFile(at("d.json"), JSON.stringify(settings));
  running.push(
    await start(folder, "dockerd", [
      ...["--config-file", at("d.json"), "--host", `unix://${address.socketPath}`, "--containerd", containerdSocket],
      ...["--data-root", at("data"), "--exec-root", at("x"), "--pidfile", at("pid")],
      ...["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"],
      "--userland-proxy=false",
    ]),
  );
  const deadline = performance.now() + startMs;
  while (!(await dockerAnswers(address))) {
    const gone = running.find((child) => child.exitCode !== null || child.signalCode !== null);
    if (gone || performance.now() > deadline) throw new Error(`Docker did not start:\n${await lastLines(folder)}`);
    await sleep(50);
  }
  return address;
}

async function start(folder: string, program: string, args: readonly string[]): Promise<ChildProcess> {
  const log = await open(join(folder, `${program}.log`), "a");
  try {
    // TMPDIR: what the engine unpacks on the way belongs to the folder as well.
    const env = { ...process.env, PATH: toolPath, TMPDIR: folder };
    const child = spawn(program, args, { stdio: ["ignore", log.fd, log.fd], env });
    await once(child, "spawn");
    return child;
  } finally {
    await log.close();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const hard = setTimeout(() => child.kill("SIGKILL"), stopMs);
  await exit;
  clearTimeout(hard);
}

/** An engine that stops gives each container ten seconds, and one that is killed leaves them running. */
async function removeContainers(address: DockerAddress): Promise<void> {
  if (!(await dockerAnswers(address))) return;
  const containers = (await dockerJson(address, { method: "GET", path: "/containers/json?all=1" })) as { Id: string }[];
  for (const { Id } of containers)
    await dockerText(address, { method: "DELETE", path: `/containers/${Id}?force=1&v=1` });
}

async function lastLines(folder: string): Promise<string> {
  const logs = await Promise.all(
    ["containerd", "dockerd"].map((name) => readFile(join(folder, `${name}.log`), "utf8")),
  );
  return logs.map((text) => text.split("\n").slice(-8).join("\n")).join("\n");
}
