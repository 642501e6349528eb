// What the registry must do, as plain bookkeeping: what the fuzz test holds the contract against.
export type ModelStatus = "proposed" | "approved" | "superseded" | "outdated" | "revoked";

export interface ModelProposal {
  readonly identity: number;
  readonly revision: number;
  readonly epoch: number;
  readonly chunks: number;
  readonly signers: Set<number>;
  delivered: number;
  /** Who had signed at the moment of approval, and how many had to. */
  approval: {
    readonly signers: readonly number[];
    readonly quorum: number;
    readonly publishers: readonly number[];
  } | null;
  revoked: boolean;
  until: boolean;
}

/** Names of the contract's errors, or `ok`. People are numbers; a proposal or motion is known by its text. */
export class RegistryModel {
  readonly proposals = new Map<string, ModelProposal>();
  readonly #current = new Map<number, string>();
  readonly #revisions = new Map<number, number>();
  readonly #motions = new Map<string, Set<number>>();
  publishers: readonly number[];
  quorum: number;
  epoch = 0;
  retired = false;

  constructor(publishers: readonly number[], quorum: number) {
    this.publishers = publishers;
    this.quorum = quorum;
  }

  statusOf(key: string): ModelStatus | "none" {
    const proposal = this.proposals.get(key);
    if (proposal === undefined) return "none";
    const { identity, revoked, approval, revision, epoch } = proposal;
    if (revoked) return "revoked";
    if (approval !== null) return this.#current.get(identity) === key ? "approved" : "superseded";
    return revision === this.revisionOf(identity) && epoch === this.epoch ? "proposed" : "outdated";
  }

  /** What was approved last for an image, whatever became of it. */
  currentOf(identity: number): string | undefined {
    return this.#current.get(identity);
  }

  revisionOf(identity: number): number {
    return this.#revisions.get(identity) ?? 0;
  }

  /** The key that `propose` would give. */
  keyOf(identity: number, variant: number): string {
    return `${identity}/${this.revisionOf(identity)}/${this.epoch}/${variant}`;
  }

  propose(by: number, identity: number, variant: number, chunks: number): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    if (this.retired) return "IsRetired";
    const key = this.keyOf(identity, variant);
    if (this.proposals.has(key)) return "AlreadyProposed";
    this.proposals.set(key, {
      ...{ identity, chunks, revision: this.revisionOf(identity), epoch: this.epoch, signers: new Set([by]) },
      ...{ delivered: 0, approval: null, revoked: false, until: false },
    });
    return "ok";
  }

  deliver(by: number, key: string, index: number, isRight: boolean): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    const proposal = this.proposals.get(key)!;
    if (index !== proposal.delivered || index >= proposal.chunks || !isRight) return "WrongChunk";
    proposal.delivered++;
    return "ok";
  }

  approve(by: number, key: string): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    const proposal = this.proposals.get(key)!;
    if (this.statusOf(key) !== "proposed") return "NotOpen";
    if (proposal.delivered < proposal.chunks) return "IncompleteData";
    if (proposal.signers.has(by)) return "AlreadySigned";
    proposal.signers.add(by);
    if (proposal.signers.size >= this.quorum) {
      const { quorum, publishers } = this;
      proposal.approval = { signers: [...proposal.signers], quorum, publishers };
      this.#current.set(proposal.identity, key);
      this.#revisions.set(proposal.identity, proposal.revision + 1);
    }
    return "ok";
  }

  revoke(by: number, key: string): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    if (!["approved", "superseded"].includes(this.statusOf(key))) return "NotApproved";
    this.proposals.get(key)!.revoked = true;
    return "ok";
  }

  /** With the same overlap each time, so that a second time it could only end later. */
  supersede(by: number, key: string, other: string): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    if (this.statusOf(key) !== "approved") return "NotApproved";
    if (this.statusOf(other) !== "approved" || key === other || this.proposals.get(other)!.until) return "NotApproved";
    const proposal = this.proposals.get(key)!;
    if (proposal.until) return "BadOverlap";
    proposal.until = true;
    return "ok";
  }

  changePublishers(by: number, publishers: readonly number[], quorum: number): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    if (quorum < 2 || quorum > publishers.length) return "BadQuorum";
    const passed = this.#sign(`change ${this.epoch} ${publishers.toSorted().join()} ${quorum}`, by);
    if (passed === null) return "AlreadySigned";
    if (passed) {
      this.publishers = publishers;
      this.quorum = quorum;
      this.epoch++;
    }
    return "ok";
  }

  retire(by: number): string {
    if (!this.publishers.includes(by)) return "AccessControlUnauthorizedAccount";
    if (this.retired) return "IsRetired";
    const passed = this.#sign(`retire ${this.epoch}`, by);
    if (passed === null) return "AlreadySigned";
    if (passed) {
      this.retired = true;
      this.epoch++;
    }
    return "ok";
  }

  #sign(motion: string, by: number): boolean | null {
    const signers = this.#motions.get(motion) ?? new Set();
    this.#motions.set(motion, signers);
    if (signers.has(by)) return null;
    signers.add(by);
    return signers.size >= this.quorum;
  }
}
