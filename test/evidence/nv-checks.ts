// Each check of what a TPM certifies of an NV index that the log is extended into, by a key of a program.
import { appraise, NOTHING_PROVED, type Proved } from "../../src/attest/appraise.ts";
import { gapEvent, sweepEvent, TIME } from "../../src/attest/sample-events.ts";
import { encodeQuote } from "../../src/attest/testing.ts";
import { RELEASES } from "../../src/attest/testing-platform.ts";
import { fromHex } from "../../src/core/bytes.ts";
import type { BootEvent, LogEvent } from "../../src/log/event.ts";
import { formatRecord, parseRecord } from "../../src/log/record.ts";
import { replay } from "../../src/log/replay.ts";
import { TPM_GENERATED_VALUE, TPM_RH_ENDORSEMENT, TPM_ST } from "../../src/tpm/constants.ts";
import { extendName } from "../../src/tpm/extend-index.ts";
import { softwareKey, softwareSignature } from "../../src/tpm/fixtures.ts";
import { primaryQualifiedName } from "../../src/tpm/name.ts";
import { WireWriter } from "../../src/tpm/wire.ts";
import { NONCE } from "./attester.ts";
import type { Check, Outcome } from "./check.ts";

const INDEX = 0x01800040;
const COUNT = 7n;
const KEY = softwareKey();
const nv = { count: String(COUNT) };
const boot: BootEvent = {
  type: "boot",
  time: TIME,
  bootId: "00000000-0000-4000-8000-000000000001",
  previous: null,
  nv,
};

interface Forgery {
  readonly records?: readonly (readonly LogEvent[])[];
  readonly type?: number;
  readonly name?: Uint8Array;
  readonly offset?: number;
  readonly nonce?: string;
  /** Contents of the index; without it what the records lead to. */
  readonly contents?: Uint8Array;
  readonly platform?: boolean;
  readonly sent?: (lines: string[]) => string[];
  /** What was proved before, of another boot's log. */
  readonly before?: Proved;
}

const GOOD: readonly (readonly LogEvent[])[] = [[boot], [gapEvent("one")], [sweepEvent({ nonce: NONCE })]];

function forge(forgery: Forgery): Outcome {
  const lines = (forgery.records ?? GOOD).map((events, recnum) => formatRecord(recnum, INDEX, events).line);
  const records = lines.map(parseRecord);
  const attest = new WireWriter()
    .u32(TPM_GENERATED_VALUE)
    .u16(forgery.type ?? TPM_ST.ATTEST_NV)
    .sized(primaryQualifiedName(KEY.publicArea, TPM_RH_ENDORSEMENT))
    .sized(fromHex(forgery.nonce ?? NONCE))
    .u64(1n)
    .u32(1)
    .u32(1)
    .u8(1)
    .u64(1n)
    .sized(forgery.name ?? extendName(INDEX, COUNT))
    .u16(forgery.offset ?? 0)
    .sized(forgery.contents ?? replay(records.map(({ digest }) => digest)))
    .done();
  const quoted = encodeQuote({ attest, signature: softwareSignature(KEY, attest) });
  const platform = forgery.platform ? { before: null, releases: RELEASES } : undefined;
  const expected = { akPublic: KEY.publicArea, nonce: NONCE, pcr: INDEX, platform };
  const before = forgery.before ?? NOTHING_PROVED;
  const sent = forgery.sent?.(lines) ?? lines;
  return appraise({ nonce: NONCE, from: before.length, records: sent, ...quoted }, expected, before);
}

/** A log of a new boot that leads back to a proved record, with a TPM that was reset or only restarted since. */
function afterBoot(isReset: boolean): Forgery {
  const [bootId, digest, value] = ["00000000-0000-4000-8000-000000000002", "11".repeat(32), "22".repeat(32)];
  const previous = { bootId, recnum: 2, digest, pcr: value };
  const tpm = { resetCount: isReset ? 0 : 1, restartCount: 0, clock: 0n };
  return { records: [[{ ...boot, previous }], ...GOOD.slice(1)], before: { bootId, length: 3, digest, value, tpm } };
}

export async function nvChecks(): Promise<Check[]> {
  const check = (name: string, reason: string, text: RegExp, wrong: Forgery): Check => ({
    ...{ name: `NV index: ${name}`, reason, text },
    attempt: (isWrong) => forge(isWrong ? wrong : {}),
  });
  const { nv: _nv, ...bare } = boot;
  const unsaid = ["log-broken", /does not say at which count the NV index 0x01800040 .* began/] as const;
  const anew = ["pcr-mismatch", /was deleted and defined anew/] as const;
  return [
    check("another kind of statement", "quote-invalid", /is not a certification of NV memory/, {
      type: TPM_ST.ATTEST_QUOTE,
    }),
    check("only a part of it", "quote-invalid", /does not show its NV index from the beginning/, { offset: 1 }),
    check("another nonce", "nonce-mismatch", /was not made for this nonce/, { nonce: "00".repeat(32) }),
    check("one that began later", ...anew, { name: extendName(INDEX, COUNT + 1n) }),
    check("another index", ...anew, { name: extendName(INDEX + 2, COUNT) }),
    check("a log that does not say which", ...unsaid, { records: [[bare], ...GOOD.slice(1)] }),
    check("a log that says it too late", "log-broken", /record 0 tells of a boot/, {
      records: [[gapEvent("x"), boot], ...GOOD.slice(1)],
    }),
    // Without this check it would be of another register than the log's.
    check(
      "a record of what is no index of the owner's",
      "log-broken",
      /is of an NV index that is none of the owner's/,
      {
        sent: (lines) => lines.with(1, lines[1]!.replace(`"nv_index":${INDEX}`, '"nv_index":10000000')),
      },
    ),
    check("other contents", "pcr-mismatch", /does not lead to the quoted/, { contents: new Uint8Array(32).fill(1) }),
    check("one that was extended only once, and may begin again", "pcr-mismatch", /does not lead to the quoted/, {
      records: [[boot, sweepEvent({ nonce: NONCE })]],
    }),
    {
      name: "NV index: a log that begins anew without a reset",
      reason: "log-rollback",
      text: /begins anew in an NV index, but the TPM was not reset$/,
      attempt: (isWrong) => forge(afterBoot(!isWrong)),
    },
    check("instead of what is below the agent", "quote-invalid", /says nothing of what is below the agent/, {
      platform: true,
    }),
  ];
}
