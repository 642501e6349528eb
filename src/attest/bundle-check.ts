/** One of the things that are checked of a bundle. Skipped: there was nothing to check, or it was not reached. */
export interface Check {
  readonly check: string;
  readonly outcome: "ok" | "failed" | "skipped";
  readonly text: string;
}
