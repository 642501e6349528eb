import { z } from "zod";
import { type BaselineHeader, formatHeader, MAX_ENTRIES } from "./lines.ts";
import { malformedLine, parseLine } from "./parse-line.ts";
import { isImagePath, pathText, portText, sha256Text } from "./schema.ts";

/** Digests of code that is no file of the image. */
export const MAX_ALLOWED = 10_000;
const MAX_HEADER_CHARACTERS = 4 * 1024 * 1024;

/** Longer than any value that the kernel takes (MAX_ARG_STRLEN). */
const variable = z
  .string()
  .min(1)
  .max(128 * 1024);

const headerShape = z.strictObject({
  format: z.literal("pims.baseline/v1"),
  identity: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  name: z.string().max(4096),
  architecture: z.string().max(256),
  ports: z.array(portText).max(65_536 * 3),
  entrypoint: z.array(z.string()),
  jit: z.array(pathText).max(MAX_ENTRIES),
  loader: z
    .strictObject({ LD_PRELOAD: variable.optional(), LD_AUDIT: variable.optional() })
    .refine((variables) => Object.keys(variables).length > 0)
    .optional(),
  allowed: z
    .array(sha256Text)
    .min(1)
    .max(MAX_ALLOWED)
    .refine((digests) => digests.every((digest, at) => at === 0 || digests[at - 1]! < digest), "not in rising order")
    .optional(),
  entries: z.int().min(0).max(MAX_ENTRIES),
});

/** Reads line 0. Throws `baseline-malformed`. */
export function parseHeader(line: string): BaselineHeader {
  const { format: _format, ...header } = parseLine(line, 0, MAX_HEADER_CHARACTERS, headerShape);
  if (!header.jit.every(isImagePath)) throw malformedLine(0, "a path in it is not one of an image");
  if (formatHeader(header) !== line) throw malformedLine(0, "it is not written in the one form that there is");
  return header;
}
