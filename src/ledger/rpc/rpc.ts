import { z } from "zod";
import { printable } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";

/** One JSON-RPC endpoint of a chain. Nothing that it says is proven. */
export interface Rpc {
  readonly url: string;
  /** How it is called in what is said of it, which anybody may read. */
  readonly name: string;
  /** The answer, or the error object that the node gave. Throws `ledger-unreachable` or `ledger-unverified`. */
  request(method: string, params: readonly unknown[]): Promise<RpcAnswer>;
  /** The result. Throws `ledger-refused` when the node gave an error. */
  call(method: string, params: readonly unknown[]): Promise<unknown>;
}

export type RpcAnswer = { result: unknown } | { error: RpcFailure };

/** The error object of JSON-RPC 2.0 §5.1; `data` is where nodes put what a contract reverted with. */
export interface RpcFailure {
  code: number;
  message: string;
  data: unknown;
}

const answerSchema = z.union([
  z.object({
    id: z.number(),
    error: z.object({ code: z.number(), message: z.string(), data: z.unknown().optional() }),
  }),
  z.object({ id: z.number(), result: z.unknown() }),
]);

/** The largest honest answer holds one piece of entry data in hexadecimal, below 200 kB. */
const maxAnswerBytes = 1024 * 1024;

/** Talks to `url` (http or https); every request ends within `timeoutMs` milliseconds. */
export function openRpc(url: string, timeoutMs = 10_000): Rpc {
  checkUrl(url);
  let lastId = 0;
  const request = async (method: string, params: readonly unknown[]): Promise<RpcAnswer> => {
    const id = ++lastId;
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const answer = answerSchema.safeParse(parseJson(url, await post(url, body, timeoutMs)));
    if (!answer.success || answer.data.id !== id) throw garbage(url, `no answer to ${method}`);
    if (!("error" in answer.data)) return { result: answer.data.result };
    const { code, message, data } = answer.data.error;
    return { error: { code, message: printable(message.slice(0, 300)), data } };
  };
  return withRequest({ url, name: endpointName(url) }, request);
}

/** An endpoint that is asked in this way. */
export function withRequest({ url, name }: Pick<Rpc, "url" | "name">, request: Rpc["request"]): Rpc {
  const call = async (method: string, params: readonly unknown[]): Promise<unknown> => {
    const answer = await request(method, params);
    if ("result" in answer) return answer.result;
    throw new PimsError("ledger-refused", `the chain at ${name} refused ${method}: ${answer.error.message}`);
  };
  return { url, name, request, call };
}

/** An endpoint's address without its path and query: providers put keys there. */
export function endpointName(url: string): string {
  if (!URL.canParse(url)) return printable(url);
  const { origin, pathname, search } = new URL(url);
  return pathname === "/" && search === "" ? origin : `${origin}/…`;
}

/** What an endpoint said cannot be used: the wrong shape, too much, or against what it said before. */
export function garbage(url: string, what: string, cause?: unknown): PimsError {
  return new PimsError(
    "ledger-unverified",
    `the chain at ${endpointName(url)} gave an answer that cannot be right (${what})`,
    {
      hint: "check that the address is a JSON-RPC endpoint of the right chain",
      cause,
    },
  );
}

function checkUrl(url: string): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol === "http:" || protocol === "https:") return;
  throw new PimsError("ledger-unreachable", `${printable(url)} is not the address of a chain`, {
    hint: "give an http or https address, such as http://127.0.0.1:8545",
  });
}

async function post(url: string, body: string, timeoutMs: number): Promise<Uint8Array> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const bytes = await readBounded(url, response);
    if (response.status >= 500) throw unreachable(url, `HTTP status ${response.status}`);
    if (!response.ok) throw garbage(url, `HTTP status ${response.status}`);
    return bytes;
  } catch (error) {
    throw error instanceof PimsError ? error : unreachable(url, error);
  }
}

function unreachable(url: string, cause: unknown): PimsError {
  return new PimsError("ledger-unreachable", `the chain at ${endpointName(url)} does not answer`, {
    hint: "start it (pims ledger start) or give the address of a running one",
    cause,
  });
}

async function readBounded(url: string, response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    // Leaving the loop cancels the stream, so that an endless answer costs no more than this.
    if (length > maxAnswerBytes) throw garbage(url, `more than ${maxAnswerBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parseJson(url: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw garbage(url, "not JSON", error);
  }
}
