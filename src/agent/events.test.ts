import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeCode } from "../attest/judge.ts";
import type { ContainerName } from "../log/finding.ts";
import { formatRecord, MAX_LINE_BYTES, parseRecord } from "../log/record.ts";
import type { CodeObject, ProcessRef } from "../measure/facts.ts";
import { MAX_PAGES_A_MAPPING } from "../measure/written-pages.ts";
import { codeEvent, findingOf, violationEvent } from "./events.ts";

const time = "2026-01-02T03:04:05.678Z";
const container: ContainerName = { runtime: "runc", id: "i".repeat(1024), name: "\u0001".repeat(256), image: null };

/** The worst names that a container can choose: as long as the kernel allows, of characters that take most room. */
const hostilePaths = [
  "\u0001".repeat(4095),
  `/${"\u2028".repeat(1364)}`,
  { hex: "ff".repeat(4095) },
  '"'.repeat(4095),
  `${"😀".repeat(1023)}`,
];

for (const path of hostilePaths) {
  const process: ProcessRef = { pid: 4_194_303, startTime: 2n ** 63n, comm: "\u001b".repeat(15), exe: path, container };
  const object: CodeObject = {
    backing: "file",
    role: "executable",
    path,
    device: "4095:1048575",
    inode: 2n ** 64n - 1n,
    size: 2n ** 63n - 1n,
    sha256: "ab".repeat(32),
    deleted: true,
    place: "outside-segment",
    offset: 2n ** 63n,
  };
  const mapped = Array.from({ length: 1024 }, () => "cd".repeat(32));
  const pages = Array.from({ length: MAX_PAGES_A_MAPPING }, (_, index) => ({
    offset: 2n ** 62n + BigInt(index),
    expected: "00".repeat(32),
    actual: "11".repeat(32),
    difference: { bytes: 4096, breakpoints: false },
  }));

  test(`no name that a container chooses makes a record that is refused later: ${JSON.stringify(path).slice(0, 20)}`, () => {
    const code = codeEvent({ kind: "code", process, object, mapped }, container, time);
    const judged = judgeCode(code, null);
    assert.ok(judged);
    const modified = findingOf({ kind: "modified", process, object, pages }, container);
    const cached = findingOf({ kind: "page-cache", process, object, pages }, container);
    const writable = findingOf({ kind: "writable", process, object, writer: process }, container);
    const found = [judged, modified, cached, writable].map((finding) => violationEvent(finding, time));
    const events = [code, ...found];
    const { line } = formatRecord(0, 13, events);
    assert.ok(Buffer.byteLength(line) < MAX_LINE_BYTES);
    assert.deepEqual(parseRecord(line, 0).events, events);
  });
}
