import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { MAX_LINE_BYTES } from "../log/record.ts";
import { registerFaultSchema } from "../log/register-fault.ts";
import { describeIssue } from "./api.ts";
import { platformEvidenceSchema } from "./platform-evidence.ts";

/** Records in one message; a verifier that lacks more gets the first ones ahead of the evidence. */
export const MAX_RECORDS = 4096;
/** Bytes of records in one message, with room for the rest of it. */
const MAX_RECORD_BYTES = 8 * 1024 * 1024;
/** Bytes of one message on the wire. */
export const MAX_EVIDENCE_BYTES = 40 * 1024 * 1024;

const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4);

/**
 * What an agent sends (RATS: evidence). Everything in it is the host's word until appraised. `attest` and `signature`
 * are TPMS_ATTEST and TPMT_SIGNATURE as the TPM gave them.
 */
export const evidenceSchema = z.strictObject({
  nonce: z
    .string()
    .max(128)
    .regex(/^([0-9a-f]{2})*$/),
  /** Number of the first record in `records`. */
  from: z.int().min(0),
  records: z.array(z.string().max(MAX_LINE_BYTES)).max(MAX_RECORDS),
  attest: base64(4096),
  signature: base64(1024),
  /** What leads to the registers below the agent's, where the verifier asks for them. */
  platform: platformEvidenceSchema.optional(),
  /** What the agent found wrong with its register. It makes nothing good: it goes into the sentence of the refusal. */
  fault: registerFaultSchema.optional(),
});
export type Evidence = z.infer<typeof evidenceSchema>;

/** Throws PimsError `evidence-malformed`. */
export function parseEvidence(body: unknown): Evidence {
  const parsed = evidenceSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new PimsError("evidence-malformed", `the evidence is malformed (${describeIssue(parsed.error)})`);
}

const recordsAheadSchema = evidenceSchema.pick({ from: true, records: true });
/** Records that a verifier is sent ahead of the evidence that proves them. */
export type RecordsMessage = z.infer<typeof recordsAheadSchema>;

/** Throws PimsError `evidence-malformed`. */
export function parseRecordsAhead(body: unknown): RecordsMessage {
  const parsed = recordsAheadSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new PimsError("evidence-malformed", `the records are malformed (${describeIssue(parsed.error)})`);
}

/** Cuts evidence with any number of records into messages: those that go ahead, and the evidence with the rest. */
export function splitEvidence(evidence: Evidence): { ahead: RecordsMessage[]; last: Evidence } {
  const messages: RecordsMessage[] = [{ from: evidence.from, records: [] }];
  let bytes = 0;
  for (const [index, line] of evidence.records.entries()) {
    const current = messages.at(-1)!.records;
    const size = Buffer.byteLength(JSON.stringify(line));
    if (current.length === MAX_RECORDS || (current.length > 0 && bytes + size > MAX_RECORD_BYTES)) {
      messages.push({ from: evidence.from + index, records: [] });
      bytes = 0;
    }
    messages.at(-1)!.records.push(line);
    bytes += size;
  }
  return { ahead: messages.slice(0, -1), last: { ...evidence, ...messages.at(-1)! } };
}
