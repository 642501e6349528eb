import assert from "node:assert/strict";
import { test } from "node:test";
import { isJitRuntime } from "./jit.ts";

test("well-known runtimes are known by file name, wherever they are", () => {
  const runtimes =
    "node java libjvm.so libluajit-5.1.so.2 libluajit-5.1.so.2.1.0 luajit luajit-2.1.0-beta3 opcache.so beam.smp dotnet libcoreclr.so " +
    "libclrjit.so libmozjs-102.so.0 libjavascriptcoregtk-4.1.so.0 libnode.so.108 ruby ruby3.1 libruby-3.1.so.3.1 pypy3 pypy3.9 " +
    "libpypy3.9-c.so qemu-x86_64 qemu-aarch64-static qemu-system-x86_64 julia llvmjit.so";
  for (const name of runtimes.split(" ")) {
    for (const path of [name, `/usr/lib/${name}`]) assert.ok(isJitRuntime(path), path);
  }
  assert.ok(isJitRuntime({ hex: Buffer.from("/\xff/node", "latin1").toString("hex") }));
});

test("nothing else is", () => {
  const others =
    "nginx libpcre2-8.so.0 libpcre.so.3 libffi.so.8 libc.so.6 bash python3.11 node.sh nodemon node_exporter javascript libjvm.so.bak " +
    "qemu-img qemu-nbd qemu-ga qemu-pr-helper lua5.4 liblua5.4.so.0 perl php mono.sh rubygems notjava";
  for (const name of others.split(" ")) assert.ok(!isJitRuntime(name), name);
  for (const path of ["", "/", "/node/", "/node/server", { hex: "ff" }]) assert.ok(!isJitRuntime(path), String(path));
});
