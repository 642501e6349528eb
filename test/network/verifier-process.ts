import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { requestJson } from "../../src/attest/http.ts";
import { hostReportSchema, statusSchema } from "../../src/attest/report.ts";
import { type PimsProcess, startPims } from "../../src/demo/pims-process.ts";
import type { LedgerConfig } from "../../src/ledger/config.ts";
import { ATTESTER } from "./attester.ts";
import type { Answers, Source } from "./watch.ts";
import type { Host } from "./wire.ts";

const READY_MS = 60_000;
/** A verifier whose ledger is cut off looks for ten seconds before it says that. */
const LOOK_MS = 30_000;

/** `pims verifier run` on a host of the network, which reads the ledger over the wire. */
export class VerifierProcess implements Source {
  readonly name: string;
  readonly folder: string;
  readonly host: Host;
  /** What it has said. */
  readonly said: string[] = [];
  readonly #onLine: (line: string) => void;
  #process: PimsProcess | undefined;
  #address = "";

  constructor(host: Host, folder: string, onLine: (line: string) => void) {
    this.name = host.name;
    this.folder = join(folder, host.name);
    this.host = host;
    this.#onLine = (line) => {
      this.said.push(line);
      onLine(line);
    };
  }

  get address(): string {
    return this.#address;
  }

  async start(ledger: LedgerConfig): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const config = join(this.folder, "verifier.json");
    const settings = {
      state: join(this.folder, "state"),
      listen: { host: this.host.control, port: 0 },
      ledger,
      // What gets old here is the ledger's word only.
      staleAfterMs: 3_600_000,
      enrollment: { uncertified: true },
    };
    await writeFile(config, JSON.stringify(settings));
    this.#process = startPims(["verifier", "run", "--config", config], this.#onLine, this.host.within);
    const [, address] = await this.#process.waitFor(/listens on (\S+)/, READY_MS);
    this.#address = address!;
  }

  async look(): Promise<Answers> {
    const answers: Answers = new Map();
    const options = { method: "GET", timeoutMs: LOOK_MS } as const;
    const { containers } = await requestJson(this.#address, `/v1/hosts/${ATTESTER}`, hostReportSchema, options);
    for (const { container, status, reasons } of containers) {
      const [why] = reasons;
      const text = why === undefined ? status : `${status}, ${why.reason}: ${why.text}`;
      answers.set(container.name ?? "", { word: status === "trusted" ? "approved" : wordOf(why?.reason), text });
    }
    return answers;
  }

  /** Why it leaves an endpoint out, null while it does not. */
  async faultOf(url: string): Promise<string | null> {
    const options = { method: "GET", timeoutMs: LOOK_MS } as const;
    const { ledger } = await requestJson(this.#address, "/v1/status", statusSchema, options);
    const found = ledger?.endpoints.find(({ endpoint }) => endpoint.includes(new URL(url).host));
    if (found === undefined) throw new Error(`${this.name} does not know ${url}`);
    return found.fault?.text ?? null;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }
}

function wordOf(reason: string | undefined) {
  if (reason === "ledger-unverified") return "unverified";
  return reason === "baseline-revoked" ? "revoked" : "unapproved";
}
