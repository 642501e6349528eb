import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { DemoContainer } from "../src/demo/containers.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { GateSite, readIf, until } from "./gate-site.ts";
import { serveSilentFiles } from "./silent-files.ts";

const TRIES = 3;

test("a program that cannot be read is refused when its time is up, and keeps nobody else waiting", async (t) => {
  const site = await GateSite.open(t);
  const { server, near, remove } = await silentDisk(site);
  try {
    await heldUp(site, near, () => server.silence());
  } finally {
    // Who reads waits until the disk is gone, whatever else happens.
    await server.end();
    await site.runtime.cleanup();
    await remove();
  }
});

test("a gate that cannot even be killed keeps nobody waiting, nor whoever ends it", async (t) => {
  const site = await GateSite.open(t);
  const folder = site.volume("layers");
  for (const layer of ["lower", "upper", "work", "merged"]) await mkdir(join(folder, layer), { recursive: true });
  const program = join(folder, "program");
  await copyFile(join(site.images.web.rootfs, "bin/true"), program);
  const server = await serveSilentFiles({
    pid: process.pid,
    folder: join(folder, "lower"),
    program,
    silent: "to who reads",
  });
  // A gate cannot see what such a path leads to, so it opens and reads what lies there.
  const layers = "lowerdir=lower,upperdir=upper,workdir=work";
  try {
    await runTool("mount", ["-t", "overlay", "pims-test", "-o", layers, "merged"], { cwd: folder });
    const waiting = await startOn(site, join(folder, "merged"));
    const other = await site.start("two");
    const gate = site.supervisor.pid!;
    await site.runtime.exec(waiting, ["/bin/sh", "-c", "/mnt/kworker; :"]);
    await sleep(500);
    kill(gate, "SIGKILL");
    await until("another gate", () => (site.gaps.length > 0 ? true : null));
    assert.ok(existsSync(`/proc/${gate}`), "the one that was killed is still there");
    await site.supervisor.close();
    assert.deepEqual(await site.run(other, "cp /bin/true /tmp/x; echo >>/tmp/x; /tmp/x"), ["0"]);
  } finally {
    await server.end();
    await site.runtime.cleanup();
    await runTool("umount", ["--lazy", join(folder, "merged")]).catch(() => {});
    await runTool("umount", ["--lazy", join(folder, "lower")]);
  }
});

async function heldUp(site: GateSite, disk: string, silence: () => void): Promise<void> {
  const waiting = await startOn(site, disk);
  const other = await site.start("two");
  assert.deepEqual(await site.run(waiting, "test -x /mnt/program"), ["0"]);
  silence();
  const startMs = performance.now();
  for (let count = 0; count < TRIES; count++)
    await site.runtime.exec(waiting, ["/bin/sh", "-c", `/mnt/program; echo $? >/run/web/status-${count}`]);
  const status = (count: number) => readIf(join(site.volume("one"), `status-${count}`));
  // Others' programs that have to be read are judged meanwhile.
  let judged = 0;
  for (; (await status(0)) === null; judged++)
    assert.deepEqual(await site.run(other, `cp /bin/true /tmp/${judged}; /tmp/${judged}`), ["0"]);
  assert.ok(judged > 10, `${judged} programs of another container`);
  for (let count = 0; count < TRIES; count++) assert.equal(await until("the refusal", () => status(count)), "126\n");
  assert.ok(performance.now() - startMs > 8000);
  const refusal = await until("the refusal", () => site.refusals.find(({ path }) => path === "/mnt/program") ?? null);
  assert.deepEqual([refusal.container.id, refusal.late, refusal.sha256], [waiting.ref.id, true, null]);
  assert.deepEqual(site.gaps, [], "the gate lives on");
}

/** A container that has a folder of the host at /mnt. */
async function startOn(site: GateSite, folder: string): Promise<DemoContainer> {
  const volume = site.volume("one");
  await mkdir(volume);
  const identity = `sha256:${"0".repeat(64)}`;
  return site.runtime.start({ image: site.images.web, identity, binds: { "/mnt": folder }, name: "one", volume });
}

/** A disk that can be made to stop answering: ext4 on a loop device, on a file in user space. */
async function silentDisk(site: GateSite) {
  const folder = site.volume("disk");
  const [files, far, near] = ["files", "far", "near"].map((name) => join(folder, name)) as [string, string, string];
  for (const each of [files, far, near]) await mkdir(each, { recursive: true });
  await copyFile(join(site.images.web.rootfs, "bin/true"), join(files, "program"));
  const program = join(folder, "image");
  await runTool("mkfs.ext4", ["-q", "-O", "^has_journal", "-d", files, program, "8M"]);
  const server = await serveSilentFiles({ pid: process.pid, folder: far, program, silent: "when stopped" });
  const ends: [string, readonly string[]][] = [["umount", ["--lazy", far]]];
  const remove = async (): Promise<void> => {
    for (const [tool, args] of ends.reverse()) await runTool(tool, args);
  };
  try {
    const device = (await runTool("losetup", ["-r", "--direct-io=on", "--show", "-f", join(far, "kworker")])).trim();
    ends.push(["losetup", ["-d", device]]);
    await runTool("mount", ["-o", "ro", device, near]);
    ends.push(["umount", ["--lazy", near]]);
    return { server, near, remove };
  } catch (error) {
    await server.end();
    await remove();
    throw error;
  }
}
