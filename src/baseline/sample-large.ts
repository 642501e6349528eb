// For tests: a large image in a file that takes little room and time to make.
import { createHash } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { sampleElf } from "../measure/sample-elf.ts";
import { sampleConfig } from "./sample-oci.ts";
import { type SampleEntry, sampleTar } from "./sample-tar.ts";

export interface LargeImage {
  /** Of these a fifth are programs and libraries, two fifths scripts, the others data. */
  readonly files: number;
  /** Bytes of all together. */
  readonly bytes: number;
}

const BLOCK = 512;

/**
 * Writes an archive as `docker save` does, with one layer. What files have besides their first bytes is a hole of the
 * file system that it is written to, and zero for whoever reads it.
 */
export function writeLargeImage(path: string, { files, bytes }: LargeImage): void {
  const fd = openSync(path, "w+");
  try {
    const each = Math.floor(bytes / files / BLOCK) * BLOCK;
    const layerSize = files * (BLOCK + each) + 2 * BLOCK;
    let at = BLOCK;
    for (let number = 0; number < files; number++) {
      writeSync(fd, sampleTar([largeEntry(number, each)]).subarray(0, BLOCK), 0, BLOCK, at);
      const start = contentOf(number);
      writeSync(fd, start, 0, Math.min(start.length, each), at + BLOCK);
      at += BLOCK + each;
    }
    ftruncateSync(fd, BLOCK + layerSize);
    writeSync(fd, headerOf({ name: "layer.tar", claimedSize: layerSize }), 0, BLOCK, 0);
    const diffId = `sha256:${digestOf(fd, BLOCK, layerSize)}`;
    const config = sampleConfig({ layers: [], config: { rootfs: { type: "layers", diff_ids: [diffId] } } });
    const manifest = JSON.stringify([{ Config: "config.json", RepoTags: ["large:1"], Layers: ["layer.tar"] }]);
    const rest = sampleTar([
      { name: "config.json", content: config },
      { name: "manifest.json", content: manifest },
    ]);
    writeSync(fd, rest, 0, rest.length, BLOCK + layerSize);
  } finally {
    closeSync(fd);
  }
}

/** The same, compressed as a whole. */
export async function compressFile(from: string, to: string): Promise<void> {
  await pipeline(createReadStream(from), createGzip({ level: 1 }), createWriteStream(to));
}

function largeEntry(number: number, size: number): SampleEntry {
  const folder = `usr/share/package-${Math.floor(number / 100)}`;
  const ending = number % 5 === 0 ? ".so" : number % 5 < 3 ? ".py" : ".dat";
  return { name: `${folder}/file-${number}${ending}`, claimedSize: size };
}

function contentOf(number: number): Buffer {
  if (number % 5 === 0) return sampleElf({ seed: number % 97 });
  return Buffer.from(`# ${number}\n`);
}

function headerOf(entry: SampleEntry): Buffer {
  return sampleTar([entry]).subarray(0, BLOCK);
}

function digestOf(fd: number, from: number, size: number): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(4 * 1024 * 1024);
  for (let at = 0; at < size; ) {
    const got = readSync(fd, buffer, 0, Math.min(buffer.length, size - at), from + at);
    hash.update(buffer.subarray(0, got));
    at += got;
  }
  return hash.digest("hex");
}
