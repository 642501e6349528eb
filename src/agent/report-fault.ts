import { join } from "node:path";
import { collectEvidence } from "../attest/collect.ts";
import { fromHex } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { LOG_FILE, LOG_FOLDER } from "../log/measurement-log.ts";
import { RegisterError } from "../log/register-fault.ts";
import { segmentsAt } from "../log/scan-log.ts";
import type { TpmAnchor } from "./tpm-anchor.ts";
import type { VerifierClient } from "./verifier-client.ts";
import { within } from "./within.ts";

const REPORT_WAIT_MS = 5000;

/**
 * Tells the verifier why the agent does not start on its log, or ends: with evidence as it is, which the verifier refuses with
 * a reason, instead of silence. Does nothing for other errors, and gives up soon when the verifier does not answer.
 */
export async function reportFault(
  error: unknown,
  state: string,
  anchor: TpmAnchor,
  verifier: VerifierClient,
): Promise<void> {
  if (!["pcr-mismatch", "log-broken"].includes(errorCode(error) ?? "")) return;
  const send = async () => {
    const { nonce, from, platform } = await verifier.nonce();
    const evidence = await collectEvidence({
      segments: (await segmentsAt(join(state, LOG_FOLDER, LOG_FILE))).segments,
      from,
      nonce: fromHex(nonce),
      quote: platform === undefined ? anchor.quote : (bytes) => anchor.quotePlatform(bytes, platform),
      ...(error instanceof RegisterError ? { fault: error.fault } : {}),
    });
    await verifier.evidence(evidence);
  };
  await within(
    REPORT_WAIT_MS,
    send().catch(() => {}),
  );
}
