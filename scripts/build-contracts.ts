// Compiles contracts/*.sol with the pinned compiler. Written for each contract: contracts/artifacts/NAME.json (what is
// deployed) and src/ledger/contract/…-abi.ts (its types). All are committed; a test compiles again and compares.
import { readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import solc from "solc";
import { z } from "zod";
import { sha256Hex } from "../src/core/digest.ts";
import { PimsError } from "../src/core/errors.ts";

const root = join(import.meta.dirname, "..");

/** What is deployed, and the module and name of its ABI. */
const contracts = [
  { name: "BaselineRegistry", module: "registry-abi", abi: "registryAbi" },
  { name: "HostRegistry", module: "host-registry-abi", abi: "hostRegistryAbi" },
  { name: "Checkpoints", module: "checkpoints-abi", abi: "checkpointsAbi" },
] as const;

/**
 * One bytecode for every chain: `london` is the last fork that Clique networks know. Without metadata at its end, the
 * code depends on nothing but the sources and these settings.
 */
const settings = {
  evmVersion: "london",
  optimizer: { enabled: true, runs: 200 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
} as const;

const parameterSchema = z.object({
  name: z.string(),
  type: z.string(),
  indexed: z.boolean().optional(),
  get components() {
    return z.array(parameterSchema).optional();
  },
});
const itemSchema = z.object({
  type: z.enum(["constructor", "error", "event", "function"]),
  name: z.string().optional(),
  inputs: z.array(parameterSchema),
  outputs: z.array(parameterSchema).optional(),
  stateMutability: z.string().optional(),
});
type Parameter = z.infer<typeof parameterSchema>;
type Item = z.infer<typeof itemSchema>;

const outputSchema = z.object({
  errors: z.array(z.object({ severity: z.string(), formattedMessage: z.string() })).optional(),
  contracts: z
    .record(
      z.string(),
      z.record(
        z.string(),
        z.object({
          abi: z.array(itemSchema),
          evm: z.object({
            bytecode: z.object({ object: z.string().regex(/^[0-9a-f]+$/) }),
            deployedBytecode: z.object({ object: z.string().regex(/^[0-9a-f]+$/) }),
          }),
          storageLayout: z.object({
            storage: z.array(z.object({ label: z.string(), slot: z.string(), offset: z.number(), type: z.string() })),
          }),
        }),
      ),
    )
    .optional(),
});

/** The generated files' texts, by path from the root of the checkout. Throws `contract-malformed` on any warning. */
export function buildContracts(): Map<string, string> {
  return new Map(contracts.flatMap((contract) => [...buildContract(contract)]));
}

function buildContract({ name: contractName, module, abi }: (typeof contracts)[number]): Map<string, string> {
  const contractFile = `contracts/${contractName}.sol`;
  const sources = new Map<string, string>();
  const find = (path: string): { contents: string } | { error: string } => {
    const file = path.startsWith("contracts/") ? path : join("node_modules", path);
    if (relative(root, resolve(root, file)).startsWith("..")) return { error: `${path} is outside` };
    try {
      const contents = readFileSync(join(root, file), "utf8");
      sources.set(path, sha256Hex(contents));
      return { contents };
    } catch {
      return { error: `${path} is not there` };
    }
  };
  const first = find(contractFile);
  if ("error" in first) throw new PimsError("contract-malformed", first.error);
  const input = {
    language: "Solidity",
    sources: { [contractFile]: { content: first.contents } },
    settings: {
      ...settings,
      outputSelection: {
        [contractFile]: {
          [contractName]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"],
        },
      },
    },
  };
  const output = outputSchema.parse(JSON.parse(solc.compile(JSON.stringify(input), { import: find })));
  const complaint = output.errors?.[0];
  if (complaint) throw new PimsError("contract-malformed", complaint.formattedMessage);
  const compiled = output.contracts?.[contractFile]?.[contractName];
  if (!compiled) throw new PimsError("contract-malformed", `the compiler gave no ${contractName}`);
  const artifact = {
    contractName,
    compiler: String(solc.version()),
    settings,
    sources: Object.fromEntries([...sources].sort(([a], [b]) => (a < b ? -1 : 1))),
    storage: compiled.storageLayout.storage.map(({ label, slot, offset }) => ({ label, slot, offset })),
    abi: compiled.abi,
    bytecode: `0x${compiled.evm.bytecode.object}`,
    deployedBytecode: `0x${compiled.evm.deployedBytecode.object}`,
  };
  return new Map([
    [`contracts/artifacts/${contractName}.json`, `${JSON.stringify(artifact, null, 2)}\n`],
    [`src/ledger/contract/${module}.ts`, abiModule(contractFile, abi, compiled.abi)],
  ]);
}

/** The ABI in Solidity's words, from which viem derives types. */
function abiModule(file: string, name: string, abi: readonly Item[]): string {
  const lines = abi.map((item) => `  "${signature(item)}",`);
  return [
    `// Generated from ${file} by scripts/build-contracts.ts: do not edit.`,
    'import { parseAbi } from "viem";',
    "",
    `export const ${name} = parseAbi([`,
    ...lines,
    "]);",
    "",
  ].join("\n");
}

function signature(item: Item): string {
  const inputs = `(${item.inputs.map(parameter).join(", ")})`;
  if (item.type === "constructor") return `constructor${inputs}`;
  if (item.type !== "function") return `${item.type} ${item.name ?? ""}${inputs}`;
  const mutability = item.stateMutability === "nonpayable" ? "" : ` ${item.stateMutability}`;
  const outputs = item.outputs?.length ? ` returns (${item.outputs.map(parameter).join(", ")})` : "";
  return `function ${item.name ?? ""}${inputs}${mutability}${outputs}`;
}

function parameter({ name, type, indexed, components }: Parameter): string {
  const written = components ? type.replace(/^tuple/, `(${components.map(parameter).join(", ")})`) : type;
  return [written, ...(indexed ? ["indexed"] : []), ...(name ? [name] : [])].join(" ");
}

if (import.meta.main) {
  for (const [path, text] of buildContracts()) writeFileSync(join(root, path), text);
}
