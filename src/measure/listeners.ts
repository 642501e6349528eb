import { containerKey } from "../container/types.ts";
import { brief } from "../core/bytes.ts";
import { threadCpuMs } from "../core/clock.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { isGone } from "../process/address-space.ts";
import { isClientPort, type ListenAddress, listenerName } from "../process/listen-address.ts";
import { isStillThere, type NetworkView, readNetwork } from "../process/network.ts";
import { type ListedSocket, listenAddress, readListeningSockets } from "../process/sockets.ts";
import type { Fact, ProcessRef } from "./facts.ts";
import { type Holding, isHeld, linkOf } from "./socket-holders.ts";
import { type Member, type Owner, Pace, SocketOwners } from "./socket-owners.ts";

interface KnownSocket {
  readonly socket: ListedSocket;
  readonly listener: ListenAddress;
  /** Readings of the table that had it. */
  seen: number;
  /** Searches in a row that found nobody who holds it. */
  lost: number;
  holding: Holding<Owner> | null;
  /** Whose it was told to be. */
  told: ProcessRef | "nobody's" | null;
}

/** Where a process is, or why that cannot be told. */
interface Place {
  readonly member: NetworkMember | null;
  readonly problem?: Fact;
}

type NetworkMember = Member & NetworkView;

/** A network namespace in which processes of containers live. */
interface Network {
  members: NetworkMember[];
  sockets: Map<string, KnownSocket>;
  /** What cannot be known, from one reading to the next. */
  problems: Fact[];
  readonly pace: Pace;
  readAtMs: number;
  readings: number;
}

/** What reading may take of a sweep. The rest of the namespaces wait for the next, except those never read. */
const READ_MS = 5;
/** A process may have moved to another namespace, of which nothing tells: in so many sweeps each is asked again. */
const MOVED_SWEEPS = 32;
/** Nearly every client's socket is gone sooner. */
const CLIENT_READINGS = 3;
/** A process may let go of a socket, or pass it on, just while it is looked for. */
const LOST_SEARCHES = 2;
/** After so many readings it is looked again for the holder of a socket that is nobody's. */
const AGAIN_READINGS = 32;
const MAX_REPRESENTATIVES = 3;

/**
 * The listening sockets of containers and whose they are, seen from outside: nothing that runs in a container has a say in
 * it. The tables are read once for each network namespace, and descriptors only when a socket is new or its holder has let
 * go of it.
 */
export class Listeners {
  readonly #owners = new SocketOwners();
  readonly #places = new WeakMap<ProcessRef, Place>();
  readonly #networks = new Map<string, Network>();
  #hosts: ReadonlySet<string | null> | undefined;
  readonly #seen = new Map<number, ProcessRef>();
  #sweeps = 0;

  /** Notes a process that lives with a program of its own. */
  saw(process: ProcessRef): void {
    this.#seen.set(process.pid, process);
  }

  /** Adds what is new to `facts`, once all processes have been seen. */
  endSweep(facts: Fact[]): void {
    this.#sweeps++;
    this.#group([...this.#seen.values()], facts);
    this.#seen.clear();
    const before = threadCpuMs();
    for (const [id, network] of [...this.#networks].sort(([, a], [, b]) => a.readAtMs - b.readAtMs)) {
      const hasTime = threadCpuMs() - before < READ_MS;
      if (hasTime || network.readings === 0) network.pace.work(() => this.#read(network, this.#isHosts(id), facts));
      facts.push(...network.problems);
    }
  }

  #read(network: Network, isHosts: boolean, facts: Fact[]): void {
    network.readAtMs = performance.now();
    network.readings++;
    network.problems = [];
    const listed = this.#readTables(network);
    if (listed === null) return;
    remember(network, listed);
    this.#findOwners(network, isHosts);
    for (const known of network.sockets.values()) tell(known, network, isHosts, facts);
  }

  /** Sorts the containers' processes by their namespaces, and forgets those in which none lives any more. */
  #group(living: readonly ProcessRef[], facts: Fact[]): void {
    for (const network of this.#networks.values()) network.members = [];
    for (const [index, process] of living.entries()) {
      if (process.container === null) continue;
      const { member, problem } = this.#placeOf(process, (index + this.#sweeps) % MOVED_SWEEPS === 0);
      if (problem !== undefined) facts.push(problem);
      if (member === null) continue;
      let network = this.#networks.get(member.network);
      if (network === undefined) {
        network = { members: [], sockets: new Map(), problems: [], pace: new Pace(), readAtMs: 0, readings: 0 };
        this.#networks.set(member.network, network);
      }
      network.members.push(member);
    }
    for (const [id, { members }] of this.#networks) if (members.length === 0) this.#networks.delete(id);
  }

  /** Read once for each program that a process runs: whoever enters a container does so before. */
  #placeOf(process: ProcessRef, again: boolean): Place {
    let place = this.#places.get(process);
    if (place !== undefined && !again) return place;
    try {
      const view = readNetwork(process.pid);
      place = { member: view === null ? null : { ...view, process } };
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      place = { member: null, problem: { kind: "unreadable", process, text: describeError(error) } };
    }
    this.#places.set(process, place);
    return place;
  }

  /** What listens in a namespace, read through one of its processes; null when they have all left it. */
  #readTables({ members, problems }: Network): ListedSocket[] | null {
    for (const member of members.slice(0, MAX_REPRESENTATIVES)) {
      try {
        const sockets = readListeningSockets(member.folder);
        if (isStillThere(member)) return sockets;
      } catch (error) {
        if (isGone(error)) continue;
        if (errorCode(error) === undefined) throw error;
        for (const process of oneOfEach(members))
          problems.push({ kind: "unreadable", process, text: describeError(error) });
        return null;
      }
    }
    return null;
  }

  /** Looks who holds what is new or was let go of. */
  #findOwners(network: Network, isHosts: boolean): void {
    const living = new Map(network.members.map(({ process }) => [process.pid, process] as const));
    const due = [...network.sockets.values()].filter((known) => isDue(known, living, network.readings));
    if (due.length === 0) return;
    const wanted = new Set(due.map(({ socket }) => socket.inode).filter((inode) => inode !== "0"));
    const found = this.#owners.amongContainers(wanted, network.members);
    const add = (more: ReadonlyMap<string, Holding<Owner>>) => {
      for (const [inode, holding] of more) found.set(inode, holding);
    };
    // A socket stays in its namespace when it is passed on to a process in another.
    if (wanted.size > 0) add(this.#owners.amongContainers(wanted, this.#members(network)));
    let complete = true;
    // In the host's namespace most sockets are the host's, and what is nobody's there is no container's.
    if (wanted.size > 0 && !isHosts) {
      const others = this.#owners.amongOthers(wanted, this.#isContainers());
      add(others.found);
      complete = others.complete;
    }
    for (const known of due) {
      known.holding = found.get(known.socket.inode) ?? null;
      if (known.holding !== null) known.lost = 0;
      else if (complete) known.lost++;
    }
  }

  *#members(except?: Network): Generator<Member> {
    for (const network of this.#networks.values()) if (network !== except) yield* network.members;
  }

  #isContainers(): (pid: number) => boolean {
    const pids = new Set([...this.#members()].map(({ process }) => process.pid));
    return (pid) => pids.has(pid);
  }

  #isHosts(id: string): boolean {
    this.#hosts ??= new Set([linkOf("/proc/1/ns/net"), linkOf("/proc/self/ns/net")]);
    return this.#hosts.has(id);
  }
}

function remember(network: Network, listed: readonly ListedSocket[]): void {
  const before = network.sockets;
  network.sockets = new Map();
  for (const socket of listed) {
    const { protocol, local, inode } = socket;
    // The kernel's own sockets may all have the inode 0.
    const key = `${inode} ${protocol} ${local}`;
    const known = before.get(key) ?? {
      socket,
      listener: listenAddress(socket),
      seen: 0,
      lost: 0,
      holding: null,
      told: null,
    };
    known.seen++;
    network.sockets.set(key, known);
  }
}

/** Whether it must be looked who holds a socket. Forgets a holder that has let go of it. */
function isDue(known: KnownSocket, living: ReadonlyMap<number, ProcessRef>, readings: number): boolean {
  const { socket, listener, seen, lost, holding } = known;
  if (holding !== null && isHeld(holding, socket.inode)) {
    // The same process may run another program by now.
    const now = holding.process === null ? undefined : living.get(holding.process.pid);
    if (now !== undefined) known.holding = { ...holding, process: now };
    return false;
  }
  known.holding = null;
  if (isClientPort(listener) && seen < CLIENT_READINGS) return false;
  return lost < LOST_SEARCHES || readings % AGAIN_READINGS === 0;
}

/** Says whose a socket is when that is new. */
function tell(known: KnownSocket, { members, problems }: Network, isHosts: boolean, facts: Fact[]): void {
  const { listener, lost, holding, told } = known;
  const owner = holding?.process;
  if (owner != null) {
    if (told !== owner) facts.push({ kind: "listener", process: owner, listener, held: true });
    known.told = owner;
    return;
  }
  if (holding !== null || isHosts || lost < LOST_SEARCHES) return;
  const [first, ...others] = oneOfEach(members);
  if (others.length > 0) {
    const text = `no process was found that holds a listening socket (${brief(listenerName(listener))}) in its network namespace, which several containers share`;
    for (const process of [first!, ...others]) problems.push({ kind: "unreadable", process, text });
  } else if (told === null) {
    facts.push({ kind: "listener", process: first!, listener, held: false });
    known.told = "nobody's";
  }
}

/** A process of each container, its first. */
function oneOfEach(members: readonly Member[]): ProcessRef[] {
  return [
    ...new Map(members.map(({ process }) => [containerKey(process.container!), process] as const).reverse()).values(),
  ];
}
