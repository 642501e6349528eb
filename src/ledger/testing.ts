// What the tests of this room share: a real chain, a registry on it, and baselines to keep there.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, bytesToHex, encodeFunctionData, type Hex } from "viem";
import { formatEntry, formatHeader } from "../baseline/format.ts";
import { sha256Hex } from "../core/digest.ts";
import { approveBaseline } from "./approve.ts";
import { hashChain } from "./contract/entry-data.ts";
import { identityToHash } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { deployRegistry } from "./deploy.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openRegistry, type RegistryPlace } from "./open-ledger.ts";
import { type ProposalParts, proposalId } from "./proposal.ts";
import { proposeBaseline } from "./propose.ts";
import { sendTo } from "./proved-contract.ts";
import { readBaseline } from "./read-baseline.ts";
import { startTestChain, type TestChain } from "./testing-chain.ts";

/** What has to happen at the end: a test's context, or the suite's (`ending`). */
export interface Ending {
  after(undo: () => Promise<void>): void;
}

export async function temporaryFolder(t: Ending): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-ledger-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Collects for a whole file; `end` undoes in reverse order. */
export function ending(): Ending & { end(): Promise<void> } {
  const undos: (() => Promise<void>)[] = [];
  return {
    after: (undo) => void undos.push(undo),
    async end() {
      for (const undo of undos.toReversed()) await undo();
    },
  };
}

export interface TestLedger extends TestChain {
  place: { url: string; registry: Address; depth: number };
  deployer: LedgerKey;
  publishers: [LedgerKey, LedgerKey, LedgerKey];
}

/** A chain with a registry that needs two of three publishers. */
export async function startTestLedger(t: Ending): Promise<TestLedger> {
  const test = await startTestChain(t);
  const [deployer, ...publishers] = (await test.newKeys(4)) as [LedgerKey, LedgerKey, LedgerKey, LedgerKey];
  const { depth } = test;
  const { url } = test.chain;
  const { address } = await deployRegistry({
    url,
    deployerKey: deployer,
    publishers: publishers.map((key) => key.address),
    quorum: 2,
    depth,
  });
  return { ...test, place: { url, registry: address, depth }, deployer, publishers };
}

export function testIdentity(name: string): string {
  return `sha256:${sha256Hex(name)}`;
}

/** A baseline of `count` entries that differ from those of any other `variant`. */
export function testLines(name: string, count: number, variant = ""): string[] {
  const entries = Array.from({ length: count }, (_, index) =>
    formatEntry({
      path: `/usr/lib/lib${String(index).padStart(6, "0")}.so`,
      kind: "library",
      size: BigInt(10_000 + index),
      sha256: sha256Hex(`${variant}file ${index}`),
      segments: [{ offset: 4096n, size: BigInt(500 + index), sha256: sha256Hex(`${variant}segment ${index}`) }],
    }),
  );
  const header = {
    identity: testIdentity(name),
    name,
    architecture: "amd64",
    ports: ["tcp/80"],
    entrypoint: ["/usr/sbin/server"],
    jit: [],
    entries: count,
  };
  return [formatHeader(header), ...entries];
}

/** Short ways to do what a test does often, and transactions that the client itself would never send. */
export function testActions(place: RegistryPlace) {
  const send = async (key: LedgerKey, data: Hex): Promise<void> => {
    await sendTo(await openRegistry(place), key, data);
  };
  return {
    send,
    propose: (key: LedgerKey, lines: readonly string[]) => proposeBaseline({ ...place, key, lines }),
    approve: (key: LedgerKey, id: string) => approveBaseline({ ...place, key, id }),
    read: (name: string) => readBaseline({ ...place, identity: testIdentity(name) }),
    deliver: (key: LedgerKey, id: Hex, index: number, chunk: Uint8Array, next: Hex): Promise<void> =>
      send(key, encodeFunctionData({ abi, functionName: "deliver", args: [id, index, bytesToHex(chunk), next] })),
    /** Proposes whatever it is told, and delivers nothing. */
    async proposeOnly(key: LedgerKey, parts: ProposalParts): Promise<Hex> {
      const { identity, root, dataHash, chunks, lines } = parts;
      const args = [identity, root, dataHash, chunks, lines] as const;
      await send(key, encodeFunctionData({ abi, functionName: "propose", args }));
      return proposalId(await openRegistry(place), parts);
    },
  };
}
export type TestActions = ReturnType<typeof testActions>;

/** A first proposal for `name` with these pieces, whatever they hold. */
export function testParts(name: string, chunks: readonly Uint8Array[]): ProposalParts {
  return {
    epoch: 0,
    identity: identityToHash(testIdentity(name)),
    revision: 0n,
    root: `0x${"5".repeat(64)}`,
    dataHash: hashChain(chunks)[0]!,
    chunks: chunks.length,
    lines: 1,
  };
}

/** How a call fails that the contract refuses: the reason in the contract's words, which `refusal` keeps as the cause. */
export const reverts = (cause: string) => ({ code: "ledger-refused", cause });
