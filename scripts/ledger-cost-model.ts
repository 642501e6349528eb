// What a ledger costs, computed: transactions, gas and bytes of so many hosts, images and changes, from what one
// operation costs (measure-gas.ts) and what real baselines weigh.
import { maxChunkBytes } from "../src/ledger/contract/entry-data.ts";
import { type GasRow, SMALL_PIECE } from "./measure-gas.ts";

/** A baseline of a root file system of Debian 12's packages; `packed` is its lines' zlib stream. */
export interface Sample {
  readonly name: string;
  readonly lines: number;
  readonly bytes: number;
  readonly packed: number;
  /** Which part of all images is taken to be like it. */
  readonly share: number;
}

/** Built once with `pims baseline build --rootfs`; shares are an assumption. */
export const SAMPLES: readonly Sample[] = [
  { name: "a C library, for one static program", lines: 275, bytes: 77_893, packed: 21_341, share: 0.2 },
  { name: "Debian's required packages", lines: 1439, bytes: 327_401, packed: 95_394, share: 0.35 },
  { name: "with Java 17", lines: 1541, bytes: 356_360, packed: 104_806, share: 0.15 },
  { name: "with PostgreSQL 15", lines: 1653, bytes: 381_190, packed: 112_755, share: 0.15 },
  { name: "with Python and pip", lines: 2935, bytes: 612_593, packed: 169_253, share: 0.1 },
  { name: "with Node and git", lines: 3801, bytes: 780_468, packed: 217_448, share: 0.03 },
  { name: "with GCC, LLVM and valgrind", lines: 4052, bytes: 844_155, packed: 243_681, share: 0.01 },
  { name: "with a cloud vendor's tools", lines: 20_451, bytes: 4_476_448, packed: 962_150, share: 0.01 },
];

export interface Parameters {
  readonly hosts: number;
  /** Hosts whose key is replaced: one is enrolled, one revoked. */
  readonly hostChangesPerDay: number;
  readonly images: number;
  readonly changesPerDay: number;
  /** Which part of the changes is another baseline for the same image; the others are the next version, which supersedes. */
  readonly editedShare: number;
  readonly revocationsPerDay: number;
  readonly quorum: number;
  readonly verifiers: number;
  readonly checkpointSeconds: number;
  /** Null: a block for each transaction and none otherwise, as the embedded chain does. */
  readonly blockSeconds: number | null;
  /** RLP of a header with its seals. */
  readonly headerBytes: number;
  readonly samples: readonly Pick<Sample, "packed" | "share">[];
}

/** RLP of a header with four validators and four seals in its extraData, and with Clique's vanity and seal. */
export const QBFT_HEADER_BYTES = 911;
export const CLIQUE_HEADER_BYTES = 611;

export const ASSUMED: Parameters = {
  hosts: 10_000,
  hostChangesPerDay: 20,
  images: 1000,
  changesPerDay: 100,
  editedShare: 0.1,
  revocationsPerDay: 1,
  quorum: 2,
  verifiers: 1,
  checkpointSeconds: 60,
  blockSeconds: 5,
  headerBytes: QBFT_HEADER_BYTES,
  samples: SAMPLES,
};

/** `words` of 32 bytes that state grows by; it is never given back. */
export interface Cost {
  readonly transactions: number;
  readonly gas: number;
  readonly bytes: number;
  readonly receiptBytes: number;
  readonly words: number;
}

export const NOTHING: Cost = { transactions: 0, gas: 0, bytes: 0, receiptBytes: 0, words: 0 };

export function sum(...costs: readonly Cost[]): Cost {
  return costs.reduce((total, cost) => zip(total, cost, (one, other) => one + other), NOTHING);
}

export function times(factor: number, cost: Cost): Cost {
  return zip(cost, cost, (one) => factor * one);
}

function zip(one: Cost, other: Cost, join: (one: number, other: number) => number): Cost {
  const of = (key: keyof Cost): number => join(one[key], other[key]);
  return {
    ...{ transactions: of("transactions"), gas: of("gas"), bytes: of("bytes") },
    ...{ receiptBytes: of("receiptBytes"), words: of("words") },
  };
}

/** The costs of single operations; the rows are those of docs/ledger-cost.md. */
export class Operations {
  readonly #rows: ReadonlyMap<string, GasRow>;

  constructor(rows: readonly GasRow[]) {
    this.#rows = new Map(rows.map((row) => [row.operation, row]));
  }

  #one(operation: string, words: number): Cost {
    const row = this.#rows.get(operation);
    if (row === undefined) throw new Error(`no such row: ${operation}`);
    return { transactions: 1, gas: row.gas, bytes: row.bytes, receiptBytes: row.receiptBytes, words };
  }

  /** A baseline from its proposal to its approval; `packed` bytes of zlib stream. */
  baseline(packed: number, quorum: number, isFirst: boolean): Cost {
    const which = isFirst ? "an image's first" : "an image's next";
    const full = Math.max(0, Math.ceil(packed / maxChunkBytes) - 1);
    return sum(
      // Identity, root, data hash, parts, blocks, standing, a signature; an image's latest, place in the list, current, revision.
      this.#one(`propose, ${which}`, 7 + (isFirst ? 2 : 0)),
      times(full, this.#one(`deliver a piece of ${maxChunkBytes} bytes, more to come`, 0)),
      this.#lastPiece(packed - full * maxChunkBytes),
      times(quorum - 2, this.#one("approve, a signature before the last", 1)),
      this.#one(`approve, the quorum's last signature, ${which}`, 1 + (isFirst ? 2 : 0)),
    );
  }

  /** Between a small and a large one all grows by the byte, but what the EVM asks for its memory, by the square. */
  #lastPiece(length: number): Cost {
    const [small, large] = [SMALL_PIECE, maxChunkBytes].map((size) =>
      this.#one(`deliver a last piece of ${size} bytes`, 0),
    ) as [Cost, Cost];
    const squared = (bytes: number): number => (bytes / 32) ** 2 / 512;
    const part = (length - SMALL_PIECE) / (maxChunkBytes - SMALL_PIECE);
    const straight = zip(small, large, (one, other) => one + part * (other - one));
    const bend = squared(length) - squared(SMALL_PIECE) - part * (squared(maxChunkBytes) - squared(SMALL_PIECE));
    return { ...straight, transactions: 1, gas: straight.gas + bend };
  }

  readonly supersede = (): Cost => this.#one("supersede", 0);
  readonly revoke = (): Cost => this.#one("revoke", 0);
  readonly checkpoint = (): Cost => this.#one("checkpoint, any later, whatever the number of hosts", 1);
  readonly enroll = (): Cost => this.#one("enroll a key", 1);
  readonly enrollMany = (): Cost => this.#one("enroll 200 keys at once", 200);
  readonly revokeKey = (): Cost => this.#one("revoke a key", 0);

  deployment(): Cost {
    const names = ["deploy BaselineRegistry, three publishers", "deploy HostRegistry", "deploy Checkpoints"];
    return sum(...names.map((name) => this.#one(name, 0)));
  }
}

/** All that is there at the beginning: contracts, a baseline for each image, all hosts' keys. */
export function costOfStart(
  operations: Operations,
  parameters: Parameters,
): Record<"contracts" | "baselines" | "hosts", Cost> {
  const { images, hosts, quorum, samples } = parameters;
  const each = samples.map(({ packed, share }) => times(share, operations.baseline(packed, quorum, true)));
  return {
    contracts: operations.deployment(),
    baselines: times(images, sum(...each)),
    hosts: times(hosts / 200, operations.enrollMany()),
  };
}

export type Daily = Record<"changes" | "revocations" | "hosts" | "checkpoints", Cost>;

export function costOfDay(operations: Operations, parameters: Parameters): Daily {
  const { changesPerDay, editedShare, revocationsPerDay, hostChangesPerDay, quorum, samples } = parameters;
  const change = samples.map(({ packed, share }) =>
    times(
      share,
      sum(
        times(editedShare, operations.baseline(packed, quorum, false)),
        times(1 - editedShare, sum(operations.baseline(packed, quorum, true), operations.supersede())),
      ),
    ),
  );
  return {
    changes: times(changesPerDay, sum(...change)),
    revocations: times(revocationsPerDay, operations.revoke()),
    hosts: times(hostChangesPerDay, sum(operations.enroll(), operations.revokeKey())),
    checkpoints: times((parameters.verifiers * 86_400) / parameters.checkpointSeconds, operations.checkpoint()),
  };
}

/** Headers a year; where blocks come by themselves that is most often with nothing in them. */
export function headersOf({ blockSeconds, headerBytes }: Parameters, transactions: number): number {
  return headerBytes * (blockSeconds === null ? transactions : (365 * 86_400) / blockSeconds);
}
