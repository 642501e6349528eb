// For tests: a software TPM of their own, keys and quotes that no TPM made, and damage to bytes.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import fc from "fast-check";
import { sha256 } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { TPM_GENERATED_VALUE, TPM_ST, TPMA_OBJECT } from "./constants.ts";
import { writePcrSelection } from "./pcr-selection.ts";
import { startSwtpm } from "./swtpm.ts";
import { openTpm, type Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

/** A folder that is gone at the end of the test. */
export async function testFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-tpm-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A swtpm, open, that ends with the test. */
export async function testTpm(t: TestContext): Promise<Tpm> {
  const folder = await mkdtemp(join(tmpdir(), "pims-tpm-"));
  const swtpm = await startSwtpm({ folder });
  t.after(async () => {
    await swtpm.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const tpm = await openTpm(swtpm.address);
  t.after(() => tpm.close());
  return tpm;
}

/** Value of a sha256 PCR after these digests. */
export function extendAll(digests: readonly Uint8Array[], start: Uint8Array = new Uint8Array(32)): Uint8Array {
  return digests.reduce<Uint8Array>((value, digest) => sha256(value, digest), start);
}

/** Attributes of an attestation key. */
export const AK_ATTRIBUTES =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.userWithAuth |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.sign;

export interface SoftwareKey {
  readonly publicArea: Uint8Array;
  readonly privateKey: KeyObject;
}

/** A P-256 key outside of any TPM, with a public area of one's choice around it. */
export function softwareKey(options: { attributes?: number; scheme?: number; symmetric?: number } = {}): SoftwareKey {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = publicKey.export({ format: "jwk" });
  const publicArea = new WireWriter()
    .u16(TPM_ALG.ECC)
    .u16(TPM_ALG.SHA256)
    .u32(options.attributes ?? AK_ATTRIBUTES)
    .u16(0)
    .u16(options.symmetric ?? TPM_ALG.NULL);
  if (options.symmetric !== undefined) publicArea.u16(128).u16(0x43);
  publicArea.u16(options.scheme ?? TPM_ALG.ECDSA);
  if (options.scheme !== TPM_ALG.NULL) publicArea.u16(TPM_ALG.SHA256);
  publicArea.u16(TPM_ECC.P256).u16(TPM_ALG.NULL);
  for (const coordinate of [x!, y!]) publicArea.sized(Buffer.from(coordinate, "base64url"));
  return { publicArea: publicArea.done(), privateKey };
}

export interface AttestFields {
  magic: number;
  type: number;
  nonce: Uint8Array;
  selections: Uint8Array;
  pcrDigest: Uint8Array;
}

/** A TPMS_ATTEST that no TPM made. */
export function forgeAttest(fields: Partial<AttestFields> = {}): Uint8Array {
  return new WireWriter()
    .u32(fields.magic ?? TPM_GENERATED_VALUE)
    .u16(fields.type ?? TPM_ST.ATTEST_QUOTE)
    .sized(new Uint8Array(34))
    .sized(fields.nonce ?? new Uint8Array(32).fill(7))
    .u64(0xffff_ffff_ffff_fff0n)
    .u32(3)
    .u32(4)
    .u8(1)
    .u64(0x0123_4567_89ab_cdefn)
    .bytes(fields.selections ?? writePcrSelection("sha256", [13]))
    .sized(fields.pcrDigest ?? new Uint8Array(32).fill(9))
    .done();
}

/** A TPMT_SIGNATURE, ECDSA with SHA-256. */
export function softwareSignature(key: SoftwareKey, message: Uint8Array): Uint8Array {
  const raw = sign("sha256", message, { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  const half = raw.length / 2;
  return new WireWriter()
    .u16(TPM_ALG.ECDSA)
    .u16(TPM_ALG.SHA256)
    .sized(raw.subarray(0, half))
    .sized(raw.subarray(half))
    .done();
}

/** The parser refuses every beginning of `whole`, and anything behind it, as malformed. */
export function refusesTruncation(whole: Uint8Array, parse: (bytes: Uint8Array) => unknown): void {
  parse(whole);
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => parse(whole.subarray(0, length)), { code: "tpm-malformed" }, `cut to ${length} bytes`);
  assert.throws(() => parse(new Uint8Array([...whole, 0])), { code: "tpm-malformed" }, "one byte too many");
}

/** Whatever bytes are changed, and for bytes at random, the parser gives a value or `tpm-malformed`, never another error. */
export function survivesMutation(whole: Uint8Array, parse: (bytes: Uint8Array) => unknown): void {
  const attempt = (bytes: Uint8Array): void => {
    try {
      parse(bytes);
    } catch (error) {
      if (errorCode(error) !== "tpm-malformed") throw error;
    }
  };
  const change = fc.tuple(fc.nat(Math.max(0, whole.length - 1)), fc.constantFrom(0x00, 0x01, 0x7f, 0x80, 0xff));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = whole.slice();
      for (const [offset, value] of changes) bytes[offset] = value;
      attempt(bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), { numRuns: 500 });
}
