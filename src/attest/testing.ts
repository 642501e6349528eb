// What the tests of this room and the verifier's share: a host with a real swtpm and a log.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromHex, toHex } from "../core/bytes.ts";
import { earlierLogs } from "../log/earlier-logs.ts";
import type { BootEvent, LogEvent } from "../log/event.ts";
import { MeasurementLog } from "../log/measurement-log.ts";
import { isNvIndex } from "../log/pcr.ts";
import type { Register } from "../log/register.ts";
import { createAk } from "../tpm/attestation-key.ts";
import type { Attestation } from "../tpm/commands/certify.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { quote } from "../tpm/commands/quote.ts";
import type { CredentialBlob } from "../tpm/credential.ts";
import { findEndorsementKey, openCredential, withEk } from "../tpm/endorsement-key.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { type Swtpm, startSwtpm } from "../tpm/swtpm.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
import { WireWriter } from "../tpm/wire.ts";
import type { NonceAnswer } from "./api.ts";
import type { Appraisal } from "./appraise.ts";
import { collectEvidence, type Quoter } from "./collect.ts";
import type { Evidence } from "./evidence.ts";
import { sweepEvent, TIME } from "./sample-events.ts";

/** What has to happen at the end: a test's context, or `after` of a file. */
export interface Ending {
  after(undo: () => Promise<void>): void;
}

export const PCR = 13;

/** A host's boots, counted from 0. */
export function bootIdOf(boot: number): string {
  return `00000000-0000-4000-8000-${String(boot + 1).padStart(12, "0")}`;
}

export async function temporaryFolder(t: Ending): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-attest-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The attester's side without an agent: a TPM, its attestation key, and a log that is extended into it. */
export class TestHost {
  readonly folder: string;
  akPublic: Uint8Array = new Uint8Array();
  #swtpm: Swtpm | undefined;
  #tpm: Tpm | undefined;
  #log: MeasurementLog | undefined;
  #ak = 0;
  #boot = 0;
  #began: BootEvent | undefined;
  readonly #pcr: number;
  #nv: NvRegister | undefined;

  constructor(folder: string, pcr = PCR) {
    this.folder = folder;
    this.#pcr = pcr;
  }

  /** Ends with the test. Its log holds a `boot` record. `maker` prepares the folder of its TPM, `pcr` is its register. */
  static async start(t: Ending, maker?: (folder: string) => Promise<void>, pcr = PCR): Promise<TestHost> {
    const folder = await mkdtemp(join(tmpdir(), "pims-attest-"));
    await maker?.(join(folder, "tpm"));
    const host = new TestHost(folder, pcr);
    t.after(async () => {
      await host.powerOff();
      await rm(folder, { recursive: true, force: true });
    });
    await host.powerOn();
    return host;
  }

  get tpm(): Tpm {
    return this.#tpm!;
  }

  get log(): MeasurementLog {
    return this.#log!;
  }

  get bootId(): string {
    return bootIdOf(this.#boot);
  }

  get logFolder(): string {
    return join(this.folder, "log");
  }

  get tpmState(): string {
    return join(this.folder, "tpm", "state");
  }

  /** Without a `log` the TPM runs alone. */
  async powerOn(options: { log?: boolean; startup?: "clear" | "state" } = {}): Promise<void> {
    const { log = true, startup = "clear" } = options;
    this.#swtpm = await startSwtpm({ folder: join(this.folder, "tpm"), startup });
    const tpm = await openTpm(this.#swtpm.address);
    this.#tpm = tpm;
    const { handle, publicArea } = await createAk(tpm);
    this.#ak = handle;
    this.akPublic = publicArea;
    if (log) await this.#openLog();
  }

  async #openLog(): Promise<void> {
    const { tpm } = this;
    this.#nv = isNvIndex(this.#pcr) ? new NvRegister(tpm, this.#pcr) : undefined;
    const register = this.#nv === undefined ? this.#pcrRegister(tpm) : nvRegister(this.#nv);
    const opened = await MeasurementLog.open(this.logFolder, register, this.bootId, { time: TIME });
    this.#log = opened.log;
    this.#began = opened.log.boot;
  }

  #pcrRegister(tpm: Tpm): Register {
    return {
      pcr: PCR,
      read: async () => (await pcrRead(tpm, "sha256", [PCR])).get(PCR)!,
      extend: (digest) => this.extend(digest),
    };
  }

  /** Power is lost, or taken away after TPM2_Shutdown (TPM 2.0 Library, part 3) as an operating system sends it. */
  async powerOff(shutdown: "none" | "clear" | "state" = "none"): Promise<void> {
    await this.#log?.close();
    if (shutdown !== "none") {
      const type = shutdown === "state" ? 1 : 0;
      const answer = await this.tpm.send(new WireWriter().u16(0x8001).u32(12).u32(0x145).u16(type).done());
      assert.equal(toHex(answer), "80010000000a00000000");
    }
    await this.#tpm?.close();
    await this.#swtpm?.stop();
    this.#log = this.#tpm = this.#swtpm = undefined;
  }

  /** A power cycle of the machine, as the agent lives through it: the log begins anew, and names the end of the last. */
  async reboot(shutdown: "none" | "clear" | "state" = "none", boot = this.#boot + 1): Promise<void> {
    await this.powerOff(shutdown);
    this.#boot = boot;
    await this.powerOn();
  }

  /** The log begins anew as after a reboot, and the TPM goes on. */
  async nextBoot(): Promise<void> {
    await this.#log?.close();
    this.#boot++;
    await this.#openLog();
  }

  async append(...events: LogEvent[]): Promise<void> {
    await this.log.append(events);
  }

  extend(digest: string): Promise<void> {
    return pcrExtend(this.tpm, "sha256", PCR, fromHex(digest));
  }

  readonly quote = (nonce: Uint8Array): Promise<Attestation> =>
    this.#nv === undefined
      ? quote(this.tpm, { keyHandle: this.#ak, nonce, pcrs: [PCR] })
      : this.#nv.certify(this.#ak, nonce);

  async showEk(): Promise<{ publicArea: Uint8Array; certificate: Uint8Array | null }> {
    const { kind, certificate } = await findEndorsementKey(this.tpm);
    return { certificate, publicArea: await withEk(this.tpm, kind, async (ek) => ek.publicArea) };
  }

  async openCredential(blob: CredentialBlob): Promise<Uint8Array> {
    const { kind } = await findEndorsementKey(this.tpm);
    return openCredential(this.tpm, kind, await createAk(this.tpm), blob);
  }

  /** For a verifier that has proved so much of a boot; of this one without an id. */
  async collect(
    nonce: string,
    from: number,
    bootId: string | null = null,
    quote: Quoter = this.quote,
  ): Promise<Evidence> {
    const anew = bootId !== null && bootId !== this.bootId;
    const logs = anew ? await earlierLogs(this.logFolder, this.#began!) : [];
    const index = logs.findIndex((log) => log.bootId === bootId);
    const earlier = anew ? logs.slice(index < 0 ? logs.length : index).map(({ segments }) => segments) : undefined;
    return collectEvidence({ segments: this.log.segmentsFrom(0), from, earlier, nonce: fromHex(nonce), quote });
  }

  /** Events as one record, if there are any, a sweep that answers the nonce, and the evidence of it. */
  answer(nonce: string, from: number, ...events: LogEvent[]): Promise<Evidence> {
    return this.answerTo({ nonce, from, boot: null }, ...events);
  }

  /** The same for a verifier that may know another boot's log. */
  async answerTo(asked: Pick<NonceAnswer, "nonce" | "from" | "boot">, ...events: LogEvent[]): Promise<Evidence> {
    if (events.length > 0) await this.append(...events);
    await this.append(sweepEvent({ nonce: asked.nonce }));
    return this.collect(asked.nonce, asked.from, asked.boot);
  }
}

/** An NV index as the register of a log. */
export function nvRegister(nv: NvRegister): Register {
  return {
    pcr: nv.index,
    read: () => nv.read(),
    extend: (digest) => nv.extend(fromHex(digest)),
    begin: async () => ({ count: String(await nv.begin()) }),
    goOn: ({ count }) => nv.goOn(BigInt(count)),
  };
}

/** A quote as evidence carries it. */
export function encodeQuote({ attest, signature }: Attestation): Pick<Evidence, "attest" | "signature"> {
  return { attest: Buffer.from(attest).toString("base64"), signature: Buffer.from(signature).toString("base64") };
}

/** The appraisal must refuse, for this reason, with one sentence. */
export function assertRefused(appraisal: Appraisal, reason: string, text = /./): void {
  if (appraisal.accepted) assert.fail(`the evidence was accepted instead of refused for ${reason}`);
  assert.equal(appraisal.reason, reason);
  assert.match(appraisal.text, text);
  assert.ok(!appraisal.text.includes("\n"));
}

export function assertAccepted(appraisal: Appraisal): Extract<Appraisal, { accepted: true }> {
  if (appraisal.accepted) return appraisal;
  return assert.fail(`the evidence was refused (${appraisal.reason}): ${appraisal.text}`);
}
