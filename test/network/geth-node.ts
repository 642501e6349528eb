import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, type Hex, numberToHex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { describeError } from "../../src/core/errors.ts";
import { generateKeyFile } from "../../src/ledger/keys/keys.ts";
import { openRpc, type Rpc } from "../../src/ledger/rpc/rpc.ts";
import type { Host, Running } from "./wire.ts";

const GETH = join(import.meta.dirname, "../../.cache/geth-1.13.15/geth");
const RPC_PORT = 8545;
const PEER_PORT = 30_303;
const START_MS = 60_000;
const PASSPHRASE = "of a test";

/** A signer of a Clique chain: geth on a host, with a folder that outlives it. */
export class GethNode {
  readonly host: Host;
  readonly account: Address;
  /** How other hosts reach its JSON-RPC; a cut concerns it. */
  readonly url: string;
  /** How the test reaches it, always. */
  readonly rpc: Rpc;
  readonly #folder: string;
  readonly #nodeKey: Hex;
  readonly #range: string;
  #process: Running | undefined;

  private constructor(host: Host, folder: string, account: Address, range: string) {
    this.host = host;
    this.account = account;
    this.url = `http://${host.address}:${RPC_PORT}`;
    this.rpc = openRpc(`http://${host.control}:${RPC_PORT}`);
    this.#folder = folder;
    this.#nodeKey = generatePrivateKey();
    this.#range = range;
  }

  /** Makes its folder and its signer's key. `range` holds all addresses that it may have as peers. */
  static async create(host: Host, folder: string, range: string): Promise<GethNode> {
    if (!existsSync(GETH)) throw new Error("geth is not there: run sh scripts/setup network");
    await mkdir(join(folder, "keystore"), { recursive: true, mode: 0o700 });
    const password = join(folder, "password");
    await writeFile(password, PASSPHRASE, { mode: 0o600 });
    const cost = { n: 4096, r: 8, p: 1 };
    const key = await generateKeyFile({ path: join(folder, "keystore", "signer"), passphrase: PASSPHRASE, cost });
    return new GethNode(host, folder, key.address, range);
  }

  /** As other nodes name it. */
  get enode(): string {
    const { publicKey } = privateKeyToAccount(this.#nodeKey);
    return `enode://${publicKey.slice(4)}@${this.host.address}:${PEER_PORT}`;
  }

  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  async init(genesis: string): Promise<void> {
    const path = join(this.#folder, "genesis.json");
    await writeFile(path, genesis);
    execFileSync(GETH, ["init", "--datadir", this.#folder, path], { stdio: "pipe", timeout: START_MS });
  }

  /** Starts it, again after an end. It signs as soon as it hears of others, or of nobody. */
  async start(): Promise<void> {
    const log = await open(join(this.#folder, "geth.log"), "a");
    const started = this.host.start(
      [
        ...[GETH, "--datadir", this.#folder, "--verbosity", "3", "--cache", "64", "--syncmode", "full", "--ipcdisable"],
        ...["--nodiscover", "--netrestrict", this.#range, "--nat", `extip:${this.host.address}`],
        ...["--port", `${PEER_PORT}`, "--nodekeyhex", this.#nodeKey.slice(2), "--maxpeers", "50"],
        ...["--http", "--http.addr", "0.0.0.0", "--http.port", `${RPC_PORT}`, "--http.vhosts", "*"],
        ...["--http.api", "eth,net,admin,clique,debug,miner"],
        ...["--unlock", this.account, "--password", join(this.#folder, "password"), "--allow-insecure-unlock"],
        ...["--mine", "--miner.etherbase", this.account, "--miner.gasprice", "1", "--miner.recommit", "500ms"],
      ],
      log.fd,
    );
    this.#process = started;
    const deadline = performance.now() + START_MS;
    try {
      for (;;) {
        try {
          await this.rpc.call("eth_chainId", []);
          return;
        } catch (error) {
          if (started.exitCode !== null || performance.now() > deadline)
            throw new Error(`geth does not start (${describeError(error)}): ${await this.lastWords()}`);
          await sleep(100);
        }
      }
    } finally {
      await log.close();
    }
  }

  async connect(others: readonly GethNode[]): Promise<void> {
    for (const { enode } of others) await this.rpc.call("admin_addPeer", [enode]);
  }

  /** Ends it at once, with no chance to write anything more. */
  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, "exit");
    running.kill("SIGKILL");
    await exited;
  }

  /** Number and hash of its newest block. */
  async head(): Promise<{ number: number; hash: Hex }> {
    const { number, hash } = (await this.rpc.call("eth_getBlockByNumber", ["latest", false])) as Record<string, Hex>;
    return { number: Number(number), hash: hash! };
  }

  /** The hash of its block of that number, null where it has none. */
  async hashAt(number: number): Promise<Hex | null> {
    const block = (await this.rpc.call("eth_getBlockByNumber", [numberToHex(number), false])) as { hash: Hex } | null;
    return block?.hash ?? null;
  }

  /** Whether it has a transaction of this account that no block holds. */
  async isWaiting(account: string): Promise<boolean> {
    const count = (block: string) => this.rpc.call("eth_getTransactionCount", [account, block]);
    return Number(await count("pending")) > Number(await count("latest"));
  }

  async peers(): Promise<number> {
    return Number(await this.rpc.call("net_peerCount", []));
  }

  async lastWords(): Promise<string> {
    return (await readFile(join(this.#folder, "geth.log"), "utf8")).trimEnd().split("\n").slice(-15).join("\n");
  }
}
