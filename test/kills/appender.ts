// A process that is there to be killed: it opens the log, says how much is in it, waits to be told to go on, appends
// numbered events, and lets a verifier appraise them in between. What it says, it says at once.
import { randomInt } from "node:crypto";
import { writeSync } from "node:fs";
import { openTpmAnchor } from "../../src/agent/tpm-anchor.ts";
import { VerifierClient } from "../../src/agent/verifier-client.ts";
import { collectEvidence } from "../../src/attest/collect.ts";
import { sweepEvent } from "../../src/attest/sample-events.ts";
import { describeError } from "../../src/core/errors.ts";
import { MeasurementLog } from "../../src/log/measurement-log.ts";
import { numbered, numbersIn } from "../../src/log/testing.ts";

const [folder, address, bootId, url, host, token] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const say = (...words: (string | number)[]) => void writeSync(1, `${words.join(" ")}\n`);

const anchor = await openTpmAnchor(address, 13);
const { log } = await MeasurementLog.open(folder, anchor.register, bootId);
let next = 0;
for await (const record of log.records()) next = (numbersIn([record]).at(-1) ?? next - 1) + 1;
say("open", next);
await new Promise((resolve) => process.stdin.once("data", resolve));

const verifier = new VerifierClient(url, host);
verifier.useToken(token);

async function append(): Promise<void> {
  const events = Array.from({ length: randomInt(1, 9) }, () => numbered(next++));
  const last = next;
  await log.append(events);
  say("appended", last);
}

/** Appends the record that answers a nonce, and quotes it; comes back with what sends it. */
async function evidence(): Promise<() => Promise<void>> {
  const { nonce, from } = await verifier.nonce();
  await log.append([sweepEvent({ nonce })]);
  const quote = anchor.quote;
  const made = await collectEvidence({
    segments: log.segmentsFrom(from),
    from,
    nonce: Buffer.from(nonce, "hex"),
    quote,
  });
  return async () => {
    const outcome = await verifier.evidence(made);
    if (outcome.accepted) {
      say("proved", outcome.records);
      // There is always a numbered event left to go on from.
      if (rotated !== null && outcome.records > rotated + 1) await log.prune(rotated);
    } else say("refused", outcome.reason, outcome.text);
  };
}

/** Begins a new segment. */
async function rotate(): Promise<void> {
  const { recnum } = await log.rotate(0);
  await append();
  rotated = recnum;
}

/** The first record of the newest segment that holds numbered events. */
let rotated: number | null = null;
const unsent = (error: unknown): void => say("unsent", describeError(error));
let sending: Promise<void> = Promise.resolve();
for (;;) {
  await Promise.all(Array.from({ length: randomInt(1, 6) }, append));
  if (randomInt(4) === 0) await rotate();
  await sending;
  try {
    const send = await evidence();
    // What is appended meanwhile is not proved by it.
    sending = send().catch(unsent);
  } catch (error) {
    unsent(error);
  }
}
