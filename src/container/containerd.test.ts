// A containerd that answers with nonsense, without end or not at all; one in order is in test/engine-identities.test.ts.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { inspectContainerdContainer } from "./containerd.ts";

const places = [{ address: "/nowhere", namespace: "k8s.io" }];
const id = "ab".repeat(32);

/** A program in the place of ctr. */
function asCtr(t: TestContext, script: string): void {
  const folder = mkdtempSync(join(tmpdir(), "pims-ctr-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(folder, { recursive: true, force: true });
  });
  writeFileSync(join(folder, "ctr"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "ctr"), 0o755);
  process.env.PATH = `${folder}:${path}`;
}

test("nonsense, an answer without end and a failure are one sentence", async (t) => {
  const scripts = ["echo nonsense", "echo '{}'", "cat /dev/zero", "echo no >&2; exit 1", "kill -9 $$"];
  for (const script of scripts) {
    asCtr(t, script);
    await assert.rejects(inspectContainerdContainer(id, places), { code: "containerd-failed" }, script);
  }
});

test("a containerd that does not answer is given up", async (t) => {
  asCtr(t, "exec sleep 60");
  await assert.rejects(inspectContainerdContainer(id, places), { code: "containerd-silent", message: /within 5 s/ });
});

test("without ctr, and for what is no id, the image is not told, and that is said", async (t) => {
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
  });
  process.env.PATH = "/nowhere";
  assert.match((await inspectContainerdContainer(id, places)).unresolved!, /ctr is not installed/);
  for (const wrong of ["--help", "", "a b", "../x"])
    assert.equal((await inspectContainerdContainer(wrong, places)).image, null, wrong);
});

test("a name that would end the filter is no image's", async (t) => {
  const info = { ID: id, Image: "web:1,digest!=x", Labels: {}, SnapshotKey: "k", Snapshotter: "overlayfs" };
  asCtr(t, `echo '${JSON.stringify(info)}'`);
  const found = await inspectContainerdContainer(id, places);
  assert.equal(found.image, null);
  assert.match(found.unresolved!, /that is no image's name/);
});
