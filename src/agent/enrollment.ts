import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Enrollable } from "../attest/enroll-host.ts";
import { type JoinFile, readJoinFile } from "../attest/join-file.ts";
import { readToken } from "../attest/token.ts";
import { formatVerifierAddress, parseVerifierAddress } from "../attest/verifier-address.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { readPrivateFile, replacePrivateFile } from "../core/private-file.ts";
import type { AgentConfig } from "./config.ts";
import { ORDERS_KEY_FILE } from "./orders-key.ts";
import type { VerifierClient } from "./verifier-client.ts";

const ENROLL_RETRY_MS = 1000;
/** In the state folder: what the host shows to the verifier, and where that is. */
const TOKEN_FILE = "host-token";
const ADDRESS_FILE = "verifier-address";

/**
 * Where the verifier is: what is configured, else what the join file says, else what it said when the host was enrolled.
 * Throws `not-enrolled`, `join-invalid`.
 */
export async function findVerifier({ verifier, state, host }: AgentConfig): Promise<string> {
  const given =
    verifier.url ??
    (await joinFileOf({ verifier, host }))?.verifier ??
    (await readPrivateFile(join(state, ADDRESS_FILE)))?.trim();
  if (given === undefined) throw notEnrolled(host);
  const { url, pins } = parseVerifierAddress(given);
  return formatVerifierAddress({ url, pins: [...new Set([...pins, ...verifier.pins])] });
}

/** Whether the host was enrolled before; then its token is used. */
export async function useHostToken({ state }: AgentConfig, verifier: VerifierClient): Promise<boolean> {
  const token = await readToken(join(state, TOKEN_FILE));
  if (token !== null) verifier.useToken(token);
  return token !== null;
}

/**
 * Makes the host known to the verifier; its token is kept in the state folder. Waits for a verifier that does not answer
 * yet. False when it was told to stop meanwhile. Throws `not-enrolled`, or what the verifier or the TPM refused with.
 */
export async function enroll(
  config: AgentConfig,
  verifier: VerifierClient,
  tpm: Enrollable,
  stop: AbortSignal,
  report: (text: string) => void,
): Promise<boolean> {
  for (let told = false; !stop.aborted; told = true) {
    // It may have been replaced while nobody answered.
    const joined = await joinFileOf(config);
    if (joined === null) throw notEnrolled(config.host);
    try {
      const token = await verifier.enroll(tpm, joined.token);
      // Another verifier has another key.
      await rm(join(config.state, ORDERS_KEY_FILE), { force: true });
      await replacePrivateFile(join(config.state, ADDRESS_FILE), `${joined.verifier}\n`);
      await replacePrivateFile(join(config.state, TOKEN_FILE), `${token}\n`);
      verifier.useToken(token);
      return true;
    } catch (error) {
      if (errorCode(error) !== "verifier-unreachable") throw error;
      if (!told) report(`waiting for the verifier: ${describeError(error)}`);
      await new Promise((resolve) => setTimeout(resolve, ENROLL_RETRY_MS));
    }
  }
  return false;
}

async function joinFileOf({ verifier, host }: Pick<AgentConfig, "verifier" | "host">): Promise<JoinFile | null> {
  const joined = verifier.joinFile === undefined ? null : await readJoinFile(verifier.joinFile);
  if (joined !== null && joined.host !== null && joined.host !== host)
    throw new PimsError("join-invalid", `the join file is for ${joined.host}, and this host is called ${host}`, {
      hint: "give it its name as 'host' in the configuration, or get a file for this one",
    });
  return joined;
}

function notEnrolled(host: string): PimsError {
  return new PimsError("not-enrolled", `the host ${host} is not enrolled and there is no join file`, {
    hint: "'pims host enroll HOST' at the verifier makes one: name it as verifier.joinFile",
  });
}
