import { bytesEqual } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { type Attestation, nvCertify } from "./commands/certify.ts";
import { flushContext } from "./commands/context.ts";
import { type NvIndex, nvDefine, nvExtend, nvIncrement, nvRead, nvReadPublic, nvUndefine } from "./commands/nv.ts";
import { policyNv, policyNvWritten, policyOr } from "./commands/policy.ts";
import { TPM_EO, TPMA_NV } from "./constants.ts";
import { beginPolicy, countBytes, counterPublic, extendPublic, goOnPolicy } from "./extend-index.ts";
import type { Handle } from "./handle.ts";
import { type NvPublic, writeNvPublic } from "./nv-public.ts";
import { startPolicySession } from "./policy-session.ts";
import { responseName } from "./response-code.ts";
import { bySession } from "./session.ts";
import type { Tpm } from "./tpm.ts";
import { WireReader } from "./wire.ts";

/** So many counts back an index is looked for that an earlier boot left: each boot takes one. */
const MAX_COUNTS_BACK = 1024n;
const ZERO = new Uint8Array(32);

/**
 * The NV index at `index` as a register, its counter beside it ("extend-index.ts" says why). An index that is of another kind is
 * never touched: PimsError `nv-index-taken`. `nv-no-space` when the TPM has no room, `tpm-owner-auth` when its owner has a
 * password, so that nothing can be defined.
 */
export class NvRegister {
  readonly index: number;
  readonly #tpm: Tpm;
  /** At which it was begun; null where that is not known yet. */
  #count: bigint | null = null;
  /** Index and counter, once the counter is known to be above the count: what they are does not change any more. */
  #open: { readonly index: NvIndex; readonly counter: NvIndex } | null = null;

  constructor(tpm: Tpm, index: number) {
    this.#tpm = tpm;
    this.index = index;
  }

  /** Goes on with the index that begins at this count. Whatever else is in its place counts as one that is gone. */
  goOn(count: bigint): void {
    this.#count = count;
    this.#open = null;
  }

  /**
   * Makes the register ready for its first extend, and gives the count at which it begins. One that an earlier boot left and
   * that holds nothing any more is deleted and defined anew.
   */
  async begin(): Promise<bigint> {
    this.#count = null;
    const there = await this.#find();
    if (there !== undefined && isWritten(there.index)) throw taken(this.index, "already holds something");
    const count = await this.#readCounter();
    if (there?.count !== count) {
      if (there !== undefined) await nvUndefine(this.#tpm, there.index);
      await this.#define(extendPublic(this.index, count));
    }
    this.goOn(count);
    return count;
  }

  /** What it holds: zeros before its first extend, and when it is not the index that was begun. */
  async read(): Promise<Uint8Array> {
    const there = await this.#find();
    return there === undefined || !isWritten(there.index) ? ZERO : nvRead(this.#tpm, there.index);
  }

  async extend(digest: Uint8Array): Promise<void> {
    try {
      if (this.#open === null) await this.#extendFirst(digest);
      else await this.#extend(this.#open.index, this.#open.counter, this.#count!, digest);
    } catch (error) {
      this.#open = null;
      throw error;
    }
  }

  /** TPM2_NV_Certify over all of the index that is there now, be it the one that was begun or not: its Name tells. */
  async certify(signer: Handle, nonce: Uint8Array): Promise<Attestation> {
    const index = await nvReadPublic(this.#tpm, this.index);
    if (index === undefined) throw gone(this.index);
    return nvCertify(this.#tpm, { index, signer, nonce });
  }

  /** The first extend, or the first after a start: looks at what is there, and leaves the counter above the count. */
  async #extendFirst(digest: Uint8Array): Promise<void> {
    const there = await this.#find();
    if (there === undefined) throw gone(this.index);
    const { count } = there;
    const counter = await this.#counter();
    if (isWritten(there.index)) {
      await this.#raise(counter, count);
      await this.#extend(there.index, counter, count, digest);
      this.#open = { index: there.index, counter };
    } else {
      await this.#extend(there.index, counter, count, digest);
      // From here on nobody can begin this index again.
      await this.#raise(counter, count);
    }
    this.#count = count;
  }

  async #extend(index: NvIndex, counter: NvIndex, count: bigint, digest: Uint8Array): Promise<void> {
    const session = await startPolicySession(this.#tpm);
    try {
      const written = isWritten(index);
      const operation = written ? TPM_EO.UNSIGNED_GT : TPM_EO.EQ;
      await policyNvWritten(this.#tpm, session, written);
      await policyNv(this.#tpm, session, counter, { operand: countBytes(count), operation });
      await policyOr(this.#tpm, session, [beginPolicy(this.index, count), goOnPolicy(this.index, count)]);
      await nvExtend(this.#tpm, index, digest, { authorization: bySession(session, { ends: true }) });
    } catch (error) {
      // Gone already when it was only the answer that failed.
      await flushContext(this.#tpm, session.handle).catch(() => {});
      throw error;
    }
  }

  async #raise(counter: NvIndex, count: bigint): Promise<void> {
    if ((await this.#readCounter()) <= count) await nvIncrement(this.#tpm, counter);
  }

  /** The index that was begun or, where that is not known, one of ours and at which count it begins. Undefined for none. */
  async #find(): Promise<{ index: NvIndex; count: bigint } | undefined> {
    const index = await nvReadPublic(this.#tpm, this.index);
    if (index === undefined) return undefined;
    const known = this.#count;
    if (known !== null) return isPublic(index, extendPublic(this.index, known)) ? { index, count: known } : undefined;
    const latest = await this.#peekCounter();
    if (latest === undefined) throw taken(this.index, "is of another kind, or its counter was deleted,");
    for (let count = latest; count >= 0n && count > latest - MAX_COUNTS_BACK; count--)
      if (isPublic(index, extendPublic(this.index, count))) return { index, count };
    throw taken(this.index, "is of another kind");
  }

  async #counter(): Promise<NvIndex> {
    const wanted = counterPublic(this.index);
    let counter = await nvReadPublic(this.#tpm, wanted.index);
    if (counter === undefined) {
      await this.#define(wanted);
      counter = (await nvReadPublic(this.#tpm, wanted.index))!;
    }
    if (!isPublic(counter, wanted)) throw taken(wanted.index, "is of another kind");
    if (isWritten(counter)) return counter;
    await nvIncrement(this.#tpm, counter);
    return (await nvReadPublic(this.#tpm, wanted.index))!;
  }

  /** Undefined where there is none of ours. */
  async #peekCounter(): Promise<bigint | undefined> {
    const wanted = counterPublic(this.index);
    const counter = await nvReadPublic(this.#tpm, wanted.index);
    return counter !== undefined && isPublic(counter, wanted) && isWritten(counter) ? this.#readCounter() : undefined;
  }

  /** Made where there is none. */
  async #readCounter(): Promise<bigint> {
    return new WireReader(await nvRead(this.#tpm, await this.#counter()), "counter").u64();
  }

  async #define(nvPublic: NvPublic): Promise<void> {
    try {
      await nvDefine(this.#tpm, nvPublic);
    } catch (cause) {
      const name = responseName(cause);
      if (name === "TPM_RC_NV_SPACE")
        throw new PimsError("nv-no-space", `the TPM has no room for the NV index ${hex(nvPublic.index)}`, {
          hint: "'tpm2_getcap handles-nv-index' lists what is there; the owner can delete what nobody needs",
          cause,
        });
      if (name === "TPM_RC_AUTH_FAIL" || name === "TPM_RC_BAD_AUTH")
        throw new PimsError(
          "tpm-owner-auth",
          `the TPM's owner has a password, so the NV index ${hex(nvPublic.index)} cannot be defined`,
          {
            hint: "use a PCR, or take the owner's password away",
            cause,
          },
        );
      throw cause;
    }
  }
}

function isWritten({ nvPublic }: NvIndex): boolean {
  return (nvPublic.attributes & TPMA_NV.written) !== 0;
}

/** The same but for having been written to. */
function isPublic({ nvPublic }: NvIndex, wanted: NvPublic): boolean {
  const attributes = nvPublic.attributes & ~TPMA_NV.written;
  return bytesEqual(writeNvPublic({ ...nvPublic, attributes }), writeNvPublic(wanted));
}

function gone(index: number): PimsError {
  return new PimsError("pcr-mismatch", `the NV index ${hex(index)} was deleted, or defined anew, by another program`);
}

function taken(index: number, what: string): PimsError {
  return new PimsError("nv-index-taken", `the NV index ${hex(index)} of the TPM ${what} and is left as it is`, {
    hint: "choose another one, or let the TPM's owner delete it with tpm2_nvundefine",
  });
}

function hex(index: number): string {
  return `0x${index.toString(16).padStart(8, "0")}`;
}
