import { type Bundle, type BundledBaseline, formatBundle } from "../attest/bundle.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { type Certificate, parseCertificate } from "../tpm/certificate/certificate.ts";
import { checkPath } from "../tpm/certificate/path.ts";
import type { AcceptedEvidence } from "./evidence-store.ts";
import type { Store } from "./store.ts";
import type { Verifier } from "./verifier.ts";

export interface ExportModules {
  readonly store: Store;
  readonly verifier: Verifier;
  readonly clock: Clock;
  /** Certificates of TPM makers. */
  readonly roots: readonly Certificate[];
  readonly pcr: number;
  /** What is judged by besides baselines, as `parseBundlePolicy` reads it. */
  readonly policy: string;
  /** The approved baseline of an image, with where it stands; null when there is none or the chain does not answer. */
  bundleBaseline(identity: string): Promise<BundledBaseline | null>;
}

/** Evidence may come while baselines are asked for; a chain that is asked often answers at once. */
const MAX_TRIES = 5;

/**
 * Everything that a third party needs to check the last accepted evidence of a host (docs/bundle.md). Throws `host-unknown`,
 * `no-evidence`, `bundle-too-large`, `bundle-busy`.
 */
export async function exportBundle(host: string, modules: ExportModules): Promise<string> {
  const { store, verifier } = modules;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const { containers } = await verifier.reportHost(host);
    const evidence = store.evidence.last(host);
    if (evidence === null)
      throw new PimsError("no-evidence", `no evidence of ${host} that was accepted is kept`, {
        hint: "'pims attest HOST' asks for it",
      });
    const running = containers.filter(({ stoppedAt }) => stoppedAt === null);
    const identities = new Set(running.flatMap(({ container: { image } }) => image ?? []));
    const baselines = await Promise.all([...identities].map((identity) => modules.bundleBaseline(identity)));
    // Nothing is waited for from here on, so what is read belongs together.
    if (store.evidence.last(host)?.nonce !== evidence.nonce) continue;
    return formatBundle(
      assemble(
        host,
        evidence,
        baselines.flatMap((baseline) => baseline ?? []),
        modules,
      ),
    );
  }
  throw new PimsError("bundle-busy", `evidence of ${host} comes faster than its baselines are read`, {
    hint: "try again",
  });
}

function assemble(
  host: string,
  { nonce, attest, signature, from, acceptedAt, platform }: AcceptedEvidence,
  baselines: BundledBaseline[],
  { store, clock, roots, pcr, policy }: ExportModules,
): Bundle {
  const { akPublic, proved } = store.host(host)!;
  const kept = store.enrollments.endorsement(host);
  return {
    format: "pims.bundle/v1",
    host,
    exportedAt: rfc3339(clock.now()),
    attestationKey: toBase64(akPublic),
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
    log: { start: null, records: store.records(host, 0, proved.length) },
    baselines,
    policy,
  };
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
