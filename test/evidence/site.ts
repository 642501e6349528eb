// A verifier behind its real interface, and hosts with real TPMs that give it evidence over a socket.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { FastifyInstance } from "fastify";
import type { Evidence } from "../../src/attest/evidence.ts";
import { codeEvent, startEvent } from "../../src/attest/sample-events.ts";
import { TestHost } from "../../src/attest/testing.ts";
import type { LogEvent } from "../../src/log/event.ts";
import { buildApi } from "../../src/verifier/api.ts";
import { Bench, listed, TPM, web } from "../../src/verifier/testing.ts";

export interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

/** A host that is enrolled under a name. */
export interface SiteHost {
  readonly name: string;
  readonly host: TestHost;
  readonly token: string;
}

export class Site {
  readonly bench: Bench;
  #app: FastifyInstance | undefined;
  #url = "";

  private constructor(bench: Bench) {
    this.bench = bench;
  }

  static async start(t: TestContext): Promise<Site> {
    const site = new Site(await Bench.open(t));
    t.after(() => site.#app?.close());
    await site.#listen();
    return site;
  }

  get url(): string {
    return this.#url;
  }

  /** The verifier ends and starts again on what it stored. */
  async restart(): Promise<void> {
    await this.#app?.close();
    this.bench.restart();
    await this.#listen();
  }

  async #listen(): Promise<void> {
    this.#app = buildApi(this.bench.verifier, this.bench.enrollment());
    this.#url = await this.#app.listen({ host: "127.0.0.1", port: 0 });
  }

  /** Enrolls a host of its own TPM, with one container that its first evidence makes trusted. */
  async enroll(t: TestContext, name: string, given?: TestHost): Promise<SiteHost> {
    const host = given ?? (await TestHost.start(t));
    const ekName = `000b${Buffer.from(name).toString("hex").padEnd(64, "0")}`;
    const member = { name, host, token: this.bench.verifier.enroll(name, host.akPublic, { ...TPM, ekName }) };
    await this.prove(member, startEvent(web), codeEvent(web, listed));
    assert.equal(await this.standing(member), "trusted");
    return member;
  }

  async ask(path: string, token: string, body: string | Uint8Array<ArrayBuffer>): Promise<Answer> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(`${this.url}${path}`, { method: "POST", headers, body });
    return { status: answer.status, json: (await answer.json()) as Answer["json"] };
  }

  async nonce({ name, token }: SiteHost): Promise<{ nonce: string; from: number }> {
    const { status, json } = await this.ask(`/v1/hosts/${name}/nonce`, token, "{}");
    assert.equal(status, 200, JSON.stringify(json));
    return { nonce: String(json.nonce), from: Number(json.from) };
  }

  /** Evidence as an honest agent makes it, of these events and a sweep. */
  async evidence(member: SiteHost, ...events: LogEvent[]): Promise<Evidence> {
    const { nonce, from } = await this.nonce(member);
    return member.host.answer(nonce, from, ...events);
  }

  /** `accepted`, the reason of a refusal, or the error of a request that is none. */
  async send({ name, token }: SiteHost, evidence: Evidence): Promise<string> {
    const { json } = await this.ask(`/v1/hosts/${name}/evidence`, token, JSON.stringify(evidence));
    return json.accepted === true ? "accepted" : String(json.reason ?? json.error);
  }

  /** Honest evidence, which must be accepted. */
  async prove(member: SiteHost, ...events: LogEvent[]): Promise<void> {
    assert.equal(await this.send(member, await this.evidence(member, ...events)), "accepted");
  }

  /** What an operator sees of the host's only container. */
  async standing({ name }: SiteHost): Promise<string> {
    const { containers } = await this.bench.verifier.reportHost(name);
    return containers[0]?.status ?? "none";
  }

  /** Evidence that nobody may accept: it is refused, proves nothing, and leaves nothing trusted. */
  async refuses(member: SiteHost, evidence: Evidence, reason: string | RegExp, what = ""): Promise<void> {
    const before = this.bench.verifier.records(member.name, 0);
    const found = await this.send(member, evidence);
    if (typeof reason === "string") assert.equal(found, reason, what);
    else assert.match(found, reason, what);
    assert.deepEqual(this.bench.verifier.records(member.name, 0), before, "what was proved is what it was");
    assert.notEqual(await this.standing(member), "trusted", what);
  }
}
