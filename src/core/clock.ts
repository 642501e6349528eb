/** Where time comes from, so that tests can bring their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 UTC. */
  now(): number;
  /** Never goes back, milliseconds since an arbitrary instant. */
  monotonicMs(): number;
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
