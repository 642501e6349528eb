/** Something that watches while others work: its cost is what is measured. */
export interface Watcher {
  readonly name: string;
  /** Comes back when it watches, and throws why it cannot watch here. */
  start(): Promise<Watching>;
  /** Whether it sees of a process only what began after it: then the work begins anew in each round, on both sides. */
  readonly onlyNewProcesses?: boolean;
}

export interface Watching {
  /** Its first process, where it is known. */
  readonly pid?: number;
  stop(): Promise<void>;
}
