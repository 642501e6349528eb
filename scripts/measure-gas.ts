// Measures what each operation on the contracts costs, on a chain of its own. `--write` puts the table into docs/ledger-cost.md;
// a test measures again and compares.
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, bytesToHex, encodeFunctionData, type Hex, keccak256 } from "viem";
import { startAnvil } from "../src/ledger/anvil.ts";
import { checkpointsAbi } from "../src/ledger/checkpoints-abi.ts";
import { deployContract, deployRegistry, inRisingOrder } from "../src/ledger/deploy.ts";
import { hashChain, maxChunkBytes } from "../src/ledger/entry-data.ts";
import { hostRegistryAbi } from "../src/ledger/host-registry-abi.ts";
import { createKey, type LedgerKey } from "../src/ledger/keys.ts";
import { proposalId } from "../src/ledger/proposal.ts";
import { openRegistry } from "../src/ledger/registry.ts";
import { registryAbi as abi } from "../src/ledger/registry-abi.ts";
import { openRpc } from "../src/ledger/rpc.ts";
import { callQuantity } from "../src/ledger/rpc-values.ts";
import { sendTransaction } from "../src/ledger/send.ts";

export interface GasRow {
  readonly operation: string;
  readonly gas: number;
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
  const note = (operation: string, gas: bigint): void => void rows.push({ operation, gas: Number(gas) });
  const sender = (to: Address) => async (key: LedgerKey, data: Hex, operation?: string) => {
    const { gasUsed } = await sendTransaction(rpc, chainId, key, { to, data });
    if (operation !== undefined) note(operation, gasUsed);
  };
  const payer = { url, deployerKey: deployer };
  const publishers = [a, b, c].map(({ address }) => address);
  const registry = await deployRegistry({ ...payer, publishers, quorum: 2 });
  note("deploy BaselineRegistry, three publishers", registry.gas);
  const hosts = await deployContract("HostRegistry", payer);
  note("deploy HostRegistry", hosts.gas);
  const checkpoints = await deployContract("Checkpoints", payer);
  note("deploy Checkpoints", checkpoints.gas);

  const send = sender(registry.address);
  const identity = bytesToHex(randomBytes(32));
  const publish = async (
    revision: bigint,
    image: Hex,
    names: Partial<Record<"propose" | "deliver" | "approve", string>>,
  ) => {
    const chunk = randomBytes(maxChunkBytes);
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
  await publish(0n, identity, {
    propose: "propose, an image's first",
    deliver: `deliver a piece of ${maxChunkBytes} bytes that do not compress`,
    approve: "approve, the quorum's last signature, an image's first",
  });
  const second = await publish(1n, identity, {
    propose: "propose, an image's next",
    approve: "approve, the quorum's last signature, an image's next",
  });
  const other = await publish(0n, bytesToHex(randomBytes(32)), {});
  await send(a, encodeFunctionData({ abi, functionName: "supersede", args: [second, other, 3600n] }), "supersede");
  await send(a, encodeFunctionData({ abi, functionName: "revoke", args: [second] }), "revoke");
  const next = inRisingOrder([a, b, d].map(({ address }) => address));
  const change = encodeFunctionData({ abi, functionName: "changePublishers", args: [next, 2] });
  await send(a, change, "changePublishers, a signature");
  await send(b, change, "changePublishers, the quorum's last of two signatures, three publishers");
  const retire = encodeFunctionData({ abi, functionName: "retire", args: [checkpoints.address] });
  await send(a, retire, "retire, a signature");
  await send(b, retire, "retire, the quorum's last of two signatures");

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

export const COST_PAGE = join(import.meta.dirname, "../docs/ledger-cost.md");
const TABLE = /\| operation \| gas \|\n\|---\|---\|\n(?:\|.*\|\n)+/;

/** The rows that the page has. */
export async function writtenGas(): Promise<GasRow[]> {
  const [table = ""] = TABLE.exec(await readFile(COST_PAGE, "utf8")) ?? [];
  return [...table.matchAll(/^\| (.*) \| ([\d ]+) \|$/gm)].map(([, operation, gas]) => ({
    operation: operation!,
    gas: Number(gas!.replaceAll(" ", "")),
  }));
}

function tableOf(rows: readonly GasRow[]): string {
  const digits = (gas: number): string => `${gas}`.replaceAll(/\B(?=(\d{3})+$)/g, " ");
  const lines = rows.map(({ operation, gas }) => `| ${operation} | ${digits(gas)} |\n`);
  return `| operation | gas |\n|---|---|\n${lines.join("")}`;
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
