import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../../src/core/errors.ts";
import { unpackPackages } from "../../../src/demo/debian-packages.ts";
import { runTool } from "../../../src/demo/run-tool.ts";

/** Makes a shared library of a C file that needs no header, with a compiler that is fetched once and kept. */
export async function compileLibrary(source: string, library: string): Promise<void> {
  const compiler = await fetchCompiler();
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const own = join(compiler, "usr/lib", `${machine}-linux-gnu`, "tcc");
  await runTool(join(compiler, "usr/bin/tcc"), ["-B", own, "-shared", "-nostdlib", "-o", library, source]);
  await writeFile(library, withStackHeader(await readFile(library)));
}

async function fetchCompiler(): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || "/var/cache", "pims");
  const folder = join(cache, `attacks-tcc-${process.arch}`);
  if ((await stat(folder).catch(() => null)) !== null) return folder;
  // The name under which the demo, too, finds and removes what killed runs left.
  const draft = join(cache, `building-${process.pid}-${Date.now()}`);
  await mkdir(draft, { recursive: true });
  try {
    await unpackPackages(["tcc"], join(draft, "tcc"));
    await rename(join(draft, "tcc"), folder).catch((error: unknown) => {
      // Another run was faster.
      if (errorCode(error) !== "ENOTEMPTY" && errorCode(error) !== "EEXIST") throw error;
    });
    return folder;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

const HEADER = 56;

/** The compiler writes no PT_GNU_STACK, and without it the loader makes the stack executable: the table moves to the end. */
function withStackHeader(file: Buffer): Buffer {
  const [start, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(56)];
  const stack = Buffer.alloc(HEADER);
  stack.writeUInt32LE(0x6474e551, 0);
  stack.writeUInt32LE(6, 4);
  const aligned = Buffer.concat([file, Buffer.alloc(-file.length & 7)]);
  aligned.writeBigUInt64LE(BigInt(aligned.length), 32);
  aligned.writeUInt16LE(count + 1, 56);
  return Buffer.concat([aligned, file.subarray(start, start + count * HEADER), stack]);
}
