import type { Baseline } from "../baseline/format.ts";
import { type BaselineIndex, indexBaseline, pathKey } from "../baseline/lookup.ts";
import { type ContainerInfo, type ContainerRef, containerKey } from "../container/types.ts";
import { printable, toHex } from "../core/bytes.ts";
import { describeError } from "../core/errors.ts";
import type { BaselineState } from "../ledger/baseline-cache.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { GateState, Refusal, Settings, Unanswered } from "../measure/gate/protocol.ts";
import { GateSupervisor, type NamedFiles } from "../measure/gate/supervisor.ts";
import { type GatePolicy, gateModeOf, usesMode } from "../respond/gate-policy.ts";
import type { RuntimeAnswer } from "./container-names.ts";
import { type CodeFact, refusedFinding, unlistedProgram } from "./events.ts";
import { gateReference, isComplete } from "./gate-reference.ts";

/** What becomes of what the gate tells. */
export interface GateListener {
  onRefused(container: ContainerRef, finding: (name: ContainerName) => Finding): void;
  /** A program was executed that the image does not have. */
  onUnlisted(fact: CodeFact): void;
  onGateStates(states: readonly GateState[]): void;
  onGap(text: string): Promise<void>;
}

export interface GateModules {
  askRuntime(container: ContainerRef): Promise<RuntimeAnswer>;
  lookUp(identity: string): Promise<BaselineState>;
  report(text: string): void;
}

interface Known {
  readonly container: ContainerRef;
  info: ContainerInfo;
  /** Nothing is left to be asked of its runtime. */
  complete: boolean;
  settings: Settings | null;
  /** Why nobody knows what may be executed in it, while that is so. */
  doubt: string;
}

const MAX_GAP_TEXT = 1000;
const REFRESH_MS = 1000;
/** The agent does not wait any longer for its gate. */
const WATCHING_MS = 15_000;
/** A runtime may not know a container yet that it is just starting. */
const ASK_AGAIN_MS = 100;
const ASK_FOR_MS = 3000;

const indexes = new WeakMap<Baseline, { files: NamedFiles; index: BaselineIndex }>();

/** Tells the gate what holds in each container: its mode by policy, and the files of its image's baseline. */
export class AgentGate {
  readonly #policy: GatePolicy;
  readonly #modules: GateModules;
  readonly #supervisor: GateSupervisor;
  readonly #known = new Map<string, Known>();
  readonly #timer: NodeJS.Timeout;
  #refreshing: Promise<void> | undefined;

  private constructor(policy: GatePolicy, modules: GateModules, listener: GateListener) {
    this.#policy = policy;
    this.#modules = modules;
    const fail = (error: unknown): void => modules.report(`the gate: ${describeError(error)}`);
    this.#supervisor = new GateSupervisor(unansweredOf(policy), {
      onAsk: (container) => void this.#meet(container).catch(fail),
      onRefused: (refusal) => void this.#tell(refusal, listener).catch(fail),
      onUnjudged: (container) => {
        const text = this.#unjudged(container);
        modules.report(text);
        void listener.onGap(text).catch(fail);
      },
      onStates: (states) => {
        this.#forgetGone(states);
        listener.onGateStates(states);
      },
      onGap: (text) => {
        modules.report(text);
        void listener.onGap(text).catch(fail);
      },
    });
    this.#timer = setInterval(() => {
      this.#refreshing ??= this.#refresh()
        .catch(fail)
        .finally(() => {
          this.#refreshing = undefined;
        });
    }, REFRESH_MS);
  }

  /**
   * Starts the gate and comes back when it watches, or when it takes too long. Null where the policy wants none. Throws PimsError `system-call` where
   * the kernel refuses.
   */
  static async open(policy: GatePolicy, modules: GateModules, listener: GateListener): Promise<AgentGate | null> {
    if (!usesMode(policy, "observe") && !usesMode(policy, "enforce")) return null;
    const gate = new AgentGate(policy, modules, listener);
    const watching = gate.#supervisor.watching.then(() => true);
    const timer = Promise.withResolvers<false>();
    const late = setTimeout(() => timer.resolve(false), WATCHING_MS);
    if (!(await Promise.race([watching, timer.promise]))) modules.report("the gate does not get ready; it is tried on");
    clearTimeout(late);
    return gate;
  }

  /** Puts a container's first process, which waits, under the gate; false where that cannot be. */
  mark(pid: number): Promise<boolean> {
    return this.#supervisor.mark(pid);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#refreshing;
    await this.#supervisor.close();
  }

  /** A container's first program waits meanwhile, where it could be refused. */
  async #meet(container: ContainerRef): Promise<void> {
    const key = containerKey(container);
    if (!usesMode(this.#policy, "enforce")) {
      const info = { ...container, name: "", image: null, imageName: null, labels: {} };
      await this.#settle({ container, info, complete: false, settings: null, doubt: "" });
    }
    const endMs = performance.now() + ASK_FOR_MS;
    let answer = await this.#modules.askRuntime(container);
    while (answer.problem !== null && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      answer = await this.#modules.askRuntime(container);
    }
    const known = { container, info: answer.info, complete: isComplete(answer), settings: null, doubt: "" };
    this.#known.set(key, known);
    await this.#settle(known);
  }

  async #refresh(): Promise<void> {
    // All at once: what one image's baseline is waited for must not keep another one's revocation.
    await Promise.all([...this.#known.values()].map((known) => this.#look(known)));
  }

  async #look(known: Known): Promise<void> {
    if (!known.complete) {
      const answer = await this.#modules.askRuntime(known.container);
      known.info = answer.info;
      known.complete = isComplete(answer);
    }
    await this.#settle(known);
  }

  async #settle(known: Known): Promise<void> {
    const { container, info, settings: before } = known;
    const state = info.image === null ? null : await this.#modules.lookUp(info.image);
    const files = state?.status === "approved" ? prepare(state.baseline).files : null;
    const reference = gateReference(state, {
      name: files?.name ?? "",
      complete: known.complete,
      before: before?.reference,
    });
    const silent = info.unresolved ?? "its runtime does not say what it was made of";
    known.doubt = state !== null && "text" in state ? state.text : silent;
    const settings = { mode: gateModeOf(this.#policy, info.name, Date.now()), reference };
    if (JSON.stringify(settings) === JSON.stringify(before)) return;
    known.settings = settings;
    this.#supervisor.settle(container, settings, files);
  }

  #forgetGone(states: readonly GateState[]): void {
    const living = new Set(states.map(({ container }) => containerKey(container)));
    for (const [key, { container }] of this.#known)
      if (!living.has(key)) {
        this.#known.delete(key);
        this.#supervisor.forget(container);
      }
  }

  #unjudged(container: ContainerRef): string {
    const known = this.#known.get(containerKey(container));
    const what = unansweredOf(this.#policy) === "allow" ? "allowed" : "refused";
    const name = printable((known?.info.name || container.id).slice(0, 64));
    const why = known?.doubt || "nothing is known of it yet";
    return `what is executed in ${name} is ${what} unjudged: ${why}`.slice(0, MAX_GAP_TEXT);
  }

  async #tell(refusal: Refusal, listener: GateListener): Promise<void> {
    if (refusal.allowed) {
      const fact = unlistedProgram(refusal);
      if (fact !== null) listener.onUnlisted(fact);
      return;
    }
    const image = this.#known.get(containerKey(refusal.container))?.info.image ?? null;
    const state = image === null ? null : await this.#modules.lookUp(image);
    const listed =
      state?.status === "approved"
        ? (prepare(state.baseline).index.byPath.get(pathKey(refusal.path))?.sha256 ?? null)
        : undefined;
    listener.onRefused(refusal.container, (name) => refusedFinding(refusal, name, listed));
  }
}

/** Where nobody is held to anything, nobody is refused. */
function unansweredOf(policy: GatePolicy): Unanswered {
  return usesMode(policy, "enforce") ? policy.unanswered : "allow";
}

/** Made once for each baseline. */
function prepare(baseline: Baseline): { files: NamedFiles; index: BaselineIndex } {
  const known = indexes.get(baseline);
  if (known !== undefined) return known;
  const files = {
    name: `${baseline.header.identity} ${toHex(baseline.root)}`,
    digests: new Set([...baseline.entries.map(({ sha256 }) => sha256), ...(baseline.header.allowed ?? [])]),
    sizes: baseline.header.allowed === undefined ? new Set(baseline.entries.map(({ size }) => size)) : null,
  };
  const prepared = { files, index: indexBaseline(baseline) };
  indexes.set(baseline, prepared);
  return prepared;
}
