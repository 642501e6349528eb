import { z } from "zod";
import { MAX_ENTRIES } from "../baseline/format.ts";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { digestSchema } from "../log/finding.ts";
import { isNvIndex, pcrIndexSchema } from "../log/pcr.ts";
import { MAX_LINE_BYTES } from "../log/record.ts";
import { describeIssue } from "./api.ts";
import { bundledCheckpointSchema, bundledLedgerSchema, bundledRegistrySchema } from "./bundle-ledger.ts";
import { jwkSchema } from "./jwt.ts";
import { MAX_FIRMWARE_LOG_BYTES } from "./platform-evidence.ts";

/** Bytes of a bundle. Readers hold it in memory. */
export const MAX_BUNDLE_BYTES = 256 * 1024 * 1024;
/** Of these outside of strings: each small thing in JSON takes many times its bytes in memory. */
const MAX_STRUCTURE_BYTES = 8 * 1024 * 1024;
const MAX_RECORDS = 1_000_000;
const MAX_BASELINES = 1024;
const MAX_CERTIFICATES = 8;
/** Of the IMA list since the machine was started. */
const MAX_BUNDLED_IMA_BYTES = 32 * 1024 * 1024;
const MAX_EAR_CHARACTERS = 16 * 1024 * 1024;
const MAX_POLICY_CHARACTERS = 32 * 1024 * 1024;

const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4);
/** Half of a surrogate pair is no character: readers would differ on its bytes. */
const text = (characters: number) =>
  z
    .string()
    .max(characters)
    .refine((value) => value.isWellFormed(), "not Unicode text");
const certificate = base64(16 * 1024);

const endorsementSchema = z.strictObject({
  /** TPMT_PUBLIC of the endorsement key. */
  publicArea: base64(1536),
  /** DER, that of the key first, towards a maker's root. Empty for a TPM without one. */
  certificates: z.array(certificate).max(MAX_CERTIFICATES),
});

const evidenceSchema = z.strictObject({
  /** Handle of the register that the log is extended into: a PCR, or an NV index. */
  pcr: z.union([pcrIndexSchema, z.int().refine(isNvIndex)]),
  nonce: z.string().regex(/^([0-9a-f]{2}){8,64}$/),
  /** TPMS_ATTEST and TPMT_SIGNATURE. */
  attest: base64(4096),
  signature: base64(1024),
  /** By the verifier's clock. */
  acceptedAt: z.iso.datetime(),
  /** Number of the first record that came with this evidence. */
  from: z.int().min(0),
  /** What leads to the registers below the agent's, where the quote covers them. */
  platform: z
    .strictObject({
      pcrs: z.array(digestSchema).length(10),
      own: digestSchema,
      /** Null where the host has none. */
      firmwareLog: base64(MAX_FIRMWARE_LOG_BYTES).nullable(),
      /** Null where the kernel measures no files; else the list from its first entry to the quoted one. */
      ima: base64(MAX_BUNDLED_IMA_BYTES).nullable(),
    })
    .nullable(),
});

const baselineSchema = z.strictObject({
  identity: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  root: digestSchema,
  lines: z
    .array(text(MAX_LINE_BYTES))
    .min(1)
    .max(MAX_ENTRIES + 1),
  /** Null where it is not shown who approved it. */
  registry: bundledRegistrySchema.nullable(),
});
export type BundledBaseline = z.infer<typeof baselineSchema>;

/** Everything that a third party needs to check one attestation of a host (docs/bundle.md). Untrusted, whoever gave it. */
const bundleSchema = z.strictObject({
  format: z.literal("pims.bundle/v1"),
  host: z.string().min(1).max(63),
  exportedAt: z.iso.datetime(),
  /** TPMT_PUBLIC of the attestation key. */
  attestationKey: base64(1536),
  /** Null for a host whose key was taken on trust. */
  endorsement: endorsementSchema.nullable(),
  evidence: evidenceSchema,
  log: z.strictObject({
    /** Kept for logs that begin with a checkpoint. Null: the records begin with number 0. */
    start: z.null(),
    records: z.array(text(MAX_LINE_BYTES)).min(1).max(MAX_RECORDS),
  }),
  baselines: z.array(baselineSchema).max(MAX_BASELINES),
  /** Null where the verifier has put none on a ledger that holds this host. */
  checkpoint: bundledCheckpointSchema.nullable(),
  ledger: bundledLedgerSchema,
  /** The policy that was judged by, as JSON text: its digest is over these bytes. */
  policy: text(MAX_POLICY_CHARACTERS),
  /** The verifier's verdicts when the bundle was made, as EAR (`ear.ts`), and the key that has signed them. */
  results: z.strictObject({ key: jwkSchema, ear: z.string().max(MAX_EAR_CHARACTERS) }),
});
export type Bundle = z.infer<typeof bundleSchema>;

/** What the verifier's results name a bundle by: SHA-256 over its bytes as they would be without the results. */
export function bundleDigest(bundle: Omit<Bundle, "results">): string {
  return sha256Hex(JSON.stringify({ ...bundle, results: undefined }));
}

/** The bytes of a bundle. Throws `bundle-too-large`. */
export function formatBundle(bundle: Bundle): string {
  const tooLarge = (why: string) =>
    new PimsError("bundle-too-large", `what is known of ${bundle.host} is too much for one file (${why})`);
  const checked = bundleSchema.safeParse(bundle);
  if (!checked.success) throw tooLarge(describeIssue(checked.error));
  const formatted = JSON.stringify(checked.data);
  if (Buffer.byteLength(formatted) <= MAX_BUNDLE_BYTES) return formatted;
  throw tooLarge(`more than ${MAX_BUNDLE_BYTES} bytes`);
}

/**
 * Reads a bundle. Throws `bundle-malformed` for other bytes than a writer of this format makes, so that no two readers
 * understand it differently.
 */
export function parseBundle(bytes: Uint8Array): Bundle {
  const malformed = (why: string) => new PimsError("bundle-malformed", `this is no bundle of evidence: ${why}`);
  if (bytes.length > MAX_BUNDLE_BYTES) throw malformed(`it is larger than ${MAX_BUNDLE_BYTES} bytes`);
  if (structureBytes(bytes) > MAX_STRUCTURE_BYTES) throw malformed("it has more parts than a bundle can have");
  let parsed: unknown;
  let json: string;
  try {
    json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    parsed = JSON.parse(json);
  } catch {
    throw malformed("it is not JSON in UTF-8");
  }
  // The shape first: comparing would follow any depth of nesting.
  const checked = bundleSchema.safeParse(parsed);
  if (!checked.success) throw malformed(describeIssue(checked.error));
  // Also the order of members: the schema's.
  if (JSON.stringify(checked.data) !== json) throw malformed("it is not in the form that bundles are written in");
  return checked.data;
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** How many bytes of JSON are outside of its strings. */
function structureBytes(json: Uint8Array): number {
  let count = 0;
  let inside = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) inside = !inside;
    else if (!inside) count++;
    else if (byte === BACKSLASH) at++;
  }
  return count;
}
