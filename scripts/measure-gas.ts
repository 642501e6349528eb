// Measures what each operation on the contracts costs, on a chain of its own. `--write` puts the table into docs/ledger-cost.md;
// a test measures again and compares.
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, bytesToHex, encodeFunctionData, type Hex, keccak256, numberToHex, size, toRlp } from "viem";
import { inRisingOrder } from "../src/ledger/contract/address.ts";
import { checkpointsAbi } from "../src/ledger/contract/checkpoints-abi.ts";
import { hashChain, maxChunkBytes } from "../src/ledger/contract/entry-data.ts";
import { hostRegistryAbi } from "../src/ledger/contract/host-registry-abi.ts";
import { registryAbi as abi } from "../src/ledger/contract/registry-abi.ts";
import { deployContract, deployRegistry } from "../src/ledger/deploy.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";
import { createKey, type LedgerKey } from "../src/ledger/keys/keys.ts";
import { openRegistry } from "../src/ledger/open-ledger.ts";
import { proposalId } from "../src/ledger/proposal.ts";
import { openRpc, type Rpc } from "../src/ledger/rpc/rpc.ts";
import { callQuantity } from "../src/ledger/rpc/rpc-values.ts";
import { sendTransaction } from "../src/ledger/send.ts";

/** What a transaction costs; `bytes` and `receiptBytes` are the RLP of it and of its receipt, without the receipt's bloom. */
export interface GasRow {
  readonly operation: string;
  readonly gas: number;
  readonly bytes: number;
  readonly receiptBytes: number;
}

/** Gas of a transaction: what it costs a sender whose contracts look like those of the first days, on EVM `london`. */
export async function measureGas(): Promise<GasRow[]> {
  const folder = await mkdtemp(join(tmpdir(), "pims-gas-"));
  const chain = await startAnvil({ folder });
  try {
    return await measure(chain.url);
  } finally {
    await chain.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(url: string): Promise<GasRow[]> {
  const rows: GasRow[] = [];
  const rpc = openRpc(url);
  const chainId = await callQuantity(rpc, "eth_chainId", []);
  const deployer = createKey();
  // In rising order, as the registry has them: which words of the list a change writes depends on it.
  const keys = [createKey(), createKey(), createKey(), createKey()];
  keys.sort((one, other) => (BigInt(one.address) < BigInt(other.address) ? -1 : 1));
  const [a, b, c, d] = keys as [LedgerKey, LedgerKey, LedgerKey, LedgerKey];
  const note = async (operation: string, hash: Hex): Promise<void> =>
    void rows.push({ operation, ...(await sizesOf(rpc, hash)) });
  const latest = async (): Promise<Hex> => {
    const block = (await rpc.call("eth_getBlockByNumber", ["latest", false])) as { transactions: [Hex] };
    return block.transactions[0];
  };
  const sender = (to: Address) => async (key: LedgerKey, data: Hex, operation?: string) => {
    const { transactionHash } = await sendTransaction(rpc, chainId, key, { to, data });
    if (operation !== undefined) await note(operation, transactionHash);
  };
  const payer = { url, deployerKey: deployer };
  const publishers = [a, b, c].map(({ address }) => address);
  const registry = await deployRegistry({ ...payer, publishers, quorum: 2 });
  await note("deploy BaselineRegistry, three publishers", await latest());
  const hosts = await deployContract("HostRegistry", payer);
  await note("deploy HostRegistry", await latest());
  const checkpoints = await deployContract("Checkpoints", payer);
  await note("deploy Checkpoints", await latest());

  const send = sender(registry.address);
  const identity = bytesToHex(randomBytes(32));
  const publish = async (
    revision: bigint,
    image: Hex,
    names: Partial<Record<"propose" | "deliver" | "approve", string>>,
    length = maxChunkBytes,
  ) => {
    const chunk = randomBytes(length);
    const [dataHash] = hashChain([chunk]);
    const parts = {
      epoch: 0,
      identity: image,
      revision,
      root: keccak256(chunk),
      dataHash: dataHash!,
      chunks: 1,
      lines: 1000,
    };
    const id = proposalId({ chainId, address: registry.address }, parts);
    const proposing = [image, parts.root, parts.dataHash, 1, 1000] as const;
    await send(a, encodeFunctionData({ abi, functionName: "propose", args: proposing }), names.propose);
    const piece = [id, 0, bytesToHex(chunk), bytesToHex(new Uint8Array(32))] as const;
    await send(a, encodeFunctionData({ abi, functionName: "deliver", args: piece }), names.deliver);
    await send(b, encodeFunctionData({ abi, functionName: "approve", args: [id] }), names.approve);
    return id;
  };
  // The registry's very first image costs more: a list that is empty no longer.
  await publish(0n, bytesToHex(randomBytes(32)), {}, SMALL_PIECE);
  await publish(0n, identity, {
    propose: "propose, an image's first",
    deliver: `deliver a last piece of ${maxChunkBytes} bytes`,
    approve: "approve, the quorum's last signature, an image's first",
  });
  const second = await publish(1n, identity, {
    propose: "propose, an image's next",
    approve: "approve, the quorum's last signature, an image's next",
  });
  const small = { deliver: `deliver a last piece of ${SMALL_PIECE} bytes` };
  const other = await publish(0n, bytesToHex(randomBytes(32)), small, SMALL_PIECE);
  await send(a, encodeFunctionData({ abi, functionName: "supersede", args: [second, other, 3600n] }), "supersede");
  await send(a, encodeFunctionData({ abi, functionName: "revoke", args: [second] }), "revoke");
  const next = inRisingOrder([a, b, d].map(({ address }) => address));
  const change = encodeFunctionData({ abi, functionName: "changePublishers", args: [next, 2] });
  await send(a, change, "changePublishers, a signature");
  await send(b, change, "changePublishers, the quorum's last of two signatures, three publishers");
  const retire = encodeFunctionData({ abi, functionName: "retire", args: [checkpoints.address] });
  await send(a, retire, "retire, a signature");
  await send(b, retire, "retire, the quorum's last of two signatures");

  await signEarly({ url, deployer, keys: [a, b, c], note });

  const checkpoint = sender(checkpoints.address);
  for (const [number, operation] of [
    "checkpoint, a reporter's first",
    "checkpoint, any later, whatever the number of hosts",
  ].entries()) {
    const args = [BigInt(number), bytesToHex(randomBytes(32))] as const;
    await checkpoint(a, encodeFunctionData({ abi: checkpointsAbi, functionName: "checkpoint", args }), operation);
  }
  const host = sender(hosts.address);
  const names = Array.from({ length: 201 }, () => `0x000b${randomBytes(32).toString("hex")}` as Hex);
  const record = (functionName: "enroll" | "revoke", some: readonly Hex[], operation: string) =>
    host(a, encodeFunctionData({ abi: hostRegistryAbi, functionName, args: [some] }), operation);
  await record("enroll", names.slice(0, 1), "enroll a key");
  await record("enroll", names.slice(1), "enroll 200 keys at once");
  await record("revoke", names.slice(0, 1), "revoke a key");
  await openRegistry({ url, registry: registry.address });
  return rows;
}

interface Early {
  readonly url: string;
  readonly deployer: LedgerKey;
  readonly keys: readonly [LedgerKey, LedgerKey, LedgerKey];
  readonly note: (operation: string, hash: Hex) => Promise<void>;
}

/** A piece that is not the last, and a signature that is not: where three must sign, the second one decides nothing yet. */
async function signEarly({ url, deployer, keys, note }: Early): Promise<void> {
  const publishers = keys.map(({ address }) => address);
  const { address } = await deployRegistry({ url, deployerKey: deployer, publishers, quorum: 3 });
  const { rpc, chainId } = await openRegistry({ url, registry: address });
  const chunks = [randomBytes(maxChunkBytes), randomBytes(100)];
  const links = hashChain(chunks);
  const parts = { epoch: 0, identity: keccak256("0x01"), revision: 0n, root: keccak256("0x02"), dataHash: links[0]! };
  const id = proposalId({ chainId, address }, { ...parts, chunks: 2, lines: 1 });
  const send = async (key: LedgerKey, data: Hex): Promise<Hex> =>
    (await sendTransaction(rpc, chainId, key, { to: address, data })).transactionHash;
  const proposing = [parts.identity, parts.root, parts.dataHash, 2, 1] as const;
  await send(keys[0], encodeFunctionData({ abi, functionName: "propose", args: proposing }));
  for (const [index, chunk] of chunks.entries()) {
    const piece = [id, index, bytesToHex(chunk), links[index + 1]!] as const;
    const hash = await send(keys[0], encodeFunctionData({ abi, functionName: "deliver", args: piece }));
    if (index === 0) await note(`deliver a piece of ${chunk.length} bytes, more to come`, hash);
  }
  const approving = encodeFunctionData({ abi, functionName: "approve", args: [id] });
  await note("approve, a signature before the last", await send(keys[1], approving));
}

interface Sent extends Record<"nonce" | "gasPrice" | "gas" | "value" | "input" | "v" | "r" | "s", Hex> {
  readonly to: Hex | null;
}
interface Said {
  readonly gasUsed: Hex;
  readonly cumulativeGasUsed: Hex;
  readonly logs: readonly { address: Hex; topics: Hex[]; data: Hex }[];
}

/** A legacy transaction and its receipt, in the Yellow Paper's forms. */
export async function sizesOf(rpc: Rpc, hash: Hex): Promise<Omit<GasRow, "operation">> {
  const { nonce, gasPrice, gas, to, value, input, v, r, s } = (await rpc.call("eth_getTransactionByHash", [
    hash,
  ])) as Sent;
  const said = (await rpc.call("eth_getTransactionReceipt", [hash])) as Said;
  const number = (quantity: Hex): Hex =>
    BigInt(quantity) === 0n
      ? "0x"
      : numberToHex(BigInt(quantity), { size: Math.ceil(BigInt(quantity).toString(16).length / 2) });
  const sent = [
    ...[nonce, gasPrice, gas].map(number),
    to ?? "0x",
    number(value),
    input,
    ...[v, r, s].map(number),
  ] as const;
  const logs = said.logs.map(({ address, topics, data }) => [address, topics, data] as const);
  return {
    gas: Number(said.gasUsed),
    bytes: size(toRlp(sent)),
    receiptBytes: size(toRlp(["0x01", number(said.cumulativeGasUsed), logs] as never)),
  };
}

export const SMALL_PIECE = 1000;
export const COST_PAGE = join(import.meta.dirname, "../docs/ledger-cost.md");
const HEAD = "| operation | gas | transaction, bytes | receipt, bytes |\n|---|---|---|---|\n";
const TABLE = /\| operation \| gas \|.*\n\|(?:---\|)+\n(?:\|.*\|\n)+/;

/** The rows that the page has. */
export async function writtenGas(): Promise<GasRow[]> {
  const [table = ""] = TABLE.exec(await readFile(COST_PAGE, "utf8")) ?? [];
  return [...table.matchAll(/^\| (.*) \| ([\d ]+) \| ([\d ]+) \| ([\d ]+) \|$/gm)].map(([, operation, ...numbers]) => {
    const [gas, bytes, receiptBytes] = numbers.map((text) => Number(text.replaceAll(" ", ""))) as [
      number,
      number,
      number,
    ];
    return { operation: operation!, gas, bytes, receiptBytes };
  });
}

/** With a space between thousands. */
export function digits(number: number): string {
  return `${number}`.replaceAll(/\B(?=(\d{3})+$)/g, " ");
}

function tableOf(rows: readonly GasRow[]): string {
  const lines = rows.map(
    ({ operation, gas, bytes, receiptBytes }) =>
      `| ${[operation, ...[gas, bytes, receiptBytes].map(digits)].join(" | ")} |\n`,
  );
  return `${HEAD}${lines.join("")}`;
}

if (import.meta.main) {
  const table = tableOf(await measureGas());
  if (process.argv.includes("--write"))
    await writeFile(
      COST_PAGE,
      (await readFile(COST_PAGE, "utf8")).replace(TABLE, () => table),
    );
  else process.stdout.write(table);
}
