import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startDockerd } from "./dockerd.ts";
import { GateSite, until } from "./gate-site.ts";

const refused = (path: string): string => `/bin/sh: 1: ${path}: Operation not permitted`;

test("the image's programs are executed, and no others, wherever they lie", async (t) => {
  const site = await GateSite.open(t);
  const container = await site.start("one");
  const places = ["/tmp", "/dev", "/run/web"];
  for (const place of places) {
    assert.deepEqual(await site.run(container, `cp /bin/true ${place}/x; ${place}/x`), ["0"], "a listed digest");
    assert.deepEqual(await site.run(container, `echo >>${place}/x; ${place}/x`), [refused(`${place}/x`), "126"]);
    // Of a listed size, so that it has to be read.
    const same = `rm ${place}/x; cp /bin/true ${place}/y; printf x | dd of=${place}/y bs=1 seek=9 conv=notrunc status=none; ${place}/y`;
    assert.deepEqual(await site.run(container, same), [refused(`${place}/y`), "126"]);
    const script = `printf '#!/bin/sh\\n' >${place}/z; chmod 755 ${place}/z; ${place}/z`;
    assert.deepEqual(await site.run(container, script), [refused(`${place}/z`), "126"]);
  }
  const { watched, unwatched, denials, slowestMs } = await site.state(container, (state) => state.denials >= 9);
  assert.equal(denials, 9);
  assert.ok(watched >= 4 && slowestMs > 0);
  assert.deepEqual(unwatched, []);

  const told = await until("all refusals", () => (site.refusals.length >= 9 ? site.refusals : null));
  const changed = told.find(({ path }) => path === "/tmp/y")!;
  const bytes = Buffer.from(await readFile(join(site.images.web.rootfs, "bin/true")));
  bytes.write("x", 9);
  assert.equal(changed.sha256, createHash("sha256").update(bytes).digest("hex"));
  assert.equal(changed.container.id, container.ref.id);
  assert.deepEqual([changed.comm, changed.exe], ["sh", "/usr/bin/dash"]);
  assert.ok(changed.pid > 1 && changed.startTime > 0n && changed.parent.pid > 0 && !changed.late);
  // What was refused unread has been read since, to tell what it was.
  const script = told.find(({ path }) => path === "/run/web/z")!;
  assert.equal(script.sha256, createHash("sha256").update("#!/bin/sh\n").digest("hex"));
});

test("a second exec is not asked about, one of a changed file is, and the host's own never are", async (t) => {
  const site = await GateSite.open(t);
  const container = await site.start("one");
  assert.deepEqual(await site.run(container, "/bin/ls /srv/www"), ["index.html", "0"]);
  await site.state(container, ({ decisions }) => decisions > 0);
  await sleep(500);
  const { decisions } = site.stateOf(container)!;
  for (let count = 0; count < 20; count++) await promisify(execFile)("/bin/true");
  const repeated = await site.run(container, "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/ls /srv/www; done");
  assert.equal(repeated.filter((line) => line === "index.html").length, 10);
  await sleep(500);
  assert.equal(site.stateOf(container)!.decisions, decisions);

  // Through another name, by a write, by a new file in its place.
  const ways = [
    "printf x | dd of=/usr/bin/ls bs=1 seek=9 conv=notrunc status=none",
    "ln /usr/bin/cat /tmp/link; printf x | dd of=/tmp/link bs=1 seek=9 conv=notrunc status=none; rm /tmp/link",
    "cp /bin/uname /tmp/new; echo >>/tmp/new; mv /tmp/new /usr/bin/uname",
  ];
  const programs = ["/bin/ls", "/bin/cat", "/bin/uname"];
  for (const program of programs) assert.equal((await site.run(container, `${program} </dev/null`)).at(-1), "0");
  for (const [index, way] of ways.entries()) {
    const program = programs[index]!;
    assert.deepEqual(await site.run(container, `${way}; ${program}`), [refused(program), "126"]);
  }
});

test("a container that starts under the gate starts with the image's program or not at all", async (t) => {
  const site = await GateSite.open(t);
  for (let count = 0; count < 5; count++) {
    const container = await site.start(`good-${count}`);
    await site.state(container, ({ decisions }) => decisions > 0);
  }
  // The same image, and one program that its baseline does not have.
  const { web, dropper } = site.images;
  const rootfs = site.volume("rootfs");
  await promisify(execFile)("cp", ["-a", web.rootfs, rootfs]);
  await copyFile(dropper, join(rootfs, "usr/local/bin/dropper"));
  const image = { ...web, rootfs, entrypoint: ["/usr/local/bin/dropper", "-l", "-p", "4444"] };
  const volume = site.volume("foreign");
  await mkdir(volume);
  const started = site.runtime.start({ name: "foreign", image, identity: `sha256:${"0".repeat(64)}`, volume });
  await assert.rejects(started, { code: "server-silent" });
  const isDropper = () => site.refusals.find(({ path }) => path === "/usr/local/bin/dropper") ?? null;
  const refusal = await until("the refusal", isDropper);
  assert.match(refusal.container.id, /-foreign$/);
});

test("observe refuses nothing and counts; another mode holds at once", async (t) => {
  const site = await GateSite.open(t);
  site.mode = "observe";
  const container = await site.start("one");
  const foreign = "cp /bin/true /tmp/x; echo >>/tmp/x; /tmp/x";
  assert.deepEqual(await site.run(container, foreign), ["0"]);
  await site.state(container, ({ mode, denials }) => mode === "observe" && denials === 1);
  const [seen, ...more] = await until("what was seen", () => (site.refusals.length > 0 ? site.refusals : null));
  assert.deepEqual([more.length, seen?.allowed, seen?.path, seen?.script], [0, true, "/tmp/x", false]);
  site.mode = "enforce";
  site.settle(container.ref);
  assert.deepEqual(await site.run(container, foreign), [refused("/tmp/x"), "126"]);
  site.mode = "off";
  site.settle(container.ref);
  assert.deepEqual(await site.run(container, foreign), ["0"]);
  // Without a program that is listed nothing of what was listed before is.
  site.mode = "enforce";
  const nothing = { name: "nothing", digests: new Set<string>(), sizes: new Set<bigint>() };
  site.supervisor.settle(container.ref, { mode: "enforce", reference: { baseline: "nothing" } }, nothing);
  const { length } = site.refusals;
  await site.runtime.exec(container, ["/bin/sh", "-c", "true"]);
  const isShell = () => site.refusals.slice(length).find(({ path }) => path === "/usr/bin/dash") ?? null;
  await until("the refusal of the shell", isShell);
});

test("a file of 10 GB is refused without being read, and one of a listed size that is not there in time", async (t) => {
  const site = await GateSite.open(t);
  const container = await site.start("one");
  const started = performance.now();
  const sparse = "truncate -s 10G /tmp/x; chmod 755 /tmp/x; /tmp/x";
  assert.deepEqual(await site.run(container, sparse), [refused("/tmp/x"), "126"]);
  assert.ok(performance.now() - started < 10_000);
  await writeFile(join(site.volume("one"), "empty"), "", { mode: 0o755 });
  assert.deepEqual(await site.run(container, "/run/web/empty"), [refused("/run/web/empty"), "126"]);
  assert.equal(site.gaps.length, 0);
});

test("containers of Docker: the entry point, an exec, a program on the overlay and one on a volume", async (t) => {
  const site = await GateSite.open(t, "deny", await startDockerd(t));
  try {
    const container = await site.start("one");
    await site.state(container, ({ decisions, watched }) => decisions > 0 && watched > 0);
    assert.deepEqual(await site.run(container, "/bin/ls /srv/www"), ["index.html", "0"]);
    for (const place of ["/tmp", "/run/web", "/dev"]) {
      const foreign = `cp /bin/true ${place}/x; echo >>${place}/x; ${place}/x`;
      assert.deepEqual(await site.run(container, foreign), [refused(`${place}/x`), "126"]);
    }
    assert.deepEqual(site.gaps, []);
  } finally {
    // Before the engine goes.
    await site.runtime.cleanup();
  }
});
