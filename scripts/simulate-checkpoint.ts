// What a checkpoint of many hosts costs its verifier: node scripts/simulate-checkpoint.ts [HOSTS] [CONTAINERS OF EACH]
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostReport } from "../src/attest/report.ts";
import { sha256, sha256Hex } from "../src/core/digest.ts";
import { replacePrivateFile } from "../src/core/private-file.ts";
import { checkpointRoot } from "../src/ledger/checkpoints.ts";
import { checkpointLines } from "../src/verifier/checkpoint-lines.ts";
import type { HostRow } from "../src/verifier/store.ts";

/** A P-256 key's TPMT_PUBLIC (TPM 2.0 part 2, 12.2.4) that signs with SHA-256. */
function publicArea(host: string): Uint8Array {
  const head = Buffer.from("0023000b00050072000000100018000b00030010", "hex");
  const part = (name: string): Buffer => Buffer.concat([Buffer.from([0, 32]), sha256(Buffer.from(name))]);
  return Buffer.concat([head, part(`${host} x`), part(`${host} y`)]);
}

export function manyHosts(hosts: number, containers: number): { rows: HostRow[]; reports: HostReport[] } {
  const names = Array.from({ length: hosts }, (_, index) => `node-${`${index}`.padStart(6, "0")}.example`);
  const rows = names.map((name) => {
    const proved = {
      bootId: crypto.randomUUID(),
      length: 100_000,
      digest: sha256Hex(name),
      value: sha256Hex(`${name} value`),
    };
    return { name, akPublic: publicArea(name), proved } as unknown as HostRow;
  });
  const reports = names.map((host) => {
    const running = Array.from({ length: containers }, (_, index) => ({
      container: {
        runtime: "docker",
        id: sha256Hex(`${host} ${index}`),
        image: `sha256:${sha256Hex(`image ${index}`)}`,
      },
      ...{ status: "trusted", reasons: [], findings: [] },
    }));
    return {
      host,
      evidence: "good",
      acceptedAt: "2026-01-02T03:04:05.000Z",
      containers: running,
    } as unknown as HostReport;
  });
  return { rows, reports };
}

export async function simulateCheckpoint(hosts: number, containers: number) {
  const { rows, reports } = manyHosts(hosts, containers);
  const folder = await mkdtemp(join(tmpdir(), "pims-checkpoint-"));
  try {
    const started = performance.now();
    const header = { number: 1n, time: "2026-01-02T03:04:05.000Z", previous: `0x${"1".repeat(64)}` };
    const lines = checkpointLines(header, rows, reports);
    const listed = performance.now();
    checkpointRoot(lines);
    const hashed = performance.now();
    const path = join(folder, "lines");
    await replacePrivateFile(path, lines.map((line) => `${line}\n`).join(""));
    const written = performance.now();
    const { size } = await stat(path);
    return { linesMs: listed - started, rootMs: hashed - listed, writeMs: written - hashed, bytes: size };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [hosts = 10_000, containers = 5] = process.argv.slice(2).map(Number);
  process.stdout.write(
    `${JSON.stringify({ hosts, containers, ...(await simulateCheckpoint(hosts, containers)) }, null, 2)}\n`,
  );
}
