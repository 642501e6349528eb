import { readFile } from "node:fs/promises";
import type { z } from "zod";
import { errorCode, PimsError } from "./errors.ts";

const MAX_CONFIG_BYTES = 1024 * 1024;

/**
 * Reads a JSON configuration file in a given shape. PimsError `config-invalid` names the file and the key that is wrong,
 * missing or unknown.
 */
export async function readConfig<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const why = errorCode(cause) === "ENOENT" ? "does not exist" : `cannot be read (${errorCode(cause)})`;
    throw new PimsError("config-invalid", `the configuration file ${path} ${why}`, { cause });
  }
  let value: unknown;
  try {
    if (text.length > MAX_CONFIG_BYTES) throw new SyntaxError("it is larger than 1 MiB");
    value = JSON.parse(text);
  } catch (cause) {
    throw new PimsError("config-invalid", `the configuration file ${path} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(value, {
    error: ({ code, input }) => (code === "invalid_type" && input === undefined ? "it is missing" : undefined),
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const where = issue.path.length > 0 ? ` at ${issue.path.join(".")}` : "";
  throw new PimsError("config-invalid", `the configuration file ${path} is wrong${where}: ${issue.message}`);
}
