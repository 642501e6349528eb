import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { ociSpec } from "../src/demo/oci-spec.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { parseMountinfo } from "../src/process/mountinfo.ts";
import { GateSite, readIf, until } from "./gate-site.ts";

const PROGRAMS = 200;

/** Programs of which no two are the same. */
function fillWithPrograms(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const bytes = readFileSync("/bin/true");
  for (let count = 0; count < PROGRAMS; count++)
    writeFileSync(join(folder, `host-${count}`), Buffer.concat([bytes, Buffer.from(`${folder} ${count}`)]), {
      mode: 0o755,
    });
  return `${folder}/host-*`;
}

test("no program of the host's is asked about, wherever it lies: all of them run while the gate stands still", async (t) => {
  const site = await GateSite.open(t);
  const own = fillWithPrograms(site.volume("programs"));
  const rounds = join(site.volume("programs"), "rounds");
  const round = (programs: string) => `for program in ${programs}; do "$program" || exit 1; done`;
  // A daemon that was there before any container.
  const daemon = spawn("sh", ["-c", `while :; do ${round(own)}; echo >>${rounds}; sleep 0.1; done`], {
    stdio: "ignore",
  });
  const exited = once(daemon, "exit");
  t.after(async () => {
    daemon.kill("SIGKILL");
    await exited;
  });

  const container = await site.start("one");
  const shared = fillWithPrograms(site.volume("one"));
  copyFileSync("/bin/true", join(site.volume("one"), "asked"));
  // A container whose root is a folder of the host's own file system.
  const bundle = site.volume("plain");
  const root = join(bundle, "rootfs");
  mkdirSync(bundle);
  await runTool("cp", ["-a", site.images.web.rootfs, root]);
  const id = site.runtime.namePattern.replace("*", "plain");
  const args = ["/bin/sleep", "1000"];
  writeFileSync(
    join(bundle, "config.json"),
    JSON.stringify(ociSpec({ id, args, rootfs: root, volume: site.volume("one"), annotations: {} })),
  );
  try {
    spawnSync("runc", ["run", "--detach", "--bundle", bundle, id], { stdio: "ignore", timeout: 20_000 });
    const isWatched = () => site.states.find(({ container, watched }) => container.id === id && watched > 0) ?? null;
    assert.equal((await until("the plain container", isWatched)).mode, "enforce");
    const below = fillWithPrograms(join(root, "opt"));
    assert.deepEqual(hostMountsMarked(site.supervisor.pid!), []);

    const volume = site.volume("one");
    const command = "while [ ! -e /run/web/go ]; do :; done; /run/web/asked; echo $? >/run/web/status";
    await site.runtime.exec(container, ["/bin/sh", "-c", command]);
    const script = `
      ${[own, shared, below].map(round).join("\n")}
      before=$(wc -l <${rounds}); while [ $(wc -l <${rounds}) -lt $((before + 2)) ]; do sleep 0.05; done
      : >${volume}/go; sleep 0.5; test ! -e ${volume}/status && echo "a container's program waits"`;
    const gate = site.supervisor.pid!;
    kill(gate, "SIGSTOP");
    // Until this comes back nobody can start another gate either.
    const { stdout, status } = spawnSync("sh", ["-c", script], { encoding: "utf8", timeout: 20_000 });
    kill(gate, "SIGCONT");
    assert.deepEqual([status, stdout], [0, "a container's program waits\n"]);
    await until("an answer", () => readIf(join(volume, "status")));
  } finally {
    await runTool("runc", ["delete", "--force", id]);
  }
});

/** Places of the host's mounts that a gate has marked as mounts (proc_pid_fdinfo(5)). */
function hostMountsMarked(gate: number): string[] {
  const marks = readFileSync(`/proc/${gate}/fdinfo/4`, "latin1");
  const marked = new Set([...marks.matchAll(/^fanotify mnt_id:([0-9a-f]+) /gm)].map(([, id]) => Number(`0x${id}`)));
  assert.ok(marked.size > 0);
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "latin1"));
  return mounts.filter(({ id }) => marked.has(id)).map(({ mountPoint }) => mountPoint);
}
