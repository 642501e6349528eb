// What no TPM does: a key of a program that signs whatever it is told to, around a log that is right.
import { type Appraisal, appraise, NOTHING_PROVED } from "../../src/attest/appraise.ts";
import { encodeQuote, PCR } from "../../src/attest/testing.ts";
import { fromHex, toHex } from "../../src/core/bytes.ts";
import { sha256 } from "../../src/core/digest.ts";
import { parseRecord } from "../../src/log/record.ts";
import { replay, ZERO_PCR } from "../../src/log/replay.ts";
import type { HashName } from "../../src/tpm/algorithms.ts";
import { TPM_RH_ENDORSEMENT } from "../../src/tpm/constants.ts";
import {
  type AttestFields,
  forgeAttest,
  type SoftwareKey,
  softwareKey,
  softwareSignature,
} from "../../src/tpm/fixtures.ts";
import { primaryQualifiedName } from "../../src/tpm/name.ts";
import { NONCE, sweepLine } from "./attester.ts";

export interface Forgery {
  /** The key that is enrolled and signs. */
  readonly key?: SoftwareKey;
  readonly fields?: Partial<AttestFields>;
  /** Changes TPMS_ATTEST before it is signed. */
  readonly attest?: (attest: Uint8Array) => Uint8Array;
  readonly hash?: HashName;
  /** Changes TPMT_SIGNATURE after it was made. */
  readonly signature?: (signature: Uint8Array) => Uint8Array;
  readonly nonce?: string;
  /** The register before the log, as it was proved; zero without it. */
  readonly start?: Uint8Array;
}

/** Evidence in which everything is right but what the forgery says, appraised. */
export function forge(forgery: Forgery = {}): Appraisal {
  const { key = softwareKey(), nonce = NONCE, start = ZERO_PCR } = forgery;
  const line = sweepLine(0, { nonce });
  const plain = forgeAttest({
    qualifiedSigner: primaryQualifiedName(key.publicArea, TPM_RH_ENDORSEMENT),
    nonce: fromHex(nonce),
    pcrDigest: sha256(replay([parseRecord(line, 0).digest], start)),
    ...forgery.fields,
  });
  const attest = forgery.attest?.(plain) ?? plain;
  const made = softwareSignature(key, attest, forgery.hash);
  const signature = forgery.signature?.(made) ?? made;
  return appraise(
    { nonce, from: 0, records: [line], ...encodeQuote({ attest, signature }) },
    { akPublic: key.publicArea, nonce, pcr: PCR },
    { ...NOTHING_PROVED, value: toHex(start) },
  );
}
