import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseStat } from "./stat.ts";

test("a process that calls itself like a stat line deceives nobody", () => {
  const line = `42 (a) S 1 (b\n) R 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 98765 1000 10 1 2 3 28 ${"0 ".repeat(24)}`;
  assert.deepEqual(parseStat(line), {
    pid: 42,
    comm: "a) S 1 (b\n",
    state: "R",
    parent: 7,
    threads: 3,
    startTime: 98765n,
    stackStart: 28n,
  });
});

test("this process is read", () => {
  const stat = parseStat(readFileSync("/proc/self/stat", "latin1"));
  assert.equal(stat.pid, process.pid);
  assert.equal(stat.parent, process.ppid);
  assert.ok(stat.startTime > 0n && stat.stackStart > 0n);
});

test("anything else is refused", () => {
  for (const bad of ["", "42", "42 (x", "x (y) S 1", "42 (y) S 1 2 3", ") ("])
    assert.throws(() => parseStat(bad), { code: "proc-malformed" });
});
