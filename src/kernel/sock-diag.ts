import { closeSync, openSync } from "node:fs";
import { PimsError } from "../core/errors.ts";
import { close, ERRNO, errno, recvfrom, send, setns, socket, systemCallError } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const AF_NETLINK = 16;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const MSG_DONTWAIT = 0x40;

const HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST_DUMP = 0x301;
const IPPROTO_TCP = 6;
/** 1 << TCP_LISTEN */
const LISTENING = 1 << 10;
/** struct inet_diag_msg without attributes (linux/inet_diag.h). */
const MESSAGE_BYTES = 72;

export const AF_INET = 2;
export const AF_INET6 = 10;

/** A listening TCP socket. */
export interface DiagSocket {
  /** 4 or 16 bytes, as on the network. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly inode: number;
}

let home: number | undefined;

/**
 * A socket that asks about the network namespace `/proc/PID/ns/net`, whose path is given. A socket stays in the namespace
 * that its thread was in when it was made; nothing else runs in this thread meanwhile.
 */
function openDiag(path: string): number {
  home ??= openSync("/proc/thread-self/ns/net", "r");
  const namespace = openSync(path, "r");
  try {
    if (setns(namespace, CLONE_NEWNET) < 0) throw systemCallError("setns");
    const fd = socket(AF_NETLINK, SOCK_DGRAM_CLOEXEC, NETLINK_SOCK_DIAG);
    const number = fd < 0 ? errno() : 0;
    // Not an error that anybody may catch: this thread would go on in a container's network.
    if (setns(home, CLONE_NEWNET) < 0) process.abort();
    if (fd < 0) throw systemCallError("socket(NETLINK_SOCK_DIAG)", number);
    return fd;
  } finally {
    closeSync(namespace);
  }
}

function request(family: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + 56);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, bytes.length, LITTLE);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, LITTLE);
  view.setUint16(6, NLM_F_REQUEST_DUMP, LITTLE);
  view.setUint32(8, sequence, LITTLE);
  view.setUint8(HEADER_BYTES, family);
  view.setUint8(HEADER_BYTES + 1, IPPROTO_TCP);
  view.setUint32(HEADER_BYTES + 4, LISTENING, LITTLE);
  return bytes;
}

/** Netlink speaks the machine's own byte order. */
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const buffer = Buffer.alloc(64 * 1024);
const sender = Buffer.alloc(12);
const senderLength = Buffer.alloc(4);

/**
 * The listening TCP sockets of a network namespace (`/proc/PID/ns/net`), of each address family asked for; `unsupported`
 * where the kernel has no sock_diag(7) for TCP. Does not walk over connections, as reading `/proc/PID/net/tcp` does. Throws
 * `coverage-incomplete` beyond `limit` sockets, `system-call` and system errors.
 */
export function listeningTcpSockets(
  path: string,
  families: readonly number[],
  limit: number,
): DiagSocket[] | "unsupported" {
  const fd = openDiag(path);
  try {
    const sockets: DiagSocket[] = [];
    for (const [sequence, family] of families.entries()) {
      const asked = request(family, sequence + 1);
      if (send(fd, asked, asked.length, 0) < 0) throw systemCallError("send(SOCK_DIAG_BY_FAMILY)");
      if (receive(fd, sequence + 1, sockets, limit) === "unsupported") return "unsupported";
    }
    return sockets;
  } finally {
    close(fd);
  }
}

function receive(fd: number, sequence: number, sockets: DiagSocket[], limit: number): "done" | "unsupported" {
  while (true) {
    senderLength.writeUInt32LE(sender.length);
    const length = recvfrom(fd, buffer, buffer.length, MSG_DONTWAIT, sender, senderLength);
    if (length < 0) {
      if (errno() === ERRNO.EINTR) continue;
      throw systemCallError("recv(SOCK_DIAG_BY_FAMILY)");
    }
    // Only the kernel's port is 0.
    if (sender.readUInt32LE(4) !== 0) continue;
    const end = parseDiag(buffer.subarray(0, length), sequence, sockets);
    if (end === "done") return "done";
    if (typeof end === "number") {
      if (end === -ERRNO.ENOENT || end === -ERRNO.EINVAL) return "unsupported";
      throw systemCallError("SOCK_DIAG_BY_FAMILY", -end);
    }
    if (sockets.length > limit)
      throw new PimsError("coverage-incomplete", "its network namespace has more listening sockets than are read");
  }
}

/** Adds the sockets of one datagram. Returns whether it was the last, or the kernel's negative error number. */
export function parseDiag(bytes: Uint8Array, sequence: number, sockets: DiagSocket[]): "more" | "done" | number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, LITTLE);
    if (length < HEADER_BYTES || at + length > bytes.length) return "more";
    const body = at + HEADER_BYTES;
    const type = view.getUint16(at + 4, LITTLE);
    if (view.getUint32(at + 8, LITTLE) === sequence) {
      if (type === NLMSG_DONE) return "done";
      if (type === NLMSG_ERROR && length >= HEADER_BYTES + 4) return view.getInt32(body, LITTLE);
      if (type === SOCK_DIAG_BY_FAMILY && length >= HEADER_BYTES + MESSAGE_BYTES)
        sockets.push({
          // A copy: the buffer is used again.
          address: Uint8Array.from(bytes.subarray(body + 8, body + 8 + (view.getUint8(body) === AF_INET6 ? 16 : 4))),
          port: view.getUint16(body + 4),
          inode: view.getUint32(body + 68, LITTLE),
        });
    }
    at += Math.ceil(length / 4) * 4;
  }
  return "more";
}
