import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backingOf, parseMaps } from "./mapping.ts";

const text = `55d0c5a00000-55d0c5a05000 r--p 00000000 fe:00 1234                       /usr/bin/sleep
55d0c5a05000-55d0c5a09000 r-xp 00005000 fe:00 1234                       /usr/bin/sleep
7f0000000000-7f0000001000 rwxp 00000000 00:00 0
7f0000001000-7f0000002000 r-xs 00000000 00:01 9                          /memfd:x (deleted)
7f0000002000-7f0000003000 r-xp 00000000 00:2a 77                         /srv/a b\\012c (deleted)
7f0000003000-7f0000004000 r-xs 00000000 00:01 8                          /dev/zero (deleted)
7f0000400000-7f0000600000 rwxp 00000000 00:0f 8                          /anon_hugepage (deleted)
7ffd1a5f2000-7ffd1a5f4000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

test("executable mappings are read with their backing, others left out", () => {
  const mappings = parseMaps(Buffer.from(text));
  assert.deepEqual(
    mappings.map(({ name, backing, writable, shared }) => [name, backing, writable, shared]),
    [
      ["/usr/bin/sleep", "file", false, false],
      ["", "anonymous", true, false],
      ["/memfd:x (deleted)", "memfd", false, true],
      ["/srv/a b\nc (deleted)", "file", false, false],
      ["/dev/zero (deleted)", "anonymous", false, true],
      ["/anon_hugepage (deleted)", "anonymous", true, false],
      ["[vdso]", "kernel", false, false],
    ],
  );
  assert.equal(mappings[0]?.device, "254:0");
  assert.equal(mappings[0]?.offset, 0x5000n);
  assert.equal(mappings[0]?.inode, 1234n);
});

test("a file cannot pass for the kernel's own mapping", () => {
  assert.equal(backingOf("/[vdso]", 5n), "file");
  assert.equal(backingOf("[anon:[vdso]]", 0n), "anonymous");
  assert.equal(backingOf("[vdso]", 0n), "kernel");
});

test("a name that is not UTF-8 keeps its bytes", () => {
  const line = Buffer.concat([
    Buffer.from("1000-2000 r-xp 00000000 fe:00 12 "),
    Buffer.from([0x2f, 0xff, 0xfe]),
    Buffer.from("\n"),
  ]);
  assert.deepEqual(parseMaps(line)[0]?.name, { hex: "2ffffe" });
});

test("truncated or mutated text never throws and invents no mapping", () => {
  const whole = Buffer.from(text);
  for (let end = 0; end < whole.length; end++) assert.ok(parseMaps(whole.subarray(0, end)).length <= 8);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const mutated = Buffer.from(whole);
      mutated[at] = byte;
      assert.ok(parseMaps(mutated).length <= 8);
    }),
  );
});
