import { type IncomingMessage, request } from "node:http";
import { z } from "zod";
import { errorCode, PimsError } from "../core/errors.ts";
import { parseVerifierAddress } from "./verifier-address.ts";
import { connectionsTo } from "./verifier-connection.ts";

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
 * One request to the verifier at an address (`parseVerifierAddress`). Throws PimsError `verifier-unreachable` when no
 * verifier answers in time, `verifier-pin` or `verifier-certificate` when what answers is not the verifier that was meant,
 * the verifier's own code and sentence when it refuses, and `verifier-answer` when its answer is of no known form.
 */
export async function requestJson<T>(
  address: string,
  path: string,
  schema: z.ZodType<T>,
  options: RequestOptions,
): Promise<T> {
  const { url } = parseVerifierAddress(address);
  const where = `${url}${path}`;
  const { status, text } = await send(address, path, options);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new PimsError("verifier-answer", `${where} answered with something that is not a verifier's`, { cause });
  }
  if (status < 200 || status >= 300) {
    const refusal = refusalSchema.safeParse(body);
    if (status >= 400 && refusal.success) throw new PimsError(refusal.data.error, refusal.data.text);
    throw new PimsError("verifier-answer", `${where} answered with status ${status}`);
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new PimsError(
    "verifier-answer",
    `${where} answered in an unknown form (${parsed.error.issues[0]?.path.join(".")})`,
  );
}

async function send(address: string, path: string, options: RequestOptions): Promise<{ status: number; text: string }> {
  const { url } = parseVerifierAddress(address);
  const { maxBytes = MAX_ANSWER_BYTES } = options;
  const signals = [AbortSignal.timeout(options.timeoutMs), ...(options.signal ? [options.signal] : [])];
  const headers: Record<string, string> = {};
  if (options.token) headers.authorization = `Bearer ${options.token}`;
  const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  if (body !== undefined) headers["content-type"] = "application/json";
  if (body !== undefined) headers["content-length"] = String(body.length);
  try {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const signal = AbortSignal.any(signals);
    // A request that still waits for its connection would say so only then.
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    // The pool's connections have TLS below; `http.request` need not know.
    const plain = url.replace(/^https:/, "http:") + path;
    const outgoing = request(plain, { method: options.method, headers, agent: connectionsTo(address), signal });
    outgoing.on("response", resolve).on("error", reject).end(body);
    const response = await promise;
    return { status: response.statusCode ?? 0, text: await readBounded(response, `${url}${path}`, maxBytes) };
  } catch (error) {
    if (error instanceof PimsError) throw error;
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const why = errorCode(cause) ?? (cause instanceof Error ? cause.name : "no answer");
    throw new PimsError("verifier-unreachable", `no verifier answers at ${url} (${why})`, {
      hint: "start it with 'pims verifier run', or give its address",
      cause: error,
    });
  }
}

async function readBounded(response: IncomingMessage, where: string, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    // Leaving the loop destroys the response and its connection.
    if (size > maxBytes) throw new PimsError("verifier-answer", `${where} answered with too much`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
