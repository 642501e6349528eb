import { printable } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { isSealed, type LedgerConfig } from "./config.ts";
import type { Endpoints } from "./rpc/endpoints.ts";
import type { Rpc } from "./rpc/rpc.ts";

/** What whoever reads a ledger knows of it now, for people who look after it. */
export interface LedgerView {
  readonly registry: string;
  /** Number of the chain; null before the first block. */
  readonly chainId: string | null;
  /** The last block that was believed; null before the first. `ageMs`: since its own time, by this machine's clock. */
  readonly block: {
    readonly number: string;
    readonly hash: string;
    readonly time: string;
    readonly ageMs: number;
    /** When it was read last. */
    readonly readAt: string;
  } | null;
  /** How a block is believed, in words. */
  readonly belief: string;
  /** Why none is believed now; null while one is. */
  readonly problem: { readonly code: string; readonly text: string } | null;
  /** How long an approval that was read holds meanwhile. */
  readonly holdMs: number;
  readonly endpoints: readonly EndpointView[];
  /** What this ledger does not protect against, a sentence each. */
  readonly warnings: readonly string[];
}

export interface EndpointView {
  /** Its address, without what may be a secret in it. */
  readonly endpoint: string;
  /** What it says it is (web3_clientVersion); null when it has not said. */
  readonly client: string | null;
  /** What it is left out for; null for one that has done nothing wrong since. */
  readonly fault: { readonly text: string; readonly since: string } | null;
}

/** Enough for any name and version. */
const MAX_CLIENT = 100;

/** What endpoints say they are. Each is asked once; only its word, so good for nothing but a hint to people. */
export class Clients {
  /** Null for one that does not say. */
  readonly #known = new Map<Rpc, string | null>();

  async ask(rpcs: readonly Rpc[]): Promise<void> {
    const unknown = rpcs.filter((rpc) => !this.#known.has(rpc));
    await Promise.all(
      unknown.map(async (rpc) => {
        try {
          const said = await rpc.call("web3_clientVersion", []);
          this.#known.set(rpc, typeof said === "string" ? printable(said.slice(0, MAX_CLIENT)) : null);
        } catch (error) {
          if (!(error instanceof PimsError)) throw error;
          if (error.code === "ledger-refused") this.#known.set(rpc, null);
        }
      }),
    );
  }

  of(rpc: Rpc): string | null {
    return this.#known.get(rpc) ?? null;
  }
}

export function viewEndpoints(endpoints: Endpoints, clients: Clients): EndpointView[] {
  return endpoints.all.map((rpc) => {
    const fault = endpoints.faultOf(rpc);
    const since = endpoints.faultSince(rpc);
    return {
      endpoint: rpc.name,
      client: clients.of(rpc),
      fault: fault === undefined ? null : { text: fault.message, since: rfc3339(since ?? 0) },
    };
  });
}

/** What is to be said of it wherever it is used. */
export const EMBEDDED_CHAIN_WARNING = "the embedded chain protects against nobody who is root on its machine";

/** What does not protect whom, as far as the configuration and the endpoints' own words tell. */
export function warningsOf(config: LedgerConfig, views: readonly EndpointView[]): string[] {
  const { witnesses = [], maxAgeMs } = config;
  if (views.some(({ client }) => client?.startsWith("anvil/"))) return [EMBEDDED_CHAIN_WARNING];
  // Seals and the block's age, which is bounded then, tell the chain from another.
  if (isSealed(config)) return [];
  const warnings: string[] = [];
  if (witnesses.length === 0)
    warnings.push("the ledger is what its only endpoint says it is: 'ledger.witnesses' names more that must agree");
  if (maxAgeMs === undefined)
    warnings.push("a chain that stands still goes unnoticed: 'ledger.maxAgeMs' bounds the age of its newest block");
  return warnings;
}
