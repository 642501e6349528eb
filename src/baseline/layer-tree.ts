import type { ScannedFile } from "./scan-file.ts";
import { malformedTar } from "./tar-header.ts";

export interface FolderNode {
  readonly type: "folder";
  /** By name, one character a byte. */
  readonly children: Map<string, LayerNode>;
  /** Hides what lower layers have in it. */
  opaque: boolean;
}

/** A file, one object for all its hard links. */
export type FileNode = { readonly type: "file" } & ScannedFile;

export type LayerNode =
  | FolderNode
  | FileNode
  | { readonly type: "link"; readonly target: string }
  /** Device, fifo: hides what lower layers have there, and is no code. */
  | { readonly type: "other" }
  /** There only to hide what lower layers have there. */
  | { readonly type: "whiteout" };

/** Steps on the way to a folder, those through links counted too: no two short links make a long walk. */
const MAX_STEPS = 1024;

export function newFolder(): FolderNode {
  return { type: "folder", children: new Map(), opaque: false };
}

/**
 * The folder that `parts` lead to, made where it is not there. A symbolic link on the way is followed inside the layer,
 * with the layer's top as root: engines unpack a layer on its own, in a root of its own, and that is what they do.
 * Throws `image-malformed` where a file is in the way. `onNew` is told the depth of each folder that is made.
 */
export function folderAt(top: FolderNode, parts: readonly string[], onNew: (depth: number) => void): FolderNode {
  const trail: FolderNode[] = [top];
  const todo = parts.toReversed();
  for (let steps = 0; todo.length > 0; steps++) {
    if (steps > MAX_STEPS) throw malformedTar("its symbolic links go in a circle");
    const part = todo.pop()!;
    const here = trail.at(-1)!;
    if (part === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const child = here.children.get(part);
    if (child === undefined || child.type === "whiteout") {
      onNew(trail.length);
      const made = newFolder();
      // What was deleted and made again shows nothing of the lower layers'.
      made.opaque = child !== undefined;
      here.children.set(part, made);
      trail.push(made);
    } else if (child.type === "folder") {
      trail.push(child);
    } else if (child.type === "link") {
      if (child.target.startsWith("/")) trail.length = 1;
      todo.push(...linkParts(child.target).toReversed());
    } else {
      throw malformedTar("a file is where another one needs a folder");
    }
  }
  return trail.at(-1)!;
}

function linkParts(target: string): string[] {
  return target.split("/").filter((part) => part !== "" && part !== ".");
}

/**
 * Puts a layer over what the layers below it made; `lower` is changed and is the result, `upper` stays as it is. The
 * rules are overlayfs's. `onName` is called for each name of the layer.
 */
export function mergeLayer(lower: FolderNode, upper: FolderNode, onName: () => void): void {
  if (upper.opaque) lower.children.clear();
  for (const [name, node] of upper.children) {
    onName();
    const below = lower.children.get(name);
    if (node.type === "whiteout") lower.children.delete(name);
    else if (node.type !== "folder") lower.children.set(name, node);
    else {
      const target = below?.type === "folder" ? below : newFolder();
      if (target !== below) lower.children.set(name, target);
      mergeLayer(target, node, onName);
    }
  }
}

/** Every file with its path inside the image, in no particular order. */
export function* filesOf(folder: FolderNode, path = ""): Generator<{ path: Uint8Array } & ScannedFile> {
  for (const [name, node] of folder.children) {
    const inner = `${path}/${name}`;
    if (node.type === "folder") yield* filesOf(node, inner);
    if (node.type === "file") yield { path: Buffer.from(inner, "latin1"), ...node };
  }
}
