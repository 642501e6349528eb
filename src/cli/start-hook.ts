// Tells the agent of a container that is about to start, and comes back when its mounts are under the gate. A program of its
// own, and a small one: every start of a container waits for it. See docs/gate.md.
import { readSync } from "node:fs";
import { connect } from "node:net";

/** `PIMS_GATE=require`: a container does not start that is not under the gate. */
const { PIMS_GATE_SOCKET: SOCKET = "/var/lib/pims/agent/gate.sock", PIMS_GATE } = process.env;
const DEADLINE_MS = 2000;
const MAX_STATE_BYTES = 1024 * 1024;

const pid = Number(process.argv[2] ?? pidOfState(readInput()));
const problem = Number.isInteger(pid) && pid > 0 ? await tell(pid) : "what it was told of names no process";
if (problem !== null) {
  console.error(`pims: the container's mounts are not under the gate: ${problem}`);
  if (PIMS_GATE === "require") process.exitCode = 1;
}

/** Null when it is marked, else why not. */
function tell(pid: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(SOCKET);
    let said = "";
    const end = (why: string | null): void => {
      socket.destroy();
      resolve(why);
    };
    const timer = setTimeout(() => end(`the agent did not answer within ${DEADLINE_MS / 1000} s`), DEADLINE_MS);
    socket.once("connect", () => socket.write(`${pid}\n`));
    socket.on("data", (bytes) => {
      said = (said + bytes.toString("latin1")).slice(0, 64);
    });
    socket.once("error", () => end(`no agent answers at ${SOCKET}`));
    socket.once("close", () => {
      clearTimeout(timer);
      end(said === "marked\n" ? null : "the agent does not take it for a container's, or has no gate");
    });
  });
}

/** What a runtime gives its hooks on standard input: the container's state (OCI runtime specification, "State"). */
function readInput(): string {
  const buffer = Buffer.alloc(MAX_STATE_BYTES);
  let length = 0;
  for (let count = -1; count !== 0 && length < buffer.length; length += count)
    count = readSync(0, buffer, length, buffer.length - length, null);
  return buffer.toString("utf8", 0, length);
}

function pidOfState(text: string): number {
  try {
    return Number((JSON.parse(text) as { pid?: unknown }).pid);
  } catch {
    return Number.NaN;
  }
}
