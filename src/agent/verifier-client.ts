import type { z } from "zod";
import {
  type NonceAnswer,
  nonceAnswerSchema,
  outcomeSchema,
  stagedAnswerSchema,
  type WantedAnswer,
  wantedAnswerSchema,
} from "../attest/api.ts";
import { type Enrollable, enrollHost } from "../attest/enroll-host.ts";
import { type Evidence, splitEvidence } from "../attest/evidence.ts";
import { requestJson } from "../attest/http.ts";
import { ordersKeySchema } from "../attest/order.ts";

const TIMEOUT_MS = 30_000;

/**
 * The agent's side of the interface of the verifier at an address (`parseVerifierAddress`). Throws what `requestJson` throws.
 */
export class VerifierClient {
  readonly #address: string;
  readonly #host: string;
  #token = "";

  constructor(address: string, host: string) {
    this.#address = address;
    this.#host = host;
  }

  /** The token that the host was given when it was enrolled. */
  useToken(token: string): void {
    this.#token = token;
  }

  /** Enrolls the host under a join token, and gives its own token. */
  enroll(tpm: Enrollable, token: string): Promise<string> {
    return enrollHost(this.#address, this.#host, tpm, token);
  }

  nonce(): Promise<NonceAnswer> {
    return this.#request("POST", `/v1/hosts/${this.#host}/nonce`, nonceAnswerSchema, { body: {} });
  }

  /** Sends evidence, with records ahead of it when there are more than one message takes. */
  async evidence(evidence: Evidence): Promise<z.infer<typeof outcomeSchema>> {
    const { ahead, last } = splitEvidence(evidence);
    const path = `/v1/hosts/${this.#host}`;
    for (const body of ahead) await this.#request("POST", `${path}/records`, stagedAnswerSchema, { body });
    return this.#request("POST", `${path}/evidence`, outcomeSchema, { body: last });
  }

  /** Comes back when the verifier wants evidence now or has an order that answers this challenge, and after `waitMs`. */
  wanted(waitMs: number, signal: AbortSignal, challenge?: string): Promise<WantedAnswer> {
    const asked = challenge === undefined ? "" : `&challenge=${challenge}`;
    const path = `/v1/hosts/${this.#host}/wanted?waitMs=${waitMs}${asked}`;
    return this.#request("GET", path, wantedAnswerSchema, { signal, timeoutMs: waitMs + TIMEOUT_MS });
  }

  /** The key with which the verifier signs orders: SubjectPublicKeyInfo in base64. */
  async ordersKey(): Promise<string> {
    return (await this.#request("GET", "/v1/orders-key", ordersKeySchema, {})).key;
  }

  #request<T>(
    method: "GET" | "POST",
    path: string,
    schema: z.ZodType<T>,
    options: { body?: unknown; token?: string; signal?: AbortSignal; timeoutMs?: number },
  ): Promise<T> {
    return requestJson(this.#address, path, schema, {
      method,
      token: this.#token,
      timeoutMs: TIMEOUT_MS,
      ...options,
    });
  }
}
