import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PimsError } from "../../core/errors.ts";
import { anvilBinary } from "./anvil-binary.ts";
import { type LineRpc, openLineRpc } from "./line-rpc.ts";

/** A running anvil, reached through a unix socket in a folder that only its owner can enter. */
export interface AnvilProcess {
  readonly rpc: LineRpc;
  stop(): Promise<void>;
}

export interface AnvilGenesis {
  chainId: number;
  /** Seconds since 1970 UTC. */
  time: number;
}

const startDeadlineMs = 15_000;
/** Who was killed before its wish to be followed into death was heard is not the parent any more. */
const IF_NOT_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"';

/**
 * Starts anvil where nobody can reach its cheat methods: it insists on a TCP port, so it gets a network namespace that
 * has no network, and is spoken to by its unix socket. It has no account of its own, and gas costs nothing. The kernel
 * kills it when this process ends in whatever way. Throws `anvil-missing`, `anvil-failed`.
 */
export async function launchAnvil(folder: string, genesis: AnvilGenesis): Promise<AnvilProcess> {
  const binary = anvilBinary();
  const socket = join(folder, "anvil.ipc");
  // sun_path, unix(7): 108 bytes with the final zero.
  if (Buffer.byteLength(socket) > 107) throw failed(`the path of the folder ${folder} is too long for a socket in it`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const child = spawn(
    "unshare",
    [
      ...separateNetwork(),
      ...["--", "setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", IF_NOT_ORPHANED, `${process.pid}`, binary],
      ...["--ipc", socket, "--cache-path", join(folder, "cache"), "--quiet"],
      ...["--hardfork", "london", "--chain-id", `${genesis.chainId}`, "--timestamp", `${genesis.time}`],
      ...["--accounts", "0", "--no-mining", "--disable-default-create2-deployer"],
      ...["--gas-price", "0", "--block-base-fee-per-gas", "0", "--disable-min-priority-fee"],
    ],
    { env: { ...process.env, HOME: folder }, stdio: ["ignore", "ignore", "pipe"] },
  );
  const complaint = tail(child);
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const rpc = await reach(socket, child);
    return {
      rpc,
      async stop() {
        rpc.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw failed(`anvil, the embedded chain, did not start${complaint()}`, error);
  }
}

/** Root may leave the network directly, anybody else by way of a user namespace where the machine allows that. */
function separateNetwork(): string[] {
  const ways = [["--net"], ["--user", "--map-current-user", "--net"]];
  const way = ways.find(
    (options) => spawnSync("unshare", [...options, "--", "true"], { stdio: "ignore" }).status === 0,
  );
  if (way !== undefined) return way;
  throw failed("this user cannot separate the embedded chain from the network");
}

async function reach(socket: string, child: ChildProcess): Promise<LineRpc> {
  const deadline = performance.now() + startDeadlineMs;
  for (;;) {
    try {
      return await openLineRpc(socket);
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) throw error;
      if (performance.now() > deadline) throw error;
      await sleep(10);
    }
  }
}

/** The end of what the process wrote to stderr, for the error message. */
function tail(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (data: Buffer) => {
    text = (text + data.toString("utf8")).slice(-1000);
  });
  return () => {
    const line = text.trim().split("\n").at(-1);
    return line ? `: ${line}` : "";
  };
}

function failed(message: string, cause?: unknown): PimsError {
  return new PimsError("anvil-failed", message, {
    hint: "run it as root, or use a chain of your own with --url",
    cause,
  });
}
