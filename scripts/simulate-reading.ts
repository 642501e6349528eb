// What a verifier asks of a ledger endpoint, counted by a relay before it: at its first start, when it has nothing, and then.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { BaselineCache } from "../src/ledger/baseline-cache.ts";

export interface Asked {
  readonly requests: number;
  readonly proofs: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface Reading {
  readonly images: number;
  /** Every image, by somebody who has no copy of any. */
  readonly first: Asked;
  /** The same images again at a later block, when what is known of them is too old. */
  readonly again: Asked;
}

/** How many lookups are under way at a time: those of as many hosts. */
const TOGETHER = 16;

/** `between` makes a block in which nothing happens to the registry. */
export async function simulateReading(
  url: string,
  registry: string,
  identities: readonly string[],
  between: () => Promise<void>,
): Promise<Reading> {
  let [requests, proofs, bytes] = [0, 0, 0];
  const relay = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const body = Buffer.concat(parts);
    const headers = { "content-type": "application/json" };
    const answer = Buffer.from(await (await fetch(url, { method: "POST", headers, body })).arrayBuffer());
    requests++;
    if (body.includes('"eth_getProof"')) proofs++;
    bytes += answer.length;
    response.end(answer);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  try {
    const own = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    const cache = new BaselineCache({ url: own, registry });
    const round = async (): Promise<Asked> => {
      [requests, proofs, bytes] = [0, 0, 0];
      const started = performance.now();
      const waiting = [...identities];
      const work = async (): Promise<void> => {
        for (let identity = waiting.pop(); identity !== undefined; identity = waiting.pop()) {
          // On a busy machine a large one takes longer than a lookup waits, and goes on for the next.
          for (let tries = 0; (await cache.lookUp(identity)).status !== "approved"; tries++) {
            if (tries === 20) throw new Error(`${identity} is not read`);
            await sleep(500);
          }
        }
      };
      await Promise.all(Array.from({ length: TOGETHER }, work));
      return { requests, proofs, bytes, seconds: (performance.now() - started) / 1000 };
    };
    const first = await round();
    await between();
    await sleep(2100);
    return { images: identities.length, first, again: await round() };
  } finally {
    relay.closeAllConnections();
    relay.close();
  }
}
