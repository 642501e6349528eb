// Root on a host with a real TPM: extends what it likes, quotes it, and hands over what it likes.
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "../../src/attest/appraise.ts";
import type { Evidence } from "../../src/attest/evidence.ts";
import { sweepEvent } from "../../src/attest/sample-events.ts";
import { assertAccepted, type Ending, encodeQuote, PCR, TestHost } from "../../src/attest/testing.ts";
import { fromHex, toHex } from "../../src/core/bytes.ts";
import { sha256Hex } from "../../src/core/digest.ts";
import type { SweepEvent } from "../../src/log/event.ts";
import type { Attestation } from "../../src/tpm/commands/certify.ts";
import { pcrRead } from "../../src/tpm/commands/pcr-read.ts";

export const NONCE = "5a".repeat(32);
/** So many records are proved already whenever something is tried. */
export const PROVED = 5;

export const contentOf = (...events: readonly object[]): string => JSON.stringify({ events });

/** A record's line with any content, and the digest that fits it unless another is given. */
export function lineOf(recnum: number, content: string, options: { pcr?: number; digest?: string } = {}): string {
  const { pcr = PCR, digest = sha256Hex(content) } = options;
  return `{"recnum":${recnum},"pcr":${pcr},"digests":[{"hashAlg":"sha256","digest":"${digest}"}],"content_type":"pims","content":${content}}`;
}

export const sweepLine = (recnum: number, fields: Partial<SweepEvent> = {}): string =>
  lineOf(recnum, contentOf(sweepEvent({ nonce: NONCE, ...fields })));

/** The digest that a line says its record has. */
const saidDigest = (line: string): string => /"digest":"([0-9a-f]{64})"/.exec(line)![1]!;

export interface Attempt {
  /** The records from `PROVED` on; without them only a sweep that answers the nonce. */
  readonly lines?: readonly string[];
  /** What is extended, where that is something else than what the lines say. */
  readonly digests?: readonly string[];
  readonly quote?: (nonce: Uint8Array) => Promise<Attestation>;
  readonly akPublic?: Uint8Array;
  readonly nonce?: string;
  readonly proved?: (proved: Proved) => Proved;
  readonly sent?: (evidence: Evidence) => Evidence;
}

export class Attester {
  readonly host: TestHost;
  #tpm: Proved["tpm"] = null;

  private constructor(host: TestHost) {
    this.host = host;
  }

  static async start(t: Ending): Promise<Attester> {
    const attester = new Attester(await TestHost.start(t));
    assertAccepted(await attester.attest());
    return attester;
  }

  /** Evidence in which everything is right but what the attempt says, appraised. */
  async attest(attempt: Attempt = {}): Promise<Appraisal> {
    const { host } = this;
    const value = toHex((await pcrRead(host.tpm, "sha256", [PCR])).get(PCR)!);
    const proved: Proved = { ...NOTHING_PROVED, length: PROVED, value, tpm: this.#tpm };
    const records = [...(attempt.lines ?? [sweepLine(PROVED)])];
    for (const digest of attempt.digests ?? records.map(saidDigest)) await host.extend(digest);
    const nonce = attempt.nonce ?? NONCE;
    const evidence = { nonce, from: PROVED, records, ...encodeQuote(await this.#quote(attempt, fromHex(nonce))) };
    const appraisal = appraise(
      attempt.sent?.(evidence) ?? evidence,
      { akPublic: attempt.akPublic ?? host.akPublic, nonce, pcr: PCR },
      attempt.proved?.(proved) ?? proved,
    );
    if (appraisal.accepted && attempt.akPublic === undefined) this.#tpm = appraisal.proved.tpm;
    return appraisal;
  }

  #quote(attempt: Attempt, nonce: Uint8Array): Promise<Attestation> {
    return (attempt.quote ?? this.host.quote)(nonce);
  }
}
