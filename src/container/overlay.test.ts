import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { overlayLowerFolder } from "./overlay.ts";

test("the one lower folder of an overlay is told, with blanks in its name; several or strange ones are not", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-overlay-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["lo wer", "b", "c,d", "upper", "work", "at"]) mkdirSync(join(folder, name));
  const at = join(folder, "at");
  const withLower = <T>(lower: string, ask: () => T): T => {
    const options = `lowerdir=${lower},upperdir=upper,workdir=work`;
    execFileSync("mount", ["-t", "overlay", "pims-test", "-o", options, at], { cwd: folder });
    try {
      return ask();
    } finally {
      execFileSync("umount", [at]);
    }
  };
  assert.equal(overlayLowerFolder(at), null);
  assert.equal(
    withLower(join(folder, "lo wer"), () => overlayLowerFolder(at)),
    join(folder, "lo wer"),
  );
  assert.equal(
    withLower("b", () => overlayLowerFolder(at)),
    "b",
  );
  assert.equal(
    withLower("lo wer:b", () => overlayLowerFolder(at)),
    null,
  );
});

test("another file system, another mount on top, a folder of an overlay", () => {
  const overlay = "31 29 0:42 / /run/b/rootfs rw - overlay overlay rw,lowerdir=/srv/web,upperdir=u,workdir=w";
  const plain = "32 29 0:43 / /run/b/rootfs rw - tmpfs tmpfs rw";
  assert.equal(overlayLowerFolder("/run/b/rootfs", overlay), "/srv/web");
  assert.equal(overlayLowerFolder("/run/b/rootfs", `${overlay}\n${plain}`), null);
  assert.equal(overlayLowerFolder("/run/b/rootfs", `${plain}\n${overlay}`), "/srv/web");
  assert.equal(overlayLowerFolder("/run/b", overlay), null);
  assert.equal(overlayLowerFolder("/run/b/rootfs", overlay.replace("0:42 / ", "0:42 /usr ")), null);
  assert.equal(overlayLowerFolder("/run/b/rootfs", overlay.replace("/srv/web", "/srv/a\\134054b")), null);
  assert.equal(overlayLowerFolder("/run/b/rootfs", overlay.replace("lowerdir=", "lowerdir+=/a,lowerdir+=")), null);
  for (const text of ["", "31", "31 29 0:42 / /run/b/rootfs rw - overlay", "- - -"])
    assert.equal(overlayLowerFolder("/run/b/rootfs", text), null);
});
