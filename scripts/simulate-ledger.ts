// Does for real what ledger-cost-model.ts computes: the client proposes, approves, supersedes, enrols and says checkpoints on
// a real chain, and what the chain then has is compared with what was computed. Minutes; --geth FILE takes a node of geth.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Hex } from "viem";
import { formatEntry, formatHeader } from "../src/baseline/format.ts";
import { sha256Hex } from "../src/core/digest.ts";
import { approveBaseline } from "../src/ledger/approve.ts";
import { sendCheckpoint } from "../src/ledger/checkpoints.ts";
import { packLines } from "../src/ledger/contract/entry-data.ts";
import { deployContract, deployRegistry } from "../src/ledger/deploy.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";
import { recordEnrolled } from "../src/ledger/host-registry.ts";
import { createKey, type LedgerKey } from "../src/ledger/keys/keys.ts";
import { openLedger } from "../src/ledger/open-ledger.ts";
import { proposeBaseline } from "../src/ledger/propose.ts";
import { supersedeBaseline } from "../src/ledger/revoke.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { startGeth } from "./geth-alone.ts";
import { type Cost, NOTHING, Operations, SAMPLES, sum, times } from "./ledger-cost-model.ts";
import { sizesOf, writtenGas } from "./measure-gas.ts";
import { simulateReading } from "./simulate-reading.ts";

export interface Amounts {
  readonly images: number;
  readonly changes: number;
  readonly keys: number;
  readonly checkpoints: number;
}

export interface Simulated {
  readonly computed: Cost;
  /** `words` is not: no method says how many a chain has. */
  readonly measured: Omit<Cost, "words"> & { readonly headerBytes: number };
  readonly registry: string;
  /** Says one checkpoint more, so that there is a block in which nothing happens to the registry. */
  readonly elsewhere: () => Promise<void>;
  readonly identities: readonly string[];
}

export interface People {
  readonly deployer: LedgerKey;
  readonly publishers: readonly [LedgerKey, LedgerKey, LedgerKey];
  readonly verifier: LedgerKey;
}

export function createPeople(): People {
  return { deployer: createKey(), publishers: [createKey(), createKey(), createKey()], verifier: createKey() };
}

/** Lines of a baseline as heavy as a sample: each entry of a program brings two digests that do not compress. */
function linesLike(packed: number, name: string): string[] {
  const count = Math.max(1, Math.round(packed / 84));
  const entries = Array.from({ length: count }, (_, index) =>
    formatEntry({
      path: `/usr/lib/lib${String(index).padStart(6, "0")}.so`,
      kind: "library",
      size: BigInt(10_000 + index),
      sha256: sha256Hex(`${name} file ${index}`),
      segments: [{ offset: 4096n, size: BigInt(500 + index), sha256: sha256Hex(`${name} segment ${index}`) }],
    }),
  );
  const header = { identity: `sha256:${sha256Hex(name)}`, name, architecture: "amd64", ports: [], entrypoint: [] };
  return [formatHeader({ ...header, jit: [], entries: count }), ...entries];
}

/** Which sample the n-th image is like, so that of many each has its share. */
function sampleOf(index: number): number {
  let place = (index * 0.618034) % 1;
  for (const { share, packed } of SAMPLES) {
    place -= share;
    if (place < 0) return packed;
  }
  return SAMPLES[0]!.packed;
}

/** `say` hears what is under way. */
export async function simulate(
  url: string,
  { deployer, publishers, verifier }: People,
  amounts: Amounts,
  say: (text: string) => void = () => {},
): Promise<Simulated> {
  const operations = new Operations(await writtenGas());
  const rpc = openRpc(url);
  const payer = { url, deployerKey: deployer };
  const first = Number(await rpc.call("eth_blockNumber", [])) + 1;
  const { address: registry } = await deployRegistry({
    ...payer,
    publishers: publishers.map(({ address }) => address),
    quorum: 2,
  });
  const place = { url, registry };
  const deployed = async (name: "HostRegistry" | "Checkpoints") =>
    openLedger(place).contract(name, (await deployContract(name, payer)).address);
  const hosts = await deployed("HostRegistry");
  const checkpoints = await deployed("Checkpoints");
  let computed = operations.deployment();
  const identities: string[] = [];

  const publish = async (name: string, packed: number): Promise<Hex> => {
    const lines = linesLike(packed, name);
    const { chunks } = packLines(lines);
    computed = sum(
      computed,
      operations.baseline(
        chunks.reduce((total, { length }) => total + length, 0),
        2,
        true,
      ),
    );
    identities.push(`sha256:${sha256Hex(name)}`);
    const { id } = await proposeBaseline({ ...place, key: publishers[0], lines });
    await approveBaseline({ ...place, key: publishers[1], id });
    return id;
  };
  const ids: Hex[] = [];
  for (let index = 0; index < amounts.images; index++) {
    ids.push(await publish(`image ${index}`, sampleOf(index)));
    if (index % 100 === 99) say(`${index + 1} images`);
  }
  for (let index = 0; index < amounts.changes; index++) {
    const old = index % amounts.images;
    const by = await publish(`image ${old}, change ${index}`, sampleOf(old));
    await supersedeBaseline({ ...place, key: publishers[2], id: ids[old]!, by, overlapSeconds: 3600 });
    ids[old] = by;
    computed = sum(computed, operations.supersede());
  }
  const names = Array.from({ length: amounts.keys }, (_, index) => `000b${sha256Hex(`host ${index}`)}`);
  const enrolled = await recordEnrolled(hosts, { key: verifier, names });
  computed = sum(computed, times(enrolled.transactions, operations.enrollMany()));
  say(`${names.length} keys`);
  for (let number = 0n; number < amounts.checkpoints; number++) {
    await sendCheckpoint(checkpoints, { key: verifier, number, root: `0x${sha256Hex(`checkpoint ${number}`)}` });
    computed = sum(computed, operations.checkpoint());
  }
  return {
    computed,
    measured: await measureBlocks(url, first),
    registry,
    elsewhere: async () => {
      const number = BigInt(amounts.checkpoints);
      await sendCheckpoint(checkpoints, { key: verifier, number, root: `0x${sha256Hex("elsewhere")}` });
    },
    identities,
  };
}

/** All that the chain has from a block on. */
async function measureBlocks(url: string, first: number): Promise<Simulated["measured"]> {
  const rpc = openRpc(url);
  const latest = Number(await rpc.call("eth_blockNumber", []));
  let [total, headerBytes]: [Cost, number] = [NOTHING, 0];
  for (let number = first; number <= latest; number++) {
    const block = (await rpc.call("eth_getBlockByNumber", [`0x${number.toString(16)}`, false])) as {
      transactions: Hex[];
      size: Hex;
    };
    let bytes = 0;
    for (const hash of block.transactions) {
      const sizes = await sizesOf(rpc, hash);
      total = sum(total, { ...sizes, transactions: 1, words: 0 });
      bytes += sizes.bytes;
    }
    headerBytes += Number(block.size) - bytes;
  }
  const { words: _, ...measured } = total;
  return { ...measured, headerBytes };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      geth: { type: "string" },
      images: { type: "string", default: "1000" },
      changes: { type: "string", default: "100" },
      keys: { type: "string", default: "10000" },
      checkpoints: { type: "string", default: "60" },
    },
  });
  const { geth, ...rest } = values;
  const amounts = Object.fromEntries(
    Object.entries(rest).map(([key, text]) => [key, Number(text)]),
  ) as unknown as Amounts;
  const people = createPeople();
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const started = performance.now();
  const report = (result: Simulated, more: object): void => {
    const { computed, measured } = result;
    const seconds = Math.round((performance.now() - started) / 1000);
    process.stdout.write(`${JSON.stringify({ amounts, computed, measured, seconds, ...more }, null, 2)}\n`);
  };
  const read = async (url: string, { registry, identities, elsewhere }: Simulated): Promise<void> => {
    const reading = await simulateReading(url, registry, identities, elsewhere);
    process.stdout.write(`${JSON.stringify(reading, null, 2)}\n`);
  };
  if (geth === undefined) {
    const folder = await mkdtemp(join(tmpdir(), "pims-simulation-"));
    const chain = await startAnvil({ folder });
    try {
      const result = await simulate(chain.url, people, amounts, say);
      report(result, {});
      await read(chain.url, result);
    } finally {
      await chain.stop();
      await rm(folder, { recursive: true, force: true });
    }
  } else {
    const all = [people.deployer, ...people.publishers, people.verifier].map(({ address }) => address);
    const node = await startGeth(geth, all);
    try {
      const before = await node.diskBytes();
      const result = await simulate(node.url, people, amounts, say);
      const after = await node.diskBytes();
      report(result, { diskBytes: after - before });
      await read(node.url, result);
    } finally {
      await node.stop();
    }
  }
}
