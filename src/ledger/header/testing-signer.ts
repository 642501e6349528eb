// A program that keeps a key and signs on request, for tests.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Hex } from "viem";
import type { LedgerKey, Transaction } from "../keys/keys.ts";
import type { Ending } from "../testing.ts";

type Fields = Record<"to" | "data" | "nonce" | "gas" | "gasPrice" | "chainId" | "value", Hex>;

/** A signer as the JSON-RPC describes it, which keeps one key. `tamper` changes what it signs, `answer` what it says. */
export async function startSigner(
  t: Ending,
  key: LedgerKey,
  { tamper = (asked: Transaction): Transaction => asked, answer = (raw: Hex): unknown => ({ raw, tx: {} }) } = {},
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request as AsyncIterable<Buffer>) body += part.toString();
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: [Fields] };
    asked.push(method);
    const { to, data, nonce, gas, gasPrice, chainId, value } = params[0];
    const transaction: Transaction = {
      ...{ type: "legacy", to, data, nonce: Number(nonce), gas: BigInt(gas), gasPrice: BigInt(gasPrice) },
      ...{ chainId: Number(chainId), value: BigInt(value) },
    };
    const result = answer(await key.signTransaction(tamper(transaction)));
    response.end(
      JSON.stringify({
        jsonrpc: "2.0",
        id,
        ...(result === undefined ? { error: { code: 1, message: "denied" } } : { result }),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
