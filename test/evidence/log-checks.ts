// Each check of the records, of their continuity and of the sweep that ends them.
import { gapEvent, sweepEvent, TIME } from "../../src/attest/sample-events.ts";
import type { Ending } from "../../src/attest/testing.ts";
import { sha256Hex } from "../../src/core/digest.ts";
import { type Attempt, Attester, contentOf, lineOf, PROVED, sweepLine } from "./attester.ts";
import type { Check } from "./check.ts";

const gap = contentOf(gapEvent("one"));
const good = lineOf(PROVED, gap);
const many = (count: number, text = "x") => contentOf(...Array.from({ length: count }, () => gapEvent(text)));

export async function logChecks(t: Ending): Promise<Check[]> {
  const attester = await Attester.start(t);
  const check = (name: string, reason: string, text: RegExp, wrong: Attempt, right: Attempt = {}): Check => ({
    ...{ name, reason, text },
    attempt: (isWrong) => attester.attest(isWrong ? wrong : right),
  });
  /** One record with something wrong, its digest in the register as it says, and the sweep behind it. */
  const record = (name: string, text: RegExp, wrong: string, right = good): Check => {
    const [first, second] = [wrong, right].map((line) => ({ lines: [line, sweepLine(PROVED + 1)] }));
    return check(`record: ${name}`, "log-broken", text, first!, second);
  };
  const shape = (name: string, part: string, other: string): Check =>
    record(name, /has another shape/, good.replace(part, other));
  const event = (name: string, ...events: readonly object[]): Check =>
    record(name, /holds an event that is none/, lineOf(PROVED, contentOf(...events)));

  return [
    record(
      "longer than a line may be",
      /is too long/,
      lineOf(PROVED, many(140, "x".repeat(8000))),
      lineOf(PROVED, many(120, "x".repeat(8000))),
    ),
    shape("of another content type", '"content_type":"pims"', '"content_type":"cel"'),
    shape("its number with a zero before it", '"recnum":5', '"recnum":05'),
    shape("its number a string", '"recnum":5', '"recnum":"5"'),
    shape("its digest of another algorithm", '"hashAlg":"sha256"', '"hashAlg":"sha384"'),
    shape("a second digest", '"}],', '"},{"hashAlg":"sha1","digest":"00"}],'),
    shape("members in another order", '"recnum":5,"pcr":13', '"pcr":13,"recnum":5'),
    shape("a space between members", ',"pcr"', ', "pcr"'),
    shape("something behind it", '"content":', '"more":1,"content":'),
    record("under another number", /is missing: record 7 stands in its place/, lineOf(7, gap)),
    record(
      "its content not its digest's",
      /another content than its digest/,
      lineOf(PROVED, gap, { digest: sha256Hex("other") }),
    ),
    record("not JSON", /is not valid JSON/, lineOf(PROVED, '{"events":[}')),
    event("an unknown event", { type: "nothing", time: TIME }),
    event("a member too many in an event", { ...gapEvent("x"), extra: 1 }),
    event("a time that is none", { ...gapEvent("x"), time: "yesterday" }),
    event("no event"),
    event("an event too many", ...Array.from({ length: 257 }, () => gapEvent("x"))),
    record("a space in its content", /not in the form/, lineOf(PROVED, gap.replace(":", ": "))),
    record("a member twice", /not in the form/, lineOf(PROVED, gap.replace("{", '{"events":[],'))),
    record("a letter written as an escape", /not in the form/, lineOf(PROVED, gap.replace("one", "\\u006fne"))),
    record("of another register", /is of PCR 14, not 13/, lineOf(PROVED, gap, { pcr: 14 })),

    // Whoever lacks proved records also starts elsewhere: without this check the next one would refuse, with its reason.
    check("continuity: the log ends before what was proved", "log-rollback", /ends after 6 records, but 7/, {
      proved: (proved) => ({ ...proved, length: PROVED + 2 }),
    }),
    check("continuity: the records start before what was proved", "log-broken", /start at 5 instead of 6/, {
      proved: (proved) => ({ ...proved, length: PROVED + 1 }),
    }),
    check("continuity: the records start after what was proved", "log-broken", /start at 5 instead of 4/, {
      proved: (proved) => ({ ...proved, length: PROVED - 1 }),
    }),
    check(
      "replay: a record that was extended is withheld",
      "pcr-mismatch",
      /does not lead to the quoted PCR/,
      { digests: [gap, sweepContent].map(sha256Hex) },
      { lines: [good, sweepLine(PROVED + 1)] },
    ),
    check(
      "replay: the agent says what else extended the register",
      "pcr-mismatch",
      /the agent says that PCR 13 of the TPM was extended by another program/,
      {
        digests: [gap, sweepContent].map(sha256Hex),
        sent: (evidence) => ({ ...evidence, fault: { kind: "extended", since: null } }),
      },
      { sent: (evidence) => ({ ...evidence, fault: { kind: "extended", since: null } }) },
    ),
    check(
      "replay: a record that was never extended is added",
      "pcr-mismatch",
      /does not lead to the quoted PCR/,
      { lines: [good, sweepLine(PROVED + 1)], digests: [sha256Hex(sweepContent)] },
      { lines: [good, sweepLine(PROVED + 1)] },
    ),
    check(
      "replay: two records changed places",
      "pcr-mismatch",
      /does not lead to the quoted PCR/,
      {
        lines: [good, lineOf(PROVED + 1, many(1)), sweepLine(PROVED + 2)],
        digests: [many(1), gap, sweepContent].map(sha256Hex),
      },
      { lines: [good, lineOf(PROVED + 1, many(1)), sweepLine(PROVED + 2)] },
    ),
    check("replay: from another value than was proved", "pcr-mismatch", /does not lead to the quoted PCR/, {
      proved: (proved) => ({ ...proved, value: "00".repeat(32) }),
    }),
    ...[
      { name: "no sweep at all", lines: [good] },
      { name: "no record at all", lines: [] },
      { name: "a sweep that answers another nonce", lines: [sweepLine(PROVED, { nonce: "a5".repeat(32) })] },
      { name: "a sweep that answers no nonce", lines: [sweepLine(PROVED, { nonce: "" })] },
      { name: "a sweep that is not the last record", lines: [sweepLine(PROVED), lineOf(PROVED + 1, gap)] },
    ].map(({ name, lines }) =>
      check(`sweep: ${name}`, "coverage-stale", /does not end with a sweep record/, { lines }),
    ),
  ];
}

const sweepContent = contentOf(sweepEvent({ nonce: "5a".repeat(32) }));
