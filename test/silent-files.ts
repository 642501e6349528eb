import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface SilentFiles {
  /** In whose mount namespace, and where there. */
  readonly pid: number;
  readonly folder: string;
  /** The host's file that is `kworker` there. */
  readonly program: string;
  /** From when on nobody gets an answer. */
  readonly silent: "when executed" | "to who reads" | "when stopped";
}

export interface SilentServer {
  silence(): void;
  end(): Promise<void>;
}

/**
 * Mounts a file system in user space (FUSE) with one program in it, whose server stops answering. Comes back when it is
 * mounted; the
 * server's end ends the file system and all waiting.
 */
export async function serveSilentFiles({ pid, folder, program, silent }: SilentFiles): Promise<SilentServer> {
  const script = join(import.meta.dirname, "silent-files.py");
  const server = spawn("python3", [script, `${pid}`, folder, program, silent], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(server, "exit");
  const end = async (): Promise<void> => {
    server.kill("SIGKILL");
    await exited;
  };
  await Promise.race([once(server.stdout, "data"), exited]);
  const isMounted = readFileSync(`/proc/${pid}/mounts`, "utf8").includes(` ${folder} fuse `);
  if (isMounted) return { silence: () => void server.kill("SIGSTOP"), end };
  await end();
  throw new Error(`no file system in user space was mounted at ${folder}`);
}
