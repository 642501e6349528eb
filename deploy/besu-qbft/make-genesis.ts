// Writes the genesis file of a QBFT network: node make-genesis.ts CHAIN-ID VALIDATOR VALIDATOR VALIDATOR VALIDATOR > genesis.json
// It needs no Besu, so that each of the organisations can make it from the four addresses and compare its digest.
import { type Address, type Hex, isAddress, toRlp } from "viem";

/** The Istanbul family's mark in a header, which Besu wants as a genesis block's mixHash. */
const BFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365";

const ZERO_HASH: Hex = `0x${"0".repeat(64)}`;

/** Fewer than four validators do not stand one that fails or lies: QBFT needs 3f + 1. */
const FEWEST = 4;

/**
 * A genesis block's extraData with validators in headers: RLP of 32 bytes of vanity, the validators in rising order, no
 * vote, round 0, no seals. Throws for an address that is malformed or there twice, and for fewer than four.
 */
export function qbftExtraData(validators: readonly string[]): Hex {
  const wrong = validators.find((text) => !isAddress(text, { strict: false }));
  if (wrong !== undefined) throw new Error(`not an address: ${wrong.slice(0, 100)}`);
  const rising = validators.map((text) => text.toLowerCase() as Address).sort();
  const twice = rising.find((address, index) => address === rising[index - 1]);
  if (twice !== undefined) throw new Error(`the validator ${twice} is there twice`);
  if (rising.length < FEWEST) throw new Error(`a network has at least ${FEWEST} validators`);
  return toRlp([ZERO_HASH, rising, [], "0x", []]);
}

/** The genesis file's content. EVM `london` from the first block on, as the contracts are compiled; gas is free. */
export function qbftGenesis(chainId: number, validators: readonly string[]): object {
  if (!Number.isSafeInteger(chainId) || chainId < 1) throw new Error("a chain id is a whole number above 0");
  return {
    config: {
      chainId,
      // All of them by name: Besu takes the last one for the others, nodes of the go-ethereum line do not.
      homesteadBlock: 0,
      eip150Block: 0,
      eip155Block: 0,
      eip158Block: 0,
      byzantiumBlock: 0,
      constantinopleBlock: 0,
      petersburgBlock: 0,
      istanbulBlock: 0,
      berlinBlock: 0,
      londonBlock: 0,
      zeroBaseFee: true,
      qbft: { blockperiodseconds: 5, epochlength: 30_000, requesttimeoutseconds: 10 },
    },
    nonce: "0x0",
    timestamp: "0x0",
    extraData: qbftExtraData(validators),
    gasLimit: "0x1c9c380",
    baseFeePerGas: "0x0",
    difficulty: "0x1",
    mixHash: BFT_MIX_HASH,
    coinbase: `0x${"0".repeat(40)}`,
    // Nobody owns anything: where gas is free, nobody has to.
    alloc: {},
  };
}

if (import.meta.main) {
  const [chainId, ...validators] = process.argv.slice(2);
  try {
    process.stdout.write(`${JSON.stringify(qbftGenesis(Number(chainId), validators), null, 2)}\n`);
  } catch (error) {
    process.stderr.write(`make-genesis: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
