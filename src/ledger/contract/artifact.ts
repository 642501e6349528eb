import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Hex, keccak256 } from "viem";
import { z } from "zod";

const schema = z
  .object({
    bytecode: z.string().transform((text) => text as Hex),
    deployedBytecode: z.string().transform((text) => text as Hex),
  })
  .transform((built) => ({ ...built, codeHash: keccak256(built.deployedBytecode) }));
type Artifact = z.infer<typeof schema>;

export type ContractName = "BaselineRegistry" | "HostRegistry" | "Checkpoints";

const loaded = new Map<ContractName, Artifact>();

/** A compiled contract: what is deployed, the code that a chain then has at its address, and that code's Keccak-256. */
export function artifactOf(name: ContractName): Artifact {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const file = join(import.meta.dirname, `../../../contracts/artifacts/${name}.json`);
  const artifact = schema.parse(JSON.parse(readFileSync(file, "utf8")));
  loaded.set(name, artifact);
  return artifact;
}
