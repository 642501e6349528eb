import { z } from "zod";
import { brief } from "../core/bytes.ts";
import { signedOrderSchema } from "./order.ts";
import { platformWantedSchema } from "./platform-evidence.ts";

/** Bodies of the verifier's HTTP interface that agents and commands read. Every one is checked where it arrives. */
export const nonceAnswerSchema = z.object({
  nonce: z.string().regex(/^[0-9a-f]{64}$/),
  /** Number of the first record that the verifier lacks, and of which boot; null before anything was proved. */
  from: z.int().min(0),
  boot: z.uuid().nullable(),
  /** Present when the quote is to cover what is below the agent, too. */
  platform: platformWantedSchema.optional(),
});
export type NonceAnswer = z.infer<typeof nonceAnswerSchema>;

export const outcomeSchema = z.discriminatedUnion("accepted", [
  z.object({ accepted: z.literal(true), records: z.int() }),
  z.object({ accepted: z.literal(false), reason: z.string(), text: z.string() }),
]);

export const stagedAnswerSchema = z.object({ next: z.int().min(0) });

export const wantedAnswerSchema = z.object({
  wanted: z.boolean(),
  /** An order for this host, as an answer to the challenge that the request gave. */
  order: signedOrderSchema.nullable(),
});
export type WantedAnswer = z.infer<typeof wantedAnswerSchema>;

/** What is wrong with a body and where, in a few words, however large and strange the body is. */
export function describeIssue(error: z.ZodError): string {
  const { path, message } = error.issues[0]!;
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  return brief(`${where}${message.slice(0, 1000)}`);
}

/** The longest that the verifier holds a request for `wanted`. */
export const MAX_WAIT_MS = 30_000;
