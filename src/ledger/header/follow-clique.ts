import { numberToHex } from "viem";
import type { Clock } from "../../core/clock.ts";
import { PimsError } from "../../core/errors.ts";
import type { Endpoints, Told } from "../rpc/endpoints.ts";
import { garbage, type Rpc } from "../rpc/rpc.ts";
import { type BelievedHeader, leaveOutBehind, MAX_LAG, nothingProved } from "./agree-on-header.ts";
import type { Header } from "./block-header.ts";
import {
  type CliqueBlock,
  type CliqueRules,
  type CliqueSnapshot,
  follow,
  settledIn,
  startFrom,
} from "./clique-snapshot.ts";
import { type FollowedStore, readSnapshot, writeSnapshot } from "./followed-chain.ts";
import type { LedgerHeight } from "./ledger-height.ts";
import { accuse, readHead, readHeader } from "./read-header.ts";
import { AHEAD_MS } from "./sealed-header.ts";

/** Headers that are asked for at the same time. */
const BATCH = 32n;
/** Bounds of one lookup: so many headers of one endpoint, and so long. What is followed is kept for the next. */
const MAX_HEADERS = 2048n;
const FOLLOW_MS = 4000;
/** Bound of blocks that are not settled and not checked again, of all endpoints. */
const MAX_SEEN = 4 * 2048;
/** How many blocks a restart follows again at most. */
const KEEP_EVERY = 32n;

/** What an endpoint has above the settled block. */
interface Walk {
  readonly rpc: Rpc;
  readonly head: Header;
  readonly base: Header;
  readonly blocks: CliqueBlock[];
  readonly difficulty: bigint;
  readonly isWhole: boolean;
}

/**
 * Follows a Clique chain from its checkpoint, by its own rules, whoever brings the headers. What more than half of the
 * signers have built on is settled and never left again.
 */
export class CliqueFollower {
  readonly #endpoints: Endpoints;
  readonly #chainId: bigint;
  readonly #rules: CliqueRules;
  readonly #depth: number;
  readonly #clock: Clock;
  readonly #store: FollowedStore;
  /** The chain's name in the store. */
  readonly #name: string;
  #settled: CliqueSnapshot | undefined;
  #keptAt: bigint | undefined;
  /** Blocks above the settled one that were found right before. */
  #seen = new Map<string, CliqueBlock>();

  constructor(
    endpoints: Endpoints,
    chainId: bigint,
    rules: CliqueRules,
    { depth, clock, store }: { depth: number; clock: Clock; store: FollowedStore },
  ) {
    this.#endpoints = endpoints;
    this.#chainId = chainId;
    this.#rules = rules;
    this.#depth = depth;
    this.#clock = clock;
    this.#store = store;
    this.#name = `clique ${rules.checkpoint.number} ${rules.checkpoint.hash.toLowerCase()} ${rules.epoch}`;
  }

  /**
   * The newest settled block of the heaviest chain. `known`: the highest block that was believed before, which must lie on
   * it. Throws `ledger-unreachable`, and `ledger-unverified`, also while the chain's end is yet to be reached.
   */
  async newest(known: LedgerHeight | null): Promise<BelievedHeader> {
    const endpoints = this.#endpoints;
    const right = endpoints.withoutFault();
    const best =
      (await this.#walkAll(right, known)) ??
      (right.length < endpoints.all.length ? await this.#walkAll(endpoints.all, known) : null);
    if (best === null)
      throw this.#nameKept(
        nothingProved(endpoints, "none of the ledger's endpoints shows a chain from the checkpoint"),
      );
    return best;
  }

  /** What is kept is believed, so it may be what is wrong. */
  #nameKept(error: PimsError): PimsError {
    const { path } = this.#store;
    if (path === undefined || this.#settled === undefined || error.code === "ledger-unreachable") return error;
    const hint = `look at the endpoints, and ask the chain's signers; where they are right, see who wrote ${path}, which says how far the chain was followed, and remove it`;
    return new PimsError(error.code, error.message, { hint, cause: error });
  }

  async #walkAll(rpcs: readonly Rpc[], known: LedgerHeight | null): Promise<BelievedHeader | null> {
    const endpoints = this.#endpoints;
    const heads = await endpoints.ask(rpcs, 1, (rpc) => readHead(rpc, this.#chainId));
    if (heads.length === 0) return null;
    const base = await this.#start(heads.map(({ rpc }) => rpc));
    if (base === null) return null;
    const untilMs = this.#clock.monotonicMs() + FOLLOW_MS;
    const walks = (await Promise.all(heads.map((head) => this.#walk(head, base, untilMs)))).filter(
      (walk) => walk !== null,
    );
    if (walks.length === 0) {
      for (const { rpc, value } of heads) leaveOutBehind(endpoints, rpc, value.number, base.number, 0n);
      return null;
    }
    const best = walks.reduce((a, b) => (b.difficulty > a.difficulty ? b : a));
    this.#refuseTwoSettled(walks, best);
    const other = best.blocks.find(({ header }) => header.number === known?.number);
    if (known !== null && other !== undefined && other.header.hash !== known.hash)
      throw twoSettled(
        { number: known.number, hash: known.hash, at: "was settled before" },
        { ...other.header, at: best.rpc.name },
      );
    const header = await this.#settle(best);
    for (const { rpc } of walks) endpoints.isRight(rpc);
    for (const { rpc, value } of heads) leaveOutBehind(endpoints, rpc, value.number, header.number);
    this.#judgeEnd(walks, best);
    const by = walks.filter((walk) => blockAt(walk, header.number)?.hash === header.hash).map(({ rpc }) => rpc);
    const others = walks.map(({ rpc }) => rpc).filter((rpc) => !by.includes(rpc));
    return { header, chainId: this.#chainId, by, others, above: settling(best, header) };
  }

  /** The settled block that is gone on from: the last one, the kept one, or the checkpoint. */
  async #start(rpcs: readonly Rpc[]): Promise<CliqueSnapshot | null> {
    if (this.#settled !== undefined) return this.#settled;
    const kept = await this.#store.read(this.#name);
    if (kept !== null) {
      this.#settled = readSnapshot(kept, this.#store.path);
      this.#keptAt = this.#settled.number;
      return this.#settled;
    }
    const block = numberToHex(this.#rules.checkpoint.number);
    const starts = await this.#endpoints.ask(rpcs, 1, async (rpc) => {
      const header = await readHeader(rpc, block);
      return accuse(rpc, () => startFrom(header, this.#rules));
    });
    this.#settled = starts[0]?.value;
    return this.#settled ?? null;
  }

  /** Null when the endpoint is left out for what it shows, or is behind. */
  async #walk({ rpc, value: header }: Told<Header>, base: CliqueSnapshot, untilMs: number): Promise<Walk | null> {
    if (header.number < base.number) {
      leaveOutBehind(this.#endpoints, rpc, header.number, base.number);
      return null;
    }
    try {
      // A chain may change its newest blocks between two requests, once.
      return (await this.#walkTo(rpc, header, base, untilMs)) ?? (await this.#again(rpc, base, untilMs));
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      this.#endpoints.leaveOut(rpc, error);
      return null;
    }
  }

  async #again(rpc: Rpc, base: CliqueSnapshot, untilMs: number): Promise<Walk> {
    const walk = await this.#walkTo(rpc, await readHeader(rpc, "latest"), base, untilMs);
    if (walk === null) throw garbage(rpc.url, "its blocks do not follow on each other");
    return walk;
  }

  /** Null when two of its blocks do not fit. */
  async #walkTo(rpc: Rpc, head: Header, base: CliqueSnapshot, untilMs: number): Promise<Walk | null> {
    const end = head.number < base.number + MAX_HEADERS ? head.number : base.number + MAX_HEADERS;
    const blocks: CliqueBlock[] = [];
    let last = base;
    let first: Header | undefined;
    for (let at = base.number; at <= end && this.#clock.monotonicMs() < untilMs; at += BATCH) {
      const size = Number(end - at + 1n < BATCH ? end - at + 1n : BATCH);
      const numbers = Array.from({ length: size }, (_, index) => at + BigInt(index));
      const headers = await Promise.all(
        numbers.map((number) => (number === head.number ? head : readHeader(rpc, numberToHex(number)))),
      );
      for (const header of headers) {
        if (first === undefined) {
          if (header.hash !== base.hash) throw twoSettled({ ...base, at: this.#before }, { ...header, at: rpc.name });
          first = header;
          continue;
        }
        if (header.parentHash !== last.hash) return null;
        const block = this.#seen.get(header.hash) ?? (await this.#judge(rpc, last, header));
        this.#seen.set(header.hash, block);
        blocks.push(block);
        last = block.after;
      }
    }
    if (first === undefined) throw tooSlow(rpc);
    const difficulty = blocks.reduce((sum, { header }) => sum + header.difficulty, 0n);
    return { rpc, head, base: first, blocks, difficulty, isWhole: last.number === head.number };
  }

  async #judge(rpc: Rpc, last: CliqueSnapshot, header: Header): Promise<CliqueBlock> {
    if (Number(header.timestamp) * 1000 > this.#clock.now() + AHEAD_MS)
      throw garbage(rpc.url, `block ${header.number} (${header.hash}) is of a time yet to come`);
    try {
      return await follow(last, header, this.#rules);
    } catch (error) {
      throw error instanceof PimsError ? garbage(rpc.url, error.message, error) : error;
    }
  }

  get #before(): string {
    const { path } = this.#store;
    return path === undefined ? "was settled before" : `was settled before, as ${path} says`;
  }

  /** Two chains that are both settled where they part: more than half of the signers built on each. */
  #refuseTwoSettled(walks: readonly Walk[], best: Walk): void {
    for (const walk of walks) {
      const ends = [settledOf(best).number, settledOf(walk).number];
      const number = ends.find((end) => ends.every((other) => end <= other))!;
      const [mine, theirs] = [blockAt(best, number), blockAt(walk, number)];
      if (mine !== undefined && theirs !== undefined && mine.hash !== theirs.hash)
        throw twoSettled({ ...mine, at: `is settled at ${best.rpc.name}` }, { ...theirs, at: walk.rpc.name });
    }
  }

  /** Goes on to what is settled and deep enough. */
  async #settle(best: Walk): Promise<Header> {
    const index = Math.min(settledIn(best.blocks), best.blocks.length - 1 - this.#depth);
    const block = best.blocks[index];
    const settled = block?.after.number ?? best.base.number;
    for (const [hash, { header }] of this.#seen) if (header.number <= settled) this.#seen.delete(hash);
    // With a stolen key one can make blocks without end.
    if (this.#seen.size > MAX_SEEN) this.#seen.clear();
    if (block === undefined) return best.base;
    const { after, header } = block;
    this.#settled = after;
    if (this.#keptAt === undefined || after.number >= this.#keptAt + KEEP_EVERY) {
      await this.#store.write(this.#name, writeSnapshot(after));
      this.#keptAt = after.number;
    }
    return header;
  }

  /** An endpoint that says there is more and does not show it keeps nobody waiting whom another one shows the end. */
  #judgeEnd(walks: readonly Walk[], best: Walk): void {
    const reached = lastOf(best).number;
    if (walks.some((walk) => walk.isWhole && lastOf(walk).number + MAX_LAG >= reached)) {
      for (const { rpc } of walks.filter((walk) => !walk.isWhole)) this.#endpoints.leaveOut(rpc, tooSlow(rpc));
      return;
    }
    throw new PimsError(
      "ledger-unverified",
      `the ledger's chain is followed from its checkpoint, so far to block ${reached} of ${best.head.number}`,
      { hint: "this goes on with each lookup; a newer 'ledger.clique.checkpoint' is reached sooner" },
    );
  }
}

const lastOf = ({ blocks, base }: Walk): Header => blocks.at(-1)?.header ?? base;

const tooSlow = ({ name }: Rpc): PimsError =>
  new PimsError("ledger-unreachable", `the chain at ${name} answers too slowly`);

/** The blocks above one by more than half of the signers, or as many as there are. */
function settling({ blocks }: Walk, { number }: Header): Header[] {
  const above = blocks.filter(({ header }) => header.number > number);
  const signers = new Set<string>();
  const enough = above.findIndex((block) => 2 * signers.add(block.signer).size > block.signers.length);
  return above.slice(0, enough < 0 ? above.length : enough + 1).map(({ header }) => header);
}

function settledOf({ base, blocks }: Walk): Header {
  return blocks[settledIn(blocks)]?.header ?? base;
}

function blockAt({ base, blocks }: Walk, number: bigint): Header | undefined {
  return number === base.number ? base : blocks[Number(number - base.number) - 1]?.header;
}

type Named = Pick<Header, "number" | "hash"> & { readonly at: string };

/** Both are named, since their signers signed on two chains. */
function twoSettled(settled: Named, other: Named): PimsError {
  return new PimsError(
    "ledger-unverified",
    `block ${settled.number} (${settled.hash}) ${settled.at}, and ${other.at} has another one (${other.hash})`,
    { hint: "signers built on two chains: ask them which one it is; a larger 'ledger.depth' waits longer" },
  );
}
