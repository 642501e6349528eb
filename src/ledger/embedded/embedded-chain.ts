import { randomInt } from "node:crypto";
import { join } from "node:path";
import { type Hex, keccak256 } from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { type AnvilProcess, launchAnvil } from "./anvil-process.ts";
import { Journal, type JournalEntry } from "./journal.ts";

export type ChainAnswer = { result?: unknown; error?: unknown };

/** go-ethereum takes no larger one (txMaxSize), so neither does this chain. */
const maxRawBytes = 128 * 1024;
const rawSchema = z.tuple([
  z
    .string()
    .regex(/^0x([0-9a-f]{2})+$/)
    .max(2 + 2 * maxRawBytes)
    .transform((text) => text as Hex),
]);
const blockSchema = z.object({
  number: z.string().transform(Number),
  timestamp: z.string().transform(Number),
  hash: z.string(),
  transactions: z.array(z.string()).max(1),
});
const poolSchema = z.object({ pending: z.string().transform(Number) });
type Block = z.infer<typeof blockSchema>;

/**
 * anvil with a memory: each transaction is in the journal, on disk, before anybody hears of its block. One request is
 * served at a time, so nobody reads what a crash could still take back.
 */
export class EmbeddedChain {
  readonly chainId: number;
  readonly #anvil: AnvilProcess;
  readonly #journal: Journal;
  #last: Block;
  /** Time of the latest attempt: anvil's clock takes no step back, also not after a block that it took back. */
  #lastTime: number;
  #turn: Promise<unknown> = Promise.resolve();
  #failed: PimsError | undefined;

  private constructor(anvil: AnvilProcess, journal: Journal, chainId: number, genesis: Block) {
    this.#anvil = anvil;
    this.#journal = journal;
    this.chainId = chainId;
    this.#last = genesis;
    this.#lastTime = genesis.timestamp;
  }

  /**
   * Starts the chain that `folder` keeps, or a new one with a number of its own, so that nothing signed for one
   * embedded chain is valid on another. Throws `ledger-journal-broken`, `anvil-missing`, `anvil-failed`.
   */
  static async start(folder: string): Promise<EmbeddedChain> {
    const journal = await Journal.open(folder);
    let anvil: AnvilProcess | undefined;
    try {
      const genesis = journal.header ?? { chainId: randomInt(1, 2 ** 31), time: Math.floor(Date.now() / 1000) };
      anvil = await launchAnvil(join(folder, "run"), genesis);
      const block = await latestBlock(anvil);
      if (journal.header === undefined) {
        const { result: client } = await anvil.rpc.send({ method: "web3_clientVersion", params: [] });
        await journal.begin({ ...genesis, client: String(client), hash: block.hash });
      } else if (journal.header.hash !== block.hash) throw journal.broken(1, "the first block comes out different");
      const chain = new EmbeddedChain(anvil, journal, genesis.chainId, block);
      for await (const entry of journal.entries()) await chain.#replay(entry);
      return chain;
    } catch (error) {
      await anvil?.stop();
      await journal.close();
      throw error;
    }
  }

  /** One JSON-RPC request. Which methods are allowed is the caller's to decide. Throws when the chain has failed. */
  request(method: string, params: unknown): Promise<ChainAnswer> {
    const answer = this.#turn.then(() => {
      if (this.#failed) throw this.#failed;
      return method === "eth_sendRawTransaction" ? this.#submit(params) : this.#anvil.rpc.send({ method, params });
    });
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async stop(): Promise<void> {
    this.#failed ??= new PimsError("ledger-unreachable", "the embedded chain has stopped");
    await this.#turn;
    await this.#anvil.stop();
    await this.#journal.close();
  }

  async #submit(params: unknown): Promise<ChainAnswer> {
    const parsed = rawSchema.safeParse(params);
    if (!parsed.success) return refused("oversized or malformed transaction");
    const [raw] = parsed.data;
    const time = Math.max(Math.floor(Date.now() / 1000), this.#lastTime + 1);
    const { answer, block } = await this.#execute(raw, time);
    if (block === undefined) return answer;
    try {
      await this.#journal.append({ number: block.number, time, hash: block.hash, raw });
    } catch (error) {
      // anvil is ahead of the disk now: nothing of it may be shown any more.
      this.#failed = new PimsError("ledger-journal-failed", "the embedded chain's journal cannot be written", {
        hint: "make room on the disk and start the chain again",
        cause: error,
      });
      throw this.#failed;
    }
    return answer;
  }

  async #replay(entry: JournalEntry): Promise<void> {
    const { block } = await this.#execute(entry.raw, entry.time);
    if (block?.number !== entry.number || block.hash !== entry.hash) {
      throw this.#journal.broken(entry.number + 1, "its block comes out different");
    }
  }

  /** Puts one transaction into one block of the given time (seconds). Without a block, `answer` says why. */
  async #execute(raw: Hex, time: number): Promise<{ answer: ChainAnswer; block?: Block }> {
    const { rpc } = this.#anvil;
    this.#lastTime = time;
    await rpc.send({ method: "evm_setNextBlockTimestamp", params: [time] });
    const answer = await rpc.send({ method: "eth_sendRawTransaction", params: [raw] });
    if (answer.error !== undefined) return { answer };
    const { pending } = poolSchema.parse((await rpc.send({ method: "txpool_status", params: [] })).result);
    if (pending !== 1) {
      // Kept for a nonce that is still missing, it would come into a later block unseen.
      await rpc.send({ method: "anvil_dropAllTransactions", params: [] });
      return { answer: refused("nonce too high") };
    }
    await rpc.send({ method: "evm_mine", params: [] });
    const block = await latestBlock(this.#anvil);
    if (block.transactions.length === 0) {
      // anvil queues some transactions that it then cannot mine, those for another chain among them.
      await rpc.send({ method: "anvil_rollback", params: [1] });
      if ((await latestBlock(this.#anvil)).hash !== this.#last.hash) throw this.#fail();
      return { answer: refused("invalid transaction") };
    }
    if (block.number !== this.#last.number + 1 || block.timestamp !== time) throw this.#fail();
    if (block.transactions[0] !== keccak256(raw)) throw this.#fail();
    this.#last = block;
    return { answer, block };
  }

  #fail(): PimsError {
    this.#failed = new PimsError("anvil-failed", "the embedded chain made a block that was not asked for");
    return this.#failed;
  }
}

async function latestBlock({ rpc }: AnvilProcess): Promise<Block> {
  const { result } = await rpc.send({ method: "eth_getBlockByNumber", params: ["latest", false] });
  return blockSchema.parse(result);
}

function refused(message: string): ChainAnswer {
  return { error: { code: -32000, message } };
}
