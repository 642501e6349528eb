// Generated from contracts/HostRegistry.sol by scripts/build-contracts.ts: do not edit.
import { parseAbi } from "viem";

export const hostRegistryAbi = parseAbi([
  "error BadName(bytes name)",
  "error IsRevoked(bytes name)",
  "event HostEnrolled(address indexed registrar, bytes32 indexed key, bytes name)",
  "event HostRevoked(address indexed registrar, bytes32 indexed key, bytes name)",
  "function enroll(bytes[] names)",
  "function hostOf(address registrar, bytes name) view returns ((uint64 enrolledAt, uint64 revokedAt))",
  "function revoke(bytes[] names)",
]);
