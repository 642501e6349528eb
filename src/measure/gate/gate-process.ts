// The gate: a process of its own, since a file that it reads may never answer, and who hangs can be killed.
import { dieWithParent } from "../../kernel/die-with-parent.ts";
import { Gate } from "./gate.ts";
import type { FromGate, ToGate } from "./protocol.ts";

/** Where the supervisor has put the descriptors of the fanotify group and of who waits; 3 is the channel to it. */
const GROUP = 4;
const WAITING = 5;

// With nobody to answer for it when it hangs, all who wait must be let go: that is done by closing the last descriptor.
dieWithParent();
process.on("disconnect", () => process.exit(0));
// A terminal sends these to the whole group; the supervisor ends its gate itself.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
const gate = new Gate(GROUP, WAITING, (message: FromGate) => void process.send?.(message));
process.on("message", (message: ToGate) => gate.take(message));
gate.open();
