import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, encodeFunctionData, type Hex, keccak256 } from "viem";
import { describeError, PimsError } from "../../src/core/errors.ts";
import { type PimsProcess, startPims } from "../../src/demo/pims-process.ts";
import { checkpointsAbi as abi } from "../../src/ledger/contract/checkpoints-abi.ts";
import { deployContract } from "../../src/ledger/deploy.ts";
import { createKey } from "../../src/ledger/keys/keys.ts";
import { openRpc, type Rpc } from "../../src/ledger/rpc/rpc.ts";

const READY_MS = 120_000;
/** Another chain takes over after so many kills, so that replaying its journal does not take longer and longer. */
const KILLS_A_CHAIN = 50;
/** One kill in so many comes while the chain starts, the others while it takes transactions. */
const EARLY = 4;
const LONGEST_START_MS = 1500;
const LONGEST_STREAM_MS = 300;

export interface LedgerKillCounts {
  passed: number;
  failed: number;
  early: number;
  /** Transactions that were acknowledged, and journals that ended in the middle of a line. */
  acknowledged: number;
  torn: number;
}

/** A block that somebody was told of. */
interface Seen {
  readonly number: bigint;
  readonly hash: string;
}

/** One embedded chain: what it has acknowledged and shown, and the process that runs it now. */
class Chain {
  readonly folder: string;
  readonly #key = createKey();
  #process: PimsProcess | undefined;
  rpc!: Rpc;
  #chainId = 0;
  #contract!: Address;
  #nonce = 0;
  /** Hashes of the transactions that were acknowledged; the last one that was sent may be in the chain, too. */
  readonly acknowledged: Hex[] = [];
  #sent: Hex | undefined;
  /** The newest block that anybody was shown, and the contract's storage root as it was shown last. */
  #seen: Seen | undefined;
  #storage: { readonly at: Hex; readonly root: string } | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  begin(): void {
    this.#process = startPims(["ledger", "start", "--state", this.folder, "--port", "0"]);
  }

  async ready(): Promise<void> {
    const [, url] = await this.#process!.waitFor(/answers on (http:\S+)/, READY_MS);
    this.rpc = openRpc(url!);
  }

  async deploy(): Promise<void> {
    this.#chainId = Number(await this.rpc.call("eth_chainId", []));
    const { address } = await deployContract("Checkpoints", { url: this.rpc.url, deployerKey: createKey() });
    this.#contract = address;
    await this.#look();
  }

  /** Sends until the process is gone; another one reads meanwhile. */
  async stream(): Promise<void> {
    await Promise.all([this.#send(), this.#watch()]);
  }

  async #send(): Promise<void> {
    for (;;) {
      const number = BigInt(this.#nonce);
      const root = keccak256(`0x${number.toString(16).padStart(64, "0")}`);
      const data = encodeFunctionData({ abi, functionName: "checkpoint", args: [number, root] });
      const raw = await this.#key.signTransaction({
        ...({ type: "legacy", chainId: this.#chainId, nonce: this.#nonce } as const),
        ...{ gas: 200_000n, gasPrice: 0n, to: this.#contract, data },
      });
      this.#sent = keccak256(raw);
      try {
        const hash = await this.rpc.call("eth_sendRawTransaction", [raw]);
        assert.equal(hash, this.#sent);
      } catch (error) {
        if (error instanceof PimsError && error.code === "ledger-unreachable") return;
        throw error;
      }
      this.acknowledged.push(this.#sent);
      this.#sent = undefined;
      this.#nonce++;
    }
  }

  async #watch(): Promise<void> {
    for (;;)
      try {
        await this.#look();
      } catch (error) {
        if (error instanceof PimsError && error.code === "ledger-unreachable") return;
        throw error;
      }
  }

  async #look(): Promise<void> {
    const block = (await this.rpc.call("eth_getBlockByNumber", ["latest", false])) as { number: Hex; hash: Hex };
    this.#seen = { number: BigInt(block.number), hash: block.hash };
    this.#storage = { at: block.number, root: await this.#storageAt(block.number) };
  }

  async #storageAt(block: Hex): Promise<string> {
    const proof = (await this.rpc.call("eth_getProof", [this.#contract, [], block])) as { storageHash: string };
    return proof.storageHash;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Comes back when no process of the chain is left. The kernel ends it, soon after. */
  async ended(): Promise<void> {
    for (const deadline = performance.now() + READY_MS; processesOf(this.folder) > 0; await sleep(50))
      assert.ok(performance.now() < deadline, "anvil outlives whom it was started by");
  }

  /** Whether the journal ends in the middle of a line, as it stands after a kill. */
  async isTorn(): Promise<boolean> {
    const bytes = await readFile(join(this.folder, "journal.jsonl")).catch(() => Buffer.alloc(0));
    return bytes.length > 0 && bytes.at(-1) !== 10;
  }

  /** After another start: all that was acknowledged or shown is there, the same, and nothing else but what was under way. */
  async judge(): Promise<void> {
    const { number, hash } = this.#seen!;
    const at = `0x${number.toString(16)}` as Hex;
    const block = (await this.rpc.call("eth_getBlockByNumber", [at, false])) as { hash: string } | null;
    assert.equal(block?.hash, hash, "a block that was shown");
    const { at: then, root } = this.#storage!;
    assert.equal(await this.#storageAt(then), root, "the contract's storage root");
    for (const transaction of this.acknowledged.slice(-200))
      assert.notEqual(await this.rpc.call("eth_getTransactionReceipt", [transaction]), null, `${transaction} is lost`);
    if (this.#sent !== undefined && (await this.rpc.call("eth_getTransactionReceipt", [this.#sent])) !== null) {
      this.acknowledged.push(this.#sent);
      this.#nonce++;
    }
    this.#sent = undefined;
    const count = Number(await this.rpc.call("eth_getTransactionCount", [this.#key.address, "latest"]));
    assert.equal(count, this.acknowledged.length, "transactions in the chain");
    assert.equal(await this.isTorn(), false, "the torn end is cut off");
    await this.#look();
  }
}

/** How many name the chain's folder in their arguments: anvil, and what starts it. */
function processesOf(folder: string): number {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "latin1").includes(`${folder}/run`);
    } catch {
      return false;
    }
  }).length;
}

/** Kills the embedded chain at random and again and again, and looks after each start whether anything was lost. */
export class LedgerKillSuite {
  readonly #folder: string;
  readonly #report: (problem: string) => void;
  readonly counts: LedgerKillCounts = { passed: 0, failed: 0, early: 0, acknowledged: 0, torn: 0 };

  constructor(folder: string, report: (problem: string) => void) {
    this.#folder = folder;
    this.#report = report;
  }

  /** Kills `count` times, or until `stop`. */
  async run(count: number, stop: AbortSignal): Promise<void> {
    for (let number = 0, left = count; left > 0 && !stop.aborted; number++) {
      const kills = Math.min(KILLS_A_CHAIN, left);
      left -= kills;
      await this.#runChain(new Chain(join(this.#folder, `chain-${number}`)), kills, stop);
    }
  }

  async #runChain(chain: Chain, kills: number, stop: AbortSignal): Promise<void> {
    const { counts } = this;
    try {
      chain.begin();
      await chain.ready();
      await chain.deploy();
      for (let kill = 0; kill < kills && !stop.aborted; kill++) {
        if (randomInt(EARLY) === 0) {
          counts.early++;
          await chain.kill();
          chain.begin();
          await sleep(Math.random() * LONGEST_START_MS);
        } else {
          const streamed = chain.stream();
          await sleep(Math.random() * LONGEST_STREAM_MS);
          await chain.kill();
          await streamed;
        }
        await chain.kill();
        if (await chain.isTorn()) counts.torn++;
        await chain.ended();
        chain.begin();
        await chain.ready();
        await chain.judge();
        counts.passed++;
      }
    } catch (error) {
      counts.failed++;
      this.#report(`${chain.folder}: ${describeError(error)}`);
    } finally {
      counts.acknowledged += chain.acknowledged.length;
      await chain.kill();
    }
  }
}
