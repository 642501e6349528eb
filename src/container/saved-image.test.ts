import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { saveContainerdImage, savePodmanImage } from "./saved-image.ts";

/** A program in podman's place, to fail where the real one cannot be made to. */
function asPodman(t: TestContext, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-podman-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(folder, { recursive: true, force: true });
  });
  writeFileSync(join(folder, "podman"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "podman"), 0o755);
  process.env.PATH = `${folder}:${path}`;
  return folder;
}

async function lengthOf(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const chunk of stream) length += chunk.length;
  return length;
}

test("an export that fails half-way is an error with the program's last words", async (t) => {
  asPodman(t, "echo half; echo first >&2; echo 'Error: the disk is gone' >&2; exit 125");
  await assert.rejects(lengthOf(savePodmanImage("web")), {
    code: "image-unreadable",
    message: 'podman could not export the image "web": Error: the disk is gone',
  });
});

test("what complains without end, and what is killed, is an error too", async (t) => {
  asPodman(t, "head -c 3000000 /dev/zero | tr '\\0' x >&2; kill -9 $$");
  await assert.rejects(lengthOf(savePodmanImage("web")), { code: "image-unreadable" });
});

test("a program whose output is not wanted any more is ended", async (t) => {
  const folder = asPodman(t, `echo $$ >"$0.pid"\nexec cat /dev/zero`);
  for await (const chunk of savePodmanImage("web")) {
    assert.ok(chunk.length > 0);
    break;
  }
  const pid = readFileSync(join(folder, "podman.pid"), "utf8").trim();
  assert.ok(!existsSync(`/proc/${pid}`));
});

test("a program that says nothing is given up, also when what it started lives on", async (t) => {
  const folder = asPodman(t, 'echo begun; sleep 60 &\necho $! >"$0.child"\nexec sleep 60');
  const started = performance.now();
  await assert.rejects(lengthOf(savePodmanImage("web", 200)), {
    code: "image-unreadable",
    message: "podman gave nothing for 0.2 s",
  });
  assert.ok(performance.now() - started < 30_000);
  process.kill(Number(readFileSync(join(folder, "podman.child"), "utf8")));
});

test("a program that is not installed, and a name that is an option, are one sentence", async (t) => {
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
  });
  process.env.PATH = "/nowhere";
  await assert.rejects(lengthOf(savePodmanImage("web")), { code: "tool-missing", hint: /--archive/ });
  await assert.rejects(lengthOf(saveContainerdImage("web")), { code: "tool-missing", message: "ctr is not installed" });
  for (const name of ["--output=/etc/passwd", "-", "", "a b", "a;b"])
    assert.throws(() => savePodmanImage(name), { code: "image-not-found" }, name);
});
