import assert from "node:assert/strict";
import { test } from "node:test";
import { type BaselineEntry, type BaselineHeader, formatEntry, formatHeader, parseBaseline } from "./format.ts";
import { indexBaseline, pathKey } from "./lookup.ts";

const digest = (letter: string): string => letter.repeat(64);

const entries: BaselineEntry[] = [
  {
    path: "/bin/ls",
    kind: "executable",
    size: 9_007_199_254_740_993n,
    sha256: digest("a"),
    segments: [{ offset: 9_007_199_254_740_000n, size: 993n, sha256: digest("b") }],
  },
  { path: '/bin/sh "é\n\u2028', kind: "script", size: 0n, sha256: digest("c"), segments: [] },
  { path: { hex: "2f62696e2fff" }, kind: "library", size: 4n, sha256: digest("a"), segments: [] },
];
const header: BaselineHeader = {
  identity: `sha256:${digest("d")}`,
  name: "pims-demo/web",
  architecture: "amd64",
  ports: ["tcp/80", "udp/53"],
  entrypoint: ["/bin/ls", "-l"],
  jit: ["/usr/bin/node", { hex: "2fff" }],
  entries: entries.length,
};
const lines = [formatHeader(header), ...entries.map(formatEntry)];

test("lines are the exact JSON that the format promises", () => {
  assert.equal(
    lines[0],
    `{"format":"pims.baseline/v1","identity":"sha256:${digest("d")}","name":"pims-demo/web","architecture":"amd64","ports":["tcp/80","udp/53"],"entrypoint":["/bin/ls","-l"],"jit":["/usr/bin/node",{"hex":"2fff"}],"entries":3}`,
  );
  assert.equal(
    lines[1],
    `{"path":"/bin/ls","kind":"executable","size":"9007199254740993","sha256":"${digest("a")}","segments":[{"offset":"9007199254740000","size":"993","sha256":"${digest("b")}"}]}`,
  );
});

test("what was written is read again, 64-bit numbers and foreign bytes included", () => {
  const baseline = parseBaseline(lines);
  assert.deepEqual(baseline.header, header);
  assert.deepEqual(baseline.entries, entries);
  assert.deepEqual(baseline.lines, lines);
  assert.equal(baseline.root.length, 32);
});

test("entries are found by digest and by path", () => {
  const { byDigest, byPath } = indexBaseline(parseBaseline(lines));
  assert.deepEqual(byDigest.get(digest("a")), [entries[0], entries[2]]);
  assert.equal(byPath.get(pathKey({ hex: "2f62696e2fff" }))?.kind, "library");
  assert.equal(byPath.get(pathKey("/bin/cat")), undefined);
});

const refused: [string, string[]][] = [
  ["no lines", []],
  ["an entry missing", lines.slice(0, 3)],
  ["an entry too many", [...lines, formatEntry({ ...entries[0]!, path: { hex: "2fffff" } })]],
  ["entries out of order", [lines[0]!, lines[2]!, lines[1]!, lines[3]!]],
  ["an entry twice", [lines[0]!, lines[1]!, lines[1]!, lines[3]!]],
  ["spaces", [lines[0]!.replace(",", ", "), ...lines.slice(1)]],
  ["a key twice", [lines[0]!.replace('"name"', '"name":"x","name"'), ...lines.slice(1)]],
  [
    "members in another order",
    [lines[0]!.replace(/("identity":"[^"]*"),("name":"[^"]*")/, "$2,$1"), ...lines.slice(1)],
  ],
  ["a foreign member", [lines[0]!.replace("{", '{"x":1,'), ...lines.slice(1)]],
  ["another version", [lines[0]!.replace("/v1", "/v2"), ...lines.slice(1)]],
  ["a needless escape", [lines[0]!.replace("pims-demo", "\\u0070ims-demo"), ...lines.slice(1)]],
  ["a newline inside", [lines[0]!, `${lines[1]}\n`, ...lines.slice(2)]],
];

const refusedEntries: [string, string, string][] = [
  ["a relative path", '"/bin/ls"', '"bin/ls"'],
  ["a path upwards", '"/bin/ls"', '"/bin/../ls"'],
  ["a path with an empty part", '"/bin/ls"', '"/bin//ls"'],
  ["the root as a file", '"/bin/ls"', '"/"'],
  ["a zero byte in a path", '"/bin/ls"', '"/bin/\\u0000ls"'],
  ["half a surrogate pair", '"/bin/ls"', '"/bin/\\ud800"'],
  ["hexadecimal where the path is UTF-8", '"/bin/ls"', '{"hex":"2f61"}'],
  ["a path that is too long", '"/bin/ls"', `"/${"é".repeat(2100)}"`],
  ["another kind", '"executable"', '"program"'],
  ["a size that is a number", '"9007199254740993"', "9007199254740993"],
  ["a size with a leading zero", '"9007199254740993"', '"09007199254740993"'],
  ["a negative size", '"9007199254740993"', '"-1"'],
  ["a size above off_t", '"9007199254740993"', '"9223372036854775808"'],
  ["a segment that ends after the file", '"993"', '"994"'],
  ["an empty segment", '"993"', '"0"'],
  ["an upper-case digest", digest("a"), digest("A")],
  ["a short digest", digest("a"), "a".repeat(63)],
  ["a script with segments", '"executable"', '"script"'],
];

test("everything that is not exactly the format is refused", () => {
  const cases = [...refused];
  for (const [name, from, to] of refusedEntries) {
    assert.ok(lines[1]!.includes(from), name);
    cases.push([name, [lines[0]!, lines[1]!.replace(from, to), ...lines.slice(2)]]);
  }
  for (const [name, bad] of cases) {
    assert.notDeepEqual(bad, lines, name);
    assert.throws(() => parseBaseline(bad), { name: "PimsError", code: "baseline-malformed" }, name);
  }
});

test("truncated anywhere, a line is refused", () => {
  for (const [index, line] of lines.entries()) {
    for (let length = 0; length < line.length; length++) {
      const bad = lines.with(index, line.slice(0, length));
      assert.throws(() => parseBaseline(bad), { code: "baseline-malformed" });
    }
  }
});

test("with any character changed, lines are refused or are another baseline", () => {
  const { root } = parseBaseline(lines);
  for (const [index, line] of lines.entries()) {
    for (let at = 0; at < line.length; at++) {
      for (const character of ['"', "0", "z", "\\", "\u0000", "}"]) {
        if (line[at] === character) continue;
        const bad = lines.with(index, line.slice(0, at) + character + line.slice(at + 1));
        try {
          assert.notDeepEqual(parseBaseline(bad).root, root);
        } catch (error) {
          assert.ok(error instanceof Error && "code" in error && error.code === "baseline-malformed", String(error));
        }
      }
    }
  }
});

test("a header that promises too much costs nothing", () => {
  const many = [lines[0]!.replace('"entries":3', '"entries":500001'), ...new Array<string>(500_001).fill("x")];
  const started = performance.now();
  assert.throws(() => parseBaseline(many), { code: "baseline-malformed" });
  assert.ok(performance.now() - started < 1000);
});
