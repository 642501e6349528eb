/** The middle of a measurement and how far it spreads: half of all values lie between the quartiles. */
export interface Spread {
  readonly median: number;
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly samples: number;
}

/** The value below which this share of all values lies, interpolated between two. `sorted` must not be empty. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)]!;
  const above = sorted[Math.ceil(at)]!;
  return below + (above - below) * (at - Math.floor(at));
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    lowerQuartile: quantile(sorted, 0.25),
    upperQuartile: quantile(sorted, 0.75),
    minimum: sorted[0]!,
    maximum: sorted.at(-1)!,
    samples: sorted.length,
  };
}

export function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
