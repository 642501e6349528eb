import { quantile, round, spreadOf } from "./statistics.ts";

/** What a watcher costs one workload. Percentages are of the work done without it; below zero it did more. */
export interface LossRow {
  readonly workload: string;
  readonly unit: string;
  /** Medians of all rounds. */
  readonly without: number;
  readonly with: number;
  /** Median over all rounds with the watcher, each against the mean of the round before and the round after it. */
  readonly lossPercent: number;
  /** Between the quartiles of those. */
  readonly spreadPercent: number;
  /** Where the median lies with a confidence of 95 % or a little more; null where there are too few for any. */
  readonly betweenPercent: readonly [number, number] | null;
  readonly tries: number;
}

/** `without` are rounds before, between and after those of `withs`, one more than these. */
export function lossRow(workload: string, unit: string, without: readonly number[], withs: readonly number[]): LossRow {
  const losses = withs.map((rate, index) => lossOf(rate, without[index]!, without[index + 1]!));
  return row(workload, unit, without, withs, losses);
}

/** As if every round without a watcher had had one: what is said to be lost then is noise. Needs three rounds. */
export function controlRow(workload: string, unit: string, without: readonly number[]): LossRow {
  const inner = without.slice(1, -1);
  const losses = inner.map((rate, index) => lossOf(rate, without[index]!, without[index + 2]!));
  return row(workload, unit, without, inner, losses);
}

function lossOf(rate: number, before: number, after: number): number {
  return 100 * (1 - rate / ((before + after) / 2));
}

function row(
  workload: string,
  unit: string,
  without: readonly number[],
  withs: readonly number[],
  losses: readonly number[],
): LossRow {
  const { median, lowerQuartile, upperQuartile } = spreadOf(losses);
  const between = medianInterval(losses);
  return {
    workload,
    unit,
    without: round(spreadOf(without).median),
    with: round(spreadOf(withs).median),
    lossPercent: round(median, 2),
    spreadPercent: round(upperQuartile - lowerQuartile, 2),
    betweenPercent: between && [round(between[0], 2), round(between[1], 2)],
    tries: losses.length,
  };
}

/** The values of a rank so low and so high that the median lies outside with a probability of at most 5 % (binomial). */
export function medianInterval(values: readonly number[]): [number, number] | null {
  const sorted = values.toSorted((a, b) => a - b);
  let below = 0.5 ** sorted.length;
  let outside = 0;
  let rank = 0;
  for (; outside + 2 * below <= 0.05; rank++) {
    outside += 2 * below;
    below *= (sorted.length - rank) / (rank + 1);
  }
  return rank === 0 ? null : [sorted[rank - 1]!, sorted.at(-rank)!];
}

export interface ExecRow {
  readonly medianMicros: number;
  readonly p99Micros: number;
  readonly samples: number;
}

export function execRow(micros: readonly number[]): ExecRow {
  const sorted = micros.toSorted((a, b) => a - b);
  return {
    medianMicros: round(quantile(sorted, 0.5)),
    p99Micros: round(quantile(sorted, 0.99)),
    samples: sorted.length,
  };
}
