import { type JsonText, toJsonText } from "../core/bytes.ts";
import { type FileArea, type KnownArea, LONG_NAME } from "../kernel/procmap.ts";

/**
 * Where the bytes of an executable mapping come from: a file, a memfd, plain or shared anonymous memory, the kernel
 * itself (`[vdso]`, `[uprobes]`).
 */
export type Backing = "file" | "memfd" | "anonymous" | "kernel";

/** One executable mapping of an address space. */
export interface Mapping extends KnownArea {
  /** The kernel's name: a path in the process's mount namespace, or a name in brackets. Empty for anonymous memory. */
  readonly name: JsonText;
  readonly backing: Backing;
}

const KERNEL_NAMES = new Set(["[vdso]", "[uprobes]", "[sigpage]", "[vectors]"]);

/** A path starts with `/`, so no file can pass for one of the kernel's own names. */
export function backingOf(name: JsonText, inode: bigint): Backing {
  const text = typeof name === "string" ? name : "";
  if (text.startsWith("/memfd:")) return "memfd";
  if (KERNEL_NAMES.has(text)) return "kernel";
  if (inode === 0n) return "anonymous";
  // Shared anonymous memory is a deleted file of the kernel's own tmpfs, huge pages one of its hugetlbfs.
  if (/^\/(dev\/zero|SYSV[0-9a-f]{8}|anon_hugepage) \(deleted\)$/.test(text)) return "anonymous";
  return "file";
}

const PATH_MAX = 4096;

const LINE = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([ps]) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+)/;

/** What a sweep asks of the text of `/proc/PID/maps`. Both in rising order. */
export interface ParsedMaps {
  readonly executable: Mapping[];
  /** Areas through which a file is written to. */
  readonly sharedWritable: FileArea[];
}

/**
 * The executable mappings in the text of `/proc/PID/maps` (proc_pid_maps(5)). A newline in a path is written `\012`, so
 * lines cannot be forged; lines of another shape are left out.
 */
export function parseMaps(text: Uint8Array): Mapping[] {
  return parseAllMaps(text).executable;
}

/** As parseMaps, with the areas through which files are written to. */
export function parseAllMaps(text: Uint8Array): ParsedMaps {
  const executable: Mapping[] = [];
  const sharedWritable: FileArea[] = [];
  for (const { match, line } of matchLines(text)) {
    const writable = match[4] === "w";
    const shared = match[6] === "s";
    if (writable && shared && match[10] !== "0") sharedWritable.push(areaOf(match));
    if (match[5] !== "x") continue;
    const area = areaOf(match);
    let nameAt = match[0].length;
    while (line[nameAt] === 0x20) nameAt++;
    const bytes = unescapeNewlines(line.subarray(nameAt));
    const name = bytes.length < PATH_MAX ? toJsonText(bytes) : LONG_NAME;
    // The gate page is the kernel's, above every process's own addresses, and in no page table that pagemap shows.
    if (name === "[vsyscall]") continue;
    executable.push({ ...area, writable, shared, name, backing: backingOf(name, area.inode) });
  }
  return { executable, sharedWritable };
}

/** The area of the text that covers `address`, whatever its permissions. */
export function findArea(text: Uint8Array, address: bigint): FileArea | null {
  for (const { match } of matchLines(text)) {
    const area = areaOf(match);
    if (area.start <= address && address < area.end) return area;
  }
  return null;
}

function* matchLines(text: Uint8Array): Generator<{ match: RegExpExecArray; line: Buffer }> {
  const buffer = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  for (let at = 0; at < buffer.length; ) {
    const newline = buffer.indexOf(10, at);
    const end = newline < 0 ? buffer.length : newline;
    const line = buffer.subarray(at, end);
    at = end + 1;
    const match = LINE.exec(line.toString("latin1"));
    if (match !== null) yield { match, line };
  }
}

function areaOf(match: RegExpExecArray): FileArea {
  return {
    start: BigInt(`0x${match[1]}`),
    end: BigInt(`0x${match[2]}`),
    offset: BigInt(`0x${match[7]}`),
    device: `${Number.parseInt(match[8]!, 16)}:${Number.parseInt(match[9]!, 16)}`,
    inode: BigInt(match[10]!),
  };
}

/** `maps` escapes a newline in a name as the four characters `\012`, and nothing else. */
function unescapeNewlines(bytes: Buffer): Uint8Array {
  const text = bytes.toString("latin1");
  return text.includes("\\012") ? Buffer.from(text.replaceAll("\\012", "\n"), "latin1") : bytes;
}
