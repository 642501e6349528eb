import { readFile } from "node:fs/promises";
import { z } from "zod";
import { errorCode, PimsError } from "../core/errors.ts";
import { tokenSchema } from "./token.ts";
import { addressSchema } from "./verifier-address.ts";

const MAX_BYTES = 64 * 1024;

/** What a host is given to be enrolled with: all of it in one file, which is worth nothing once it was used or has expired. */
const joinFileSchema = z.strictObject({
  schema: z.literal("pims.join/v1"),
  /** As `parseVerifierAddress` takes it, with the pin of the verifier's key. */
  verifier: addressSchema,
  /** The host that it is for; null for any. */
  host: z.string().nullable(),
  token: tokenSchema,
  expiresAt: z.iso.datetime(),
});
export type JoinFile = z.infer<typeof joinFileSchema>;

/** Null when there is no such file. Throws `join-invalid`. */
export async function readJoinFile(path: string): Promise<JoinFile | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
  const parsed = joinFileSchema.safeParse(text.length <= MAX_BYTES ? parseJson(text) : undefined);
  if (parsed.success) return parsed.data;
  throw new PimsError("join-invalid", `${path} is not a join file`, {
    hint: "'pims host enroll HOST' at the verifier makes one",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
