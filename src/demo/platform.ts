import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentConfig } from "../agent/config.ts";
import { invite, readOperatorToken, writeJoinFile } from "../attest/operator.ts";
import { buildFromArchive, buildFromFolder } from "../baseline/build.ts";
import type { Baseline } from "../baseline/lines.ts";
import { PimsError } from "../core/errors.ts";
import { approveBaseline } from "../ledger/approve.ts";
import type { LedgerConfig } from "../ledger/config.ts";
import { deployRegistry } from "../ledger/deploy.ts";
import { type RunningChain, startAnvil } from "../ledger/embedded/anvil.ts";
import { createKey, type LedgerKey } from "../ledger/keys/keys.ts";
import { proposeBaseline } from "../ledger/propose.ts";
import { readBaseline } from "../ledger/read-baseline.ts";
import { revokeBaseline } from "../ledger/revoke.ts";
import { LOG_FILE, LOG_FOLDER } from "../log/measurement-log.ts";
import { pcrReset } from "../tpm/commands/pcr-reset.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { openTpm } from "../tpm/tpm.ts";
import { OPERATOR_TOKEN_FILE } from "../verifier/config.ts";
import type { DemoRuntime } from "./containers.ts";
import type { RootImage } from "./images.ts";
import { type PimsProcess, startPims } from "./pims-process.ts";
import { VerifierView } from "./verifier-view.ts";

const PCR = 13;
/** Resettable by anyone, for debugging: so a demo on the host's own TPM leaves no mark and can be run again. */
const DEBUG_PCR = 16;
const READY_MS = 30_000;

/** Everything of PIMS that the demo runs on this machine, each the real thing, and how to end it. */
export class Platform {
  readonly folder: string;
  readonly host: string;
  readonly #closing: (() => Promise<void>)[] = [];
  #agent: PimsProcess | undefined;
  #chain: RunningChain | undefined;
  #publishers: readonly [LedgerKey, LedgerKey] | undefined;
  #ledger: LedgerConfig | undefined;
  #view: VerifierView | undefined;
  tpmAddress = "";
  pcr = PCR;

  constructor(folder: string) {
    this.folder = folder;
    this.host = `demo-${randomBytes(3).toString("hex")}`;
  }

  /** Folder of the agent's log and the file in it. */
  get logFolder(): string {
    return join(this.folder, "agent", LOG_FOLDER);
  }

  get logPath(): string {
    return join(this.logFolder, LOG_FILE);
  }

  get verifierState(): string {
    return join(this.folder, "verifier");
  }

  get ledger(): LedgerConfig {
    return this.#ledger ?? notYet("chain");
  }

  get view(): VerifierView {
    return this.#view ?? notYet("verifier");
  }

  async startTpm(kind: "swtpm" | "device"): Promise<void> {
    if (kind === "device") {
      this.tpmAddress = "device";
      this.pcr = DEBUG_PCR;
      const tpm = await openTpm(this.tpmAddress);
      try {
        await pcrReset(tpm, this.pcr);
      } finally {
        await tpm.close();
      }
      return;
    }
    const swtpm = await startSwtpm({ folder: join(this.folder, "tpm") });
    this.#closing.push(() => swtpm.stop());
    this.tpmAddress = swtpm.address;
  }

  /** The chain, with keys made for this run, and the registry. The deployer is no publisher. */
  async startLedger(settings: Partial<LedgerConfig> = {}): Promise<void> {
    const chain = await startAnvil({ folder: join(this.folder, "ledger") });
    this.#chain = chain;
    this.#closing.push(() => this.stopLedger());
    const publishers = [createKey(), createKey()] as const;
    const { address } = await deployRegistry({
      url: chain.url,
      deployerKey: createKey(),
      publishers: publishers.map(({ address }) => address),
      quorum: 2,
    });
    this.#publishers = publishers;
    this.#ledger = { ...settings, url: chain.url, registry: address };
  }

  async stopLedger(): Promise<void> {
    await this.#chain?.stop();
    this.#chain = undefined;
  }

  /** Builds the baseline from the image as the runtime has it, one publisher proposes it, the other approves it. */
  async publishBaseline(runtime: DemoRuntime, image: RootImage): Promise<Baseline> {
    const provided = await runtime.provideImage(image);
    const baseline =
      provided.archive === null
        ? await buildFromFolder({
            root: image.rootfs,
            name: image.name,
            entrypoint: image.entrypoint,
            ports: image.ports ?? [],
          })
        : (await buildFromArchive(await provided.archive(), { name: image.name })).baseline;
    const { identity } = baseline.header;
    if (provided.identity !== null && provided.identity !== identity)
      throw new PimsError(
        "demo-failed",
        `the image ${image.name} is ${provided.identity} to its runtime and ${identity} in its archive`,
      );
    const [proposer, approver] = this.#publishers ?? notYet("chain");
    const { id } = await proposeBaseline({ ...this.ledger, key: proposer, lines: baseline.lines });
    const before = await readBaseline({ ...this.ledger, identity });
    if (before.status === "approved")
      throw new PimsError("demo-failed", "what one publisher signed is taken for a baseline");
    await approveBaseline({ ...this.ledger, key: approver, id, expected: { baseline, from: "the demo" } });
    return baseline;
  }

  /** One publisher takes back what is approved for an image. */
  async revokeBaseline(identity: string): Promise<void> {
    const [publisher] = this.#publishers ?? notYet("chain");
    const found = await readBaseline({ ...this.ledger, identity });
    if (found.status !== "approved") throw new PimsError("demo-failed", "there is nothing to revoke");
    await revokeBaseline({ ...this.ledger, key: publisher, id: found.proposal.id });
  }

  async startVerifier(): Promise<void> {
    const config = join(this.folder, "verifier.json");
    await writeFile(
      config,
      JSON.stringify({
        state: this.verifierState,
        listen: { port: 0 },
        ledger: this.ledger,
        pcr: this.pcr,
        staleAfterMs: 15_000,
      }),
    );
    const verifier = startPims(["verifier", "run", "--config", config]);
    this.#closing.push(() => verifier.stop());
    const [, address] = await verifier.waitFor(/listens on (\S+)/, READY_MS);
    this.#view = new VerifierView(address!, this.host);
  }

  /** Decides as an operator that this host may come, once. Returns the path of its join file. */
  async invite(): Promise<string> {
    const path = join(this.folder, "join.json");
    const token = await readOperatorToken(join(this.verifierState, OPERATOR_TOKEN_FILE));
    // A software TPM without a maker: the demo decides that it will do.
    const wish = { host: this.host, uncertified: true, anew: false, uses: 1, hours: 1 };
    await writeJoinFile(path, await invite({ address: this.view.address, token }, wish));
    return path;
  }

  /** Starts the agent, or starts it again on the log that it left. It may act on containers whose name matches `actOn`. */
  async startAgent(
    actOn: string,
    changes: Partial<AgentConfig> = {},
    onLine?: (line: string) => void,
  ): Promise<PimsProcess> {
    const config = join(this.folder, "agent.json");
    const content: Partial<Omit<AgentConfig, "ledger">> & { ledger: LedgerConfig } = {
      host: this.host,
      state: join(this.folder, "agent"),
      tpm: this.tpmAddress,
      pcr: this.pcr,
      verifier: { joinFile: await this.invite(), pins: [] },
      sweepIntervalMs: 1000,
      attestIntervalMs: 2000,
      policy: {
        actions: { "code-modified": "pause", "unknown-executable": "pause", "preload-injection": "pause" },
        containers: [actOn],
        orders: ["pause", "resume", "kill"],
        maxActionsPerMinute: 10,
        starts: [],
        listeners: [],
      },
      ...changes,
      ledger: this.ledger,
    };
    await writeFile(config, JSON.stringify(content));
    this.#agent = startPims(["agent", "run", "--config", config], onLine);
    await this.#agent.waitFor(/the agent watches/, READY_MS);
    return this.#agent;
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
  }

  /** A folder of its own for the part of the demo that plays the attacker. */
  async scratch(name: string): Promise<string> {
    const folder = join(this.folder, name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Ends all of it, last started first. */
  async close(): Promise<void> {
    await this.stopAgent();
    for (const close of this.#closing.splice(0).reverse()) await close();
  }
}

function notYet(what: string): never {
  throw new PimsError("demo-failed", `the ${what} was not started`);
}
