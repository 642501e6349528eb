import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { prepareImages, type RootImage } from "./images.ts";

test("two images of Debian packages, made once", async (t) => {
  const cacheFolder = await mkdtemp(join(tmpdir(), "pims-images-"));
  t.after(() => rm(cacheFolder, { recursive: true, force: true }));
  // A run that was killed in the middle, and one that still works: no process has 1 above the kernel's largest number.
  const abandoned = join(cacheFolder, `building-${(1 << 22) + 1}-1`);
  const living = join(cacheFolder, `building-${process.pid}-1`);
  for (const draft of [abandoned, living]) await mkdir(join(draft, "web"), { recursive: true });

  const progress: string[] = [];
  const images = await prepareImages({ cacheFolder, onProgress: (text) => progress.push(text) });
  assert.equal(progress.length, 3);
  const names = await readdir(cacheFolder);
  assert.deepEqual(
    names.filter((name) => name.startsWith("building-")),
    [basename(living)],
  );

  const server = async (image: RootImage): Promise<Buffer> => readFile(join(image.rootfs, image.entrypoint[0]!));
  assert.deepEqual(images.web.entrypoint[0], images.app.entrypoint[0]);
  assert.deepEqual(await server(images.web), await readFile(join(images.web.rootfs, "usr/sbin/nginx")));
  assert.deepEqual(await server(images.app), await readFile(join(images.app.rootfs, "usr/sbin/lighttpd")));
  assert.notDeepEqual(await server(images.web), await server(images.app));

  const attack = [await readFile(images.dropper), await readFile(images.injectedLibrary)];
  for (const { rootfs } of [images.web, images.app]) {
    assert.equal(await realpath(join(rootfs, "bin")), join(rootfs, "usr/bin"));
    for (const program of ["bin/sh", "bin/sleep", "bin/cat"])
      assert.ok((await stat(join(rootfs, program))).mode & 0o111);
    assert.equal((await stat(join(rootfs, "tmp"))).mode & 0o7777, 0o1777);
    assert.match(await readFile(join(rootfs, "etc/passwd"), "utf8"), /^www-data:/m);
    for (const entry of await readdir(rootfs, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const { size } = await stat(path);
      for (const bytes of attack) assert.ok(size !== bytes.length || !bytes.equals(await readFile(path)), path);
    }
  }

  const before = performance.now();
  assert.deepEqual(await prepareImages({ cacheFolder, onProgress: assert.fail }), images);
  assert.ok(performance.now() - before < 1000);
});
