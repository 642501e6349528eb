// For tests: a software TPM of their own, keys and quotes that no TPM made, and damage to bytes.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomInt, sign } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { sha256 } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { type HashName, hashByName, TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { TPM_GENERATED_VALUE, TPM_ST, TPMA_OBJECT } from "./constants.ts";
import { writePcrSelection } from "./pcr-selection.ts";
import { startSwtpm } from "./swtpm.ts";
import { setUpSwtpm } from "./swtpm-setup.ts";
import { openTpm, type Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

/** A folder that is gone at the end of the test. */
export async function testFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-tpm-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A swtpm, open, that ends with the test. With `setup` swtpm_setup makes it, with these options and this maker. */
export async function testTpm(t: TestContext, setup?: readonly string[], caFolder?: string): Promise<Tpm> {
  const folder = await mkdtemp(join(tmpdir(), "pims-tpm-"));
  if (setup !== undefined) await setUpSwtpm(folder, setup, caFolder);
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
  qualifiedSigner: Uint8Array;
  nonce: Uint8Array;
  /** TPMI_YES_NO. */
  safe: number;
  selections: Uint8Array;
  pcrDigest: Uint8Array;
}

/** A TPMS_ATTEST that no TPM made. */
export function forgeAttest(fields: Partial<AttestFields> = {}): Uint8Array {
  return new WireWriter()
    .u32(fields.magic ?? TPM_GENERATED_VALUE)
    .u16(fields.type ?? TPM_ST.ATTEST_QUOTE)
    .sized(fields.qualifiedSigner ?? new Uint8Array(34))
    .sized(fields.nonce ?? new Uint8Array(32).fill(7))
    .u64(0xffff_ffff_ffff_fff0n)
    .u32(3)
    .u32(4)
    .u8(fields.safe ?? 1)
    .u64(0x0123_4567_89ab_cdefn)
    .bytes(fields.selections ?? writePcrSelection("sha256", [13]))
    .sized(fields.pcrDigest ?? new Uint8Array(32).fill(9))
    .done();
}

/** A TPMT_SIGNATURE, ECDSA with SHA-256 or another hash. */
export function softwareSignature(key: SoftwareKey, message: Uint8Array, hash: HashName = "sha256"): Uint8Array {
  const raw = sign(hash, message, { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  const half = raw.length / 2;
  return new WireWriter()
    .u16(TPM_ALG.ECDSA)
    .u16(hashByName(hash).id)
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

/** How many alterations a parser is tried with, unless the test says otherwise. */
const MUTATIONS = 100_000;

/** Whatever bytes are changed, and for bytes at random, the parser gives a value or `tpm-malformed`, never another error. */
export function survivesMutation(
  whole: Uint8Array,
  parse: (bytes: Uint8Array) => unknown,
  mutations = MUTATIONS,
): void {
  const seed = randomInt(2 ** 32);
  const random = randomFrom(seed);
  const { stackTraceLimit } = Error;
  // Most of the time would go into stack traces that nobody reads.
  Error.stackTraceLimit = 0;
  try {
    for (let round = 0; round < mutations; round++) {
      const bytes = round % 8 === 7 ? randomBytesFrom(random, 300) : altered(whole, random);
      try {
        parse(bytes);
      } catch (error) {
        if (errorCode(error) !== "tpm-malformed")
          throw new Error(`round ${round} of seed ${seed}: ${Buffer.from(bytes).toString("hex")}`, { cause: error });
      }
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Numbers from 0 to below a bound, the same ones for the same seed (xorshift32). */
function randomFrom(seed: number): (bound: number) => number {
  let state = seed | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

function randomBytesFrom(random: (bound: number) => number, maxLength: number): Uint8Array {
  return Uint8Array.from({ length: random(maxLength + 1) }, () => random(256));
}

const TELLING = [0x00, 0x01, 0x7f, 0x80, 0xff] as const;

function altered(whole: Uint8Array, random: (bound: number) => number): Uint8Array {
  const bytes = whole.slice();
  for (let changes = 1 + random(6); changes > 0 && bytes.length > 0; changes--)
    bytes[random(bytes.length)] = random(2) === 0 ? TELLING[random(TELLING.length)]! : random(256);
  // Cut or grown now and then.
  if (random(16) === 0) return bytes.slice(0, random(bytes.length + 1));
  return random(16) === 0 ? new Uint8Array([...bytes, ...randomBytesFrom(random, 8)]) : bytes;
}
