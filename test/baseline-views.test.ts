import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { sampleElf } from "../src/measure/sample-elf.ts";
import { pims, temporaryFolder } from "./pims.ts";

function built(
  t: TestContext,
  files: Readonly<Record<string, string | Buffer>>,
  options: readonly string[] = [],
): string {
  const folder = temporaryFolder(t);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, "root", name, ".."), { recursive: true });
    writeFileSync(join(folder, "root", name), content);
  }
  const output = join(folder, "built");
  const { status, stderr } = pims([
    "baseline",
    "build",
    "--rootfs",
    join(folder, "root"),
    "--name",
    "web",
    "--output",
    output,
    ...options,
  ]);
  assert.equal(status, 0, stderr);
  return output;
}

const allowed = `sha256:${"a".repeat(64)}`;
const before = {
  "bin/server": sampleElf({ seed: 1 }),
  "bin/old": sampleElf({ seed: 2 }),
  "bin/same": sampleElf({ seed: 3 }),
};
const after = {
  "bin/server": sampleElf({ seed: 4 }),
  "bin/same": sampleElf({ seed: 3 }),
  "evil\u001b[31m.sh": "#!/bin/sh\n",
};

test("a reviewer sees what a new version of an image changes", (t) => {
  const edits = join(temporaryFolder(t), "edits.json");
  writeFileSync(edits, JSON.stringify({ schema: "pims.baseline-edits/v1", allow: [allowed], ports: ["tcp/443"] }));
  const one = built(t, before, ["--port", "tcp/80", "--port", "tcp/443"]);
  const two = built(t, after, ["--edits", edits, "--allow-jit", "/bin/same"]);
  const { status, stdout, stderr } = pims(["baseline", "diff", one, two]);
  assert.equal(status, 2);
  assert.match(stderr, /1 added, 1 removed, 1 changed, 1 the same/);
  for (const line of [
    /^- +library .* \/bin\/old$/m,
    /^\+ +script .*evil\\u001b/m,
    /^~ +library .* → .* \/bin\/server$/m,
    /^ports:\n {2}- tcp\/80\n(?! {2})/m,
    /^may compile just in time:\n {2}\+ \/bin\/same$/m,
    /^allowed besides:\n {2}\+ a{64}$/m,
    /^identity: sha256:.* → sha256:/m,
  ])
    assert.match(stdout, line);
  assert.ok(!stdout.includes("\u001b"), "nothing of a name reaches the terminal as it is");
  const json = JSON.parse(pims(["baseline", "diff", one, two, "--json"]).stdout) as {
    schema: string;
    header: { member: string }[];
    added: unknown[];
    removed: { path: string }[];
    changed: { before: { sha256: string }; after: { sha256: string } }[];
    same: number;
  };
  assert.equal(json.schema, "pims.baseline-diff/v1");
  assert.deepEqual(
    json.header.map(({ member }) => member),
    ["identity", "ports", "jit", "allowed"],
  );
  assert.deepEqual([json.added.length, json.removed[0]!.path, json.changed.length, json.same], [1, "/bin/old", 1, 1]);
  assert.notEqual(json.changed[0]!.before.sha256, json.changed[0]!.after.sha256);
  const same = pims(["baseline", "diff", one, one]);
  assert.deepEqual([same.status, same.stdout], [0, ""]);
});

test("a baseline is shown with what people added to it", (t) => {
  const file = built(t, { ...before, "etc/task": "echo\n" }, [
    "--allow",
    allowed,
    "--allow",
    "/etc/task",
    "--port",
    "udp/53",
  ]);
  const { status, stdout } = pims(["baseline", "show", file]);
  assert.equal(status, 0);
  for (const line of [
    /^ports +udp\/53$/m,
    /^allowed besides +a{64}$/m,
    /^entries +4: 0 programs, 3 libraries, 1 scripts$/m,
    /^script +5 .* \/etc\/task$/m,
  ])
    assert.match(stdout, line);
});

test("what cannot be allowed is said in one sentence", (t) => {
  const root = temporaryFolder(t);
  for (const [options, sentence] of [
    [["--allow", "etc/task"], /neither a path of the image nor a digest/],
    [["--allow", "/etc/task"], /no file \/etc\/task/],
    [["--edits", "/nowhere"], /\/nowhere does not exist/],
  ] as const) {
    const { status, stderr } = pims(["baseline", "build", "--rootfs", root, "--output", "/dev/null", ...options]);
    assert.equal(status, 1);
    assert.match(stderr, sentence);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});
