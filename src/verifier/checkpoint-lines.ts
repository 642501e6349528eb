import type { HostReport } from "../attest/report.ts";
import { toHex } from "../core/bytes.ts";
import { computeName } from "../tpm/name.ts";
import type { HostRow } from "./store.ts";

/** The first line of a checkpoint: which it is, and that it goes on from the one before. */
export interface CheckpointHeader {
  readonly number: bigint;
  /** RFC 3339. */
  readonly time: string;
  /** Root of the reporter's checkpoint before this one; null at the first. */
  readonly previous: string | null;
}

/**
 * What a checkpoint says, a line of JSON each: the header, then each host with the head of its proved log and the verdict
 * on each of its containers, in the order of names. The lines' exact bytes are the leaves of the tree.
 */
export function checkpointLines(
  header: CheckpointHeader,
  rows: readonly HostRow[],
  reports: readonly HostReport[],
): string[] {
  const byName = new Map(reports.map((report) => [report.host, report]));
  const hosts = rows.map((row) => hostLine(row, byName.get(row.name))).sort();
  const { number, time, previous } = header;
  const first = { format: "pims.checkpoint/v1", number: `${number}`, time, hosts: hosts.length, previous };
  return [JSON.stringify(first), ...hosts];
}

/** TPM name of a host's attestation key, hexadecimal. */
export function akNameOf({ akPublic }: HostRow): string {
  return toHex(computeName(akPublic));
}

function hostLine(row: HostRow, report: HostReport | undefined): string {
  const { bootId, length, digest, value } = row.proved;
  const containers = (report?.containers ?? []).map(({ container, status, reasons, findings }) => ({
    ...{ runtime: container.runtime, id: container.id, image: container.image, status },
    reasons: [...new Set([...reasons, ...findings].map(({ reason }) => reason))],
  }));
  return JSON.stringify({
    ...{ host: row.name, ak: akNameOf(row), evidence: report?.evidence ?? "none" },
    ...{ acceptedAt: report?.acceptedAt ?? null, log: { bootId, records: length, digest, value }, containers },
  });
}
