/** Where time comes from, so that tests can bring their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 UTC. */
  now(): number;
  /** Never goes back, milliseconds since an arbitrary instant. */
  monotonicMs(): number;
}

/** An instant by both clocks: the monotonic one stands still while a machine sleeps, the other one can be set back. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function instant(clock: Clock): Instant {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.now() };
}

/** How long ago it was, by whichever clock says more. */
export function ageMs(clock: Clock, { monotonicMs, wallMs }: Instant): number {
  return Math.max(clock.monotonicMs() - monotonicMs, clock.now() - wallMs);
}

export const systemClock: Clock = { now: () => Date.now(), monotonicMs: () => performance.now() };

/** RFC 3339 UTC with milliseconds. */
export function rfc3339(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** Milliseconds of a processor that this thread has used: what a piece of work costs, however busy the machine is. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const UNITS = [
  [86_400, "days"],
  [3600, "hours"],
  [60, "minutes"],
] as const;

/** How long it is, in words: the largest unit of which there are two, rounded down. */
export function lengthOf(seconds: number): string {
  const [size, unit] = UNITS.find(([length]) => seconds >= 2 * length) ?? [1, "seconds"];
  const count = Math.floor(seconds / size);
  return size === 1 && count === 1 ? "1 second" : `${count} ${unit}`;
}
