import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { LogEvent } from "./event.ts";
import { formatRecord, parseRecord } from "./record.ts";
import { extendValue, replay, ZERO_PCR } from "./replay.ts";

const event: LogEvent = { type: "gap", time: "2026-01-02T03:04:05.678Z", text: "nobody “looked”\n" };
const { line, digest } = formatRecord(3, 13, [event]);

test("a record goes both ways, and its digest is over the exact bytes of its content", () => {
  assert.deepEqual(parseRecord(line, 3), { recnum: 3, pcr: 13, digest, events: [event] });
  const content = line.slice(line.indexOf('"content":') + '"content":'.length, -1);
  assert.equal(createHash("sha256").update(content).digest("hex"), digest);
});

test("another number, a digest of something else and every other shape are log-broken", () => {
  const rehash = (content: string) =>
    `{"recnum":3,"pcr":13,"digests":[{"hashAlg":"sha256","digest":"${createHash("sha256").update(content).digest("hex")}"}],"content_type":"pims","content":${content}}`;
  const good = '{"events":[{"type":"agent-stop","time":"2026-01-02T03:04:05.678Z"}]}';
  assert.equal(parseRecord(rehash(good), 3).events.length, 1);
  const bad = [
    "",
    "{}",
    line.replace("looked", "lookee"),
    line.replace('"recnum":3', '"recnum":03'),
    line.replace('"recnum":3', '"recnum": 3'),
    line.replace('"pcr":13', '"pcr":13,"pcr":13'),
    `${line} `,
    `${line}{}`,
    rehash('{"events":[]}'),
    rehash("[]"),
    rehash('{"events":[{"type":"agent-stop","time":"2026-01-02T03:04:05.678Z","extra":1}]}'),
    rehash('{"events":[{"type":"agent-stop","type":"agent-stop","time":"2026-01-02T03:04:05.678Z"}]}'),
    rehash('{"events":[{"type":"agent-stop","time":"2026-01-02T03:04:05.678Z"}],"events":[]}'),
    rehash('{"events":[{"type":"agent-stop", "time":"2026-01-02T03:04:05.678Z"}]}'),
    rehash('{"events":[{"type":"unheard-of","time":"2026-01-02T03:04:05.678Z"}]}'),
    rehash('{"events":[{"type":"agent-stop","time":"yesterday"}]}'),
    rehash(`{"events":[${"[".repeat(20_000)}]}`),
    rehash(`{"events":[${"[".repeat(400_000)}${"]".repeat(400_000)}]}`),
  ];
  for (const text of bad) assert.throws(() => parseRecord(text, 3), { code: "log-broken" }, text.slice(0, 200));
  assert.throws(() => parseRecord(line, 4), { code: "log-broken" });
});

test("a line cut off anywhere or changed in one character is refused", () => {
  for (let end = 0; end < line.length; end++)
    assert.throws(() => parseRecord(line.slice(0, end), 3), { code: "log-broken" });
  fc.assert(
    fc.property(fc.nat(line.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
      fc.pre(line[at] !== character);
      const changed = line.slice(0, at) + character + line.slice(at + 1);
      // The register's number stands outside the digest; an appraisal compares it with the quoted one.
      if (/"pcr":\d{1,2},/.exec(changed)?.[0] !== '"pcr":13,') return;
      assert.throws(() => parseRecord(changed, 3), { code: "log-broken" });
    }),
    { numRuns: 2000 },
  );
});

test("replay is the TPM's extend: H(old ‖ digest)", () => {
  const zero = createHash("sha256")
    .update(Buffer.concat([Buffer.alloc(32), Buffer.from(digest, "hex")]))
    .digest("hex");
  assert.equal(Buffer.from(replay([digest])).toString("hex"), zero);
  assert.deepEqual(replay([digest, digest]), extendValue(extendValue(ZERO_PCR, digest), digest));
  assert.deepEqual(replay([]), ZERO_PCR);
});
