// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";

/// @title The publishers of a registry, and what only a quorum of them can change
/// @notice Who publishes, how many must agree, and that the registry gives way to another contract: each of these is a
/// motion, which passes when `quorum` different publishers have sent the very same call.
/// @dev Nobody holds DEFAULT_ADMIN_ROLE. Each passed motion opens a new epoch, and the epoch is part of what a signature
/// is for: signatures that were given under other publishers or another quorum count for nothing any more.
abstract contract Publishers is AccessControl {
    /// @notice Who may propose, deliver, approve, revoke and move.
    bytes32 public constant PUBLISHER_ROLE = keccak256("PUBLISHER_ROLE");

    /// @notice Most publishers.
    uint256 public constant MAX_PUBLISHERS = 64;

    /// @notice Number of different publishers, proposer included, who must sign. Never below 2.
    /// @dev Storage, not immutable: so the runtime code is the same bytes everywhere and a client can compare it.
    uint32 public quorum;

    /// @notice How many motions have passed.
    uint32 public epoch;

    /// @notice The contract that takes this one's place; zero while this one takes proposals.
    address public successor;

    address[] private _publishers;

    /// @dev By the id of a proposal or of a motion; the two are hashes over different forms.
    mapping(bytes32 id => mapping(address publisher => bool)) internal _signed;
    mapping(bytes32 motion => uint32) private _seconds;

    /// @notice A publisher signed for a motion.
    event MotionSigned(bytes32 indexed motion, uint32 indexed epoch, address indexed publisher, uint32 signatures);

    /// @notice From this epoch on these are the publishers.
    event PublishersChanged(uint32 indexed epoch, address[] publishers, uint32 quorum);

    /// @notice Nothing more is proposed or approved here, but in `successor`. What is approved here stays so.
    event Retired(address indexed successor);

    /// @notice The quorum has to be at least 2 and at most the number of publishers.
    error BadQuorum(uint256 quorum, uint256 publishers);
    /// @notice A publisher is the zero address, the deployer, there twice, or the list is not in rising order.
    error BadPublisher(address publisher);
    /// @notice Roles change by `changePublishers` only.
    error OnlyByQuorum();
    /// @notice A successor is another contract that is there already.
    error BadSuccessor(address successor);
    /// @notice The registry has given way to its successor.
    error IsRetired(address successor);
    /// @notice This publisher has signed before; the proposer signs by proposing.
    error AlreadySigned(bytes32 id, address publisher);

    /// @param publishers_ in rising order, none of them the deployer
    /// @param quorum_ how many of them must sign; at least 2
    constructor(address[] memory publishers_, uint32 quorum_) {
        _check(publishers_, quorum_);
        for (uint256 i = 0; i < publishers_.length; i++) {
            if (publishers_[i] == msg.sender) revert BadPublisher(msg.sender);
        }
        _install(publishers_, quorum_);
    }

    /// @notice Signs for other publishers or another quorum. In force at once when the quorum has sent this same call;
    /// every proposal and motion that is open then has lapsed.
    /// @param publishers_ all publishers of then, in rising order
    /// @param quorum_ how many of them must sign from then on; at least 2
    function changePublishers(address[] calldata publishers_, uint32 quorum_) external onlyRole(PUBLISHER_ROLE) {
        _check(publishers_, quorum_);
        if (!_passes(changeId(publishers_, quorum_))) return;
        epoch += 1;
        for (uint256 i = 0; i < _publishers.length; i++) _revokeRole(PUBLISHER_ROLE, _publishers[i]);
        _install(publishers_, quorum_);
    }

    /// @notice Signs for giving way to another contract. When the quorum has sent this same call, nothing more can be
    /// proposed or approved here; revoking and superseding stay possible, and so does changing the publishers.
    function retire(address successor_) external onlyRole(PUBLISHER_ROLE) {
        if (successor != address(0)) revert IsRetired(successor);
        if (successor_ == address(this) || successor_.code.length == 0) revert BadSuccessor(successor_);
        if (!_passes(retirementId(successor_))) return;
        epoch += 1;
        successor = successor_;
        emit Retired(successor_);
    }

    /// @notice The motion that `changePublishers` signs for, in this epoch.
    function changeId(address[] calldata publishers_, uint32 quorum_) public view returns (bytes32) {
        return keccak256(abi.encode("changePublishers", block.chainid, address(this), epoch, publishers_, quorum_));
    }

    /// @notice The motion that `retire` signs for, in this epoch.
    function retirementId(address successor_) public view returns (bytes32) {
        return keccak256(abi.encode("retire", block.chainid, address(this), epoch, successor_));
    }

    /// @notice All publishers, in rising order.
    function publishers() external view returns (address[] memory) {
        return _publishers;
    }

    /// @notice Number of publishers.
    function publisherCount() external view returns (uint32) {
        return uint32(_publishers.length);
    }

    /// @notice How many publishers have signed for a motion.
    function signaturesOf(bytes32 motion) external view returns (uint32) {
        return _seconds[motion];
    }

    /// @notice Whether a publisher has signed for a proposal or a motion.
    function hasSigned(bytes32 id, address publisher) external view returns (bool) {
        return _signed[id][publisher];
    }

    /// @notice Refused: with a publisher less the rest might not make a quorum.
    /// @inheritdoc IAccessControl
    function renounceRole(bytes32, address) public pure override(AccessControl) {
        revert OnlyByQuorum();
    }

    function _passes(bytes32 motion) private returns (bool) {
        if (_signed[motion][msg.sender]) revert AlreadySigned(motion, msg.sender);
        _signed[motion][msg.sender] = true;
        uint32 signatures = _seconds[motion] + 1;
        _seconds[motion] = signatures;
        emit MotionSigned(motion, epoch, msg.sender, signatures);
        return signatures >= quorum;
    }

    /// @dev The rising order makes one set of publishers one motion, and a publisher who is there twice plain to see.
    function _check(address[] memory publishers_, uint32 quorum_) private pure {
        if (quorum_ < 2 || quorum_ > publishers_.length || publishers_.length > MAX_PUBLISHERS) {
            revert BadQuorum(quorum_, publishers_.length);
        }
        address last = address(0);
        for (uint256 i = 0; i < publishers_.length; i++) {
            if (publishers_[i] <= last) revert BadPublisher(publishers_[i]);
            last = publishers_[i];
        }
    }

    function _install(address[] memory publishers_, uint32 quorum_) private {
        for (uint256 i = 0; i < publishers_.length; i++) _grantRole(PUBLISHER_ROLE, publishers_[i]);
        _publishers = publishers_;
        quorum = quorum_;
        emit PublishersChanged(epoch, publishers_, quorum_);
    }
}
