// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Publishers} from "./Publishers.sol";

/// @title Baselines of container images, approved by k of n publishers
/// @notice A publisher proposes a baseline: its RFC 9162 Merkle root goes into state, its lines (compressed) into event
/// data, so that the chain alone is enough to rebuild it. It becomes the baseline of its image when `quorum` different
/// publishers, the proposer included, have signed for exactly that proposal. A proposal never changes. What takes trust
/// away needs one publisher only, so that it is quick: `revoke`, and `supersede` with its overlap. Neither can be undone.
/// @dev What an approval names is the proposal's id, a hash over everything that could be exchanged underneath it:
/// chain, contract, epoch, identity, revision, root, the hash chain over the data, the number of pieces and of lines.
///
/// The data is bound piece by piece. `dataHash` is the head of a hash chain that runs backwards:
///     h(chunks) = 0,  h(i) = keccak256(keccak256(piece i) ‖ h(i + 1)),  dataHash = h(0).
/// Whoever delivers piece i reveals h(i + 1); only the proposed piece fits. A wrong piece is refused at once, so no
/// mistake and no stranger can spoil a proposal, and one word of state is enough for any number of pieces.
///
/// No read function looks at the time: where a baseline ends, `until` says when, and the reader's own clock decides.
contract BaselineRegistry is Publishers {
    /// @notice Where a proposal stands.
    /// None: there is no such proposal. Proposed: waits for data or signatures, is not a baseline.
    /// Approved: the baseline of its identity. Superseded: was it, until a later one was approved.
    /// Outdated: lost against another proposal of the same revision or is of an earlier epoch, can never be approved.
    /// Revoked: was approved, and is nothing any more, for good.
    enum Status {
        None,
        Proposed,
        Approved,
        Superseded,
        Outdated,
        Revoked
    }

    /// @notice What is kept of a proposal. The order of members is the storage layout that proofs are read by.
    /// @param identity digest of the image (its configuration) or of the file tree
    /// @param root RFC 9162 SHA-256 tree root over the baseline's lines
    /// @param dataHash head of the hash chain over all pieces
    /// @param nextHash h(delivered): what the next piece has to fit, zero when all are there
    /// @param proposer the publisher who proposed, and by that signed first
    /// @param chunks number of pieces
    /// @param delivered number of pieces that are there
    /// @param lines number of lines of the baseline, header included
    /// @param revision the identity's revision that this proposal is for
    /// @param firstBlock block of the proposal: no event of it is older
    /// @param lastBlock block of the latest piece: no piece of it is newer
    /// @param epoch the epoch whose publishers and quorum it is for
    /// @param approvals number of publishers who signed
    /// @param approved whether the quorum was reached, at any time
    /// @param revoked whether a publisher revoked it
    /// @param until when its overlap ends, seconds since 1970 UTC; zero: no end
    struct Proposal {
        bytes32 identity;
        bytes32 root;
        bytes32 dataHash;
        bytes32 nextHash;
        address proposer;
        uint32 chunks;
        uint32 delivered;
        uint32 lines;
        uint64 revision;
        uint64 firstBlock;
        uint64 lastBlock;
        uint32 epoch;
        uint32 approvals;
        bool approved;
        bool revoked;
        uint64 until;
    }

    /// @notice One identity in a listing.
    /// @param identity digest of the image or file tree
    /// @param status Approved, Revoked or Proposed
    /// @param id the proposal that was approved last, or while there is none the latest one
    /// @param root root of that proposal
    /// @param lines number of lines of that proposal
    /// @param until when it ends, zero: no end
    struct Entry {
        bytes32 identity;
        Status status;
        bytes32 id;
        bytes32 root;
        uint32 lines;
        uint64 until;
    }

    /// @notice Most bytes of one piece: 96 KiB less what the transaction around it needs, since nodes refuse 128 KiB.
    uint256 public constant MAX_CHUNK_BYTES = 96 * 1024 - 512;

    /// @notice Most pieces of one proposal (24 MiB compressed), so that a reader can bound its work.
    uint32 public constant MAX_CHUNKS = 256;

    /// @notice Longest overlap, in seconds.
    uint64 public constant MAX_OVERLAP = 366 days;

    mapping(bytes32 id => Proposal) private _proposals;
    mapping(bytes32 identity => bytes32 id) private _current;
    mapping(bytes32 identity => bytes32 id) private _latest;
    mapping(bytes32 identity => uint64) private _revision;
    bytes32[] private _identities;

    /// @notice A baseline was proposed; its proposer has signed for it by that.
    event BaselineProposed(
        bytes32 indexed id,
        bytes32 indexed identity,
        address indexed proposer,
        bytes32 root,
        bytes32 dataHash,
        uint32 chunks,
        uint32 lines,
        uint64 revision
    );

    /// @notice Piece `index` of the compressed lines of a proposal.
    event BaselineData(bytes32 indexed id, uint32 indexed index, bytes data);

    /// @notice A publisher signed for a proposal.
    event BaselineSigned(bytes32 indexed id, bytes32 indexed identity, address indexed publisher, uint32 approvals);

    /// @notice The quorum was reached: `id` is the baseline of `identity` now, instead of `replaced` (zero: none before).
    event BaselineApproved(bytes32 indexed id, bytes32 indexed identity, bytes32 indexed replaced, bytes32 root);

    /// @notice A publisher revoked an approved or superseded proposal.
    event BaselineRevoked(bytes32 indexed id, bytes32 indexed identity, address indexed publisher);

    /// @notice `by`, another image's baseline, takes the place of `id`, which ends at `until`.
    event BaselineSuperseded(bytes32 indexed id, bytes32 indexed by, address indexed publisher, uint64 until);

    /// @notice A proposal needs an identity, a root, a data hash, 1 to MAX_CHUNKS pieces and at least 1 line.
    error BadProposal();
    /// @notice Exactly this was proposed before: deliver what is missing, or approve it.
    error AlreadyProposed(bytes32 id);
    /// @notice There is no such proposal.
    error UnknownProposal(bytes32 id);
    /// @notice The piece is empty, too long, out of order or not the one that was proposed.
    error WrongChunk(bytes32 id, uint32 index);
    /// @notice Not all pieces are there yet.
    error IncompleteData(bytes32 id, uint32 delivered, uint32 chunks);
    /// @notice The proposal is approved, superseded, outdated or revoked.
    error NotOpen(bytes32 id, Status status);
    /// @notice Only what is approved can be superseded, and only what is or was approved can be revoked.
    error NotApproved(bytes32 id, Status status);
    /// @notice The overlap is too long, or ends no sooner than the one that holds already.
    error BadOverlap(bytes32 id, uint64 until);

    /// @notice Fixes who publishes at first and how many must agree.
    /// @param publishers_ in rising order, none of them the deployer's
    /// @param quorum_ how many of them must sign, proposer included; at least 2
    constructor(address[] memory publishers_, uint32 quorum_) Publishers(publishers_, quorum_) {}

    /// @notice Proposes a baseline, and signs for it as the first publisher. The data follows by `deliver`.
    /// @param identity digest of the image or file tree
    /// @param root RFC 9162 root over the lines
    /// @param dataHash head of the hash chain over the pieces
    /// @param chunks number of pieces
    /// @param lines number of lines, header included
    /// @return id what an approval has to name
    function propose(bytes32 identity, bytes32 root, bytes32 dataHash, uint32 chunks, uint32 lines)
        external
        onlyRole(PUBLISHER_ROLE)
        returns (bytes32 id)
    {
        if (identity == 0 || root == 0 || dataHash == 0 || chunks == 0 || chunks > MAX_CHUNKS || lines == 0) {
            revert BadProposal();
        }
        if (successor != address(0)) revert IsRetired(successor);
        uint64 revision = _revision[identity];
        id = proposalId(epoch, identity, revision, root, dataHash, chunks, lines);
        Proposal storage p = _proposals[id];
        if (p.proposer != address(0)) revert AlreadyProposed(id);
        p.identity = identity;
        p.root = root;
        p.dataHash = dataHash;
        p.nextHash = dataHash;
        p.proposer = msg.sender;
        p.chunks = chunks;
        p.lines = lines;
        p.revision = revision;
        p.firstBlock = uint64(block.number);
        p.lastBlock = uint64(block.number);
        p.epoch = epoch;
        p.approvals = 1;
        _signed[id][msg.sender] = true;
        if (_latest[identity] == 0) _identities.push(identity);
        _latest[identity] = id;
        emit BaselineProposed(id, identity, msg.sender, root, dataHash, chunks, lines, revision);
        emit BaselineSigned(id, identity, msg.sender, 1);
    }

    /// @notice Delivers the next piece of a proposal's data. Any publisher may: only the proposed piece fits.
    /// @param id the proposal
    /// @param index number of the piece, from 0, in order
    /// @param data the piece
    /// @param next h(index + 1) of the hash chain, zero for the last piece
    function deliver(bytes32 id, uint32 index, bytes calldata data, bytes32 next) external onlyRole(PUBLISHER_ROLE) {
        Proposal storage p = _proposals[id];
        if (p.proposer == address(0)) revert UnknownProposal(id);
        uint32 delivered = p.delivered;
        if (
            index != delivered || delivered == p.chunks || data.length == 0 || data.length > MAX_CHUNK_BYTES
                || keccak256(abi.encodePacked(keccak256(data), next)) != p.nextHash
                || (next == 0) != (delivered + 1 == p.chunks)
        ) revert WrongChunk(id, index);
        p.nextHash = next;
        p.delivered = delivered + 1;
        p.lastBlock = uint64(block.number);
        emit BaselineData(id, index, data);
    }

    /// @notice Signs for a proposal whose data is complete. With the quorum it becomes the baseline of its identity, and
    /// every other open proposal of that identity is outdated.
    /// @param id the proposal: it names root and data, so nothing can be exchanged before this transaction is mined
    function approve(bytes32 id) external onlyRole(PUBLISHER_ROLE) {
        Proposal storage p = _proposals[id];
        Status status = statusOf(id);
        if (status == Status.None) revert UnknownProposal(id);
        if (status != Status.Proposed) revert NotOpen(id, status);
        if (p.delivered != p.chunks) revert IncompleteData(id, p.delivered, p.chunks);
        if (_signed[id][msg.sender]) revert AlreadySigned(id, msg.sender);
        _signed[id][msg.sender] = true;
        uint32 approvals = p.approvals + 1;
        p.approvals = approvals;
        bytes32 identity = p.identity;
        emit BaselineSigned(id, identity, msg.sender, approvals);
        if (approvals < quorum) return;
        p.approved = true;
        bytes32 replaced = _current[identity];
        _current[identity] = id;
        _revision[identity] = p.revision + 1;
        emit BaselineApproved(id, identity, replaced, p.root);
    }

    /// @notice Takes an approved or superseded baseline back at once. The same lines can become a baseline again only as
    /// a new proposal, with signatures of its own.
    function revoke(bytes32 id) external onlyRole(PUBLISHER_ROLE) {
        Status status = statusOf(id);
        if (status != Status.Approved && status != Status.Superseded) revert NotApproved(id, status);
        Proposal storage p = _proposals[id];
        p.revoked = true;
        emit BaselineRevoked(id, p.identity, msg.sender);
    }

    /// @notice Lets an image's baseline end, because another image takes its place: the next version of a program.
    /// @param id the approved proposal that ends; called again, it can only end sooner
    /// @param by the approved proposal, without an end of its own, that takes its place
    /// @param overlap for how many seconds from now both hold
    function supersede(bytes32 id, bytes32 by, uint64 overlap) external onlyRole(PUBLISHER_ROLE) {
        Status status = statusOf(id);
        if (status != Status.Approved) revert NotApproved(id, status);
        status = statusOf(by);
        if (status != Status.Approved || id == by || _proposals[by].until != 0) revert NotApproved(by, status);
        Proposal storage p = _proposals[id];
        if (overlap > MAX_OVERLAP) revert BadOverlap(id, p.until);
        uint64 until = uint64(block.timestamp) + overlap;
        if (p.until != 0 && until >= p.until) revert BadOverlap(id, p.until);
        p.until = until;
        emit BaselineSuperseded(id, by, msg.sender, until);
    }

    /// @notice The baseline of an identity. `id`, `root` and `until` are zero unless the status is Approved or Revoked.
    /// @return status Approved, Revoked (the last approved one was), Proposed (none was ever approved) or None
    /// @return id the proposal that was approved last
    /// @return root its root
    /// @return until when it ends, zero: no end
    function baselineOf(bytes32 identity)
        external
        view
        returns (Status status, bytes32 id, bytes32 root, uint64 until)
    {
        id = _current[identity];
        if (id == 0) return (_latest[identity] == 0 ? Status.None : Status.Proposed, 0, 0, 0);
        Proposal storage p = _proposals[id];
        return (p.revoked ? Status.Revoked : Status.Approved, id, p.root, p.until);
    }

    /// @notice The proposal of an identity that was made last, whatever became of it; zero when there is none.
    function latestProposalOf(bytes32 identity) external view returns (bytes32 id) {
        return _latest[identity];
    }

    /// @notice The revision that a new proposal for an identity would be for: how many were approved so far.
    function revisionOf(bytes32 identity) external view returns (uint64) {
        return _revision[identity];
    }

    /// @notice All that is kept of a proposal; all zero when there is none.
    function proposal(bytes32 id) external view returns (Status status, Proposal memory kept) {
        return (statusOf(id), _proposals[id]);
    }

    /// @notice Where a proposal stands.
    function statusOf(bytes32 id) public view returns (Status) {
        Proposal storage p = _proposals[id];
        if (p.proposer == address(0)) return Status.None;
        if (p.revoked) return Status.Revoked;
        if (p.approved) return _current[p.identity] == id ? Status.Approved : Status.Superseded;
        return p.revision == _revision[p.identity] && p.epoch == epoch ? Status.Proposed : Status.Outdated;
    }

    /// @notice The id that a proposal with these properties has on this chain and contract.
    function proposalId(
        uint32 epoch_,
        bytes32 identity,
        uint64 revision,
        bytes32 root,
        bytes32 dataHash,
        uint32 chunks,
        uint32 lines
    ) public view returns (bytes32) {
        return
            keccak256(
                abi.encode(block.chainid, address(this), epoch_, identity, revision, root, dataHash, chunks, lines)
            );
    }

    /// @notice Number of identities for which anything was ever proposed.
    function identityCount() external view returns (uint256) {
        return _identities.length;
    }

    /// @notice Up to `count` identities from number `from` on, in the order of their first proposals.
    function list(uint256 from, uint256 count) external view returns (Entry[] memory entries) {
        uint256 total = _identities.length;
        if (from > total) from = total;
        if (count > total - from) count = total - from;
        entries = new Entry[](count);
        for (uint256 i = 0; i < count; i++) {
            bytes32 identity = _identities[from + i];
            bytes32 id = _current[identity];
            Status status = Status.Approved;
            if (id == 0) {
                id = _latest[identity];
                status = Status.Proposed;
            }
            Proposal storage p = _proposals[id];
            if (p.revoked) status = Status.Revoked;
            entries[i] = Entry(identity, status, id, p.root, p.lines, p.until);
        }
    }
}
