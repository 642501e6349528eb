import type { ChildProcess } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dockerAnswers } from "../src/container/docker.ts";
import { type DockerAddress, dockerJson, dockerText } from "../src/container/docker-http.ts";
import { removeTree } from "../src/demo/run-folder.ts";
import { lastLines, startContainerd, startDaemon, stopDaemon } from "./engine-daemons.ts";

/** What can be given an end: a test, or a suite's hooks. */
type Owner = Pick<TestContext, "after">;

const startMs = 30_000;

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
      for (const child of running.reverse()) await stopDaemon(child);
    } finally {
      await removeTree(folder);
    }
  });
  const at = (name: string): string => join(folder, name);
  const containerdSocket = at("c.sock");
  running.push(await startContainerd(folder, containerdSocket));
  // Not the settings of an engine that this machine may have.
  await writeFile(at("d.json"), JSON.stringify(settings));
  running.push(
    await startDaemon(folder, "dockerd", [
      ...["--config-file", at("d.json"), "--host", `unix://${address.socketPath}`, "--containerd", containerdSocket],
      ...["--data-root", at("data"), "--exec-root", at("x"), "--pidfile", at("pid")],
      ...["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"],
      "--userland-proxy=false",
    ]),
  );
  const deadline = performance.now() + startMs;
  while (!(await dockerAnswers(address))) {
    const gone = running.find((child) => child.exitCode !== null || child.signalCode !== null);
    if (gone || performance.now() > deadline)
      throw new Error(`Docker did not start:\n${await lastLines(folder, ["containerd", "dockerd"])}`);
    await sleep(50);
  }
  return address;
}

/** An engine that stops gives each container ten seconds, and one that is killed leaves them running. */
async function removeContainers(address: DockerAddress): Promise<void> {
  if (!(await dockerAnswers(address))) return;
  const containers = (await dockerJson(address, { method: "GET", path: "/containers/json?all=1" })) as { Id: string }[];
  for (const { Id } of containers)
    await dockerText(address, { method: "DELETE", path: `/containers/${Id}?force=1&v=1` });
}
