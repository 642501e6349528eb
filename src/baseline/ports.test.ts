import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { buildFromFolder } from "./build.ts";
import { addPorts } from "./ports.ts";

test("ports are added, each once and in order; what is none is refused", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "pims-ports-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const baseline = await buildFromFolder({ root, name: "sample", ports: ["tcp/443"] });
  const edited = addPorts(baseline, ["udp/53", "tcp/80", "tcp/443", "tcp/53"]);
  assert.deepEqual(edited.header.ports, ["tcp/53", "udp/53", "tcp/80", "tcp/443"]);
  assert.notDeepEqual(edited.root, baseline.root);
  assert.equal(addPorts(baseline, []), baseline);
  for (const port of ["80", "tcp/", "tcp/65536", "TCP/80", "tcp/80/x"])
    assert.throws(() => addPorts(baseline, [port]), { code: "usage" }, port);
});
