import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { ScanReport } from "../src/agent/scan.ts";
import { containerOfProcess } from "../src/container/cgroup.ts";
import { ContainerFinder } from "../src/container/finder.ts";
import { prepareImages } from "../src/demo/images.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { pims, temporaryFolder } from "./pims.ts";

test("a container of plain runc, whose cgroup says nothing, is found by runc's own record", async (t) => {
  const { web } = await prepareImages();
  const bundle = temporaryFolder(t);
  await runTool("runc", ["spec", "--bundle", bundle]);
  const spec = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
  await symlink(web.rootfs, join(bundle, "rootfs"));
  spec.root = { path: web.rootfs, readonly: true };
  spec.process.terminal = false;
  spec.process.args = ["/bin/sleep", "1000"];
  delete spec.linux.cgroupsPath;
  await writeFile(join(bundle, "config.json"), JSON.stringify(spec));
  const id = `pims-plain-${randomBytes(3).toString("hex")}`;
  try {
    // Its own output goes nowhere: a pipe would stay open for as long as the container lives.
    const { status } = spawnSync("runc", ["run", "--detach", "--bundle", bundle, id], {
      stdio: "ignore",
      timeout: 20_000,
    });
    assert.equal(status, 0);
    const { pid } = JSON.parse(await runTool("runc", ["state", id]));
    assert.equal(containerOfProcess(pid), null);
    const finder = new ContainerFinder();
    assert.equal(finder.ofProcess(pid), null);
    await finder.refresh();
    assert.deepEqual(finder.ofProcess(pid), { runtime: "runc", id });
    // What is on record is read once, until it changes.
    await finder.refresh();
    assert.deepEqual(finder.ofProcess(pid), { runtime: "runc", id });
    assert.equal(finder.ofProcess(process.pid), null);
    const { status: exit, stdout } = pims(["scan", "--json"]);
    const { coverage, containers } = JSON.parse(stdout) as ScanReport;
    assert.ok(coverage.containers >= 1 && coverage.processes >= 1);
    // The container's own root file system is no baseline: nobody promised what is in it.
    const { baseline, notJudged, processes } = containers.find(({ container }) => container.id === id)!;
    assert.equal(baseline, null);
    assert.match(notJudged!, /runc has no image of it, and its root file system is no overlay/);
    assert.equal(processes, 1);
    // Other containers may be found guilty meanwhile.
    assert.ok(exit === 3 || exit === 2, `${exit}`);
    await runTool("runc", ["delete", "--force", id]);
    await finder.refresh();
    assert.equal(finder.ofProcess(pid), null);
  } finally {
    await runTool("runc", ["delete", "--force", id]).catch(() => undefined);
  }
});
