import { prctl, systemCallError } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** The kernel kills this process when the one that started it ends, however it ends, also while this one hangs. */
export function dieWithParent(): void {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) throw systemCallError("prctl(PR_SET_PDEATHSIG)");
}
