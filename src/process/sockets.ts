import { closeSync, constants, openSync, readSync } from "node:fs";
import { SocketAddress } from "node:net";
import { endianness } from "node:os";
import { toJsonText } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { AF_INET, AF_INET6, listeningTcpSockets } from "../kernel/sock-diag.ts";
import type { ListenAddress, SocketProtocol } from "./listen-address.ts";

/** A socket that others can reach, as the kernel lists it. Cheap to make: most are known from the last time. */
export interface ListedSocket {
  readonly protocol: SocketProtocol;
  /** Address as on the network in hexadecimal, `:` and the port; or the name of a unix socket, one character a byte. */
  readonly local: string;
  /** Number of the socket's inode; 0 when it belongs to no file. */
  readonly inode: string;
}

/** More than any real namespace has (a line is up to 180 bytes); what lies beyond is reported as not read. */
const MAX_TABLE_BYTES = 2 * 1024 * 1024;

/** About what lies in the same number of bytes. */
const MAX_TCP = 16_384;

const INTERNET =
  /^ *\d+: ([0-9A-F]{8}(?:[0-9A-F]{24})?):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) [0-9A-F:]+ [0-9A-F:]+ [0-9A-F]+ +\d+ +\d+ (\d+) /gm;
const TCP_LISTEN = "0A";
/** Of a UDP socket that is bound and not connected, and so takes datagrams of anybody. */
const UDP_UNCONNECTED = "07";

/**
 * The listening TCP sockets in the text of `/proc/PID/net/tcp` or `tcp6` (proc_pid_net(5)), or the unconnected UDP sockets
 * in that of `udp` or `udp6`.
 */
export function parseInternetSockets(protocol: "tcp" | "udp", text: string): ListedSocket[] {
  const wanted = protocol === "tcp" ? TCP_LISTEN : UDP_UNCONNECTED;
  const sockets: ListedSocket[] = [];
  for (const [, address, port, state, inode] of text.matchAll(INTERNET)) {
    if (state !== wanted) continue;
    const bytes = Buffer.from(address!, "hex");
    // The kernel prints each word of four bytes as the machine's number.
    if (endianness() === "LE") bytes.swap32();
    sockets.push({ protocol, local: local(bytes, Number.parseInt(port!, 16)), inode: inode! });
  }
  return sockets;
}

function local(address: Buffer, port: number): string {
  return `${address.toString("hex")}:${port}`;
}

/** Flags with SO_ACCEPTCON, type stream or seqpacket, state unconnected: a socket that accepts connections. */
const UNIX = /^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} 00010000 000[15] 01 +(\d+) (@.{0,107})$/gm;

/**
 * The listening unix sockets with abstract names in the text of `/proc/PID/net/unix`, one character a byte. A name may hold
 * a newline, and with it lines of a container's own making: they can add a socket, never hide one.
 */
export function parseUnixSockets(text: string): ListedSocket[] {
  return [...text.matchAll(UNIX)].map(([, inode, local]) => ({ protocol: "unix", local: local!, inode: inode! }));
}

/** Address and port of a listed socket. An IPv4 address that is mapped into IPv6 is the IPv4 address. */
export function listenAddress({ protocol, local }: ListedSocket): ListenAddress {
  if (protocol === "unix") return { protocol, address: toJsonText(Buffer.from(local, "latin1")), port: 0 };
  const [address, port] = local.split(":") as [string, string];
  return { protocol, address: addressText(Buffer.from(address, "hex")), port: Number(port) };
}

const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.subarray(0, 12).equals(MAPPED)) return bytes.subarray(12).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

/** How many sockets of each kind a network namespace has, from the text of `/proc/PID/net/sockstat` and `sockstat6`. */
export function parseSocketCounts(text: string): ReadonlyMap<string, number> {
  return new Map([...text.matchAll(/^(\w+): inuse (\d+)/gm)].map(([, kind, count]) => [kind!, Number(count)]));
}

/**
 * Everything in a network namespace that listens. `folder` is that of a process in it, such as `/proc/PID`. Walks over no
 * table of the kernel's that the namespace has no socket in, and over connections only where the kernel cannot be asked (or
 * `ask` is false). Throws
 * `coverage-incomplete` when there is more than is read, and a system error when the process has gone.
 */
export function readListeningSockets(folder: string, ask = true): ListedSocket[] {
  const net = `${folder}/net`;
  const counts = parseSocketCounts(readTable(`${net}/sockstat`) + readOptional(`${net}/sockstat6`));
  const has = (kind: string) => counts.get(kind) !== 0;
  const table = (protocol: "tcp" | "udp", name: string) =>
    has(name.toUpperCase()) ? parseInternetSockets(protocol, readOptional(`${net}/${name}`, protocol)) : [];
  const asked = ask ? askForTcp(folder, has("TCP"), has("TCP6")) : "unsupported";
  return [
    ...(asked === "unsupported" ? [...table("tcp", "tcp"), ...table("tcp", "tcp6")] : asked),
    ...table("udp", "udp"),
    ...table("udp", "udp6"),
    ...parseUnixSockets(readOptional(`${net}/unix`)),
  ];
}

function askForTcp(folder: string, four: boolean, six: boolean): ListedSocket[] | "unsupported" {
  const families = [...(four ? [AF_INET] : []), ...(six ? [AF_INET6] : [])];
  if (families.length === 0) return [];
  const found = listeningTcpSockets(`${folder}/ns/net`, families, MAX_TCP);
  if (found === "unsupported") return "unsupported";
  return found.map(({ address, port, inode }) => ({
    protocol: "tcp",
    local: local(Buffer.from(address), port),
    inode: String(inode),
  }));
}

/** A kernel may have neither IPv6 nor unix sockets. */
function readOptional(path: string, protocol?: "tcp" | "udp"): string {
  try {
    return readTable(path, protocol);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}

/** Used again for every read. The kernel fills about a page of it at a time, with whole lines. */
const chunk = Buffer.alloc(64 * 1024);

function readTable(path: string, protocol?: "tcp" | "udp"): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    let text = "";
    for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk)) {
      const part = chunk.toString("latin1", 0, count);
      text += part;
      if (protocol === "tcp" && isPastListening(part)) break;
      if (text.length > MAX_TABLE_BYTES)
        throw new PimsError("coverage-incomplete", `its network namespace has more sockets than are read (${path})`);
    }
    return text;
  } finally {
    closeSync(fd);
  }
}

/** The kernel lists listening TCP sockets first, and a busy server has very many others. */
function isPastListening(text: string): boolean {
  const last = text.slice(text.lastIndexOf("\n", text.length - 2) + 1);
  const state = /^ *\d+: [0-9A-F:]+ [0-9A-F:]+ ([0-9A-F]{2}) /.exec(last)?.[1];
  return state !== undefined && state !== TCP_LISTEN;
}
