// What `mutate-contracts.ts` breaks, each a rule of contracts/*.sol that somebody could want to be gone.
export interface Mutant {
  readonly name: string;
  readonly file: "BaselineRegistry.sol" | "Checkpoints.sol" | "HostRegistry.sol" | "Publishers.sol";
  /** There exactly once. */
  readonly from: string;
  readonly to: string;
}

const registry = (name: string, from: string, to = ""): Mutant => ({ name, file: "BaselineRegistry.sol", from, to });
const publishers = (name: string, from: string, to = ""): Mutant => ({ name, file: "Publishers.sol", from, to });
const hosts = (name: string, from: string, to = ""): Mutant => ({ name, file: "HostRegistry.sol", from, to });
const checkpoints = (name: string, from: string, to = ""): Mutant => ({ name, file: "Checkpoints.sol", from, to });

export const MUTANTS: readonly Mutant[] = [
  registry("one publisher approves twice", "if (_signed[id][msg.sender]) revert AlreadySigned(id, msg.sender);"),
  registry(
    "an approval is not remembered",
    "_signed[id][msg.sender] = true;\n        uint32 approvals",
    "uint32 approvals",
  ),
  registry("the proposer can approve, too", "_signed[id][msg.sender] = true;\n        if (_latest", "if (_latest"),
  registry(
    "approved before the data is complete",
    "if (p.delivered != p.chunks) revert IncompleteData(id, p.delivered, p.chunks);",
  ),
  registry("quorum of one less", "if (approvals < quorum) return;", "if (approvals + 1 < quorum) return;"),
  registry("quorum of one more", "if (approvals < quorum) return;", "if (approvals <= quorum) return;"),
  registry("a fixed quorum of two", "if (approvals < quorum) return;", "if (approvals < 2) return;"),
  registry("approved again after the decision", "if (status != Status.Proposed) revert NotOpen(id, status);"),
  registry(
    "revoked ones can be approved",
    "if (status != Status.Proposed)",
    "if (status != Status.Proposed && status != Status.Revoked)",
  ),
  registry(
    "outdated ones can be approved",
    "if (status != Status.Proposed)",
    "if (status != Status.Proposed && status != Status.Outdated)",
  ),
  registry(
    "an approval lifts a revocation",
    "p.approved = true;",
    "p.approved = true;\n        _proposals[_current[identity]].revoked = false;",
  ),
  registry(
    "the epoch of a proposal does not count",
    "p.revision == _revision[p.identity] && p.epoch == epoch",
    "p.revision == _revision[p.identity]",
  ),
  registry(
    "the revision of a proposal does not count",
    "p.revision == _revision[p.identity] && p.epoch == epoch",
    "p.epoch == epoch",
  ),
  registry("the revision stays", "_revision[identity] = p.revision + 1;"),
  registry("the revision jumps", "_revision[identity] = p.revision + 1;", "_revision[identity] = p.revision + 2;"),
  registry(
    "anybody approves",
    "function approve(bytes32 id) external onlyRole(PUBLISHER_ROLE)",
    "function approve(bytes32 id) external",
  ),
  registry(
    "anybody revokes",
    "function revoke(bytes32 id) external onlyRole(PUBLISHER_ROLE)",
    "function revoke(bytes32 id) external",
  ),
  registry("anybody delivers", "bytes32 next) external onlyRole(PUBLISHER_ROLE)", "bytes32 next) external"),
  registry("anybody supersedes", "uint64 overlap) external onlyRole(PUBLISHER_ROLE)", "uint64 overlap) external"),
  registry("anybody proposes", "        external\n        onlyRole(PUBLISHER_ROLE)\n", "        external\n"),
  registry("pieces in any order", "index != delivered || delivered == p.chunks", "delivered == p.chunks"),
  registry("any piece fits", "|| keccak256(abi.encodePacked(keccak256(data), next)) != p.nextHash"),
  registry("an empty piece", "data.length == 0 ||"),
  registry("a piece of any length", "|| data.length > MAX_CHUNK_BYTES"),
  registry("the chain may end anywhere", "|| (next == 0) != (delivered + 1 == p.chunks)"),
  registry(
    "the block of the last piece is not kept",
    "p.lastBlock = uint64(block.number);\n        emit BaselineData",
    "emit BaselineData",
  ),
  registry("the block of the proposal is not kept", "p.firstBlock = uint64(block.number);"),
  registry("proposed over what was proposed", "if (p.proposer != address(0)) revert AlreadyProposed(id);"),
  registry("proposed after retirement", "if (successor != address(0)) revert IsRetired(successor);"),
  registry(
    "what is open can be revoked",
    "if (status != Status.Approved && status != Status.Superseded) revert NotApproved(id, status);",
    "if (status == Status.None) revert NotApproved(id, status);",
  ),
  registry(
    "revoked twice",
    "if (status != Status.Approved && status != Status.Superseded)",
    "if (status != Status.Approved && status != Status.Superseded && status != Status.Revoked)",
  ),
  registry(
    "what was replaced cannot be revoked",
    "if (status != Status.Approved && status != Status.Superseded)",
    "if (status != Status.Approved)",
  ),
  registry("a revocation does nothing", "p.revoked = true;"),
  registry(
    "a revocation falls back to nothing",
    "p.revoked = true;",
    "p.revoked = true;\n        _current[p.identity] = 0;",
  ),
  registry(
    "the older one takes the place of a revoked one",
    "_current[identity] = id;",
    "if (replaced == 0 || !_proposals[replaced].revoked) _current[identity] = id;",
  ),
  registry("an overlap of any length", "if (overlap > MAX_OVERLAP) revert BadOverlap(id, p.until);"),
  registry("an overlap that grows", "if (p.until != 0 && until >= p.until) revert BadOverlap(id, p.until);"),
  registry("superseded by itself", "|| id == by"),
  registry("superseded by what ends", "|| _proposals[by].until != 0"),
  registry("superseded by what is not approved", "status != Status.Approved || id == by", "id == by"),
  registry(
    "supersedes what is not approved",
    "Status status = statusOf(id);\n        if (status != Status.Approved) revert NotApproved(id, status);\n        status",
    "Status status = statusOf(id);\n        status",
  ),
  registry(
    "an id without its chain",
    "abi.encode(block.chainid, address(this), epoch_",
    "abi.encode(uint256(0), address(this), epoch_",
  ),
  registry(
    "an id without its contract",
    "abi.encode(block.chainid, address(this), epoch_",
    "abi.encode(block.chainid, address(0), epoch_",
  ),
  registry(
    "an image is listed twice",
    "if (_latest[identity] == 0) _identities.push(identity);",
    "_identities.push(identity);",
  ),
  registry("a listing forgets revocation", "if (p.revoked) status = Status.Revoked;\n            entries", "entries"),
  registry("more pieces than a reader takes", "|| chunks > MAX_CHUNKS"),
  registry("no lines", "|| lines == 0"),
  registry(
    "baselineOf forgets revocation",
    "(p.revoked ? Status.Revoked : Status.Approved, id",
    "(Status.Approved, id",
  ),
  registry("a listing beyond the end", "if (from > total) from = total;"),
  registry("a listing longer than there are", "if (count > total - from) count = total - from;"),
  registry("a listing from the beginning", "_identities[from + i]", "_identities[i]"),
  registry(
    "the latest proposal is not kept",
    "_latest[identity] = id;",
    "if (_latest[identity] == 0) _latest[identity] = id;",
  ),
  registry("an overlap counts from nothing", "uint64(block.timestamp) + overlap", "uint64(1) + overlap"),
  registry("an id without its epoch", "address(this), epoch_, identity", "address(this), uint32(epoch_ & 0), identity"),
  registry(
    "an id without its revision",
    "identity, revision, root, dataHash, chunks, lines)\n            );",
    "identity, revision & 0, root, dataHash, chunks, lines)\n            );",
  ),
  checkpoints(
    "a root of another number",
    "number < roots.length ? roots[number] : bytes32(0)",
    "number < roots.length ? roots[roots.length - 1] : bytes32(0)",
  ),
  checkpoints("a root that is not there", "number < roots.length ? roots[number] : bytes32(0)", "roots[number]"),
  hosts(
    "a host of everybody",
    "return _hosts[registrar][keccak256(name)];",
    "return _hosts[registrar == address(0) ? registrar : msg.sender][keccak256(name)];",
  ),
  publishers("a motion passes with one less", "return signatures >= quorum;", "return signatures + 1 >= quorum;"),
  publishers("a motion needs one more", "return signatures >= quorum;", "return signatures > quorum;"),
  publishers("a motion is signed twice", "if (_signed[motion][msg.sender]) revert AlreadySigned(motion, msg.sender);"),
  publishers("a motion's signatures are not remembered", "_signed[motion][msg.sender] = true;"),
  publishers("a change opens no epoch", "epoch += 1;\n        for", "for"),
  publishers("a retirement opens no epoch", "epoch += 1;\n        successor", "successor"),
  publishers(
    "who was a publisher stays one",
    "for (uint256 i = 0; i < _publishers.length; i++) _revokeRole(PUBLISHER_ROLE, _publishers[i]);",
  ),
  publishers(
    "anybody changes the publishers",
    "uint32 quorum_) external onlyRole(PUBLISHER_ROLE)",
    "uint32 quorum_) external",
  ),
  publishers(
    "anybody retires",
    "function retire(address successor_) external onlyRole(PUBLISHER_ROLE)",
    "function retire(address successor_) external",
  ),
  publishers("retired twice", "if (successor != address(0)) revert IsRetired(successor);"),
  publishers("retired for itself", "successor_ == address(this) ||"),
  publishers("retired for an account", "|| successor_.code.length == 0"),
  publishers(
    "the epoch is no part of a change",
    'abi.encode("changePublishers", block.chainid, address(this), epoch,',
    'abi.encode("changePublishers", block.chainid, address(this), uint32(0),',
  ),
  publishers(
    "the epoch is no part of a retirement",
    'abi.encode("retire", block.chainid, address(this), epoch,',
    'abi.encode("retire", block.chainid, address(this), uint32(0),',
  ),
  publishers(
    "the quorum is no part of a change",
    "epoch, publishers_, quorum_));",
    "epoch, publishers_, quorum_ & 0));",
  ),
  publishers(
    "the set is no part of a change",
    "epoch, publishers_, quorum_));",
    "epoch, publishers_.length, quorum_));",
  ),
  publishers("the successor is no part of a retirement", "epoch, successor_));", "epoch, uint160(successor_) & 0));"),
  publishers("a quorum of one", "if (quorum_ < 2 ||", "if (quorum_ < 1 ||"),
  publishers("a quorum above their number", "|| quorum_ > publishers_.length"),
  publishers("any number of publishers", "|| publishers_.length > MAX_PUBLISHERS"),
  publishers("a publisher twice", "if (publishers_[i] <= last)", "if (publishers_[i] < last)"),
  publishers("the deployer is a publisher", "if (publishers_[i] == msg.sender) revert BadPublisher(msg.sender);"),
  publishers(
    "publishers renounce",
    "public pure override(AccessControl) {\n        revert OnlyByQuorum();",
    "public override(AccessControl) {\n        _revokeRole(PUBLISHER_ROLE, msg.sender);",
  ),
  publishers(
    "the deployer is administrator",
    "_install(publishers_, quorum_);\n    }\n\n    /// @notice Signs for other",
    "_install(publishers_, quorum_);\n        _grantRole(DEFAULT_ADMIN_ROLE, msg.sender);\n    }\n\n    /// @notice Signs for other",
  ),
  hosts("a revoked key is enrolled", "if (host.revokedAt != 0) revert IsRevoked(names[i]);"),
  hosts(
    "a revoked key is enrolled in silence",
    "if (host.revokedAt != 0) revert IsRevoked(names[i]);",
    "if (host.revokedAt != 0) continue;",
  ),
  hosts(
    "an enrolment lifts a revocation",
    "if (host.revokedAt != 0) revert IsRevoked(names[i]);",
    "host.revokedAt = 0;",
  ),
  hosts("enrolled again at another time", "if (host.enrolledAt != 0) continue;"),
  hosts("revoked again at another time", "if (host.revokedAt != 0) continue;"),
  hosts("a revocation does nothing", "host.revokedAt = uint64(block.timestamp);"),
  hosts(
    "a revocation forgets the enrolment",
    "host.revokedAt = uint64(block.timestamp);",
    "host.revokedAt = uint64(block.timestamp);\n            host.enrolledAt = 0;",
  ),
  hosts(
    "everybody writes to the same place",
    "return _hosts[msg.sender][keccak256(name)];",
    "return _hosts[address(0)][keccak256(name)];",
  ),
  hosts(
    "a name of any length",
    "if (name.length != 34 && name.length != 50 && name.length != 66) revert BadName(name);",
  ),
  hosts("only SHA-256 names", "name.length != 34 && name.length != 50 && name.length != 66", "name.length != 34"),
  checkpoints("numbers in any order", "if (number != roots.length) revert OutOfOrder(number, uint64(roots.length));"),
  checkpoints(
    "the last one can be said again",
    "if (number != roots.length) revert",
    "if (number > roots.length) revert",
  ),
  checkpoints("everybody writes to the same place", "_roots[msg.sender];", "_roots[address(0)];"),
  checkpoints("a root of zero", "if (root == 0) revert BadRoot();"),
  checkpoints("a root is not kept", "roots.push(root);", "roots.push(bytes32(uint256(1)));"),
  checkpoints(
    "the event names another",
    "emit Checkpointed(msg.sender, number, root);",
    "emit Checkpointed(address(0), number, root);",
  ),
];
