import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { sampleElf } from "../measure/sample-elf.ts";
import { buildFromFolder } from "./build.ts";
import { editJitAllowance } from "./jit-allowance.ts";
import type { Baseline } from "./lines.ts";

async function sampleBaseline(t: TestContext): Promise<Baseline> {
  const root = mkdtempSync(join(tmpdir(), "pims-jit-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, "usr/bin"), { recursive: true });
  mkdirSync(join(root, "usr/lib"));
  const call = Buffer.from("\0pcre2_jit_compile_8\0");
  writeFileSync(join(root, "usr/bin/node"), sampleElf({ seed: 1 }));
  writeFileSync(join(root, "usr/bin/matcher"), Buffer.concat([sampleElf({ seed: 2 }), call]));
  writeFileSync(join(root, "usr/bin/other"), sampleElf({ seed: 3 }));
  writeFileSync(join(root, "usr/lib/libpcre2-8.so.0.11.2"), Buffer.concat([sampleElf({ seed: 4 }), call]));
  writeFileSync(join(root, "usr/bin/script"), Buffer.concat([Buffer.from("#!/bin/sh\n"), call]), { mode: 0o755 });
  return buildFromFolder({ root, name: "sample" });
}

test("runtimes and who asks PCRE2 to compile are allowed, not PCRE2's own library and no script", async (t) => {
  assert.deepEqual((await sampleBaseline(t)).header.jit, ["/usr/bin/matcher", "/usr/bin/node"]);
});

test("the allowance is edited, and with it the root", async (t) => {
  const baseline = await sampleBaseline(t);
  const edited = editJitAllowance(baseline, { allow: ["/usr/bin/other"], deny: ["/usr/bin/node"] });
  assert.deepEqual(edited.header.jit, ["/usr/bin/matcher", "/usr/bin/other"]);
  assert.deepEqual(edited.entries, baseline.entries);
  assert.notDeepEqual(edited.root, baseline.root);
  const again = editJitAllowance(edited, { allow: ["/usr/bin/node"], deny: ["/usr/bin/other"] });
  assert.deepEqual(again.lines, baseline.lines);
});

test("what the image does not have, a script, and what has no allowance are refused", async (t) => {
  const baseline = await sampleBaseline(t);
  for (const path of ["/usr/bin/none", "/usr/bin/script"])
    assert.throws(() => editJitAllowance(baseline, { allow: [path], deny: [] }), { code: "usage" });
  assert.throws(() => editJitAllowance(baseline, { allow: [], deny: ["/usr/bin/other"] }), { code: "usage" });
});
