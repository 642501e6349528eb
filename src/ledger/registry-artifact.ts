import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Hex } from "viem";
import { z } from "zod";

const schema = z.object({
  bytecode: z.string().transform((text) => text as Hex),
  deployedBytecode: z.string().transform((text) => text as Hex),
});

const file = join(import.meta.dirname, "../../contracts/artifacts/BaselineRegistry.json");

let loaded: z.infer<typeof schema> | undefined;

/** The compiled contract: what is deployed, and the code that a chain then has at its address. */
export function registryArtifact(): { bytecode: Hex; deployedBytecode: Hex } {
  loaded ??= schema.parse(JSON.parse(readFileSync(file, "utf8")));
  return loaded;
}
