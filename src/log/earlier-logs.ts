import type { BootEvent } from "./event.ts";
import { segmentsAt } from "./scan-log.ts";
import { earlierLogPath, type Segment } from "./segments.ts";

export { earlierLogPath } from "./segments.ts";

/** Boots that are followed back, at most. */
export const MAX_EARLIER_BOOTS = 64;

/** The log of a boot that is over, as far as it is not pruned. */
export interface EarlierLog {
  readonly bootId: string;
  readonly segments: readonly Segment[];
}

/**
 * The logs of the boots before this one, the oldest first: followed from each log's `boot` event to the log that it names,
 * until one is missing, begins otherwise than a log does, or `MAX_EARLIER_BOOTS` are found. Throws what the file system
 * says.
 */
export async function earlierLogs(folder: string, boot: BootEvent): Promise<EarlierLog[]> {
  const found: EarlierLog[] = [];
  const seen = new Set([boot.bootId]);
  for (let { previous } = boot; previous !== null && found.length < MAX_EARLIER_BOOTS; ) {
    const { bootId } = previous;
    const { boot: first, segments } = await segmentsAt(earlierLogPath(folder, bootId));
    if (seen.has(bootId) || first?.bootId !== bootId) break;
    seen.add(bootId);
    found.unshift({ bootId, segments });
    previous = first.previous;
  }
  return found;
}
