import { z } from "zod";
import { errorCode, PimsError } from "../core/errors.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const refusalSchema = z.object({ error: z.string().max(64), text: z.string().max(4096) });

export interface RequestOptions {
  readonly method: "GET" | "POST";
  readonly token?: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Bound of the answer, 64 MiB without it. */
  readonly maxBytes?: number;
}

/**
 * One request to a verifier. Throws PimsError `verifier-unreachable` when no verifier answers in time, the verifier's own
 * code and sentence when it refuses, and `verifier-answer` when its answer is of no known form.
 */
export async function requestJson<T>(url: string, schema: z.ZodType<T>, options: RequestOptions): Promise<T> {
  const { status, text } = await send(url, options);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new PimsError("verifier-answer", `${url} answered with something that is not a verifier's`, { cause });
  }
  if (status >= 400) {
    const refusal = refusalSchema.safeParse(body);
    if (refusal.success) throw new PimsError(refusal.data.error, refusal.data.text);
    throw new PimsError("verifier-answer", `${url} answered with status ${status}`);
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join(".");
  throw new PimsError("verifier-answer", `${url} answered in an unknown form (${where})`);
}

async function send(url: string, options: RequestOptions): Promise<{ status: number; text: string }> {
  const signals = [AbortSignal.timeout(options.timeoutMs), ...(options.signal ? [options.signal] : [])];
  const headers: Record<string, string> = {};
  if (options.token) headers.authorization = `Bearer ${options.token}`;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  try {
    const response = await fetch(url, {
      method: options.method,
      headers,
      redirect: "error",
      signal: AbortSignal.any(signals),
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    return { status: response.status, text: await readBounded(response, url, options.maxBytes ?? MAX_ANSWER_BYTES) };
  } catch (error) {
    if (error instanceof PimsError) throw error;
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const why = errorCode(cause) ?? (cause instanceof Error ? cause.name : "no answer");
    throw new PimsError("verifier-unreachable", `no verifier answers at ${new URL(url).origin} (${why})`, {
      hint: "start it with 'pims verifier run', or give its address",
      cause: error,
    });
  }
}

async function readBounded(response: Response, url: string, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new PimsError("verifier-answer", `${url} answered with too much`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
