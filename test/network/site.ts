import type { Hex } from "viem";
import { approveBaseline } from "../../src/ledger/approve.ts";
import type { LedgerConfig } from "../../src/ledger/config.ts";
import { deployRegistry } from "../../src/ledger/deploy.ts";
import type { LedgerKey } from "../../src/ledger/keys.ts";
import { proposeBaseline } from "../../src/ledger/propose.ts";
import { Attester, linesOf } from "./attester.ts";
import { CHAIN_ID, type CliqueNetwork, PERIOD_S } from "./clique-network.ts";
import type { GethNode } from "./geth-node.ts";
import { Reader } from "./reader.ts";
import { VerifierProcess } from "./verifier-process.ts";
import { Watch } from "./watch.ts";
import type { Wire } from "./wire.ts";

/** Blocks that must stand above what is read, and above what publishers have sent. */
export const DEPTH = 3;
export const MAX_AGE_MS = 12_000;
const HOLD_MS = 30_000;

/**
 * Images, by what becomes of them. `web` is approved from the start, `half` has one signature, `late` is approved while the
 * network is cut; `minor` and `again` get their second signature from the side that has no majority: that of `minor` is
 * undone by what its signer does on the other side. `voted` is approved by a chain of fewer signers, `shallow` while blocks are
 * taken back. `deep` is approved and then taken from the chain.
 */
export const IMAGES = ["web", "half", "late", "minor", "again", "voted", "shallow", "deep"] as const;
export type Image = (typeof IMAGES)[number];

/** A network with a registry, publishers, and verifiers on both of the sides that it will be cut into. */
export class Site {
  readonly network: CliqueNetwork;
  readonly watch: Watch;
  /** Of all endpoints most must agree: on the side of most signers, and on the other. */
  readonly most: VerifierProcess;
  readonly few: VerifierProcess;
  /** Knows only the two endpoints of the smaller side. */
  readonly two: VerifierProcess;
  /** Knows one endpoint only, of the smaller side, and follows its chain from the first block. */
  readonly chain: VerifierProcess;
  /** In this process: all endpoints, which no cut concerns; and one endpoint of the smaller side, whose newest block is believed. */
  readonly all: Reader;
  readonly alone: Reader;
  readonly publishers: readonly LedgerKey[];
  readonly registry: string;

  private constructor(parts: Omit<Site, "careful" | "place" | "propose" | "approve" | "signApart">) {
    this.network = parts.network;
    this.watch = parts.watch;
    this.most = parts.most;
    this.few = parts.few;
    this.two = parts.two;
    this.chain = parts.chain;
    this.all = parts.all;
    this.alone = parts.alone;
    this.publishers = parts.publishers;
    this.registry = parts.registry;
  }

  static async start(
    network: CliqueNetwork,
    wire: Wire,
    { folder, keys, after }: { folder: string; keys: readonly LedgerKey[]; after: (undo: () => Promise<void>) => void },
  ): Promise<Site> {
    const [deployer, ...publishers] = keys as [LedgerKey, ...LedgerKey[]];
    const { address: registry } = await deployRegistry({
      url: network.nodes[0]!.rpc.url,
      deployerKey: deployer,
      publishers: publishers.map(({ address }) => address),
      quorum: 2,
    });
    const ledgerOf = (urls: readonly string[], more: Partial<LedgerConfig> = {}): LedgerConfig => {
      const [url, ...witnesses] = urls as [string, ...string[]];
      return { url, witnesses, registry, ...more };
    };
    const careful = { depth: DEPTH, maxAgeMs: MAX_AGE_MS, holdMs: HOLD_MS };
    const urls = network.nodes.map(({ url }) => url);
    const controls = network.nodes.map(({ rpc }) => rpc.url);
    const sources: (VerifierProcess | Reader)[] = [];
    const watch = new Watch(sources);
    const verifier = async (name: string): Promise<VerifierProcess> => {
      const process = new VerifierProcess(await wire.addHost(name), folder, (line) =>
        watch.say(name, line.replace(/^pims: /, "")),
      );
      after(() => process.stop());
      return process;
    };
    const most = await verifier("most");
    const few = await verifier("few");
    const two = await verifier("two");
    const chain = await verifier("chain");
    const checkpoint = { number: 0, hash: (await network.nodes[0]!.hashAt(0))! };
    const clique = { chainId: CHAIN_ID, checkpoint, periodMs: 1000 * PERIOD_S };
    await Promise.all([
      most.start(ledgerOf(urls, careful)),
      few.start(ledgerOf(urls, careful)),
      two.start(ledgerOf(urls.slice(3), careful)),
      chain.start(ledgerOf(urls.slice(4), { ...careful, clique })),
    ]);
    const attester = await Attester.start(IMAGES, after);
    for (const process of [most, few, two, chain]) await attester.proveTo(process);
    const all = new Reader("all", ledgerOf(controls, careful), IMAGES);
    const alone = new Reader("alone", ledgerOf(controls.slice(4)), IMAGES, true);
    sources.push(most, few, two, chain, all, alone);
    watch.start();
    return new Site({ network, watch, most, few, two, chain, all, alone, publishers, registry });
  }

  /** Those whose word is to be right. */
  get careful(): readonly (VerifierProcess | Reader)[] {
    return [this.most, this.few, this.two, this.chain, this.all];
  }

  /** By which nodes a publisher reads and writes. */
  place(node: GethNode): LedgerConfig {
    return { url: node.rpc.url, registry: this.registry, depth: DEPTH };
  }

  async propose(image: string, publisher = 0, node = this.network.nodes[0]!): Promise<Hex> {
    const key = this.publishers[publisher]!;
    return (await proposeBaseline({ ...this.place(node), key, lines: linesOf(image) })).id;
  }

  /** The same without a word that it is right to say so. */
  async signApart(id: Hex, publisher: number, node: GethNode): Promise<void> {
    await approveBaseline({ ...this.place(node), key: this.publishers[publisher]!, id });
  }

  /** Comes back when the signature is as deep as `DEPTH`. */
  async approve(image: string, id: Hex, publisher = 1, node = this.network.nodes[0]!): Promise<void> {
    this.watch.signed(image);
    await this.signApart(id, publisher, node);
  }
}
