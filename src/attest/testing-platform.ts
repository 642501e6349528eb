// What tests of this room and the verifier's share: a host whose boot and files were measured into a real swtpm.
import { hash } from "node:crypto";
import { concatBytes, toHex } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import { createAk } from "../tpm/attestation-key.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { quote } from "../tpm/commands/quote.ts";
import { BOOT_EVENT_TYPE } from "../tpm/event-log/boot-event-types.ts";
import { imaExtension, parseImaList } from "../tpm/event-log/ima.ts";
import { secureBootVariable, sha256Event, sha256LogHeader } from "../tpm/event-log/sample-boot-log.ts";
import { imaNg } from "../tpm/event-log/sample-ima.ts";
import type { Evidence } from "./evidence.ts";
import { BOOT_PCRS, type PlatformEvidence, type PlatformWanted, platformPcrs } from "./platform-evidence.ts";
import { type ReleaseManifest, Releases } from "./release-manifest.ts";
import { sweepEvent } from "./sample-events.ts";
import { PCR, type TestHost } from "./testing.ts";

export const digestOf = (text: string): string => sha256Hex(`file ${text}`);

export const MANIFEST: ReleaseManifest = {
  schema: "pims.release/v1",
  version: "1",
  agent: { folders: ["/opt/pims"], files: [{ path: "/opt/pims/main.ts", sha256: digestOf("main") }] },
  runtime: { files: [{ path: "/usr/sbin/runc", sha256: digestOf("runc") }] },
};
export const RELEASES = new Releases([MANIFEST]);

const { EV_EFI_VARIABLE_DRIVER_CONFIG, EV_SEPARATOR } = BOOT_EVENT_TYPE;
const variable = secureBootVariable(1);
const BOOT = [
  { pcr: 7, data: variable, bytes: sha256Event(7, EV_EFI_VARIABLE_DRIVER_CONFIG, variable) },
  { pcr: 7, data: new Uint8Array(4), bytes: sha256Event(7, EV_SEPARATOR, new Uint8Array(4)) },
];
export const FIRMWARE_LOG = concatBytes(sha256LogHeader(), ...BOOT.map(({ bytes }) => bytes));

/** Plays firmware and kernel: what they measure goes into the registers and into their lists. */
export class TestPlatform {
  readonly #host: TestHost;
  readonly #entries: Uint8Array[] = [];

  readonly #padded: boolean;

  constructor(host: TestHost, options: { padded?: boolean } = {}) {
    this.#host = host;
    this.#padded = options.padded ?? false;
  }

  async boot(): Promise<void> {
    for (const { pcr, data } of BOOT)
      await pcrExtend(this.#host.tpm, "sha256", pcr, new Uint8Array(hash("sha256", data, "buffer")));
  }

  /** The kernel measures a file, or finds that it was written to meanwhile. */
  async measure(
    path: string,
    content: string,
    options: { violation?: boolean; algorithm?: string } = {},
  ): Promise<void> {
    const bytes = imaNg(path, digestOf(content), options);
    this.#entries.push(bytes);
    await pcrExtend(this.#host.tpm, "sha256", 10, imaExtension(parseImaList(bytes)[0]!, "sha256", this.#padded));
  }

  list(from = 0): Uint8Array {
    return concatBytes(...this.#entries.slice(from));
  }

  /** The honest agent's answer to a nonce. `later` happens after the quote and before the lists are read. */
  async answer(
    nonce: string,
    from: number,
    wanted: PlatformWanted,
    later?: () => Promise<void>,
    boot: string | null = null,
  ): Promise<Evidence & { platform: PlatformEvidence }> {
    const { tpm } = this.#host;
    await this.#host.append(sweepEvent({ nonce }));
    const values = await pcrRead(tpm, "sha256", [...BOOT_PCRS, PCR]);
    const { handle } = await createAk(tpm);
    const evidence = await this.#host.collect(nonce, from, boot, (bytes) =>
      quote(tpm, { keyHandle: handle, nonce: bytes, pcrs: platformPcrs(PCR) }),
    );
    await later?.();
    return {
      ...evidence,
      platform: {
        pcrs: BOOT_PCRS.map((pcr) => toHex(values.get(pcr)!)),
        own: toHex(values.get(PCR)!),
        ...(wanted.firmwareLog ? { firmwareLog: Buffer.from(FIRMWARE_LOG).toString("base64") } : {}),
        ima: {
          from: wanted.imaFrom,
          entries: Buffer.from(this.list(wanted.imaFrom)).toString("base64"),
        },
      },
    };
  }
}
