import type { Command } from "commander";
import { toHex } from "../core/bytes.ts";
import { createAk } from "../tpm/attestation-key.ts";
import { tpmInfo } from "../tpm/info.ts";
import { publicKeyPem } from "../tpm/public-key.ts";
import { openTpm } from "../tpm/tpm.ts";
import { action } from "./command.ts";
import { EXIT, printJson, printLine, table } from "./output.ts";

export function addTpm(program: Command): void {
  const tpm = program.command("tpm").description("the TPM 2.0 of this host");
  tpm
    .command("info")
    .description("what the TPM is, its PCR banks and this host's attestation key")
    .option("--tpm <address>", "device, device:PATH, unix:PATH or tcp:HOST:PORT", "device")
    .option("--json", "print one object (pims.tpm-info/v1)")
    .action(
      action(async (options: { tpm: string; json?: boolean }) => {
        const opened = await openTpm(options.tpm);
        try {
          const info = await tpmInfo(opened);
          const ak = await createAk(opened);
          const key = { name: toHex(ak.name), publicArea: toHex(ak.publicArea), pem: publicKeyPem(ak.publicArea) };
          if (options.json)
            printJson({
              schema: "pims.tpm-info/v1",
              ...JSON.parse(JSON.stringify(info, bigIntsAsText)),
              attestationKey: key,
            });
          else {
            printLine(
              table([
                ["TPM", `${info.family}, revision ${info.revision}`],
                ["manufacturer", `${info.manufacturer} (${info.vendor})`],
                ["firmware", info.firmwareVersion.toString(16)],
                ["PCR banks", info.banks.map(({ bank, pcrs }) => `${bank ?? "?"}: ${pcrs.length} PCRs`).join(", ")],
                ["loaded keys", String(info.transientHandles.length)],
                ["persistent keys", String(info.persistentHandles.length)],
                ["attestation key", key.name],
              ]),
            );
            printLine(key.pem.trimEnd());
          }
          return EXIT.good;
        } finally {
          await opened.close();
        }
      }),
    );
}

function bigIntsAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
