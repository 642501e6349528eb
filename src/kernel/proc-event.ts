/**
 * What PIMS wants to know of the proc connector (include/uapi/linux/cn_proc.h); `pid` is the thread group's. `acknowledged`
 * answers a subscription, anybody's: `number` is the one that it was asked with, `error` an errno, 0 for accepted.
 */
export type ProcEvent =
  | { readonly what: "exec"; readonly pid: number }
  | { readonly what: "acknowledged"; readonly number: number; readonly error: number };

const NLMSG_HEADER = 16;
const CN_MESSAGE = 20;
const CN_IDX_PROC = 1;
const CN_VAL_PROC = 1;
const PROC_CN_MCAST_LISTEN = 1;
export const SOCK_FILTER_BYTES = 8;
const NLMSG_DONE = 3;
const PROC_EVENT_NONE = 0;
const PROC_EVENT_EXEC = 2;
/** Where the kind of the event lies in a datagram. */
const WHAT_AT = NLMSG_HEADER + CN_MESSAGE;

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

/**
 * A classic BPF program (struct sock_filter, linux/filter.h) that lets only these events through: forks and exits are most
 * of what the kernel tells, and would wake us for nothing.
 */
export function execFilter(): Uint8Array {
  const [LOAD_WORD, JUMP_IF_EQUAL, RETURN] = [0x20, 0x15, 0x06];
  const program = [
    { code: LOAD_WORD, yes: 0, no: 0, value: WHAT_AT },
    { code: JUMP_IF_EQUAL, yes: 1, no: 0, value: asLoaded(PROC_EVENT_EXEC) },
    { code: JUMP_IF_EQUAL, yes: 0, no: 1, value: asLoaded(PROC_EVENT_NONE) },
    { code: RETURN, yes: 0, no: 0, value: 0xffff_ffff },
    { code: RETURN, yes: 0, no: 0, value: 0 },
  ];
  const bytes = Buffer.alloc(program.length * SOCK_FILTER_BYTES);
  for (const [index, { code, yes, no, value }] of program.entries()) {
    const at = index * SOCK_FILTER_BYTES;
    bytes.writeUInt16LE(code, at);
    bytes.writeUInt8(yes, at + 2);
    bytes.writeUInt8(no, at + 3);
    bytes.writeUInt32LE(value, at + 4);
  }
  return bytes;
}

/** BPF loads a word as if it were in network order, the kernel writes it in the machine's, which is little-endian. */
function asLoaded(what: number): number {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(what);
  return word.readUInt32BE();
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
    case PROC_EVENT_NONE:
      return data + 4 <= end
        ? { what: "acknowledged", number: view.getUint32(message + 12, true) - 1, error: view.getUint32(data, true) }
        : undefined;
    case PROC_EVENT_EXEC:
      return data + 8 <= end ? { what: "exec", pid: view.getUint32(data + 4, true) } : undefined;
    default:
      return undefined;
  }
}
