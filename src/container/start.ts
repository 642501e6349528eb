/** How a container was started, in the words of its runtime: the host's claim, read from an API or a file. */
export interface RuntimeStart {
  /** The host's number of its first process, null when it does not run. */
  readonly pid: number | null;
  /** Null where the runtime has no such word. */
  readonly privileged: boolean | null;
  /** Entry point and command, as the first process gets them. Empty when the runtime does not tell. */
  readonly args: readonly string[];
  /** How many of the leading words are the entry point; the words after it are a command, which usually is another than the image's. */
  readonly entryWords: number;
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** The environment that the image sets; null where the runtime does not know. */
  readonly imageEnv: readonly string[] | null;
  /** Devices of the host that it was given, by path. */
  readonly devices: readonly string[];
}
