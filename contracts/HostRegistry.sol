// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Which attestation keys a verifier has enrolled, and revoked, and when
/// @notice By the TPM's name of the key (TPM 2.0 part 1, Names: hash algorithm and digest of the public area). Others can
/// see by it that evidence comes from a key that was enrolled before, and has not been revoked since.
/// @dev As in Checkpoints everybody writes below their own address. Revoked is for good, also before it is enrolled.
/// Storage: slot 0 maps registrar and keccak256(name) to one word, enrolledAt in its low 8 bytes, then revokedAt.
contract HostRegistry {
    /// @notice Times are seconds since 1970 UTC, zero: never.
    struct Host {
        uint64 enrolledAt;
        uint64 revokedAt;
    }

    mapping(address registrar => mapping(bytes32 key => Host)) private _hosts;

    /// @notice A key was enrolled.
    event HostEnrolled(address indexed registrar, bytes32 indexed key, bytes name);

    /// @notice A key was revoked.
    event HostRevoked(address indexed registrar, bytes32 indexed key, bytes name);

    /// @notice A name is two bytes of algorithm and a digest of 32, 48 or 64 bytes.
    error BadName(bytes name);
    /// @notice A revoked key does not come back.
    error IsRevoked(bytes name);

    /// @notice Enrolls keys. Those that are enrolled already stay as they are.
    function enroll(bytes[] calldata names) external {
        for (uint256 i = 0; i < names.length; i++) {
            Host storage host = _at(names[i]);
            if (host.revokedAt != 0) revert IsRevoked(names[i]);
            if (host.enrolledAt != 0) continue;
            host.enrolledAt = uint64(block.timestamp);
            emit HostEnrolled(msg.sender, keccak256(names[i]), names[i]);
        }
    }

    /// @notice Revokes keys, for good. Those that are revoked already stay as they are.
    function revoke(bytes[] calldata names) external {
        for (uint256 i = 0; i < names.length; i++) {
            Host storage host = _at(names[i]);
            if (host.revokedAt != 0) continue;
            host.revokedAt = uint64(block.timestamp);
            emit HostRevoked(msg.sender, keccak256(names[i]), names[i]);
        }
    }

    /// @notice When a registrar enrolled and revoked a key.
    function hostOf(address registrar, bytes calldata name) external view returns (Host memory) {
        return _hosts[registrar][keccak256(name)];
    }

    function _at(bytes calldata name) private view returns (Host storage) {
        if (name.length != 34 && name.length != 50 && name.length != 66) revert BadName(name);
        return _hosts[msg.sender][keccak256(name)];
    }
}
