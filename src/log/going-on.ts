import { recordsOf, type Segment } from "./segments.ts";

/** What a checkpoint has told again, in the records after it. */
const TOLD = new Set(["container-start", "violation", "action", "gate"]);

/**
 * The segments from which one can go on: from the newest checkpoint on after which everything was told again that it
 * announced, or all of them. Throws `log-broken`.
 */
export async function segmentsToGoOn(segments: readonly Segment[]): Promise<readonly Segment[]> {
  for (let index = segments.length - 1; index > 0; index--)
    if (await isToldWhole(segments[index]!)) return segments.slice(index);
  return segments;
}

/** An agent that was ended while it told, and started again, says something else first. */
async function isToldWhole(segment: Segment): Promise<boolean> {
  let left: number | undefined;
  for await (const { events } of recordsOf([segment]))
    for (const event of events) {
      if (left === undefined) {
        if (event.type !== "checkpoint") return false;
        left = event.events;
      } else if (TOLD.has(event.type)) left--;
      // An overload may be told at any time.
      else if (event.type !== "gap") return false;
      if (left === 0) return true;
    }
  return false;
}
