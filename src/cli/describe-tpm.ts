import type { HostReport } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";

/** Whose TPM vouches for a host, in a few words. */
export function describeTpm(tpm: HostReport["tpm"]): string {
  if (tpm === null) return "TPM not proved: its attestation key was taken on trust";
  const key = `endorsement key ${tpm.ekName.slice(4, 16)}`;
  if (tpm.certified === null) return `TPM without a maker's certificate, taken by decision, ${key}`;
  const { manufacturer, model, version } = tpm.certified;
  return `TPM ${printable(vendor(manufacturer))} ${printable(model)} ${printable(version)}, certified by its maker, ${key}`;
}

/** What was noticed about a host's TPM; undefined when there is nothing. */
export function describeNotice(notice: HostReport["notice"]): string | undefined {
  return notice === null ? undefined : `${notice.reason} at ${notice.at}: ${printable(notice.text)}`;
}

/** "id:53544D20" is "STM". */
function vendor(manufacturer: string): string {
  const [, hex] = /^id:([0-9A-Fa-f]{8})$/.exec(manufacturer) ?? [];
  const letters = hex === undefined ? "" : Buffer.from(hex, "hex").toString("latin1").trim();
  return /^[\x20-\x7e]+$/.test(letters) ? letters : manufacturer;
}
