import { bytesEqual, fromHex, printable, toHex } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { bootChain, secureBootOf } from "../tpm/event-log/boot-chain.ts";
import { IMA_PCR, type ImaEntry, imaExtension, parseImaList } from "../tpm/event-log/ima.ts";
import { parseBootLog } from "../tpm/event-log/pc-client.ts";
import { replayBootLog } from "../tpm/event-log/replay.ts";
import { pcrDigestOf } from "../tpm/pcr-digest.ts";
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
  const sameBoot = before?.boot.resetCount === boot.resetCount && before.boot.restartCount === boot.restartCount;
  const same = sameBoot ? before : null;
  const bootValues = evidence.pcrs.map(fromHex);
  const ima = followIma(evidence, same, releases, (imaValue) =>
    bytesEqual(pcrDigestOf([...bootValues, imaValue, fromHex(evidence.own)]), quote.pcrDigest),
  );
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
  const entries = parseEntries(given.entries);
  let values = { full: fromHex(start?.full ?? toHex(zero)), padded: fromHex(start?.padded ?? toHex(zero)) };
  let count = isQuoted(values.full) || isQuoted(values.padded) ? 0 : undefined;
  let quoted = values;
  for (const [index, entry] of entries.entries()) {
    const padded = imaExtension(entry, BANK, true);
    if (!entry.violation && !bytesEqual(padded.subarray(0, 20), entry.templateDigest))
      throw new PimsError("log-broken", `entry ${given.from + index} of the IMA list has another digest than its data`);
    values = {
      full: sha256(values.full, imaExtension(entry, BANK)),
      padded: sha256(values.padded, padded),
    };
    if (isQuoted(values.full) || isQuoted(values.padded)) {
      count = index + 1;
      quoted = values;
    }
  }
  if (count === undefined)
    throw new PimsError("pcr-mismatch", "the kernel's list of measured files does not lead to the quoted PCR values");
  const state: ImaState = {
    count: given.from + count,
    full: toHex(quoted.full),
    padded: toHex(quoted.padded),
    releases: releases.id,
    violations: start?.violations ?? 0,
    agentFiles: start?.agentFiles ?? 0,
    runtimeFiles: start?.runtimeFiles ?? 0,
    otherHash: start?.otherHash ?? 0,
    deviations: [...(start?.deviations ?? [])],
  };
  for (const entry of entries.slice(0, count)) addEntry(state, entry, releases);
  return state;
}

function parseEntries(text: string): ImaEntry[] {
  try {
    const entries = parseImaList(new Uint8Array(Buffer.from(text, "base64")));
    for (const { pcr } of entries)
      if (pcr !== IMA_PCR) throw new PimsError("log-broken", `the IMA list has an entry of PCR ${pcr}`);
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
  if (!violation && file.algorithm !== "sha256") {
    state.otherHash++;
    return;
  }
  const good = !violation && listed.digests.has(file.digest);
  if (good) {
    if (listed.part === "agent") state.agentFiles++;
    else state.runtimeFiles++;
  } else if (state.deviations.length < MAX_DEVIATIONS)
    state.deviations.push({
      part: listed.part,
      path: printable(file.path).slice(0, 1024),
      digest: violation ? null : file.digest,
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
