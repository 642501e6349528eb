import { type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";
import { errorCode, PimsError } from "../core/errors.ts";

/** Where a Docker Engine listens. */
export interface DockerAddress {
  readonly socketPath: string;
}

export interface DockerRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE" | "HEAD";
  /** Path and query, already encoded. */
  readonly path: string;
  /** An object is sent as JSON, a stream as a tar archive. */
  readonly body?: object | Readable;
  /** How long the engine may be silent. */
  readonly timeoutMs?: number;
}

const maxAnswerBytes = 16 << 20;
const defaultTimeoutMs = 10_000;

/** The engine of this machine, or the one that DOCKER_HOST names. Throws `docker-unreachable` for one that is not a unix socket. */
export function dockerAddress(host: string | undefined = process.env.DOCKER_HOST): DockerAddress {
  if (!host) return { socketPath: "/var/run/docker.sock" };
  if (host.startsWith("unix:///")) return { socketPath: host.slice("unix://".length) };
  throw new PimsError("docker-unreachable", `DOCKER_HOST is ${host}, which is not on this machine`, {
    hint: "PIMS measures the containers of its own host; set DOCKER_HOST to unix:///PATH or unset it",
  });
}

/**
 * One request to the Docker Engine API; the answer's body is left to the caller. Status 404 is thrown as
 * `docker-not-found`, any other above 399 as `docker-refused` with the engine's words, no connection or no answer in
 * time as `docker-unreachable`.
 */
export async function dockerStream(address: DockerAddress, options: DockerRequest): Promise<IncomingMessage> {
  const response = await send(address, options);
  const status = response.statusCode ?? 0;
  if (status < 400) return response;
  const text = options.method === "HEAD" ? "" : await collect(response);
  throw new PimsError(
    status === 404 ? "docker-not-found" : "docker-refused",
    `Docker says: ${complaint(text, status)}`,
  );
}

/** Like `dockerStream`, with the answer's body parsed as JSON (null when it is empty). Its shape is the caller's to check. */
export async function dockerJson(address: DockerAddress, options: DockerRequest): Promise<unknown> {
  const text = await dockerText(address, options);
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PimsError("docker-answer", `Docker answered ${options.path} with something that is not JSON`, { cause });
  }
}

/** Like `dockerStream`, with the answer's body as text of at most 16 MiB, all of it within `timeoutMs`. */
export async function dockerText(address: DockerAddress, options: DockerRequest): Promise<string> {
  const response = await dockerStream(address, options);
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const late = setTimeout(() => response.destroy(new Error(`no end within ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    return await collect(response);
  } catch (error) {
    throw error instanceof PimsError ? error : unreachable(address, error);
  } finally {
    clearTimeout(late);
  }
}

function send(address: DockerAddress, options: DockerRequest): Promise<IncomingMessage> {
  const { method, path, body } = options;
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const stream = body !== undefined && isReadable(body) ? body : undefined;
  const json = body !== undefined && !stream ? JSON.stringify(body) : undefined;
  const headers = {
    Host: "docker",
    ...(stream ? { "Content-Type": "application/x-tar" } : {}),
    ...(json === undefined ? {} : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(json) }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({
      socketPath: address.socketPath,
      method,
      path,
      headers,
      timeout: timeoutMs,
      agent: false,
    });
    const fail = (error: unknown): void => {
      stream?.destroy();
      reject(unreachable(address, error));
    };
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    outgoing.on("error", fail);
    outgoing.on("response", resolve);
    if (!stream) return void outgoing.end(json);
    stream.on("error", (error) => outgoing.destroy(error));
    stream.pipe(outgoing);
  });
}

async function collect(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new PimsError("docker-answer", "Docker's answer is larger than 16 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function complaint(text: string, status: number): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed)
      return String(parsed.message).slice(0, 500);
  } catch {
    // Not JSON: the status must do.
  }
  return `status ${status}`;
}

function unreachable(address: DockerAddress, cause: unknown): PimsError {
  const why = errorCode(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new PimsError("docker-unreachable", `no Docker Engine answers at ${address.socketPath} (${why})`, {
    hint: "start dockerd, or set DOCKER_HOST to unix:///PATH of its socket",
    cause,
  });
}

function isReadable(body: object): body is Readable {
  return "pipe" in body;
}
