import type { Hex } from "viem";
import { approveBaseline } from "../../src/ledger/approve.ts";
import type { LedgerConfig } from "../../src/ledger/config.ts";
import { deployRegistry } from "../../src/ledger/deploy.ts";
import type { LedgerKey } from "../../src/ledger/keys/keys.ts";
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

export type Site = Awaited<ReturnType<typeof startSite>>;

/** A registry on the network, publishers, and verifiers on both of the sides that it will be cut into. */
export async function startSite(
  network: CliqueNetwork,
  wire: Wire,
  { folder, keys, after }: { folder: string; keys: readonly LedgerKey[]; after: (undo: () => Promise<void>) => void },
) {
  const [deployer, ...publishers] = keys as [LedgerKey, ...LedgerKey[]];
  const [first] = network.nodes as [GethNode, ...GethNode[]];
  const { address: registry } = await deployRegistry({
    url: first.rpc.url,
    deployerKey: deployer,
    publishers: publishers.map(({ address }) => address),
    quorum: 2,
    depth: DEPTH,
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
  const verifier = async (name: string, ledger: LedgerConfig): Promise<VerifierProcess> => {
    const onLine = (line: string): void => watch.say(name, line.replace(/^pims: /, ""));
    const process = new VerifierProcess(await wire.addHost(name), folder, onLine);
    after(() => process.stop());
    await process.start(ledger);
    return process;
  };
  // Of all endpoints most must agree: on the side of most signers, and on the other.
  const most = await verifier("most", ledgerOf(urls, careful));
  const few = await verifier("few", ledgerOf(urls, careful));
  // Knows only the two endpoints of the smaller side.
  const two = await verifier("two", ledgerOf(urls.slice(3), careful));
  // Knows one endpoint only, of the smaller side, and follows its chain from the first block.
  const checkpoint = { number: 0, hash: (await first.hashAt(0))! };
  const clique = { chainId: CHAIN_ID, checkpoint, periodMs: 1000 * PERIOD_S };
  const chain = await verifier("chain", ledgerOf(urls.slice(4), { ...careful, clique }));
  const attester = await Attester.start(IMAGES, after);
  for (const process of [most, few, two, chain]) await attester.proveTo(process);
  // In this process: all endpoints, which no cut concerns; and one of the smaller side, whose newest block is believed.
  const all = new Reader("all", ledgerOf(controls, careful), IMAGES);
  const alone = new Reader("alone", ledgerOf(controls.slice(4)), IMAGES, true);
  sources.push(most, few, two, chain, all, alone);
  watch.start();

  const place = (node: GethNode): LedgerConfig => ({ url: node.rpc.url, registry, depth: DEPTH });
  /** Without a word that it is right to say so. */
  const signApart = async (id: Hex, publisher: number, node: GethNode): Promise<void> => {
    await approveBaseline({ ...place(node), key: publishers[publisher]!, id });
  };
  return {
    ...{ network, watch, publishers, registry, most, few, two, chain, all, alone },
    /** Those whose word is to be right. */
    careful: [most, few, two, chain, all] as const,
    ...{ place, signApart },
    async propose(image: Image): Promise<Hex> {
      return (await proposeBaseline({ ...place(first), key: publishers[0]!, lines: linesOf(image) })).id;
    },
    /** Comes back when the signature is as deep as `DEPTH`. */
    async approve(image: Image, id: Hex): Promise<void> {
      watch.signed(image);
      await signApart(id, 1, first);
    },
  };
}
