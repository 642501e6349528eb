import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { PimsError } from "../../core/errors.ts";

const packages: Partial<Record<string, string>> = { x64: "anvil-linux-amd64", arm64: "anvil-linux-arm64" };

/** The program itself, not the package's wrapper, which would stand between it and our signals. Throws `anvil-missing`. */
export function anvilBinary(): string {
  const name = packages[process.arch];
  if (name === undefined) throw missing(`there is no anvil for ${process.arch} processors`);
  try {
    const wrapper = createRequire(import.meta.url).resolve("@foundry-rs/anvil/package.json");
    const platform = createRequire(wrapper).resolve(`@foundry-rs/${name}/package.json`);
    const binary = join(dirname(platform), "bin/anvil");
    if (existsSync(binary)) return binary;
  } catch (error) {
    throw missing("anvil, the embedded chain, is not installed", error);
  }
  throw missing("anvil, the embedded chain, is not installed");
}

function missing(message: string, cause?: unknown): PimsError {
  return new PimsError("anvil-missing", message, {
    hint: "run sh scripts/setup, or use a chain of your own with --url",
    cause,
  });
}
