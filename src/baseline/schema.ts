import { z } from "zod";
import { type JsonText, jsonTextBytes, toJsonText } from "../core/bytes.ts";

/** Most executable segments of one file. Linkers make one, rarely two. */
export const MAX_SEGMENTS = 64;

/** Bytes of a path, as long as the kernel takes one (PATH_MAX with its final zero). */
export const MAX_PATH_BYTES = 4095;

/** A decimal number without leading zeros that fits off_t. */
export const decimal = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,18})$/)
  .transform(BigInt)
  .refine((value) => value <= 0x7fff_ffff_ffff_ffffn);

export const sha256Text = z.string().regex(/^[0-9a-f]{64}$/);

export const portText = z
  .string()
  .regex(/^(tcp|udp|sctp)\/[1-9][0-9]{0,4}$/)
  .refine((port) => Number(port.split("/")[1]) <= 65_535);

export const pathText: z.ZodType<JsonText> = z.union([
  z.string().max(MAX_PATH_BYTES),
  z.strictObject({
    hex: z
      .string()
      .max(2 * MAX_PATH_BYTES)
      .regex(/^([0-9a-f]{2})+$/),
  }),
]);

/**
 * Whether a path is absolute, without `.`, `..` and empty parts, no longer than the kernel takes, and written in the
 * one form that its bytes have: hexadecimal only where they are not UTF-8.
 */
export function isImagePath(path: JsonText): boolean {
  const bytes = jsonTextBytes(path);
  if (bytes.length > MAX_PATH_BYTES || bytes.includes(0)) return false;
  const again = toJsonText(bytes);
  if (typeof again !== typeof path || (typeof again === "string" && again !== path)) return false;
  const parts = Buffer.from(bytes).toString("latin1").split("/");
  return parts.length > 1 && parts[0] === "" && parts.slice(1).every((part) => !["", ".", ".."].includes(part));
}
