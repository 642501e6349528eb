import { mkdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../../../src/demo/run-tool.ts";
import type { BenignCase } from "../case.ts";
import { benign as nginx } from "../nginx/case.ts";
import { answers } from "../site.ts";

const EVENT = `pims_benign_${process.pid}`;

/** Where the entry point lies in the file of a 64-bit ELF program, in bytes. */
function entryOffset(file: Buffer): bigint {
  const entry = file.readBigUInt64LE(24);
  const headers = Number(file.readBigUInt64LE(32));
  for (let index = 0; index < file.readUInt16LE(56); index++) {
    const at = headers + index * file.readUInt16LE(54);
    const [offset, address, size] = [8, 16, 32].map((field) => file.readBigUInt64LE(at + field));
    if (file.readUInt32LE(at) === 1 && entry >= address! && entry < address! + size!) return entry - address! + offset!;
  }
  throw new Error("the program has no entry point");
}

let tracing = "";

export const benign: BenignCase = {
  // A tree of its own: a probe reaches every process that has the file mapped, in whatever container.
  image: { ...nginx.image, name: "uprobes" },
  async impossible() {
    const found = await stat("/sys/kernel/tracing").catch(() => null);
    return found === null ? "this kernel has no tracefs" : null;
  },
  async ready(site) {
    await answers(site);
    tracing = join(site.volume, "tracing");
    await mkdir(tracing);
    await runTool("mount", ["-t", "tracefs", "pims-benign", tracing]);
    site.afterwards(async () => {
      await runTool("umount", [tracing]);
      await rmdir(tracing);
    });
    // The file in the image, not the one in the container's overlay: the kernel goes by the former.
    const program = join(site.rootfs, "usr/sbin/nginx");
    const probe = `p:${EVENT} ${program}:0x${entryOffset(await readFile(program)).toString(16)}`;
    const control = join(tracing, "uprobe_events");
    const enable = join(tracing, "events/uprobes", EVENT, "enable");
    await writeFile(control, probe, { flag: "a" });
    site.afterwards(() => writeFile(control, `-:${EVENT}`, { flag: "a" }));
    await writeFile(enable, "1");
    site.afterwards(() => writeFile(enable, "0"));
  },
  async work(site, round) {
    await nginx.work(site, round);
    const profile = await readFile(join(tracing, "uprobe_profile"), "utf8");
    const hits = Number(new RegExp(` ${EVENT} +(\\d+)`).exec(profile)?.[1] ?? 0);
    if (hits === 0) throw new Error("the probe was never passed");
    return 1;
  },
};
