// Worker thread: libuv takes no netlink descriptor, and a blocking call in the main thread would stop everything else.
import { randomInt } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { PimsError } from "../core/errors.ts";
import {
  bind,
  close,
  ERRNO,
  errno,
  fixedBuffer,
  poll,
  recvfrom,
  send,
  setsockopt,
  socket,
  systemCallError,
} from "./libc.ts";
import { execFilter, listenMessage, parseProcEvents, SOCK_FILTER_BYTES } from "./proc-event.ts";

const AF_NETLINK = 16;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const NETLINK_CONNECTOR = 11;
const CN_IDX_PROC = 1;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_FILTER = 26;
const MSG_DONTWAIT = 0x40;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
/** A worker in a blocking call keeps the process from exiting, so no wait is longer than this. */
const POLL_MS = 250;
const BATCH = 256;
/**
 * After each batch a rest, the longer the more was in it: whoever executes hundreds of programs a second would be slowed
 * down by a wake-up of ours for each. An event after a quiet moment is taken at once.
 */
const REST_MS_AN_EVENT = 4;
const MAX_REST_MS = 20;

const port = parentPort;
if (port === null) throw new Error("not a worker");

const fd = socket(AF_NETLINK, SOCK_DGRAM_CLOEXEC, NETLINK_CONNECTOR);
if (fd < 0) throw systemCallError("socket(NETLINK_CONNECTOR)");
const address = Buffer.alloc(12);
address.writeUInt16LE(AF_NETLINK, 0);
address.writeUInt32LE(CN_IDX_PROC, 8);
const size = Buffer.alloc(4);
size.writeInt32LE(RECEIVE_BUFFER_BYTES);
setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4);
attachFilter();
if (bind(fd, address, address.length) < 0) throw systemCallError("bind(NETLINK_CONNECTOR)");
/** Tells the answer to this subscription from those to others, which the kernel sends to all. */
const number = randomInt(2 ** 32 - 1);
const listen = listenMessage(process.pid, number);
if (send(fd, listen, listen.length, 0) < 0) throw systemCallError("send(PROC_CN_MCAST_LISTEN)");
/** Outside the initial pid namespace the kernel ignores a subscription and answers nothing. */
const ACKNOWLEDGE_MS = 2000;
const deadline = performance.now() + ACKNOWLEDGE_MS;
let acknowledged = false;
let stopping = false;
port.on("message", () => {
  stopping = true;
});

const never = new Int32Array(new SharedArrayBuffer(4));
const descriptors = Buffer.alloc(8);
const buffer = Buffer.alloc(8192);
const sender = Buffer.alloc(12);
const senderLength = Buffer.alloc(4);

/** struct sock_fprog: how many instructions, and where they are. */
function attachFilter(): void {
  const filter = execFilter();
  const program = fixedBuffer(filter.length);
  new Uint8Array(program.view.buffer, program.view.byteOffset, filter.length).set(filter);
  const description = Buffer.alloc(16);
  description.writeUInt16LE(filter.length / SOCK_FILTER_BYTES, 0);
  description.writeBigUInt64LE(program.address, 8);
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, description, description.length) < 0)
    throw systemCallError("setsockopt(SO_ATTACH_FILTER)");
}

function rest(ms: number): void {
  Atomics.wait(never, 0, 0, ms);
}

function turn(): void {
  if (stopping) {
    close(fd);
    port?.close();
    return;
  }
  descriptors.writeInt32LE(fd, 0);
  descriptors.writeInt16LE(1, 4);
  descriptors.writeInt16LE(0, 6);
  if (poll(descriptors, 1, POLL_MS) > 0) {
    const executed: number[] = [];
    let lost = false;
    for (let count = 0; count < BATCH; count++) {
      senderLength.writeUInt32LE(sender.length);
      const length = recvfrom(fd, buffer, buffer.length, MSG_DONTWAIT, sender, senderLength);
      if (length < 0) {
        if (errno() === ERRNO.ENOBUFS) lost = true;
        break;
      }
      // Any process with CAP_NET_ADMIN can send to the group; only the kernel's port is 0.
      if (sender.readUInt32LE(4) !== 0) continue;
      for (const event of parseProcEvents(buffer.subarray(0, length))) {
        if (event.what === "exec") executed.push(event.pid);
        else if (event.what === "acknowledged" && event.number === number) {
          if (event.error !== 0) throw systemCallError("PROC_CN_MCAST_LISTEN", event.error);
          acknowledged = true;
          port?.postMessage({ ready: true });
        }
      }
    }
    if (acknowledged && (executed.length > 0 || lost)) port?.postMessage({ executed, lost });
    rest(Math.min(MAX_REST_MS, executed.length * REST_MS_AN_EVENT));
  }
  if (!acknowledged && performance.now() > deadline)
    throw new PimsError(
      "proc-connector",
      "the kernel does not answer: it tells process events in its first pid namespace only",
    );
  setImmediate(turn);
}
turn();
