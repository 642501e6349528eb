import { type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { rfc3339 } from "../core/clock.ts";
import { MAX_ID } from "../log/finding.ts";

/** What an operator may order to be done to a container. */
export const ORDER_ACTIONS = ["pause", "resume", "kill"] as const;
export type OrderAction = (typeof ORDER_ACTIONS)[number];

const MAX_ORDER_CHARS = 16 * 1024;
/** The challenge makes it fresh; this bounds how far the clocks of verifier and host may be apart. */
const LIFETIME_MS = 120_000;
const MAX_ORDER_REASON = 500;
const MAX_ORDER_BY = 128;

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
export const challengeNonceSchema = hex(64);

/** What an operator wishes. */
export const orderWishSchema = z.strictObject({
  container: z.strictObject({
    runtime: z.enum(["docker", "containerd", "podman", "crio", "runc"]),
    id: z.string().min(1).max(MAX_ID),
  }),
  action: z.enum(ORDER_ACTIONS),
  reason: z.string().min(1).max(MAX_ORDER_REASON),
  /** Who asks, as they say. */
  by: z.string().min(1).max(MAX_ORDER_BY),
});
export type OrderWish = z.infer<typeof orderWishSchema>;

const orderSchema = z.strictObject({
  schema: z.literal("pims.order/v1"),
  id: hex(32),
  host: z.string().max(63),
  ...orderWishSchema.shape,
  /** What the agent gave with the request that this answers: random, known to this process only, and good for one order. */
  challenge: challengeNonceSchema,
  issuedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
});
export type Order = z.infer<typeof orderSchema>;

/** An order as it travels: the exact text that was signed, and the Ed25519 signature (RFC 8032) over its UTF-8 bytes. */
export const signedOrderSchema = z.object({
  order: z.string().max(MAX_ORDER_CHARS),
  signature: z.base64().max(88),
});
export type SignedOrder = z.infer<typeof signedOrderSchema>;

/** Signs an order, as an answer to an agent's challenge. `nowMs` is the wall clock's. */
export function signOrder(
  wish: OrderWish,
  { id, host, challenge, nowMs, key }: { id: string; host: string; challenge: string; nowMs: number; key: KeyObject },
): SignedOrder {
  const [issuedAt, expiresAt] = [rfc3339(nowMs), rfc3339(nowMs + LIFETIME_MS)];
  const order: Order = { schema: "pims.order/v1", id, host, ...wish, challenge, issuedAt, expiresAt };
  const text = JSON.stringify(order);
  return { order: text, signature: sign(null, Buffer.from(text), key).toString("base64") };
}

export interface OrderCheck {
  /** The verifier's key for orders, Ed25519. */
  readonly key: KeyObject;
  /** Name of this host. */
  readonly host: string;
  /** What was given with the request that the order answers. */
  readonly challenge: string;
  /** Wall clock. */
  readonly nowMs: number;
}

export type CheckedOrder =
  | { readonly accepted: true; readonly order: Order }
  /** `order` is what it says where its signature is the verifier's, else null. */
  | { readonly accepted: false; readonly order: Order | null; readonly text: string };

/** Whether an order is the verifier's, for this host, and an answer to this very request. It has done nothing yet. */
export function checkOrder(signed: SignedOrder, { key, host, challenge, nowMs }: OrderCheck): CheckedOrder {
  const signature = Buffer.from(signed.signature, "base64");
  const isWhole = signature.toString("base64") === signed.signature;
  if (!isWhole || !verify(null, Buffer.from(signed.order), key, signature))
    return { accepted: false, order: null, text: "an order is not signed by the verifier's key" };
  const order = parse(signed.order);
  const refuse = (text: string): CheckedOrder => ({ accepted: false, order, text });
  if (order === null) return refuse("an order is of no form that is known here");
  if (order.host !== host) return refuse("the order is for another host");
  if (order.challenge !== challenge) return refuse("the order answers no request that is open: it was given before");
  if (!(nowMs <= Date.parse(order.expiresAt)))
    return refuse("the order's time is over by this host's clock, or the clocks are apart");
  return { accepted: true, order };
}

/** Null for what is not written exactly as `signOrder` writes it. */
function parse(text: string): Order | null {
  try {
    const parsed = orderSchema.safeParse(JSON.parse(text));
    return parsed.success && JSON.stringify(parsed.data) === text ? parsed.data : null;
  } catch {
    return null;
  }
}

/** What became of an order, from the host's proved log. */
export const orderAnswerSchema = z.object({
  id: z.string(),
  /** Whether the agent has fetched it. One that it has not is withdrawn. */
  fetched: z.boolean(),
  /** Null when no proved record tells it yet. */
  ended: z
    .object({
      outcome: z.enum(["done", "failed", "suppressed", "refused"]),
      text: z.string(),
      /** Number of the record. */
      record: z.int(),
    })
    .nullable(),
});
export type OrderAnswer = z.infer<typeof orderAnswerSchema>;

export const ordersKeySchema = z.object({ key: z.base64().max(256) });
