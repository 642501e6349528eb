import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import type { Socket } from "node:net";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { getRandom } from "./commands/get-random.ts";
import { inTurn } from "./transport/in-turn.ts";
import { checkSocketPath, openSocket } from "./transport/socket.ts";
import type { TpmTransport } from "./transport/transport.ts";

export interface Swtpm {
  /** For `openTpm`, and by `tctiOf` for tpm2-tools. */
  readonly address: string;
  readonly pid: number;
  /** Ends it. Its state stays in the folder. */
  stop(): Promise<void>;
}

const START_MS = 10_000;
const STOP_MS = 2_000;
const SOCKET = "tpm.sock";

/**
 * Starts a swtpm whose state and sockets are in `folder` (made, and closed to others, mode 0700). The TPM is the same one
 * when it is started there again. It ends with this process, however that ends.
 * It starts as after power on (TPM2_Startup(CLEAR)), or as after a suspension, with the registers that it had (STATE).
 * PimsError `swtpm-missing` when it is not installed, `tpm-unreachable` when it does not start.
 */
export async function startSwtpm(options: { folder: string; startup?: "clear" | "state" }): Promise<Swtpm> {
  const program = findProgram("swtpm");
  if (program === undefined)
    throw new PimsError("swtpm-missing", "swtpm, the software TPM, is not installed", {
      hint: "install the Debian package swtpm, or use a real TPM",
    });
  const folder = resolve(options.folder);
  checkSocketPath(join(folder, `${SOCKET}.ctrl`));
  await refuseSecond(join(folder, SOCKET));
  try {
    await mkdir(join(folder, "state"), { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
  } catch (cause) {
    throw new PimsError("tpm-unreachable", `swtpm's folder ${folder} cannot be made (${errorCode(cause)})`, { cause });
  }
  // Relative paths, since swtpm's options cannot contain every character of a path.
  const args = [
    ...["socket", "--tpm2", "--server", `type=unixio,path=${SOCKET}`],
    // Where the swtpm TCTI of tpm2-tools looks for it.
    ...["--ctrl", `type=unixio,path=${SOCKET}.ctrl`],
    ...["--tpmstate", "dir=state,mode=0600", "--flags", `not-need-init,startup-${options.startup ?? "clear"}`],
  ];
  // The kernel ends it with its parent, also when that is killed and can do nothing any more.
  const setpriv = findProgram("setpriv");
  const child = spawn(setpriv ?? program, setpriv ? ["--pdeathsig", "KILL", program, ...args] : args, {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // A program that has nothing else to do shall end, and the swtpm with it.
  child.unref();
  const onExit = () => void child.kill("SIGKILL");
  process.once("exit", onExit);
  const said = lastWords(child);
  const stop = async () => {
    process.removeListener("exit", onExit);
    await end(child);
  };
  try {
    await answers(child, join(folder, SOCKET), said);
    return { address: `unix:${join(folder, SOCKET)}`, pid: child.pid!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Two on one state would spoil it; swtpm's own lock makes the second one fail, but only after it took the socket. */
async function refuseSecond(socketPath: string): Promise<void> {
  let other: TpmTransport;
  try {
    other = await openSocket({ path: socketPath }, 1000);
  } catch {
    return;
  }
  await other.close();
  throw new PimsError("tpm-unreachable", `a TPM is running already at ${socketPath}`, {
    hint: "use it, or choose another folder",
  });
}

function findProgram(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((path) => path.startsWith("/"));
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Reads all that it says, as a full pipe would stop it, and keeps the end. */
function lastWords(child: ChildProcess): () => string {
  let words = "";
  const stderr = child.stderr as Socket;
  stderr.unref();
  stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-500);
  });
  return () => words.trim().split("\n").at(-1) ?? "";
}

async function answers(child: ChildProcess, socketPath: string, said: () => string): Promise<void> {
  let failure: unknown;
  child.once("error", (error) => {
    failure = error;
  });
  const deadline = performance.now() + START_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null || failure !== undefined)
      throw new PimsError("tpm-unreachable", `swtpm ended at once: ${said() || failure}`, { cause: failure });
    try {
      // It listens before it has read its state: only an answer shows that it is a TPM.
      const transport = inTurn(await openSocket({ path: socketPath }, 1000), 1000);
      await getRandom({ address: `unix:${socketPath}`, ...transport }, 1).finally(() => transport.close());
      return;
    } catch (cause) {
      if (performance.now() > deadline)
        throw new PimsError("tpm-unreachable", "swtpm was started and does not answer", { cause });
      await sleep(5);
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(timer);
}
