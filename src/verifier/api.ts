import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { z } from "zod";
import { describeIssue, MAX_WAIT_MS } from "../attest/api.ts";
import {
  activateRequestSchema,
  enrollRequestSchema,
  inviteRequestSchema,
  revokeRequestSchema,
} from "../attest/enrollment.ts";
import { MAX_EVIDENCE_BYTES, parseEvidence, parseRecordsAhead } from "../attest/evidence.ts";
import { thumbprint } from "../attest/jwt.ts";
import { challengeNonceSchema, orderWishSchema } from "../attest/order.ts";
import { brief } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { LedgerView } from "../ledger/ledger-view.ts";
import type { Enrollment } from "./enrollment.ts";
import { type ExportModules, exportBundle } from "./export-bundle.ts";
import { gatherResults, signEar } from "./gather-results.ts";
import type { Orders } from "./orders.ts";
import type { Verifier } from "./verifier.ts";

const STATUS: Readonly<Record<string, number>> = {
  "not-authorized": 401,
  "host-unknown": 404,
  "container-unknown": 404,
  "boot-unknown": 404,
  "evidence-malformed": 400,
  "request-malformed": 400,
  "host-invalid": 400,
  "quote-invalid": 400,
  "tpm-malformed": 400,
  "ek-untrusted": 403,
  "tpm-uncertified": 403,
  "credential-invalid": 403,
  "host-revoked": 403,
  "host-cloned": 409,
  "tpm-changed": 409,
  "records-refused": 409,
  "records-too-many": 413,
  "orders-full": 429,
  "no-evidence": 409,
  "results-busy": 503,
  "bundle-too-large": 413,
};

const hostParameter = z.object({ host: z.string().max(63) });
const recordsQuery = z.object({ from: z.coerce.number().int().min(0).default(0), boot: z.uuid().optional() });
const wantedQuery = z.object({
  waitMs: z.coerce.number().int().min(0).max(MAX_WAIT_MS).default(0),
  challenge: challengeNonceSchema.optional(),
});
const waitQuery = z.object({ waitMs: z.coerce.number().int().min(0).max(MAX_WAIT_MS).default(0) });

export interface ApiOptions {
  /** One sentence for the operator. */
  readonly report?: (text: string) => void;
  /** What signed results and bundles are made of; without it there are none. */
  readonly results?: ExportModules;
  /** What is known of the ledger. */
  readonly ledger?: () => Promise<LedgerView>;
  /** Orders to agents; without it there are none. */
  readonly orders?: Orders;
  /** How hosts reach it, with its pin. */
  readonly publicAddress?: string | undefined;
  readonly tls?: { readonly key: string; readonly certificate: string } | undefined;
}

/** A stranger's half handshake is not waited for. */
const TLS = { minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"], handshakeTimeout: 10_000 } as const;

/**
 * The verifier's HTTP interface. Agents show their host's token; enrolling takes a join token, deciding on hosts and asking
 * for an attestation the operator's. None of the three is any of the others. Reading verdicts takes none, so the service
 * listens on loopback unless it is told otherwise. With `tls` it speaks TLS 1.3 and nothing else.
 */
export function buildApi(verifier: Verifier, enrollment: Enrollment, options: ApiOptions = {}): FastifyInstance {
  const { report = () => {}, tls, results, orders } = options;
  const app: FastifyInstance = Fastify({
    bodyLimit: MAX_EVIDENCE_BYTES,
    forceCloseConnections: true,
    requestTimeout: 120_000,
    frameworkErrors: (error, _request, reply) => void answerError(error, reply, report),
    ...(tls === undefined ? {} : { https: { key: tls.key, cert: tls.certificate, ...TLS } }),
  });

  app.setErrorHandler((error, _request, reply) => answerError(error, reply, report));
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: "not-found", text: `there is no ${request.method} ${request.url.slice(0, 100)}` }),
  );

  const hostOf = (request: FastifyRequest): string => parse(hostParameter, request.params).host;
  // Who asks is checked before a body is read, so that a stranger's costs nothing.
  const byHost = {
    async onRequest(request: FastifyRequest) {
      if (!verifier.isHostToken(hostOf(request), bearer(request))) throw notAuthorized("the host's token");
    },
  };
  const byOperator = {
    async onRequest(request: FastifyRequest) {
      if (!enrollment.isOperatorToken(bearer(request))) throw notAuthorized("the operator's token");
    },
  };
  const byJoiner = {
    async onRequest(request: FastifyRequest) {
      if (!enrollment.mayJoin(bearer(request)))
        throw notAuthorized("a join token that is not used up and has not expired");
    },
  };

  app.post("/v1/hosts", byJoiner, async (request) =>
    enrollment.challenge(bearer(request), parse(enrollRequestSchema, request.body)),
  );
  app.post("/v1/hosts/:host/activate", byJoiner, async (request) => {
    const answer = parse(activateRequestSchema, request.body);
    return { token: enrollment.activate(bearer(request), hostOf(request), answer) };
  });
  app.post("/v1/invitations", byOperator, async (request) => {
    const invitation = enrollment.invite(parse(inviteRequestSchema, request.body));
    return { ...invitation, verifier: options.publicAddress ?? null };
  });
  app.post("/v1/hosts/:host/revoke", byOperator, async (request) => {
    const host = hostOf(request);
    verifier.refuseTpm(host, "host-revoked", parse(revokeRequestSchema, request.body).text);
    return { revoked: host };
  });
  app.post("/v1/hosts/:host/nonce", byHost, (request) => verifier.nonce(hostOf(request)));
  app.post("/v1/hosts/:host/records", byHost, (request) => {
    const { from, records } = parseRecordsAhead(request.body);
    return { next: verifier.stage(hostOf(request), from, records) };
  });
  app.post("/v1/hosts/:host/evidence", byHost, (request) =>
    verifier.appraise(hostOf(request), parseEvidence(request.body)),
  );
  app.get("/v1/hosts/:host/wanted", byHost, async (request, reply) => {
    const { waitMs, challenge } = parse(wantedQuery, request.query);
    const [host, gone] = [hostOf(request), whenGone(reply)];
    const takes = orders !== undefined && challenge !== undefined;
    const wanted = await verifier.waitForWanted(host, waitMs, gone, () => takes && orders.isWaiting(host));
    // Handed out once, so not to somebody who has hung up.
    return { wanted, order: takes && !gone.aborted ? orders.take(host, challenge) : null };
  });
  app.post("/v1/hosts/:host/attest", byOperator, async (request, reply) => {
    const host = hostOf(request);
    const { waitMs } = parse(waitQuery, request.query);
    const outcome = await verifier.attestNow(host, waitMs, whenGone(reply));
    return { schema: "pims.attest/v1", outcome, host: await verifier.reportHost(host) };
  });
  if (orders !== undefined) {
    app.get("/v1/orders-key", async () => ({ key: orders.publicKey }));
    app.post("/v1/hosts/:host/orders", byOperator, (request, reply) => {
      const host = hostOf(request);
      const { waitMs } = parse(waitQuery, request.query);
      const wish = parse(orderWishSchema, request.body);
      verifier.checkLiving(host, wish.container);
      const answer = orders.place(host, wish, AbortSignal.any([AbortSignal.timeout(waitMs), whenGone(reply)]));
      verifier.wake(host);
      return answer;
    });
  }
  app.get("/v1/hosts/:host/records", (request) => {
    const { from, boot } = parse(recordsQuery, request.query);
    return { records: verifier.records(hostOf(request), from, boot) };
  });
  if (results !== undefined) {
    app.get("/v1/hosts/:host/ear", async (request) => {
      const ear = signEar(await gatherResults(hostOf(request), results), results);
      return { schema: "pims.ear/v1", ear };
    });
    app.get("/v1/hosts/:host/bundle", byOperator, async (request, reply) =>
      reply.type("application/json").send(await exportBundle(hostOf(request), results)),
    );
    const { jwk } = results.key;
    app.get("/v1/keys", async () => ({ keys: [{ ...jwk, kid: thumbprint(jwk), alg: "ES256", use: "sig" }] }));
  }
  app.get("/v1/hosts/:host/platform", async (request) => {
    const host = hostOf(request);
    const { tpm, notice, boots } = await verifier.reportHost(host);
    return { schema: "pims.host-platform/v1", host, tpm, notice, boots, platform: verifier.platform(host) };
  });
  app.get("/v1/hosts/:host", (request) => verifier.reportHost(hostOf(request)));
  app.get("/v1/status", async () => {
    const [hosts, ledger] = await Promise.all([verifier.report(), options.ledger?.() ?? null]);
    return { schema: "pims.status/v1", hosts, ledger };
  });
  return app;
}

/** Aborted when the client hangs up, so that nothing waits for nobody. */
function whenGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on("close", () => gone.abort());
  return gone.signal;
}

/** One sentence and a code, whatever was thrown. */
function answerError(error: unknown, reply: FastifyReply, report: (text: string) => void): FastifyReply {
  if (error instanceof PimsError)
    return reply.code(STATUS[error.code] ?? 500).send({ error: error.code, text: describeError(error) });
  const status = (error as { statusCode?: number }).statusCode ?? 500;
  const text = brief(describeError(error));
  // Nobody foresaw it, so the operator hears of it too.
  if (status >= 500) report(`a request failed: ${text}`);
  return reply.code(status).send({ error: status < 500 ? "request-malformed" : "internal", text });
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PimsError("request-malformed", `the request is malformed (${describeIssue(parsed.error)})`);
}

function bearer(request: FastifyRequest): string {
  return /^Bearer ([0-9a-f]{64})$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
}

function notAuthorized(what: string): PimsError {
  return new PimsError("not-authorized", `the request does not show ${what}`);
}
