import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { processesOf } from "../src/demo/patch-memory.ts";
import { startDockerd } from "./dockerd.ts";
import { GateSite, until } from "./gate-site.ts";
import { MappedWriter } from "./mapped-writer.ts";

const refused = (path: string): string => `/bin/sh: 1: ${path}: Operation not permitted`;
const busy = (path: string): string => `/bin/sh: 1: ${path}: Text file busy`;

/** Shell commands that change a program, by what they do. */
const WAYS: Readonly<Record<string, (program: string) => string>> = {
  "a byte, in place": (program) => `printf x | dd of=${program} bs=1 seek=9 conv=notrunc status=none`,
  "the end, cut off": (program) => `truncate -s -1 ${program}`,
  "everything, cut off": (program) => `: >${program}`,
  "other bytes over it": (program) => `cp /tmp/foreign ${program}`,
  "another file in its place": (program) => `cp /tmp/foreign /tmp/new; mv /tmp/new ${program}`,
  "by another name": (program) => `ln ${program} /tmp/name; echo >>/tmp/name; rm /tmp/name`,
  "by a descriptor to read": (program) => `exec 3<${program}; ${program} >/dev/null; echo >>/proc/self/fd/3; exec 3<&-`,
  "by a descriptor to write": (program) => `exec 3<>${program}; ${program} 2>/dev/null; printf x >&3; exec 3>&-`,
};

test("a program that is not asked about any more is asked about again when it is changed in any way", async (t) => {
  const site = await GateSite.open(t);
  const container = await site.start("one");
  await site.run(container, "cp /bin/true /tmp/foreign; echo >>/tmp/foreign");
  const programs = "arch date id logname nproc pwd tty uname whoami".split(" ").map((name) => `/usr/bin/${name}`);
  const all = programs.map((program) => `${program} >/dev/null`).join("; ");
  await site.run(container, all);
  await sleep(500);
  const { decisions } = site.stateOf(container)!;
  await site.run(container, all);
  await sleep(500);
  assert.equal(site.stateOf(container)!.decisions, decisions, "they are not asked about");
  for (const [index, [name, way]] of Object.entries(WAYS).entries()) {
    const program = programs[index]!;
    assert.deepEqual(await site.run(container, `${way(program)}; ${program}`), [refused(program), "126"], name);
  }
  const mapped = programs[Object.keys(WAYS).length]!;
  const writer = await MappedWriter.open(t, `/proc/${processesOf(container.ref)[0]}/root${mapped}`);
  assert.deepEqual(await site.run(container, mapped), [busy(mapped), "126"]);
  await writer.write();
  await writer.close();
  assert.deepEqual(await site.run(container, mapped), [refused(mapped), "126"]);
  assert.deepEqual(site.gaps, []);
});

test("what was written through a mapping is found out when the container is started anew", async (t) => {
  const docker = await startDockerd(t);
  const site = await GateSite.open(t, "deny", docker);
  try {
    const container = await site.start("one");
    const root = `/proc/${processesOf(container.ref)[0]}/root`;
    const writer = await MappedWriter.open(t, `${root}/usr/bin/uname`);
    // Nothing runs that somebody may write to, but the gate has read it.
    assert.deepEqual(await site.run(container, "/usr/bin/uname"), [
      "/bin/sh: 1: /usr/bin/uname: Text file busy",
      "126",
    ]);
    await writer.write();
    await writer.close();
    const engine = (...args: string[]) =>
      promisify(execFile)("docker", ["--host", `unix://${docker.socketPath}`, ...args, container.ref.id]);
    await engine("stop", "--time=1");
    await until("the end", () => (site.stateOf(container) === undefined ? true : null));
    await engine("start");
    await until("the server", () => (processesOf(container.ref).length > 0 ? true : null));
    assert.deepEqual(await site.run(container, "/usr/bin/uname"), [refused("/usr/bin/uname"), "126"]);
  } finally {
    await site.runtime.cleanup();
  }
});
