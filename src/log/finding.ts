import { z } from "zod";

/** Why something is not as its image promised, or why it could not be determined. */
export const REASONS = [
  "code-modified",
  "code-outside-segment",
  "unknown-executable",
  "unknown-library",
  "file-modified",
  "deleted-executable",
  "memfd-executable",
  "anonymous-code",
  "writable-code",
  "page-cache-modified",
  "container-config",
  "unknown-script",
  "preload-injection",
  "container-mismatch",
  "unexpected-listener",
  "exec-denied",
  "coverage-incomplete",
  "coverage-stale",
  "quote-invalid",
  "nonce-mismatch",
  "pcr-mismatch",
  "log-broken",
  "log-rollback",
  "tpm-changed",
  "tpm-rolled-back",
  "host-cloned",
  "host-revoked",
  "host-rebooted",
  "agent-modified",
  "runtime-modified",
  "boot-untrusted",
  "no-baseline",
  "baseline-unapproved",
  "baseline-revoked",
  "baseline-altered",
  "ledger-unverified",
] as const;

export const reasonSchema = z.enum(REASONS);
export type Reason = z.infer<typeof reasonSchema>;

const MAX_TEXT = 8192;
export const textSchema = z.string().max(MAX_TEXT);
/** A path or an argument: text, or bytes in hexadecimal where they are not UTF-8. */
export const jsonTextSchema = z.union([
  textSchema,
  z.strictObject({
    hex: z
      .string()
      .max(2 * MAX_TEXT)
      .regex(/^([0-9a-f]{2})*$/),
  }),
]);
/** 64-bit numbers travel as decimal strings. */
export const decimalSchema = z.string().regex(/^(0|[1-9]\d{0,19})$/);
export const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);

/** runc takes ids of up to 1024 characters. */
export const MAX_ID = 1024;
export const MAX_NAME = 256;
export const IDENTITY = /^sha256:[0-9a-f]{64}$/;

export const containerSchema = z.strictObject({
  runtime: z.enum(["docker", "containerd", "podman", "crio", "runc"]),
  id: z.string().min(1).max(MAX_ID),
  name: z.string().max(MAX_NAME),
  /** Identity of the image, null when the runtime does not tell one. */
  image: z.string().regex(IDENTITY).nullable(),
});
export type ContainerName = z.infer<typeof containerSchema>;

export const objectSchema = z.strictObject({
  path: jsonTextSchema,
  dev: z.string().regex(/^\d{1,10}:\d{1,10}$/),
  ino: decimalSchema,
  /** SHA-256 of the file; null for code that no file holds. */
  digest: digestSchema.nullable(),
});

export const pageSchema = z.strictObject({ offset: decimalSchema, expected: digestSchema, actual: digestSchema });

export const processSchema = z.strictObject({
  pid: z.int().min(1),
  startTime: decimalSchema,
  comm: z.string().max(64),
  exe: jsonTextSchema,
});

/** One finding, in the same form in the log, in scans, in verdicts and in the API. */
export const findingSchema = z.strictObject({
  reason: reasonSchema,
  ...processSchema.shape,
  container: containerSchema.nullable(),
  object: objectSchema,
  pages: z.array(pageSchema).max(256),
  /** One sentence for a person. */
  text: textSchema,
});
export type Finding = z.infer<typeof findingSchema>;
