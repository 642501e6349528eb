import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { sampleElf } from "../measure/sample-elf.ts";
import { buildFromArchive, buildFromFolder } from "./build.ts";
import { applyEdits, type Edits, joinEdits, listedPaths, readEdits } from "./edits.ts";
import { formatHeader, parseBaseline } from "./format.ts";
import type { Baseline } from "./lines.ts";
import { sampleArchive } from "./sample-archive.ts";
import { sampleTar } from "./sample-tar.ts";

const none: Edits = { ports: [], allow: [], allowJit: [], denyJit: [] };
const digest = (letter: string): string => letter.repeat(64);

const files = {
  "bin/server": sampleElf({ type: 2 }),
  "bin/node": sampleElf({ seed: 1 }),
  "etc/task": "echo\n",
  "srv/data": "x".repeat(70_000),
};

async function build(listed: readonly string[] = []): Promise<Baseline> {
  const layer = sampleTar(Object.entries(files).map(([name, content]) => ({ name, content })));
  return (await buildFromArchive(Readable.from([sampleArchive({ layers: [layer] }).archive]), { listed })).baseline;
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-edits-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a file that nothing tells to be code is listed when its path is allowed, from a layer and from a folder", async (t) => {
  const root = temporary(t);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  const plain = await build();
  assert.ok(!plain.lines.some((line) => line.includes("/etc/task")));
  const archive = await build(["/etc/task"]);
  const folder = await buildFromFolder({ root, name: "a", listed: ["/etc/task"] });
  assert.deepEqual(archive.entries, folder.entries);
  const entry = archive.entries.find(({ path }) => path === "/etc/task");
  assert.equal(entry?.kind, "script");
  assert.notDeepEqual(archive.root, plain.root);
  for (const path of ["/etc/none", "/etc", "/srv/data"]) await assert.rejects(build([path]), { code: "usage" }, path);
});

test("code from elsewhere is allowed by its digest, and the root covers it", async () => {
  const plain = await build();
  const allow = [`sha256:${digest("b")}`, `sha256:${digest("a")}`, `sha256:${digest("b")}`];
  const edited = applyEdits(plain, { ...none, allow });
  assert.deepEqual(edited.header.allowed, [digest("a"), digest("b")]);
  assert.deepEqual(parseBaseline(edited.lines), edited);
  assert.notDeepEqual(edited.root, plain.root);
  assert.deepEqual(applyEdits(plain, { ...none, allow: allow.toReversed() }), edited);
  for (const allowed of [[], [digest("b"), digest("a")], [digest("a"), digest("a")], ["A".repeat(64)], ["a"]])
    assert.throws(
      () => parseBaseline([formatHeader({ ...plain.header, allowed }), ...plain.lines.slice(1)]),
      { code: "baseline-malformed" },
      `${allowed}`,
    );
});

test("what is allowed is a path or a digest", () => {
  assert.deepEqual(listedPaths({ allow: ["/a", `sha256:${digest("a")}`, "/sha256:b"] }), ["/a", "/sha256:b"]);
  for (const allow of ["a", "", "sha256:12", `sha256:${digest("A")}`, digest("a"), "../x"])
    assert.throws(() => listedPaths({ allow: [allow] }), { code: "usage" }, allow);
});

test("a file of edits says the same as options, and in whatever order", async (t) => {
  const path = join(temporary(t), "edits.json");
  const edits = {
    ports: ["tcp/81", "udp/53"],
    allow: [`sha256:${digest("a")}`],
    allowJit: ["/bin/server"],
    denyJit: ["/bin/node"],
  };
  writeFileSync(path, JSON.stringify({ schema: "pims.baseline-edits/v1", ...edits }));
  assert.deepEqual(await readEdits(path), edits);
  const { header } = applyEdits(await build(), await readEdits(path));
  assert.deepEqual(
    [header.ports, header.jit, header.allowed],
    [["udp/53", "tcp/80", "tcp/81"], ["/bin/server"], [digest("a")]],
  );
  writeFileSync(path, '{"schema":"pims.baseline-edits/v1"}');
  assert.deepEqual(applyEdits(await build(), joinEdits(await readEdits(path), edits)).header, header);
});

test("a file of edits that is none is refused", async (t) => {
  const folder = temporary(t);
  const path = join(folder, "edits.json");
  const cases = [
    "",
    "[]",
    "{}",
    '{"schema":"pims.baseline-edits/v2"}',
    '{"schema":"pims.baseline-edits/v1","port":[]}',
    '{"schema":"pims.baseline-edits/v1","ports":["80"]}',
    "\xff",
    "x".repeat(5_000_000),
  ];
  for (const text of cases) {
    writeFileSync(path, text, "latin1");
    await assert.rejects(readEdits(path), { code: "edits-unreadable" }, text.slice(0, 60));
  }
  await assert.rejects(readEdits(folder), { code: "edits-unreadable" });
  await assert.rejects(readEdits("/nowhere"), { code: "edits-unreadable", message: /does not exist/ });
});
