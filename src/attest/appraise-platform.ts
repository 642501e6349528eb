import { bytesEqual, concatBytes, fromHex, printable, toHex } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { bootChain, secureBootOf } from "../tpm/event-log/boot-chain.ts";
import { IMA_PCR, type ImaEntry, imaExtension, parseImaList } from "../tpm/event-log/ima.ts";
import { parseBootLog } from "../tpm/event-log/pc-client.ts";
import { replayBootLog } from "../tpm/event-log/replay.ts";
import { BOOT_PCRS, type PlatformEvidence } from "./platform-evidence.ts";
import { type FirmwareState, type ImaState, MAX_DEVIATIONS, MAX_STEPS, type PlatformState } from "./platform-state.ts";
import type { Releases } from "./release-manifest.ts";

const BANK = "sha256";

/**
 * Replays what is below the agent to the quoted registers. Pure. PimsError `pcr-mismatch` when what was given does not lead
 * to the quote, `log-broken` when the IMA list is malformed or does not go on where the last one ended. A firmware log that
 * does not lead to its registers is no refusal: the quote proves the registers, and judging says what is wrong with them.
 */
export function appraisePlatform(
  evidence: PlatformEvidence | undefined,
  quote: { readonly pcrDigest: Uint8Array; readonly resetCount: number; readonly restartCount: number },
  before: PlatformState | null,
  releases: Releases,
): PlatformState {
  if (evidence === undefined)
    throw new PimsError("pcr-mismatch", "the evidence has nothing that leads to the quoted PCR 0 to 10");
  const boot = { resetCount: quote.resetCount, restartCount: quote.restartCount };
  // A restart that kept the registers, as after a suspension, is still the same boot.
  const same = before?.boot.resetCount === boot.resetCount ? before : null;
  const bootValues = evidence.pcrs.map(fromHex);
  const quoted = concatBytes(...bootValues, new Uint8Array(32), fromHex(evidence.own));
  const ima = followIma(evidence, same, releases, (imaValue) => {
    quoted.set(imaValue, 32 * IMA_PCR);
    return bytesEqual(sha256(quoted), quote.pcrDigest);
  });
  const known = same !== null && same.pcrs.join() === evidence.pcrs.join() ? same.firmware : null;
  const firmware = evidence.firmwareLog === undefined ? known : readFirmwareLog(evidence.firmwareLog, bootValues);
  return { boot, pcrs: evidence.pcrs, own: evidence.own, firmware, ima };
}

/** The list may have grown after the quote: the entry counts up to which it leads to the quoted PCR 10. */
function followIma(
  { ima: given }: PlatformEvidence,
  before: PlatformState | null,
  releases: Releases,
  isQuoted: (value: Uint8Array) => boolean,
): ImaState | null {
  const zero = new Uint8Array(32);
  if (given === null) {
    if (isQuoted(zero)) return null;
    throw new PimsError("pcr-mismatch", "PCR 10 shows that the kernel measures files, and there is no list of them");
  }
  const known = before?.ima ?? null;
  // The whole list again is as good, and what it takes when releases were added.
  const start = given.from === 0 ? null : known;
  if (given.from !== (start?.count ?? 0) || (start !== null && start.releases !== releases.id))
    throw new PimsError("log-broken", `the IMA list goes on at entry ${given.from} instead of ${known?.count ?? 0}`);
  const entries = parseEntries(given.entries, given.from);
  // Which of the two ways this kernel has of extending shows when its list is first followed.
  const ways = start === null ? [false, true] : [start.padded];
  const startValue = start === null ? zero : fromHex(start.value);
  for (const padded of ways) {
    const quoted = lastQuoted(entries, startValue, padded, isQuoted);
    if (quoted === undefined) continue;
    const state: ImaState = {
      count: given.from + quoted.count,
      value: toHex(quoted.value),
      padded,
      releases: releases.id,
      violations: start?.violations ?? 0,
      agentFiles: start?.agentFiles ?? 0,
      runtimeFiles: start?.runtimeFiles ?? 0,
      deviations: [...(start?.deviations ?? [])],
    };
    for (const entry of entries.slice(0, quoted.count)) addEntry(state, entry, releases);
    return state;
  }
  throw new PimsError("pcr-mismatch", "the kernel's list of measured files does not lead to the quoted PCR values");
}

/** How many entries lead to the quoted value, the last time that one does, and PCR 10 after them. */
function lastQuoted(
  entries: readonly ImaEntry[],
  start: Uint8Array,
  padded: boolean,
  isQuoted: (value: Uint8Array) => boolean,
): { count: number; value: Uint8Array } | undefined {
  let value = start;
  let quoted = isQuoted(value) ? { count: 0, value } : undefined;
  for (const [index, entry] of entries.entries()) {
    value = sha256(value, imaExtension(entry, BANK, padded));
    if (isQuoted(value)) quoted = { count: index + 1, value };
  }
  return quoted;
}

/** Far more than a message of 16 MiB has of real ones: each costs some microseconds. */
const MAX_ENTRIES = 262_144;
const SHA1_BYTES = 20;

function parseEntries(text: string, from: number): ImaEntry[] {
  try {
    const entries = parseImaList(new Uint8Array(Buffer.from(text, "base64")));
    if (entries.length > MAX_ENTRIES) throw new PimsError("log-broken", "the IMA list has too many entries");
    for (const [index, entry] of entries.entries()) {
      if (entry.pcr !== IMA_PCR) throw new PimsError("log-broken", `the IMA list has an entry of PCR ${entry.pcr}`);
      const digest = imaExtension(entry, BANK, true).subarray(0, SHA1_BYTES);
      if (!entry.violation && !bytesEqual(digest, entry.templateDigest))
        throw new PimsError("log-broken", `entry ${from + index} of the IMA list has another digest than its data`);
    }
    return entries;
  } catch (error) {
    if (errorCode(error) !== "tpm-malformed") throw error;
    throw new PimsError("log-broken", (error as PimsError).message, { cause: error });
  }
}

function addEntry(state: ImaState, { violation, file }: ImaEntry, releases: Releases): void {
  if (violation) state.violations++;
  if (file === null || typeof file.path !== "string") return;
  const listed = releases.at(file.path);
  if (listed === undefined) return;
  // By which hash a file is measured, root says with its attribute `security.ima`: no other may excuse it.
  const good = !violation && file.algorithm === "sha256" && listed.digests.has(file.digest);
  if (good) {
    if (listed.part === "agent") state.agentFiles++;
    else state.runtimeFiles++;
  } else if (state.deviations.length < MAX_DEVIATIONS)
    state.deviations.push({
      part: listed.part,
      path: printable(file.path).slice(0, 1024),
      digest: violation ? null : `${file.algorithm} ${file.digest}`,
      listed: listed.digests.size > 0,
      cgroup: file.cgroup === null ? null : printable(file.cgroup).slice(0, 256),
    });
}

function readFirmwareLog(text: string | null, quoted: readonly Uint8Array[]): FirmwareState {
  const none = { secureBoot: "unknown" as const, steps: [], more: 0, disagree: [] };
  if (text === null) return { ...none, problem: "the host gives no event log of its firmware" };
  try {
    const log = parseBootLog(new Uint8Array(Buffer.from(text, "base64")));
    if (!log.banks.includes(BANK)) return { ...none, problem: "the firmware's event log has no SHA-256 digests" };
    const values = replayBootLog(log, BANK);
    const steps = bootChain(log, BANK);
    return {
      problem: null,
      secureBoot: secureBootOf(log, BANK),
      steps: steps.slice(0, MAX_STEPS).map((step) => ({ ...step, text: printable(step.text).slice(0, 256) })),
      more: Math.max(0, steps.length - MAX_STEPS),
      disagree: BOOT_PCRS.filter((pcr) => !bytesEqual(values.get(pcr)!, quoted[pcr]!)),
    };
  } catch (error) {
    if (errorCode(error) !== "tpm-malformed") throw error;
    return { ...none, problem: (error as PimsError).message, disagree: [...BOOT_PCRS] };
  }
}
