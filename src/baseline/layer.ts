import { printable, toJsonText } from "../core/bytes.ts";
import { sha256Stream } from "../core/digest.ts";
import { type ByteSource, byteSource } from "./byte-source.ts";
import { layerPath } from "./layer-path.ts";
import { type FolderNode, folderAt, type LayerNode, newFolder } from "./layer-tree.ts";
import type { Budget } from "./limits.ts";
import { scanStream } from "./scan-stream.ts";
import { SMALL_BYTES } from "./scripts.ts";
import { readTar, type TarEntry } from "./tar.ts";
import { latin1, malformedTar } from "./tar-header.ts";

/** OCI image specification, "Image Layer Filesystem Changeset": names with this in front say what is not there. */
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** What the union file system aufs kept for itself. */
const META = ".wh..wh.";

export interface Layer {
  readonly top: FolderNode;
  /** SHA-256 of the uncompressed archive, to its last byte. */
  readonly diffId: string;
  /** Bytes of it. */
  readonly size: number;
}

/** Reads one uncompressed layer. Throws `image-malformed` and `image-too-large`. */
export async function readLayer(archive: AsyncIterable<unknown>, budget: Budget): Promise<Layer> {
  const hash = sha256Stream();
  let size = 0;
  const source = byteSource(archive, (bytes) => {
    budget.bytes(bytes.length);
    size += bytes.length;
    hash.update(bytes);
  });
  try {
    const top = newFolder();
    for await (const entry of readTar(source)) await addEntry(top, entry, budget);
    await drain(source);
    return { top, diffId: hash.hex(), size };
  } finally {
    await source.close();
  }
}

async function drain(source: ByteSource): Promise<void> {
  while ((await source.next(Number.POSITIVE_INFINITY)) !== undefined);
}

async function addEntry(top: FolderNode, entry: TarEntry, budget: Budget): Promise<void> {
  const parts = layerPath(entry.name);
  budget.file(parts.length);
  const name = parts.pop();
  if (name === undefined) {
    if (entry.type === "directory") return;
    throw malformedTar("its root is not a folder");
  }
  if ((parts[0] ?? name).startsWith(META) && name !== OPAQUE) return;
  const folder = folderAt(top, parts, budget.file);
  if (name === OPAQUE) folder.opaque = true;
  else if (name.startsWith(WHITEOUT)) addWhiteout(folder, name.slice(WHITEOUT.length));
  else if (entry.type === "directory") addFolder(folder, name);
  else folder.children.set(name, await nodeOf(top, entry, budget));
}

/** Hides what lower layers have, and never what this layer has, whichever comes first. */
function addWhiteout(folder: FolderNode, name: string): void {
  if (name === "" || name === "." || name === "..") throw malformedTar("a whiteout names no file");
  const node = folder.children.get(name);
  if (node === undefined) folder.children.set(name, { type: "whiteout" });
  else if (node.type === "folder") node.opaque = true;
}

function addFolder(folder: FolderNode, name: string): void {
  const node = folder.children.get(name);
  if (node?.type === "folder") return;
  const made = newFolder();
  made.opaque = node?.type === "whiteout";
  folder.children.set(name, made);
}

async function nodeOf(top: FolderNode, entry: TarEntry, budget: Budget): Promise<LayerNode> {
  switch (entry.type) {
    case "file": {
      const { size, holes } = entry;
      budget.fileBytes(size, printable(toJsonText(entry.name)));
      // A kilobyte of archive may stand for gigabytes of zeros, and those are hashed, too.
      budget.bytes(holes);
      return {
        type: "file",
        ...(await scanStream({ size, path: latin1(entry.name), hashAlways: size <= SMALL_BYTES }, entry.content)),
      };
    }
    case "hard-link":
      return linkedNode(top, entry.linkName, budget);
    case "link":
      return { type: "link", target: latin1(entry.linkName.subarray(0, 4096)) };
    default:
      return { type: "other" };
  }
}

function linkedNode(top: FolderNode, target: Uint8Array, budget: Budget): LayerNode {
  const parts = layerPath(target);
  const name = parts.pop() ?? "";
  const node = folderAt(top, parts, budget.file).children.get(name);
  if (node !== undefined && node.type !== "folder" && node.type !== "whiteout") return node;
  throw malformedTar("a hard link leads to a file that its layer does not have");
}
