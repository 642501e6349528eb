import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { buildFromArchive } from "./build.ts";
import { formatHeader, parseBaseline } from "./format.ts";
import type { LoaderVariables } from "./lines.ts";
import { sampleArchive } from "./sample-archive.ts";
import { sampleTar } from "./sample-tar.ts";
import { isScriptPath } from "./scripts.ts";

test("an archive's scripts are those of their first line, of their ending, and of the entry point", async () => {
  const layer = sampleTar([
    { name: "app/run", content: "exec true\n" },
    { name: "app/other", content: "no script\n" },
    { name: "app/first line", content: "#!/bin/sh\n", mode: 0o644 },
    { name: "app/module.js", content: "x".repeat(100_000) },
    { name: "app/module.d.ts", content: "types" },
    { name: "app/large", content: "x".repeat(100_000) },
    { name: "etc/ld.so.preload", content: "/lib/x.so\n" },
    { name: "srv/start", content: "exec true\n" },
  ]);
  const { archive } = sampleArchive({
    layers: [layer],
    config: {
      config: {
        Entrypoint: ["/bin/sh", "run"],
        Cmd: ["../srv/start", "large"],
        WorkingDir: "/app",
        Env: ["PATH=/bin", "LD_PRELOAD=/a.so", "LD_AUDIT=", "LD_PRELOAD=/b.so", "XLD_AUDIT=/c.so"],
      },
    },
  });
  const { header, entries, lines } = (await buildFromArchive(Readable.from([archive]))).baseline;
  assert.deepEqual(
    entries.map(({ path, kind }) => [path, kind]),
    ["/app/first line", "/app/module.js", "/app/run", "/etc/ld.so.preload", "/srv/start"].map((path) => [
      path,
      "script",
    ]),
  );
  assert.deepEqual(header.loader, { LD_PRELOAD: "/b.so" });
  assert.deepEqual(parseBaseline(lines).header, header);
});

test("the variables of the loader are in the header in one form, and only where there are some", () => {
  const facts = { identity: `sha256:${"d".repeat(64)}`, name: "web", architecture: "amd64", ports: [], entrypoint: [] };
  const line = (loader?: LoaderVariables) => formatHeader({ ...facts, jit: [], loader, entries: 0 });
  assert.ok(!line().includes("loader"));
  const both = line({ LD_AUDIT: "/a.so", LD_PRELOAD: "/p.so" });
  assert.match(both, /,"jit":\[\],"loader":\{"LD_PRELOAD":"\/p.so","LD_AUDIT":"\/a.so"\},"entries":0\}$/);
  for (const loader of [
    undefined,
    { LD_PRELOAD: "/p.so" },
    { LD_AUDIT: "/a.so" },
    { LD_PRELOAD: "/p", LD_AUDIT: "/a" },
  ])
    assert.deepEqual(parseBaseline([line(loader)]).header.loader, loader);
  for (const [form, wrong] of [
    ["empty", "{}"],
    ["another variable", '{"LD_PRELOAD":"/p.so","PATH":"/"}'],
    ["another order", '{"LD_AUDIT":"/a.so","LD_PRELOAD":"/p.so"}'],
    ["an empty value", '{"LD_PRELOAD":""}'],
    ["null", "null"],
  ] as const)
    assert.throws(
      () => parseBaseline([both.replace(/"loader":\{.*?\}/, `"loader":${wrong}`)]),
      { code: "baseline-malformed" },
      form,
    );
});

test("a path says whether it is a script's by its whole ending", () => {
  for (const path of ["/srv/x.py", "x.mjs", "/a b/x.sh", "/etc/ld.so.preload", "etc/ld.so.preload"])
    assert.ok(isScriptPath(path), path);
  for (const path of [
    "/srv/x.pyc",
    "/srv/py",
    "/srv/x.py/data",
    "/x.d.ts",
    "/x.d.mts",
    "/x.json",
    "/etc/ld.so.preload2",
  ])
    assert.ok(!isScriptPath(path), path);
});
