// Generated from contracts/Checkpoints.sol by scripts/build-contracts.ts: do not edit.
import { parseAbi } from "viem";

export const checkpointsAbi = parseAbi([
  "error BadRoot()",
  "error OutOfOrder(uint64 number, uint64 next)",
  "event Checkpointed(address indexed reporter, uint64 indexed number, bytes32 root)",
  "function checkpoint(uint64 number, bytes32 root)",
  "function count(address reporter) view returns (uint64)",
  "function rootOf(address reporter, uint64 number) view returns (bytes32)",
]);
