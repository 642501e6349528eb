import type { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { replacePrivateFile } from "../core/private-file.ts";
import { type InviteRequest, inviteAnswerSchema } from "./enrollment.ts";
import { requestJson } from "./http.ts";
import type { JoinFile } from "./join-file.ts";
import { readToken } from "./token.ts";

const TIMEOUT_MS = 10_000;

/** A verifier as an operator talks to it. */
export interface Operated {
  readonly address: string;
  /** The operator's token. */
  readonly token: string;
}

/** The operator's token in a file. Throws `token-invalid`. */
export async function readOperatorToken(path: string): Promise<string> {
  const token = await readToken(path);
  if (token !== null) return token;
  throw new PimsError("token-invalid", `there is no operator's token in ${path}`, {
    hint: "it is the file 'operator-token' in the verifier's state folder; give it with --operator-token",
  });
}

/** One request that only an operator may make. Throws what `requestJson` throws. */
export function operate<T>(
  { address, token }: Operated,
  path: string,
  schema: z.ZodType<T>,
  { body = {}, timeoutMs = TIMEOUT_MS }: { body?: unknown; timeoutMs?: number } = {},
): Promise<T> {
  return requestJson(address, path, schema, { method: "POST", token, body, timeoutMs });
}

/** Decides that a host may come, or several, and gives what it is to be given. */
export async function invite(operated: Operated, wish: InviteRequest): Promise<JoinFile> {
  const { token, expiresAt, verifier } = await operate(operated, "/v1/invitations", inviteAnswerSchema, { body: wish });
  return {
    schema: "pims.join/v1",
    // Where the verifier does not say how hosts reach it, they do as we did.
    verifier: verifier ?? operated.address,
    host: wish.host,
    token,
    expiresAt,
  };
}

/** One line of JSON, for its owner's eyes only. */
export function writeJoinFile(path: string, join: JoinFile): Promise<void> {
  return replacePrivateFile(path, `${JSON.stringify(join)}\n`);
}
