import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, open, readFile, truncate } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const BOOT_MS = 180_000;
const RESET_MS = 60_000;
const DISK_BYTES = 64 * 1024 * 1024;

/** Ends with this process, however that ends. What it says goes to a file of its name. */
function start(program: string, args: readonly string[], folder: string): ChildProcess {
  const said = openSync(join(folder, `${program}.log`), "w");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], {
    cwd: folder,
    stdio: ["ignore", "ignore", said],
  });
  closeSync(said);
  return child;
}

/** A virtual machine of QEMU's software emulation with a software TPM, and a shell in it. */
export class Machine {
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];
  #shell: Socket | undefined;
  #said = "";
  #wake: () => void = () => {};

  constructor(folder: string) {
    this.#folder = folder;
  }

  async boot(kernel: string, initrd: string, commandLine: string): Promise<void> {
    const folder = this.#folder;
    await mkdir(join(folder, "tpm/state"), { recursive: true });
    // A sparse file, kept from boot to boot.
    await (await open(join(folder, "disk"), "a")).close();
    await truncate(join(folder, "disk"), DISK_BYTES);
    this.#said = "";
    this.#children.push(
      start(
        "swtpm",
        ["socket", "--tpm2", "--ctrl", "type=unixio,path=tpm.sock", "--tpmstate", "dir=tpm/state", "--terminate"],
        folder,
      ),
    );
    await sleep(500);
    const qemu = start(
      "qemu-system-x86_64",
      [
        // One thread: emulated processors of their own threads make Node's compiler fail now and then.
        ...[
          "-machine",
          "q35",
          "-accel",
          "tcg,thread=single",
          "-cpu",
          "max,pku=off",
          "-smp",
          "1",
          "-m",
          "3072",
          "-display",
          "none",
          "-no-reboot",
        ],
        ...["-kernel", kernel, "-initrd", initrd, "-append", commandLine],
        ...["-chardev", "socket,id=tpm,path=tpm.sock", "-tpmdev", "emulator,id=tpm0,chardev=tpm"],
        ...["-device", "tpm-tis,tpmdev=tpm0"],
        ...["-drive", "file=disk,if=virtio,format=raw"],
        ...["-netdev", "user,id=net", "-device", "e1000,netdev=net"],
        ...["-serial", "file:console.log", "-serial", "unix:shell.sock,server=on,wait=off"],
      ],
      folder,
    );
    this.#children.push(qemu);
    for (let tries = 0; this.#shell === undefined; tries++) {
      await sleep(100);
      const socket = connect(join(folder, "shell.sock"));
      const [opened] = await Promise.race([once(socket, "connect").then(() => [true]), once(socket, "error")]);
      if (opened === true) this.#shell = socket;
      else if (tries > 100) throw new Error("QEMU does not start");
    }
    this.#shell.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
      this.#wake();
    });
    this.#shell.on("error", () => {});
    try {
      await this.#until(/@@ready\r?\n/, BOOT_MS);
    } catch (error) {
      throw new Error(`${(error as Error).message}; the console ends with: ${(await this.console()).slice(-1500)}`);
    }
  }

  /** Runs a command, one line, and gives what it said. Throws when it fails. */
  async run(command: string, timeoutMs = 120_000): Promise<string> {
    this.#said = "";
    this.#shell!.write(`${command}\n`);
    const [whole, status] = await this.#until(/@@(\d+)\r?\n/, timeoutMs);
    const said = whole!.slice(0, whole!.lastIndexOf("@@"));
    if (status !== "0") throw new Error(`'${command}' ended with status ${status}: ${said.slice(-2000)}`);
    return said;
  }

  /** A file's bytes. */
  async read(path: string): Promise<Uint8Array> {
    return new Uint8Array(Buffer.from(await this.run(`base64 ${path}`), "base64"));
  }

  async write(path: string, text: string): Promise<void> {
    await this.run(`echo ${Buffer.from(text).toString("base64")} | base64 -d >${path}`);
  }

  async console(): Promise<string> {
    return readFile(join(this.#folder, "console.log"), "latin1").catch(() => "");
  }

  /** The kernel resets the machine, and its TPM loses its power; until `boot` it is off. */
  async reset(): Promise<void> {
    this.#shell!.write("reboot -f\n");
    const deadline = AbortSignal.timeout(RESET_MS);
    for (const child of this.#children)
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit", { signal: deadline });
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#shell?.destroy();
    this.#shell = undefined;
    for (const child of this.#children.splice(0).reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
  }

  async #until(pattern: RegExp, timeoutMs: number): Promise<string[]> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#said);
      if (match !== null) {
        const whole = this.#said.slice(0, match.index + match[0].length);
        this.#said = this.#said.slice(whole.length);
        return [whole, ...match.slice(1)];
      }
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`the machine does not answer within ${timeoutMs / 1000} s`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, Math.min(left, 1000));
      await promise;
      clearTimeout(timer);
    }
  }
}
