/**
 * What the proc connector (include/uapi/linux/cn_proc.h) reports; `pid` is the thread group's. `acknowledged` answers a
 * subscription, anybody's: `number` is the one that it was asked with, `error` an errno, 0 for accepted.
 */
export type ProcEvent =
  | { readonly what: "fork" | "exec" | "exit"; readonly pid: number }
  | { readonly what: "acknowledged"; readonly number: number; readonly error: number };

const NLMSG_HEADER = 16;
const CN_MESSAGE = 20;
const CN_IDX_PROC = 1;
const CN_VAL_PROC = 1;
const PROC_CN_MCAST_LISTEN = 1;
const NLMSG_DONE = 3;

/** The message that asks the kernel to send process events to the socket's group. */
export function listenMessage(senderPid: number, number: number): Uint8Array {
  const message = Buffer.alloc(NLMSG_HEADER + CN_MESSAGE + 4);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(NLMSG_DONE, 4);
  message.writeUInt32LE(senderPid, 12);
  message.writeUInt32LE(CN_IDX_PROC, 16);
  message.writeUInt32LE(CN_VAL_PROC, 20);
  // The kernel answers with this number and one more; the one before it, cn_msg.seq, it counts itself.
  message.writeUInt32LE(number, 28);
  message.writeUInt16LE(4, 32);
  message.writeUInt32LE(PROC_CN_MCAST_LISTEN, 36);
  return message;
}

/** Events of one datagram. What does not parse is left out: a sweep finds what an event did not tell. */
export function parseProcEvents(datagram: Uint8Array): ProcEvent[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const events: ProcEvent[] = [];
  let at = 0;
  while (at + NLMSG_HEADER + CN_MESSAGE + 16 <= view.byteLength) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER || at + length > view.byteLength) break;
    if (view.getUint32(at + 16, true) === CN_IDX_PROC && view.getUint32(at + 20, true) === CN_VAL_PROC) {
      const event = parseEvent(view, at + NLMSG_HEADER, at + length);
      if (event) events.push(event);
    }
    at += (length + 3) & ~3;
  }
  return events;
}

function parseEvent(view: DataView, message: number, end: number): ProcEvent | undefined {
  const at = message + CN_MESSAGE;
  const data = at + 16;
  switch (view.getUint32(at, true)) {
    case 0x0000_0000:
      return data + 4 <= end
        ? { what: "acknowledged", number: view.getUint32(message + 12, true) - 1, error: view.getUint32(data, true) }
        : undefined;
    case 0x0000_0001:
      return data + 16 <= end ? { what: "fork", pid: view.getUint32(data + 12, true) } : undefined;
    case 0x0000_0002:
      return data + 8 <= end ? { what: "exec", pid: view.getUint32(data + 4, true) } : undefined;
    case 0x8000_0000:
      return data + 8 <= end ? { what: "exit", pid: view.getUint32(data + 4, true) } : undefined;
    default:
      return undefined;
  }
}
