import { type Bundle, bundleDigest, formatBundle } from "../attest/bundle.ts";
import { rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { type Certificate, parseCertificate } from "../tpm/certificate/certificate.ts";
import { checkPath } from "../tpm/certificate/path.ts";
import { bundleProofs, type ProvedCheckpoint } from "./bundle-proofs.ts";
import type { AcceptedEvidence } from "./evidence-store.ts";
import { gatherResults, type Results, type ResultsModules, signEar } from "./gather-results.ts";
import type { HostRow } from "./store.ts";

export interface ExportModules extends ResultsModules {
  /** Certificates of TPM makers. */
  readonly roots: readonly Certificate[];
  /** The newest checkpoint on the ledger that holds the host; null when there is none. */
  bundleCheckpoint(host: HostRow): Promise<ProvedCheckpoint | null>;
}

/**
 * Everything that a third party needs to check the last accepted evidence of a host (docs/bundle.md). Throws `host-unknown`,
 * `no-evidence`, `bundle-too-large`, `results-busy`.
 */
export async function exportBundle(host: string, modules: ExportModules): Promise<string> {
  const results = await gatherResults(host, modules);
  const { evidence } = results;
  if (evidence !== null) {
    const checkpoint = await modules.bundleCheckpoint(results.row);
    return formatBundle(assemble({ ...results, evidence }, checkpoint, modules));
  }
  throw new PimsError("no-evidence", `no evidence of ${host} that was accepted is kept`, {
    hint: "'pims attest HOST' asks for it",
  });
}

function assemble(
  results: Results & { evidence: AcceptedEvidence },
  checkpoint: ProvedCheckpoint | null,
  modules: ExportModules,
): Bundle {
  const { row, evidence, baselines } = results;
  const { store, clock, roots, pcr, policy } = modules;
  const { nonce, attest, signature, from, acceptedAt, platform } = evidence;
  const kept = store.enrollments.endorsement(row.name);
  const rest: Omit<Bundle, "results"> = {
    format: "pims.bundle/v1",
    host: row.name,
    exportedAt: rfc3339(clock.now()),
    attestationKey: toBase64(row.akPublic),
    endorsement:
      kept === null
        ? null
        : {
            publicArea: toBase64(kept.ekPublic),
            certificates: certificatesOf(kept.certificate, roots, clock.now()).map(toBase64),
          },
    evidence: {
      pcr,
      nonce,
      attest,
      signature,
      acceptedAt: rfc3339(acceptedAt),
      from,
      platform: platform === null ? null : { ...platform, ima: platform.ima === null ? null : toBase64(platform.ima) },
    },
    log: { start: null, records: store.log.read(row.name, 0, row.proved.length) },
    ...bundleProofs(baselines, checkpoint),
    policy,
  };
  return { ...rest, results: { key: modules.key.jwk, ear: signEar(results, modules, bundleDigest(rest)) } };
}

/** The key's certificate and what leads from it to a root; the root is what others bring themselves. */
function certificatesOf(der: Uint8Array | null, roots: readonly Certificate[], nowMs: number): Uint8Array[] {
  if (der === null) return [];
  try {
    return checkPath(parseCertificate(der), roots, nowMs)
      .slice(0, -1)
      .map((certificate) => certificate.der);
  } catch (error) {
    if (error instanceof PimsError) return [der];
    throw error;
  }
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
