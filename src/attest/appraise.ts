import { bytesEqual, fromHex, toHex } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import { registerName } from "../log/register.ts";
import { describeFault, type RegisterFault } from "../log/register-fault.ts";
import { extendValue, ZERO_PCR } from "../log/replay.ts";
import { TPM_RH_ENDORSEMENT } from "../tpm/constants.ts";
import { primaryQualifiedName } from "../tpm/name.ts";
import { appraisePlatform } from "./appraise-platform.ts";
import type { Evidence } from "./evidence.ts";
import { type BootPart, beginsLog, followBoots } from "./follow-boots.ts";
import { platformPcrs } from "./platform-evidence.ts";
import type { PlatformState } from "./platform-state.ts";
import { type ShowsValue, showsNv, showsPcr, verifyRegister } from "./quoted-register.ts";
import type { Releases } from "./release-manifest.ts";

/** What earlier accepted quotes of a host have proved. Replay goes on from here, or from zero. */
export interface Proved {
  /** The boot whose log that is; null before the first, and where the log names none. */
  readonly bootId: string | null;
  /** Number of records. */
  readonly length: number;
  /** Digest of the last one; null before the first. */
  readonly digest: string | null;
  /** Value of the PCR after them, hexadecimal. */
  readonly value: string;
  /** TPMS_CLOCK_INFO of the last accepted quote; null before the first. */
  readonly tpm: { readonly resetCount: number; readonly restartCount: number; readonly clock: bigint } | null;
}

export const NOTHING_PROVED: Proved = { bootId: null, length: 0, digest: null, value: "00".repeat(32), tpm: null };

export type Appraisal =
  | {
      readonly accepted: true;
      readonly proved: Proved;
      /**
       * What was told of boots that are over: the rest of the log that was proved, then whole logs. No quote of their own boots
       * shows these records. Empty where the proved log goes on.
       */
      readonly told: readonly BootPart[];
      /** Resets of the TPM beyond the boots that were told of. */
      readonly unloggedResets: number;
      /** Times that the TPM was suspended since, and its PCR kept. */
      readonly resumes: number;
      /** What the quote proves of this boot. */
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
    /** Whether a boot's log was taken earlier, be it over or not; without it only the proved boot's is known. */
    readonly knowsBoot?: ((bootId: string) => boolean) | undefined;
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
    const since = checkClock(quote, before);
    if (since.resets > 0 && !evidence.records.some(beginsLog)) throw resetUnderLog();
    const { told, current } = followBoots(evidence, before, expected.pcr, expected.knowsBoot);
    if (told.length > 0 && since.power === "kept")
      throw new PimsError("log-rollback", "the log begins anew, but the TPM was neither reset nor restarted");
    // A PCR that was kept over a suspension cannot begin anew; an NV index can, by its owner's hand.
    if (told.length > 0 && since.power === "lost" && since.resets === 0 && quote.nv !== null)
      throw new PimsError("log-rollback", "the log begins anew in an NV index, but the TPM was not reset");
    if (since.power === "lost" && since.resets === 0 && told.length > since.restarts)
      throw new PimsError(
        "log-rollback",
        `the log began anew ${told.length} times, but the TPM was restarted ${since.restarts} times only`,
      );
    if (expected.platform !== undefined && quote.nv !== null)
      throw new PimsError("quote-invalid", "what an NV index holds says nothing of what is below the agent");
    const platform =
      expected.platform === undefined || quote.nv !== null
        ? null
        : appraisePlatform(
            evidence.platform,
            quote,
            told.length > 0 ? null : expected.platform.before,
            expected.platform.releases,
          );
    const shows =
      quote.nv === null
        ? showsPcr(expected.pcr, platform === null ? quote.pcrDigest : sha256(fromHex(platform.own)))
        : showsNv(expected.pcr, quote.nv, current.from === 0 ? current.records[0] : expected.first);
    const quoted = findQuoted(current, shows);
    if (quoted === undefined) {
      if (told.length === 0 && since.power === "lost") throw resetUnderLog();
      throw new PimsError("pcr-mismatch", describeMismatch(expected.pcr, shows, current.from, evidence.fault));
    }
    const { count, value } = quoted;
    const believed = current.records.slice(0, count);
    checkFreshSweep(believed, expected.nonce);
    const { resetCount, restartCount, clock } = quote;
    const tpm = { resetCount, restartCount, clock };
    return {
      accepted: true,
      proved: {
        bootId: current.bootId,
        length: current.from + count,
        digest: believed.at(-1)!.digest,
        value: toHex(value),
        tpm,
      },
      told,
      unloggedResets: Math.max(0, since.resets - told.length),
      resumes: told.length === 0 ? since.restarts : 0,
      records: believed,
      lines: current.lines.slice(0, count),
      platform,
    };
  } catch (error) {
    if (error instanceof PimsError && isRefusal(error.code))
      return { accepted: false, reason: error.code, text: withFault(error.message, expected.pcr, evidence.fault) };
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

/**
 * What became of the TPM since the last evidence. The reset count only rises, and within one reset the restart count rises
 * and the clock grows (TPM 2.0 Library, part 1, "Startup" and "Clock"). Over a reset the clock says nothing: a TPM that lost
 * its power may have lost of its clock, too. PimsError `tpm-rolled-back` for anything else.
 *
 * A restart is what follows TPM2_Shutdown(STATE): the PCR starts at zero, or was kept (a resume). Nothing but the PCR's
 * value tells one from the other.
 */
function checkClock(
  now: { resetCount: number; restartCount: number; clock: bigint },
  { tpm: before }: Proved,
): { resets: number; restarts: number; power: "kept" | "lost" | "unknown" } {
  if (before === null) return { resets: 0, restarts: 0, power: "unknown" };
  const resets = now.resetCount - before.resetCount;
  const restarts = resets === 0 ? now.restartCount - before.restartCount : 0;
  if (resets < 0) throw rolledBack("reset count", before.resetCount, now.resetCount);
  if (restarts < 0) throw rolledBack("restart count", before.restartCount, now.restartCount);
  if (resets === 0 && now.clock < before.clock) throw rolledBack("clock", before.clock, now.clock);
  return { resets, restarts, power: resets > 0 || restarts > 0 ? "lost" : "kept" };
}

function rolledBack(what: string, before: number | bigint, now: number | bigint): PimsError {
  return new PimsError("tpm-rolled-back", `the TPM's ${what} went back from ${before} to ${now}`);
}

function resetUnderLog(): PimsError {
  return new PimsError(
    "host-rebooted",
    "the TPM was reset or restarted since the last evidence, so its PCR started anew, and the log did not",
  );
}

/**
 * Finds the record whose replayed value the quote shows. Later ones may have been appended between quote and sending:
 * they are not believed yet.
 */
function findQuoted(
  { records, from, start }: BootPart,
  shows: ShowsValue,
): { count: number; value: Uint8Array } | undefined {
  let value = start;
  let found: { count: number; value: Uint8Array } | undefined;
  if (shows(value, from)) found = { count: 0, value };
  for (const [index, record] of records.entries()) {
    value = extendValue(value, record.digest);
    if (shows(value, from + index + 1)) found = { count: index + 1, value };
  }
  return found;
}

/**
 * What is known of a log that does not lead to the quote. An extend by another program and an altered log look the same
 * from here.
 */
function describeMismatch(pcr: number, shows: ShowsValue, proved: number, fault: RegisterFault | undefined): string {
  const what = "the log does not lead to the quoted PCR value";
  if (fault !== undefined) return what;
  if (shows(ZERO_PCR, 0)) return `${what}: ${registerName(pcr)} was set back to zero`;
  const since = proved === 0 ? "" : `after record ${proved - 1}, the last that was proved, `;
  return `${what}: ${since}records were altered or left out, or another program extended ${registerName(pcr)}`;
}

/**
 * The agent, which knows what it extended itself, tells what happened to its register, and since when, whatever else its
 * evidence is refused for: after a boot it may have no log yet. It may lie: that only changes the words.
 */
function withFault(text: string, pcr: number, fault: RegisterFault | undefined): string {
  return fault === undefined ? text : `${text}: the agent says that ${describeFault(pcr, fault)}`;
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
