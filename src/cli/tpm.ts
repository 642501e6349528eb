import type { Command } from "commander";
import { printable, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { createAk, keepAk } from "../tpm/attestation-key.ts";
import { checkEkCertificate } from "../tpm/certificate/ek-certificate.ts";
import { readRoots } from "../tpm/certificate/roots.ts";
import { findEndorsementKey, withEk } from "../tpm/endorsement-key.ts";
import { tpmInfo } from "../tpm/info.ts";
import { publicKeyPem } from "../tpm/public-key.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
import { action } from "./command.ts";
import { EXIT, printJson, printLine, table } from "./output.ts";

export function addTpm(program: Command): void {
  const tpm = program.command("tpm").description("the TPM 2.0 of this host");
  addProvision(tpm);
  tpm
    .command("info")
    .description("what the TPM is, its PCR banks and this host's attestation key")
    .option("--tpm <address>", "device, device:PATH, unix:PATH or tcp:HOST:PORT", "device")
    .option("--roots <folder>", "certificates of TPM makers, to check this TPM's certificate against")
    .option("--json", "print one object (pims.tpm-info/v1)")
    .action(
      action(async (options: { tpm: string; roots?: string; json?: boolean }) => {
        const opened = await openTpm(options.tpm);
        try {
          const info = await tpmInfo(opened);
          const ak = await createAk(opened);
          const ek = await describeEk(opened, options.roots);
          const key = { name: toHex(ak.name), publicArea: toHex(ak.publicArea), pem: publicKeyPem(ak.publicArea) };
          if (options.json)
            printJson({
              schema: "pims.tpm-info/v1",
              ...JSON.parse(JSON.stringify(info, bigIntsAsText)),
              attestationKey: key,
              endorsementKey: ek,
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
                ["endorsement key", `${ek.name} (${ek.kind})`],
                ["certificate", printable(ek.text)],
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

function addProvision(tpm: Command): void {
  tpm
    .command("provision")
    .description("keep this host's attestation key in the TPM, so that the agent need not make it at each start")
    .option("--tpm <address>", "device, device:PATH, unix:PATH or tcp:HOST:PORT", "device")
    .option("--json", "print one object (pims.tpm-provision/v1)")
    .action(
      action(async (options: { tpm: string; json?: boolean }) => {
        const opened = await openTpm(options.tpm);
        try {
          const { handle, name } = await keepAk(opened);
          const kept = { handle: `0x${handle.toString(16)}`, name: toHex(name) };
          if (options.json) printJson({ schema: "pims.tpm-provision/v1", ...kept });
          else printLine(`the attestation key ${kept.name} is kept at ${kept.handle}`);
          return EXIT.good;
        } finally {
          await opened.close();
        }
      }),
    );
}

/** What there is to say of the endorsement key before anybody proves anything. */
async function describeEk(tpm: Tpm, folder: string | undefined) {
  const { kind, certificate } = await findEndorsementKey(tpm);
  const { name, publicArea } = await withEk(tpm, kind, async (ek) => ek);
  const text = await describeCertificate(certificate, publicArea, folder);
  return { kind, name: toHex(name), certificate: certificate === null ? null : toHex(certificate), text };
}

async function describeCertificate(certificate: Uint8Array | null, ekPublic: Uint8Array, folder: string | undefined) {
  if (certificate === null) return "the TPM holds none for an endorsement key of RSA 2048 or ECC P-256";
  if (folder === undefined) return `${certificate.length} bytes, not checked (give --roots)`;
  const roots = await readRoots(folder);
  try {
    const { manufacturer, model, version } = checkEkCertificate(certificate, ekPublic, roots, Date.now());
    return `its path to a root holds: ${manufacturer} ${model} ${version}`;
  } catch (error) {
    if (error instanceof PimsError) return error.message;
    throw error;
  }
}

function bigIntsAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
