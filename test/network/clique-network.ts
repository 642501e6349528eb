import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, numberToHex } from "viem";
import { cliqueGenesis } from "../../scripts/clique-genesis.ts";
import { GethNode } from "./geth-node.ts";
import type { Host, Wire } from "./wire.ts";

export const CHAIN_ID = 7_701;
export const PERIOD_S = 1;
const WAIT_MS = 60_000;
/** geth may take some turns of half a minute until it dials a peer again that it has given up. */
const HEAL_MS = 180_000;

/** A proof-of-authority chain of some signers, one a host, all of them each other's peers. */
export class CliqueNetwork {
  readonly nodes: readonly GethNode[];
  readonly #wire: Wire;

  private constructor(wire: Wire, nodes: readonly GethNode[]) {
    this.#wire = wire;
    this.nodes = nodes;
  }

  /** Starts `count` signers below `folder`, and waits until they make blocks. */
  static async start(wire: Wire, folder: string, count: number, funded: readonly Address[]): Promise<CliqueNetwork> {
    const nodes: GethNode[] = [];
    for (let number = 1; number <= count; number++) {
      const name = `node${number}`;
      nodes.push(await GethNode.create(await wire.addHost(name), join(folder, name), wire.range));
    }
    const signers = nodes.map(({ account }) => account);
    const genesis = cliqueGenesis({ chainId: CHAIN_ID, period: PERIOD_S, signers, funded });
    for (const node of nodes) await node.init(genesis);
    const network = new CliqueNetwork(wire, nodes);
    await Promise.all(nodes.map((node) => node.start()));
    for (const node of nodes) await network.connect(node);
    await waitFor("blocks that all nodes have", async () => {
      const heads = await Promise.all(nodes.map((node) => node.head()));
      return heads.every(({ number }) => number >= 3);
    });
    return network;
  }

  async connect(node: GethNode): Promise<void> {
    await node.connect(this.nodes.filter((other) => other !== node));
  }

  /** Starts a node that was killed. */
  async restart(node: GethNode): Promise<void> {
    await node.start();
    await this.connect(node);
  }

  /** Cuts these nodes, and other hosts, off from all others. */
  cut(apart: readonly (GethNode | Host)[]): void {
    this.#wire.cut(apart.map(hostOf));
  }

  heal(apart: readonly (GethNode | Host)[]): void {
    this.#wire.heal(apart.map(hostOf));
  }

  /** Until all nodes that run have the same block at the lowest of their heights, and that is at least this one. */
  async agree(atLeast = 0): Promise<number> {
    let height = 0;
    await waitFor(
      `one chain of all nodes, ${atLeast} blocks long`,
      async () => {
        const running = this.nodes.filter((node) => node.isRunning);
        const heads = await Promise.all(running.map((node) => node.head()));
        height = Math.min(...heads.map(({ number }) => number));
        const hashes = await Promise.all(running.map((node) => node.hashAt(height)));
        return height >= atLeast && new Set(hashes).size === 1;
      },
      HEAL_MS,
    );
    return height;
  }

  /** Until none of these nodes has signed one of the two newest blocks, so that each may sign the next one. */
  async rested(nodes: readonly GethNode[]): Promise<void> {
    const { rpc } = this.nodes[0]!;
    const own = nodes.map(({ account }) => account.toLowerCase());
    await waitFor("two blocks by other signers", async () => {
      const { number } = await this.nodes[0]!.head();
      const numbers = [number, number - 1].map((block) => numberToHex(block));
      const signers = await Promise.all(numbers.map((block) => rpc.call("clique_getSigner", [block])));
      return !signers.some((signer) => own.includes(String(signer).toLowerCase()));
    });
  }

  /** Lets these nodes sign no more blocks. */
  async pause(nodes: readonly GethNode[]): Promise<void> {
    await Promise.all(nodes.map(({ rpc }) => rpc.call("miner_stop", [])));
  }

  async resume(nodes: readonly GethNode[]): Promise<void> {
    await Promise.all(nodes.map(({ rpc }) => rpc.call("miner_start", [])));
  }

  /** Lets all nodes forget their blocks above a number, and go on from there; which number they were at. */
  async takeBack(to: number): Promise<number> {
    await this.pause(this.nodes);
    const heads = await Promise.all(this.nodes.map((node) => node.head()));
    await Promise.all(this.nodes.map(({ rpc }) => rpc.call("debug_setHead", [numberToHex(to)])));
    await this.resume(this.nodes);
    return Math.max(...heads.map(({ number }) => number));
  }

  /** Lets so many signers vote a signer out, or in, and waits until the chain has it so. */
  async vote(account: Address, isIn: boolean, by: readonly GethNode[]): Promise<void> {
    for (const { rpc } of by) await rpc.call("clique_propose", [account, isIn]);
    const { rpc } = this.nodes[0]!;
    await waitFor("the vote is over", async () => {
      const signers = (await rpc.call("clique_getSigners", [])) as string[];
      return signers.map((signer) => signer.toLowerCase()).includes(account.toLowerCase()) === isIn;
    });
    for (const { rpc } of by) await rpc.call("clique_discard", [account]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}

const hostOf = (place: GethNode | Host): Host => (place instanceof GethNode ? place.host : place);

/** Throws when it does not come true within a minute. */
export async function waitFor(what: string, isTrue: () => Promise<boolean>, timeoutMs = WAIT_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(100);
  }
}
