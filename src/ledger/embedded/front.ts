import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { describeError, errorCode, PimsError } from "../../core/errors.ts";
import type { ChainAnswer } from "./embedded-chain.ts";

/**
 * What a client of a chain needs, and nothing by which state could be changed without a signature. Not `eth_*`: anvil
 * has eth_sendUnsignedTransaction among others.
 */
const allowed = new Set([
  "eth_blockNumber",
  "eth_call",
  "eth_chainId",
  "eth_estimateGas",
  "eth_gasPrice",
  "eth_getBalance",
  "eth_getBlockByHash",
  "eth_getBlockByNumber",
  "eth_getCode",
  "eth_getLogs",
  "eth_getProof",
  "eth_getStorageAt",
  "eth_getTransactionByHash",
  "eth_getTransactionCount",
  "eth_getTransactionReceipt",
  "eth_sendRawTransaction",
  "net_version",
  "web3_clientVersion",
]);

/** A transaction of 128 KiB in hexadecimal, and what is around it. */
const maxBodyBytes = 512 * 1024;

const requestSchema = z.object({
  jsonrpc: z.literal("2.0"),
  id: z.union([z.string().max(100), z.number(), z.null()]),
  method: z.string(),
  params: z.array(z.unknown()).default([]),
});

type Handler = (method: string, params: unknown) => Promise<ChainAnswer>;

/** Serves JSON-RPC over HTTP on loopback. Port 0 takes a free one. Throws `port-in-use`. */
export async function serveFront(port: number, handler: Handler): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer({ requestTimeout: 15_000, headersTimeout: 5_000 }, (request, response) => {
    answer(server, request, handler).then(
      ({ status, body }) => reply(response, status, body),
      (error: unknown) => reply(response, 503, fault(null, -32603, describeError(error))),
    );
  });
  server.maxConnections = 256;
  await listen(server, port);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
}

type Reply = { status: number; body: object };

async function answer(server: Server, request: IncomingMessage, handler: Handler): Promise<Reply> {
  if (request.method !== "POST" || fromBrowser(server, request))
    return { status: 403, body: fault(null, -32600, "no") };
  const text = await readBody(request);
  if (text === undefined) return { status: 413, body: fault(null, -32600, "request too large") };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { status: 200, body: fault(null, -32700, "not JSON") };
  }
  const parsed = requestSchema.safeParse(value);
  if (!parsed.success) return { status: 200, body: fault(null, -32600, "not a single JSON-RPC 2.0 request") };
  const { id, method, params } = parsed.data;
  if (!allowed.has(method)) return { status: 200, body: fault(id, -32601, "method not available") };
  const { result, error } = await handler(method, params);
  return { status: 200, body: error === undefined ? { jsonrpc: "2.0", id, result } : { jsonrpc: "2.0", id, error } };
}

/** A web page may send to loopback, and by its own name for it: neither is a client of this chain. */
function fromBrowser(server: Server, { headers }: IncomingMessage): boolean {
  const { port } = server.address() as AddressInfo;
  return headers.origin !== undefined || ![`127.0.0.1:${port}`, `localhost:${port}`].includes(headers.host ?? "");
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maxBodyBytes) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function fault(id: string | number | null, code: number, message: string): object {
  return { jsonrpc: "2.0", id, error: { code, message } };
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      if (errorCode(error) !== "EADDRINUSE") return reject(error);
      reject(
        new PimsError("port-in-use", `port ${port} is in use already`, {
          hint: "give another one with --port",
          cause: error,
        }),
      );
    });
    server.listen(port, "127.0.0.1", resolve);
  });
}
