import assert from "node:assert/strict";
import { test } from "node:test";
import type { CodeEvent } from "../log/event.ts";
import { findingSchema, type Reason } from "../log/finding.ts";
import { judgeCode, type ReferenceValues } from "./judge.ts";
import { codeEvent, containerOf, digestOf } from "./sample-events.ts";

const container = containerOf("web");
const listed = "/usr/bin/server";
const reference: ReferenceValues = {
  hasDigest: (sha256) => [listed, "/usr/lib/libffi.so.8"].map(digestOf).includes(sha256),
  hasPath: (path) => path === listed,
  exposes: () => false,
  mayCompile: (mapped) => mapped.includes(digestOf("/usr/bin/node")),
  mayBeDisplaced: (sha256) => sha256 === digestOf("/usr/lib/libffi.so.8"),
  mayPreload: () => false,
};
const object = (path: string, digest: string | null) => ({ path, dev: "0:42", ino: "77", digest });

function reasonOf(fields: Partial<CodeEvent>, values: ReferenceValues | null = reference) {
  return judgeCode(codeEvent(container, listed, fields), values)?.reason ?? null;
}

test("listed code is no finding, under whatever name and also when its file is gone", () => {
  assert.equal(reasonOf({}), null);
  assert.equal(reasonOf({ object: object("/tmp/copy", digestOf(listed)) }), null);
  assert.equal(reasonOf({ object: object("/tmp/copy", digestOf(listed)), role: "library" }), null);
  assert.equal(reasonOf({ deleted: true }), null);
});

const unlisted = object("/tmp/x", digestOf("/tmp/x"));
const cases: readonly [string, Reason, Partial<CodeEvent>][] = [
  ["a program that the image does not have", "unknown-executable", { object: unlisted }],
  ["a library that the image does not have", "unknown-library", { object: unlisted, role: "library" }],
  ["another file at a listed path", "file-modified", { object: object(listed, digestOf("other")) }],
  [
    "another file at a listed path, deleted",
    "file-modified",
    { object: object(listed, "0".repeat(64)), deleted: true },
  ],
  ["an unlisted file that was deleted", "deleted-executable", { object: unlisted, deleted: true }],
  ["a file whose digest is not known", "file-modified", { object: object(listed, null) }],
  ["an unlisted file whose digest is not known", "unknown-executable", { object: object("/tmp/x", null) }],
  ["a memory file", "memfd-executable", { object: object("/memfd:x", digestOf("x")), backing: "memfd" }],
  ["listed code in a memory file", "memfd-executable", { object: object(listed, digestOf(listed)), backing: "memfd" }],
  ["memory without a file", "anonymous-code", { object: object("[anonymous]", null), backing: "anonymous" }],
];

for (const [what, reason, fields] of cases)
  test(`${what} is ${reason}`, () => {
    assert.equal(reasonOf(fields), reason);
  });

test("memory without a file is allowed to who has mapped one of the image's compilers, not to a name", () => {
  const memory = { object: object("[anonymous]", null), backing: "anonymous", exe: "/usr/bin/node" } as const;
  assert.equal(reasonOf({ ...memory, mapped: [digestOf(listed), digestOf("/usr/bin/node")] }), null);
  assert.equal(reasonOf({ ...memory, mapped: [digestOf("another node")] }), "anonymous-code");
  assert.equal(reasonOf({ ...memory, mapped: [] }), "anonymous-code");
  assert.equal(reasonOf({ ...memory, mapped: [digestOf("/usr/bin/node")] }, null), "anonymous-code");
  const file = { object: object("/memfd:vmem", digestOf("x")), backing: "memfd", place: null } as const;
  const mapped = [digestOf("/usr/bin/node")];
  assert.equal(reasonOf({ ...file, role: "library", mapped }), null);
  assert.equal(reasonOf({ ...file, role: "library", mapped: [digestOf(listed)] }), "memfd-executable");
  assert.equal(reasonOf({ ...file, role: "executable", mapped }), "memfd-executable");
  assert.equal(reasonOf({ ...file, role: "library", mapped }, null), "memfd-executable");
});

test("listed code is executed where its file has code, at the file's own place", () => {
  const library = object("/usr/lib/libffi.so.8", digestOf("/usr/lib/libffi.so.8"));
  for (const place of ["outside-segment", "displaced", null] as const)
    assert.equal(reasonOf({ place }), "code-outside-segment", String(place));
  // What maps its own code again by design may do so, and not more.
  assert.equal(reasonOf({ object: library, place: "displaced" }), null);
  assert.equal(reasonOf({ object: library, place: "outside-segment" }), "code-outside-segment");
  // An unlisted file is what is wrong, wherever it lies.
  assert.equal(reasonOf({ object: object("/tmp/x", digestOf("x")), place: null }), "unknown-executable");
  assert.equal(reasonOf({ place: "outside-segment" }, null), "code-outside-segment");
  assert.equal(reasonOf({ place: "displaced" }, null), "code-outside-segment");
  assert.equal(reasonOf({ object: library, place: "displaced" }, null), null);
  assert.equal(reasonOf({ place: null }, null), null);
});

test("without a baseline only what is wrong in itself is found", () => {
  assert.equal(reasonOf({}, null), null);
  assert.equal(reasonOf({ object: unlisted }, null), null);
  assert.equal(reasonOf({ object: unlisted, deleted: true }, null), "deleted-executable");
  assert.equal(reasonOf({ object: unlisted, backing: "memfd" }, null), "memfd-executable");
});

test("a finding names process, container and file, and no control character of theirs gets into its sentence", () => {
  const path = "/tmp/\u001b[2Jevil\nname";
  const event = codeEvent(container, path, { exe: { hex: "2f746d702fff" } });
  const finding = judgeCode(event, reference);
  assert.ok(finding !== null);
  assert.deepEqual(findingSchema.parse(finding), finding);
  assert.deepEqual([finding.pid, finding.startTime, finding.comm], [event.pid, event.startTime, event.comm]);
  assert.deepEqual([finding.container, finding.object, finding.exe], [container, event.object, event.exe]);
  assert.equal(
    finding.text,
    "process 4711 (hex:2f746d702fff) executes /tmp/\\u001b[2Jevil\\u000aname, which the image does not have",
  );
});
