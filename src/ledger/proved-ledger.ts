import type { Address, Hex } from "viem";
import type { Baseline } from "../baseline/format.ts";
import { ageMs, type Clock, type Instant, instant, rfc3339 } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import {
  CLIQUE_EPOCH,
  CLIQUE_PERIOD_MS,
  endpointsNeeded,
  HOLD_MS,
  isSealed,
  type LedgerConfig,
  SEALED_MAX_AGE_MS,
} from "./config.ts";
import type { ContractName } from "./contract/artifact.ts";
import { LAST_SECOND } from "./contract/baseline-end.ts";
import { identityToHash } from "./contract/identity.ts";
import { agreeOnHeader, type BelievedHeader } from "./header/agree-on-header.ts";
import { CliqueFollower } from "./header/follow-clique.ts";
import { type FollowedStore, followedInMemory } from "./header/followed-chain.ts";
import { type HeightStore, type LedgerHeight, ledgerName } from "./header/ledger-height.ts";
import { AHEAD_MS, readSealedHeader } from "./header/sealed-header.ts";
import { Clients, type LedgerView, viewEndpoints, warningsOf } from "./ledger-view.ts";
import { proveWords } from "./proof/prove-words.ts";
import type { ProvedState } from "./proof/proved-state.ts";
import { ProvedStorage } from "./proof/proved-storage.ts";
import type { ProposalBody } from "./proposal.ts";
import { type ProvedContract, provedContract } from "./proved-contract.ts";
import { rebuildBaseline } from "./rebuild.ts";
import { Endpoints } from "./rpc/endpoints.ts";
import { openRpc } from "./rpc/rpc.ts";
import { readStanding, type Standing } from "./standing.ts";

/** How long an agreed block is read at before a newer one is asked for. */
const AGREED_MS = 1000;
/** Bound of a request for a piece of entry data, up to 200 kB. */
const PIECE_TIMEOUT_MS = 10_000;

export interface LedgerModules {
  readonly clock: Clock;
  readonly heights: HeightStore;
  /** Where is kept how far a Clique chain was followed; without it not beyond this process. */
  readonly followed?: FollowedStore;
  /** Bound of each request, milliseconds. */
  readonly timeoutMs: number;
  /** Is told of endpoints that are left out. */
  readonly report: (text: string) => void;
}

/**
 * The registry as its chain's state has it, by proofs against a block that enough endpoints agree on, or that seals prove: no
 * endpoint's word counts alone, unless there is one only and no seal. Its block never goes back.
 */
export class ProvedLedger {
  readonly #config: LedgerConfig;
  readonly #modules: LedgerModules;
  readonly #endpoints: Endpoints;
  readonly #address: Address;
  readonly #storage: ProvedStorage;
  /** The last question for a block, and when it was begun. */
  #agreed: { readonly header: Promise<BelievedHeader>; readonly at: Instant } | undefined;
  /** The same while it is under way: there is one at a time. */
  #asking: Promise<BelievedHeader> | undefined;
  /** The last one that was believed, and when, milliseconds since 1970 UTC. */
  #believed: { readonly agreed: BelievedHeader; readonly readAt: number } | undefined;
  readonly #clients = new Clients();
  readonly #heights = new Map<string, LedgerHeight>();
  readonly #follower: CliqueFollower | undefined;

  constructor(config: LedgerConfig, modules: LedgerModules) {
    this.#config = config;
    this.#modules = modules;
    this.#endpoints = new Endpoints([config.url, ...(config.witnesses ?? [])], modules);
    this.#address = config.registry.toLowerCase() as Address;
    this.#storage = new ProvedStorage(this.#endpoints, { name: "BaselineRegistry", address: this.#address });
    const { clique, depth = 0 } = config;
    if (clique === undefined) return;
    const { clock, followed = followedInMemory() } = modules;
    const store: FollowedStore = {
      ...(followed.path === undefined ? {} : { path: followed.path }),
      read: (chain) => this.#kept(() => followed.read(chain)),
      write: (chain, text) => this.#kept(() => followed.write(chain, text)),
    };
    const { chainId, checkpoint, epoch = CLIQUE_EPOCH, periodMs = CLIQUE_PERIOD_MS } = clique;
    const rules = { checkpoint, epoch, periodMs };
    this.#follower = new CliqueFollower(this.#endpoints, BigInt(chainId), rules, {
      clock,
      store,
      depth: Number(depth),
    });
  }

  /** What stands for an image, and what proves it. Throws `ledger-unreachable`, `ledger-unverified`, `ledger-no-registry`, `ledger-refused`. */
  async standingOf(identity: string): Promise<Standing & { readonly proved: ProvedState }> {
    const hash = identityToHash(identity);
    const agreed = await this.#agreedHeader();
    const place = { address: this.#address, chainId: agreed.chainId };
    const nodes: Hex[] = [];
    const reading = readStanding(place, hash);
    let step = reading.next();
    while (!step.done) {
      const proved = await this.#storage.words(agreed, step.value);
      nodes.push(...proved.nodes);
      step = reading.next(proved.words);
    }
    const { chainId, header, above = [] } = agreed;
    return { ...step.value, proved: { chainId, contract: this.#address, header, above, nodes } };
  }

  /** Words of another contract on the registry's chain, and what proves them. Throws as `proveWords`. */
  async wordsOf(
    { name, address }: { name: ContractName; address: Address },
    slots: readonly Hex[],
  ): Promise<{ readonly words: readonly Hex[]; readonly proved: ProvedState }> {
    const agreed = await this.#agreedHeader();
    const { words, nodes } = await proveWords(this.#endpoints, agreed, { name, address }, slots);
    const { chainId, header, above = [] } = agreed;
    return { words, proved: { chainId, contract: address, header, above, nodes } };
  }

  /**
   * The registry, or another contract of its chain, at an agreed block of now; with `newer` one that is asked for after this
   * call. That it is this contract is proved with its first words. Throws `ledger-unreachable`, `ledger-unverified`.
   */
  async contract(
    name: ContractName,
    address: Address = this.#address,
    { newer = false } = {},
  ): Promise<ProvedContract> {
    const agreed = await (newer ? this.#newerHeader() : this.#agreedHeader());
    const policy = { isSealed: isSealed(this.#config), depth: this.#config.depth ?? 0 };
    return provedContract(this.#endpoints, agreed, { name, address }, policy);
  }

  /**
   * The baseline that a proposal names, from whichever endpoint has its entries: they must lead to the proposal's
   * data hash and root. Throws as `rebuildBaseline`.
   */
  baselineOf(proposal: ProposalBody): Promise<Baseline> {
    return this.#endpoints.askInTurn(this.#endpoints.all, ({ url }) =>
      rebuildBaseline({ rpc: openRpc(url, PIECE_TIMEOUT_MS), address: this.#address }, proposal),
    );
  }

  /** For all that is asked within a second the same block. */
  #agreedHeader(): Promise<BelievedHeader> {
    const { clock } = this.#modules;
    if (this.#agreed !== undefined && ageMs(clock, this.#agreed.at) < AGREED_MS) return this.#agreed.header;
    return this.#asking ?? this.#ask();
  }

  /** What is under way began earlier; what follows on it serves all who wait. */
  async #newerHeader(): Promise<BelievedHeader> {
    await this.#asking?.catch(() => undefined);
    return this.#asking ?? this.#ask();
  }

  #ask(): Promise<BelievedHeader> {
    const at = instant(this.#modules.clock);
    const header = this.#agree().finally(() => {
      this.#asking = undefined;
    });
    this.#agreed = { header, at };
    this.#asking = header;
    return header;
  }

  async #agree(): Promise<BelievedHeader> {
    const agreed = await this.#believe();
    this.#judgeAge(agreed);
    await this.#neverBack(agreed);
    this.#believed = { agreed, readAt: this.#modules.clock.now() };
    // While they answer: for whoever asks when they do not any more.
    void this.#clients.ask(agreed.by);
    return agreed;
  }

  /** What is known of the ledger now, asked anew where that was not done within a second. */
  async view(): Promise<LedgerView> {
    const [problem] = await Promise.all([
      this.#agreedHeader().then(
        () => null,
        (error: unknown) => {
          if (!(error instanceof PimsError)) throw error;
          return { code: error.code, text: describeError(error) };
        },
      ),
      this.#clients.ask(this.#endpoints.withoutFault()),
    ]);
    const endpoints = viewEndpoints(this.#endpoints, this.#clients);
    return {
      registry: this.#address,
      ...this.#viewBelieved(),
      ...{ problem, holdMs: this.#config.holdMs ?? HOLD_MS, endpoints },
      warnings: warningsOf(this.#config, endpoints),
    };
  }

  #viewBelieved(): Pick<LedgerView, "chainId" | "block" | "belief"> {
    const all = this.#endpoints.all.length;
    const rule = this.#ruleInWords();
    if (this.#believed === undefined) return { chainId: null, block: null, belief: rule };
    const { agreed, readAt } = this.#believed;
    const { number, hash, timestamp } = agreed.header;
    const ageMs = this.#modules.clock.now() - Number(timestamp) * 1000;
    return {
      chainId: `${agreed.chainId}`,
      block: { number: `${number}`, hash, time: timeOf(timestamp), ageMs, readAt: rfc3339(readAt) },
      belief: `${agreed.by.length} of ${all} endpoints showed it, ${rule}`,
    };
  }

  #ruleInWords(): string {
    const { validators, clique } = this.#config;
    if (validators !== undefined)
      return `${validators.kind} seals of ${validators.addresses.length} validators prove it`;
    if (clique !== undefined) return `a Clique chain from block ${clique.checkpoint.number} leads to it`;
    return `${endpointsNeeded(this.#config)} of ${this.#endpoints.all.length} endpoints must have the same block`;
  }

  async #believe(): Promise<BelievedHeader> {
    const { depth = 0, validators, clique } = this.#config;
    if (validators !== undefined) return readSealedHeader(this.#endpoints, validators);
    if (clique !== undefined)
      return this.#follower!.newest(await this.#known(ledgerName(BigInt(clique.chainId), this.#address)));
    return agreeOnHeader(this.#endpoints, { agree: endpointsNeeded(this.#config), depth });
  }

  #judgeAge({ header: { number, timestamp } }: BelievedHeader): void {
    const { maxAgeMs = isSealed(this.#config) ? SEALED_MAX_AGE_MS : undefined } = this.#config;
    const now = this.#modules.clock.now();
    const ofMs = Number(timestamp) * 1000;
    if (maxAgeMs !== undefined && ofMs + maxAgeMs < now)
      throw unverified(
        `the ledger's newest block ${number} is of ${timeOf(timestamp)}, older than 'ledger.maxAgeMs' allows`,
        "see whether the chain still makes blocks, and this machine's clock",
      );
    if (isSealed(this.#config) && ofMs > now + AHEAD_MS)
      throw unverified(
        `the ledger's newest block ${number} is of ${timeOf(timestamp)}, which is yet to come`,
        "see the clocks of the validators and of this machine",
      );
  }

  async #neverBack({ header: { number, hash }, chainId }: BelievedHeader): Promise<void> {
    const ledger = ledgerName(chainId, this.#address);
    const known = await this.#known(ledger);
    if (known !== null && number < known.number)
      throw unverified(
        `the ledger is back at block ${number}, after block ${known.number}`,
        "its endpoints lag or show an old state; look at them",
      );
    if (known !== null && number === known.number && hash !== known.hash)
      throw unverified(
        `the ledger has another block ${number} than before`,
        "its chain was rewritten; a larger 'ledger.depth' waits until blocks are settled",
      );
    this.#heights.set(ledger, { number, hash });
    if (known === null || number > known.number)
      await this.#kept(() => this.#modules.heights.write(ledger, { number, hash }));
  }

  /** What is kept may be of another reader that is ahead; or lost, while this one remembers. */
  async #known(ledger: string): Promise<LedgerHeight | null> {
    const kept = await this.#kept(() => this.#modules.heights.read(ledger));
    const own = this.#heights.get(ledger);
    return own === undefined || (kept !== null && kept.number > own.number) ? kept : own;
  }

  /** Without a memory nothing new is believed: it could be older than what was believed before. */
  async #kept<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof PimsError) throw error;
      throw unverified(`how far the ledger was read cannot be kept (${describeError(error)})`, "make room on the disk");
    }
  }
}

function timeOf(seconds: bigint): string {
  return seconds > LAST_SECOND ? `second ${seconds}` : rfc3339(Number(seconds) * 1000);
}

function unverified(text: string, hint: string): PimsError {
  return new PimsError("ledger-unverified", text, { hint });
}
