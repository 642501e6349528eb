// For tests: a TPM that refuses, is slow, loses answers or is gone.
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { concatBytes } from "../core/bytes.ts";
import { TPM_ST } from "./constants.ts";
import { isWholeResponse } from "./transport/transport.ts";
import { WireWriter } from "./wire.ts";

/**
 * What becomes of a command: `pass` has it carried out and answered, `late` the same with the answer after so many
 * milliseconds, `lose` carried out and hung up instead of an answer, `swallow` carried out and never answered, `hang-up`
 * not even carried out; a number is the response code that is answered in the TPM's stead.
 */
export type Fate = "pass" | { readonly late: number } | "lose" | "swallow" | "hang-up" | number;

/** TPM_CC of a command. */
export function commandCode(command: Uint8Array): number {
  return new DataView(command.buffer, command.byteOffset, command.byteLength).getUint32(6);
}

/**
 * Listens at `path` and passes on to the swtpm's socket at `target` what `fateOf` lets, one connection at a time as swtpm
 * does. A fate that takes its time comes before the command is carried out: `fateOf` sleeps.
 */
export async function startRelay(
  path: string,
  target: string,
  fateOf: (command: Uint8Array) => Fate | Promise<Fate>,
): Promise<{ address: string; stop(): Promise<void> }> {
  const open = new Set<Socket>();
  let turn: Promise<void> = Promise.resolve();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", (command: Uint8Array) => {
      turn = turn.then(async () => {
        const fate = await fateOf(command);
        if (fate === "hang-up") return void socket.destroy();
        if (typeof fate === "number") return void socket.write(refusal(fate));
        const answer = await carryOut(target, command);
        if (typeof fate === "object") await sleep(fate.late);
        if (answer === undefined || fate === "lose") socket.destroy();
        else if (fate !== "swallow") socket.write(answer);
      });
    });
    socket.on("end", () => socket.end());
  });
  server.listen(path);
  await once(server, "listening");
  return {
    address: `unix:${path}`,
    async stop() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await turn;
      await rm(path, { force: true });
    },
  };
}

function refusal(code: number): Uint8Array {
  return new WireWriter().u16(TPM_ST.NO_SESSIONS).u32(10).u32(code).done();
}

/** The answer, or undefined where there is none. */
function carryOut(target: string, command: Uint8Array): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(target);
    let response: Uint8Array = new Uint8Array(0);
    socket.on("data", (chunk) => {
      response = concatBytes(response, chunk as Uint8Array);
      if (!isWholeResponse(response)) return;
      resolve(response);
      socket.destroy();
    });
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve(undefined));
    socket.write(command);
  });
}
