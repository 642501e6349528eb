// Each check of the appraisal in which only that check fails, and that none is without such a test.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { printable } from "../src/core/bytes.ts";
import { bootChecks } from "./evidence/boot-checks.ts";
import type { Check } from "./evidence/check.ts";
import { clockChecks } from "./evidence/clock-checks.ts";
import { enrollmentChecks } from "./evidence/enrollment-checks.ts";
import { logChecks } from "./evidence/log-checks.ts";
import { nvChecks } from "./evidence/nv-checks.ts";
import { platformChecks } from "./evidence/platform-checks.ts";
import { quoteChecks } from "./evidence/quote-checks.ts";
import { sentencesOf } from "./evidence/sentences.ts";
import { verifierChecks } from "./evidence/verifier-checks.ts";

const undos: (() => Promise<void>)[] = [];
after(async () => {
  for (const undo of undos.toReversed()) await undo();
});
const ending = { after: (undo: () => Promise<void>) => void undos.push(undo) };
/** What the checks have said, and their reasons. */
const said: string[] = [];
const reasons = new Set<string>();

for (const [what, make] of [
  ["quote", quoteChecks],
  ["log", logChecks],
  ["boots", bootChecks],
  ["counters", clockChecks],
  ["NV index", nvChecks],
  ["platform", platformChecks],
  ["verifier", verifierChecks],
  ["enrollment", enrollmentChecks],
] as const)
  test(`${what}: each check refuses alone`, async (t) => {
    const checks: readonly Check[] = await make(ending);
    assert.ok(checks.length > 4);
    for (const { name, reason, text, attempt } of checks)
      await t.test(name, async () => {
        const refused = await attempt(true);
        assert.ok(!refused.accepted, "it was accepted");
        said.push(refused.text);
        reasons.add(refused.reason);
        assert.equal(refused.reason, reason, refused.text);
        assert.match(refused.text, text);
        assert.match(refused.text, /^\S.{10,}$/, "one sentence");
        assert.equal(printable(refused.text), refused.text);
        const right = await attempt(false);
        if (!right.accepted) assert.fail(`with that put right it is refused (${right.reason}): ${right.text}`);
      });
  });

/** The files whose every sentence is a check's, and those of their sentences that are not. */
const CHECKING: Readonly<Record<string, readonly string[]>> = {
  "src/attest/appraise.ts": [],
  "src/attest/follow-boots.ts": [],
  "src/attest/appraise-platform.ts": [],
  "src/attest/quoted-register.ts": [],
  "src/attest/sweeper-standing.ts": [],
  // These are said by whoever writes a record.
  "src/log/record.ts": ["log record {} would hold {}", "log record {} would be longer than {} bytes"],
  "src/tpm/quote-verification.ts": [],
  "src/tpm/attest.ts": [],
  "src/tpm/signature.ts": [],
  "src/tpm/signature-verification.ts": [],
  "src/tpm/public-key.ts": [],
  // Of what an operator orders, and of what is read.
  "src/verifier/verifier.ts": ["{} has no such container, or it has stopped", "no boot {} of {} is known"],
  // It takes several hosts: records-ahead.test.ts.
  "src/verifier/records-ahead.ts": ["too many hosts send records ahead at this time"],
  "src/verifier/enrollment.ts": [],
};

test("no check is without one in which it refuses alone", () => {
  for (const [file, others] of Object.entries(CHECKING)) {
    const sentences = sentencesOf(file).filter(({ text }) => !others.includes(text));
    assert.ok(sentences.length > 0, file);
    for (const other of others)
      assert.ok(
        sentencesOf(file).some(({ text }) => text === other),
        `${file} does not say: ${other}`,
      );
    const untried = sentences.filter(({ said: form }) => !said.some((text) => form.test(text)));
    assert.deepEqual(
      untried.map(({ text }) => text),
      [],
      `${file} has checks of which no attempt here is refused`,
    );
  }
});

test("the page on evidence names every reason with which a check has refused", () => {
  const page = readFileSync(join(import.meta.dirname, "../docs/evidence.md"), "utf8");
  assert.ok(reasons.size > 15);
  assert.deepEqual(
    [...reasons].filter((reason) => !page.includes(`\`${reason}\``)),
    [],
  );
});
