import { arch } from "node:os";

/** How two pages of the same size differ. */
export interface Difference {
  /** Bytes that are not the same. */
  readonly bytes: number;
  /** Nothing but breakpoint instructions was written, as debuggers and uprobes do it. */
  readonly breakpoints: boolean;
}

/** Compares `actual` with what was `expected` there. */
export function differenceOf(expected: Uint8Array, actual: Uint8Array): Difference {
  let bytes = 0;
  let breakpoints = true;
  for (let at = 0; at < expected.length; at++) {
    if (expected[at] === actual[at]) continue;
    bytes++;
    breakpoints &&= isBreakpoint(actual, at);
  }
  return { bytes, breakpoints: breakpoints && bytes > 0 };
}

/** Whether the instruction that the byte belongs to is INT3 (x86) or BRK with whatever number (AArch64). */
function isBreakpoint(page: Uint8Array, at: number): boolean {
  if (arch() !== "arm64") return page[at] === 0xcc;
  const start = at - (at % 4);
  const word = new DataView(page.buffer, page.byteOffset + start, 4).getUint32(0, true);
  return (word & 0xffe0_001f) >>> 0 === 0xd420_0000;
}
