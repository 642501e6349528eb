import { bytesEqual, fromHex, toHex } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import { type LogRecord, parseRecord } from "../log/record.ts";
import { recordOfAnother, registerName } from "../log/register.ts";
import { describeFault, type RegisterFault } from "../log/register-fault.ts";
import { extendValue, ZERO_PCR } from "../log/replay.ts";
import { TPM_RH_ENDORSEMENT } from "../tpm/constants.ts";
import { primaryQualifiedName } from "../tpm/name.ts";
import { appraisePlatform } from "./appraise-platform.ts";
import type { Evidence } from "./evidence.ts";
import { platformPcrs } from "./platform-evidence.ts";
import type { PlatformState } from "./platform-state.ts";
import { type ShowsValue, showsNv, showsPcr, verifyRegister } from "./quoted-register.ts";
import type { Releases } from "./release-manifest.ts";

/** What earlier accepted quotes of a host have proved. Replay goes on from here, or from zero. */
export interface Proved {
  /** Number of records. */
  readonly length: number;
  /** Value of the PCR after them, hexadecimal. */
  readonly value: string;
  /** TPMS_CLOCK_INFO of the last accepted quote; null before the first. */
  readonly tpm: { readonly resetCount: number; readonly restartCount: number; readonly clock: bigint } | null;
}

export const NOTHING_PROVED: Proved = { length: 0, value: "00".repeat(32), tpm: null };

export type Appraisal =
  | {
      readonly accepted: true;
      readonly proved: Proved;
      readonly records: readonly LogRecord[];
      readonly lines: readonly string[];
      /** What is below the agent; null where that was not asked for. */
      readonly platform: PlatformState | null;
    }
  | { readonly accepted: false; readonly reason: Reason; readonly text: string };

/**
 * The checklist. Pure: evidence, what was enrolled and what was proved before in; a decision out. Each step names the
 * reason for which it alone refuses. The quote comes first: after a reboot the log is another one too, and the reset
 * count is what says why.
 */
export function appraise(
  evidence: Evidence,
  expected: {
    readonly akPublic: Uint8Array;
    readonly nonce: string;
    /** Handle of the register. */
    readonly pcr: number;
    /** The first record of the proved log, which says of an NV index which one it is. */
    readonly first?: LogRecord | undefined;
    /** Set where the quote must cover what is below the agent, too. */
    readonly platform?: { readonly before: PlatformState | null; readonly releases: Releases } | undefined;
  },
  before: Proved,
): Appraisal {
  try {
    const quote = verifyRegister(
      {
        publicArea: expected.akPublic,
        attest: new Uint8Array(Buffer.from(evidence.attest, "base64")),
        signature: new Uint8Array(Buffer.from(evidence.signature, "base64")),
        nonce: fromHex(expected.nonce),
      },
      expected.pcr,
      expected.platform === undefined ? [expected.pcr] : platformPcrs(expected.pcr),
    );
    checkHierarchy(quote.qualifiedSigner, expected.akPublic);
    checkClock(quote, before);
    checkContinuity(evidence, before);
    if (expected.platform !== undefined && quote.nv !== null)
      throw new PimsError("quote-invalid", "what an NV index holds says nothing of what is below the agent");
    const platform =
      expected.platform === undefined || quote.nv !== null
        ? null
        : appraisePlatform(evidence.platform, quote, expected.platform.before, expected.platform.releases);
    const records = parseRecords(evidence, expected.pcr);
    const shows =
      quote.nv === null
        ? showsPcr(expected.pcr, platform === null ? quote.pcrDigest : sha256(fromHex(platform.own)))
        : showsNv(expected.pcr, quote.nv, before.length === 0 ? records[0] : expected.first);
    const quoted = findQuoted(records, before, shows);
    if (quoted === undefined)
      throw new PimsError("pcr-mismatch", describeMismatch(expected.pcr, shows, before.length, evidence.fault));
    const { count, value } = quoted;
    const believed = records.slice(0, count);
    checkFreshSweep(believed, expected.nonce);
    const { resetCount, restartCount, clock } = quote;
    return {
      accepted: true,
      proved: { length: before.length + count, value: toHex(value), tpm: { resetCount, restartCount, clock } },
      records: believed,
      lines: evidence.records.slice(0, count),
      platform,
    };
  } catch (error) {
    if (error instanceof PimsError && isRefusal(error.code))
      return { accepted: false, reason: error.code, text: error.message };
    throw error;
  }
}

const REFUSALS = [
  "log-broken",
  "log-rollback",
  "quote-invalid",
  "nonce-mismatch",
  "pcr-mismatch",
  "tpm-rolled-back",
  "host-rebooted",
  "coverage-stale",
] as const satisfies readonly Reason[];

function isRefusal(code: string | undefined): code is (typeof REFUSALS)[number] {
  return REFUSALS.some((refusal) => refusal === code);
}

/** Under any other hierarchy the TPM would obfuscate its counters, and its owner could bring back an old key. */
function checkHierarchy(qualifiedSigner: Uint8Array, akPublic: Uint8Array): void {
  if (!bytesEqual(qualifiedSigner, primaryQualifiedName(akPublic, TPM_RH_ENDORSEMENT)))
    throw new PimsError("quote-invalid", "the attestation key is not a primary key of the endorsement hierarchy");
}

/** The host may not take back a record that a quote has proved, nor leave one out. */
function checkContinuity(evidence: Evidence, before: Proved): void {
  const end = evidence.from + evidence.records.length;
  if (end < before.length)
    throw new PimsError("log-rollback", `the log ends after ${end} records, but ${before.length} were already proved`);
  if (evidence.from !== before.length)
    throw new PimsError("log-broken", `the records start at ${evidence.from} instead of ${before.length}`);
}

function parseRecords(evidence: Evidence, pcr: number): LogRecord[] {
  return evidence.records.map((line, index) => {
    const record = parseRecord(line, evidence.from + index);
    if (record.pcr !== pcr) throw new PimsError("log-broken", recordOfAnother(record, pcr));
    return record;
  });
}

/**
 * The reset count only rises, the restart count rises within one reset, and the clock grows within both (TPM 2.0 Library,
 * part 1, "Startup" and "Clock"). A restart counts like a reset: after TPM2_Shutdown(STATE) and a power cycle the reset
 * count is the same and the PCR is zero, so root could extend the proved records once more and go on without those that
 * no quote had shown yet. A resume from suspension keeps the PCR, and nothing in a quote tells it from a restart.
 */
function checkClock(now: { resetCount: number; restartCount: number; clock: bigint }, { tpm: before }: Proved): void {
  if (before === null) return;
  const resets = now.resetCount - before.resetCount;
  const restarts = resets === 0 ? now.restartCount - before.restartCount : 0;
  if (resets > 0 || restarts > 0)
    throw new PimsError(
      "host-rebooted",
      "the TPM was reset or restarted since the last evidence, so its PCR started anew",
    );
  if (resets < 0 || restarts < 0 || now.clock < before.clock)
    throw new PimsError("tpm-rolled-back", "the TPM's reset count, restart count or clock went back");
}

/**
 * Finds the record whose replayed value the quote shows. Later ones may have been appended between quote and sending:
 * they are not believed yet.
 */
function findQuoted(
  records: readonly LogRecord[],
  before: Proved,
  shows: ShowsValue,
): { count: number; value: Uint8Array } | undefined {
  let value = fromHex(before.value);
  let found: { count: number; value: Uint8Array } | undefined;
  if (shows(value, before.length)) found = { count: 0, value };
  for (const [index, record] of records.entries()) {
    value = extendValue(value, record.digest);
    if (shows(value, before.length + index + 1)) found = { count: index + 1, value };
  }
  return found;
}

/**
 * What is known of a log that does not lead to the quote. An extend by another program and an altered log look the same
 * from here; the agent, which knows what it extended itself, tells which, and since when. It may lie: that only changes the words.
 */
function describeMismatch(pcr: number, shows: ShowsValue, proved: number, fault: RegisterFault | undefined): string {
  const what = "the log does not lead to the quoted PCR value";
  if (fault !== undefined) return `${what}: the agent says that ${describeFault(pcr, fault)}`;
  if (shows(ZERO_PCR, 0)) return `${what}: ${registerName(pcr)} was set back to zero`;
  const since = proved === 0 ? "" : `after record ${proved - 1}, the last that was proved, `;
  return `${what}: ${since}records were altered or left out, or another program extended ${registerName(pcr)}`;
}

/**
 * A fresh quote over an old log proves a living TPM; only a sweep record with the nonce proves a living agent. What it says
 * of the sweeper is judged later (`sweeperStanding`).
 */
function checkFreshSweep(believed: readonly LogRecord[], nonce: string): void {
  const sweep = believed.at(-1)?.events.find((event) => event.type === "sweep" && event.nonce === nonce);
  if (sweep?.type !== "sweep")
    throw new PimsError("coverage-stale", "the quoted log does not end with a sweep record that answers the nonce");
}
