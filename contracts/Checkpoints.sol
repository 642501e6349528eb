// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What verifiers have proved, put where nobody can rewrite it
/// @notice At each interval a verifier sends the root of an RFC 9162 tree over all its hosts' log heads and verdicts: one
/// transaction, however many hosts. What it said at a time can then be shown by an inclusion proof, and not be exchanged,
/// taken back or put in later, also not by the verifier's owner.
/// @dev Nobody has rights here and nobody needs any: everybody writes below their own address, and a reader knows whose
/// word he wants. Storage: slot 0 maps an address to the array of its roots.
contract Checkpoints {
    mapping(address reporter => bytes32[]) private _roots;

    /// @notice Checkpoint `number` of a reporter.
    event Checkpointed(address indexed reporter, uint64 indexed number, bytes32 root);

    /// @notice The next checkpoint of this reporter has another number: nothing is skipped or said twice.
    error OutOfOrder(uint64 number, uint64 next);
    /// @notice A root is not zero.
    error BadRoot();

    /// @notice Says one checkpoint.
    /// @param number of this reporter's checkpoints, from 0, one after the other
    /// @param root RFC 9162 SHA-256 tree root
    function checkpoint(uint64 number, bytes32 root) external {
        bytes32[] storage roots = _roots[msg.sender];
        if (number != roots.length) revert OutOfOrder(number, uint64(roots.length));
        if (root == 0) revert BadRoot();
        roots.push(root);
        emit Checkpointed(msg.sender, number, root);
    }

    /// @notice How many checkpoints a reporter has said.
    function count(address reporter) external view returns (uint64) {
        return uint64(_roots[reporter].length);
    }

    /// @notice The root of one checkpoint, zero when there is none of that number.
    function rootOf(address reporter, uint64 number) external view returns (bytes32) {
        bytes32[] storage roots = _roots[reporter];
        return number < roots.length ? roots[number] : bytes32(0);
    }
}
