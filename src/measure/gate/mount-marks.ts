import { closeSync } from "node:fs";
import type { ContainerFinder } from "../../container/finder.ts";
import { type ContainerRef, containerKey } from "../../container/types.ts";
import { type JsonText, toJsonText } from "../../core/bytes.ts";
import { type MarkedWhole, markExecs, stopIgnoring, unmarkExecs } from "../../kernel/fanotify.ts";
import type { FanotifyReader } from "../../kernel/fanotify-reader.ts";
import { openPlainInRoot } from "../../kernel/openat2.ts";
import type { Mount } from "../../process/mountinfo.ts";
import { hostDevices, mountKinds } from "./file-systems.ts";
import {
  mountIdOf,
  namespaceOf,
  openMountTable,
  openRoot,
  processesByNamespace,
  readMountTable,
  startedAtMs,
} from "./namespaces.ts";

/** A mount namespace in which a container's processes live. */
interface Namespace {
  readonly id: string;
  readonly container: ContainerRef;
  pids: readonly number[];
  /** Its table of mounts; the reader closes it. Null until there is a process to open it by. */
  table: number | null;
  watched: number;
  unwatched: JsonText[];
}

/** An overlay that is marked whole. */
interface Overlay {
  readonly owner: ContainerRef;
  /** More than one container has it as its root: the process must tell which one it is. */
  readonly shared: boolean;
  /** Where the host had it mounted when it was claimed: by its number alone it could be another that has come since. */
  readonly place: string | null;
}

/** Whose mounts are the host's: the first process's, where this one may look at it, else this one's. */
const HOST_PID = namespaceOf(1, "mnt") === null ? process.pid : 1;
const HOST_NAMESPACE = namespaceOf(HOST_PID, "mnt") ?? "";
/** An overlay of the host that no container has claimed by then is the host's own business. */
const UNCLAIMED_MS = 60_000;
/** Longer than between two scans: each is let go of once or twice. */
const LET_GO_MS = 5000;
const MAX_UNWATCHED = 16;
/** Enough to find one that is still there. */
const MAX_PIDS = 16;

/**
 * Keeps the marks in step with the containers' mounts. A container's own overlay is marked whole, and before anybody
 * uses it: as soon as it is mounted on the host. Everything else that a container has mounted, others may have too, and
 * is marked by mount in the container's mount namespace only. So no exec of the host's own files is ever asked about.
 */
export class MountMarks {
  readonly #group: number;
  readonly #reader: FanotifyReader;
  readonly #finder: ContainerFinder;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #overlays = new Map<string, Overlay>();
  readonly #hostNamespaces: ReadonlySet<string | null>;
  /** No process of a container was there before, milliseconds since 1970. */
  readonly #since = new Map<string, number>();
  /** Whether a container's mounts are to be marked, as far as that is known. */
  readonly #wanted = new Map<string, boolean>();
  #host: {
    readonly table: number;
    readonly mounts: readonly Mount[];
    readonly devices: ReadonlySet<string>;
    readonly overlays: ReadonlyMap<string, readonly string[]>;
  } | null = null;
  /** Overlays of the host by device and place, since a device's number is soon given to another; and when they were met. */
  #met = new Map<string, number>();

  constructor(group: number, reader: FanotifyReader, finder: ContainerFinder) {
    this.#group = group;
    this.#reader = reader;
    this.#finder = finder;
    this.#hostNamespaces = new Set([HOST_NAMESPACE, namespaceOf(process.pid, "mnt")]);
  }

  /** Begins to watch the host's table of mounts. */
  watchHost(): void {
    const opened = openMountTable(HOST_PID, HOST_NAMESPACE);
    if (opened === null) return;
    this.#host = { table: opened.table, mounts: [], devices: new Set(), overlays: new Map() };
    this.#reader.watch(opened.table, opened.pidfd);
    this.#readHost();
  }

  /** Finds containers' mount namespaces. Returns the containers that there are. */
  async scan(): Promise<ContainerRef[]> {
    await this.#finder.refresh();
    const found = processesByNamespace();
    for (const namespace of [...this.#namespaces.values()]) if (!found.has(namespace.id)) this.#drop(namespace);
    for (const [id, pids] of found) {
      const known = this.#namespaces.get(id);
      if (known !== undefined && this.#isStill(known, pids)) {
        known.pids = pids.slice(0, MAX_PIDS);
        if (known.table === null) this.#mark(known);
      } else if (!this.#hostNamespaces.has(id)) {
        if (known !== undefined) this.#drop(known);
        this.#meet(id, pids);
      }
    }
    this.#letGoOfUnclaimed();
    return [
      ...new Map([...this.#namespaces.values()].map(({ container }) => [containerKey(container), container])).values(),
    ];
  }

  /** A process of a container is about to execute something: its namespace is known from now on. */
  meetProcess(pid: number, container: ContainerRef): void {
    const id = namespaceOf(pid, "mnt");
    if (id === null || this.#hostNamespaces.has(id)) return;
    const known = this.#namespaces.get(id);
    if (known !== undefined) {
      const isSame = containerKey(known.container) === containerKey(container);
      if (isSame || this.#isStill(known, known.pids)) return;
      this.#drop(known);
    }
    this.#meet(id, [pid], container);
  }

  /**
   * A container is about to start, with this process: marks what it has mounted by now, whatever was met of it before.
   * False where it has no mounts of its own, or has gone.
   */
  meetStarting(pid: number, container: ContainerRef): boolean {
    this.meetProcess(pid, container);
    const namespace = this.#namespaces.get(namespaceOf(pid, "mnt") ?? "");
    if (namespace === undefined) return false;
    this.#markAnew(namespace);
    return namespace.table !== null;
  }

  /** Whether a container is to be under the gate. */
  want(container: ContainerRef, wanted: boolean): void {
    const key = containerKey(container);
    if (this.#wanted.get(key) === wanted) return;
    this.#wanted.set(key, wanted);
    for (const namespace of this.#namespaces.values())
      if (containerKey(namespace.container) === key) this.#mark(namespace);
  }

  /** The reader tells: tables that have changed. */
  onMounts(tables: readonly number[]): void {
    for (const table of tables) {
      if (table === this.#host?.table) this.#readHost();
      for (const namespace of this.#namespaces.values()) if (namespace.table === table) this.#markAnew(namespace);
    }
  }

  #markAnew(namespace: Namespace): void {
    // An open table goes on showing the root that its process had when it was opened: a runtime changes it.
    if (namespace.table !== null) this.#reader.forget(namespace.table);
    namespace.table = null;
    this.#mark(namespace);
  }

  /** The reader tells: tables that are closed. Other processes may still live there: the next scan finds them. */
  onEnded(tables: readonly number[]): void {
    for (const namespace of [...this.#namespaces.values()])
      if (namespace.table !== null && tables.includes(namespace.table)) {
        namespace.table = null;
        this.#mark(namespace);
      }
  }

  /**
   * Whose exec it is: by the process's cgroup, by its mounts, or by the overlay that the file is on. Null for one of the
   * host's.
   */
  containerOf(device: string, pid: number): ContainerRef | null {
    const container = this.#finder.ofProcess(pid);
    if (container !== null) return container;
    const namespace = namespaceOf(pid, "mnt") ?? "";
    const mine = this.#namespaces.get(namespace)?.container;
    return mine ?? (this.#hostNamespaces.has(namespace) ? null : (this.#overlays.get(device)?.owner ?? null));
  }

  /** Whether it is an overlay of the host that no container is known to have. */
  isUnclaimed(device: string): boolean {
    return this.#host?.overlays.has(device) === true && !this.#overlays.has(device);
  }

  /**
   * Since when somebody in the container could have changed a file, milliseconds since 1970, where the file is on an
   * overlay that is this container's alone and that the host has mounted. Null where others could change it, or the
   * container itself by another way: one that it has mounted itself it may write to below.
   */
  changeableSince(device: string, container: ContainerRef): number | null {
    const overlay = this.#overlays.get(device);
    if (overlay === undefined || overlay.shared) return null;
    const key = containerKey(container);
    if (containerKey(overlay.owner) !== key || !this.#host?.overlays.has(device)) return null;
    return this.#since.get(key) ?? null;
  }

  /** Mounts of a container that are under the gate, and where the others are. */
  mountsOf(key: string): { watched: number; unwatched: JsonText[] } {
    const mine = [...this.#namespaces.values()].filter(({ container }) => containerKey(container) === key);
    return {
      watched: mine.reduce((sum, { watched }) => sum + watched, 0),
      unwatched: mine.flatMap(({ unwatched }) => unwatched).slice(0, MAX_UNWATCHED),
    };
  }

  /** Whether a namespace is still that container's: the number of one that is gone is given to another. */
  #isStill({ id, container }: Namespace, pids: readonly number[]): boolean {
    const key = containerKey(container);
    return pids.slice(0, MAX_PIDS).some((pid) => {
      const now = this.#finder.ofProcess(pid);
      return now !== null && containerKey(now) === key && namespaceOf(pid, "mnt") === id;
    });
  }

  #meet(id: string, pids: readonly number[], known?: ContainerRef): void {
    let container = known ?? null;
    for (const pid of pids.slice(0, MAX_PIDS)) container ??= this.#finder.ofProcess(pid);
    if (container === null) return;
    const namespace = { id, container, pids: pids.slice(0, MAX_PIDS), table: null, watched: 0, unwatched: [] };
    this.#namespaces.set(id, namespace);
    const key = containerKey(container);
    // Among the host's own processes one that is gone may have left others behind.
    const alone = namespaceOf(pids[0]!, "pid") !== namespaceOf(process.pid, "pid");
    const starts = pids.map(startedAtMs).filter((start) => start !== null);
    const sinceMs = alone && starts.length > 0 ? Math.min(...starts) : 0;
    this.#since.set(key, Math.min(sinceMs, this.#since.get(key) ?? sinceMs));
    this.#mark(namespace);
  }

  #drop(namespace: Namespace): void {
    this.#namespaces.delete(namespace.id);
    if (namespace.table !== null) this.#reader.forget(namespace.table);
    const key = containerKey(namespace.container);
    if ([...this.#namespaces.values()].some(({ container }) => containerKey(container) === key)) return;
    this.#wanted.delete(key);
    this.#since.delete(key);
    // The number of a file system that is gone is given to another one.
    for (const [device, { owner }] of this.#overlays) if (containerKey(owner) === key) this.#overlays.delete(device);
  }

  /** Whether processes of a container are known, as far as the last scan and the ends of processes tell. */
  #lives(container: ContainerRef): boolean {
    const key = containerKey(container);
    return [...this.#namespaces.values()].some((one) => one.table !== null && containerKey(one.container) === key);
  }

  /** Marks what a namespace has mounted now, or takes its overlay's mark away. */
  #mark(namespace: Namespace): void {
    const wanted = this.#wanted.get(containerKey(namespace.container));
    for (const pid of namespace.pids) {
      if (namespace.table === null) {
        const opened = openMountTable(pid, namespace.id);
        if (opened === null) continue;
        namespace.table = opened.table;
        this.#reader.watch(opened.table, opened.pidfd);
      }
      const root = openRoot(pid, namespace.id);
      if (root === null) continue;
      try {
        if (wanted !== undefined) this.#markTable(namespace, root, wanted);
      } finally {
        closeSync(root);
      }
      return;
    }
  }

  #markTable(namespace: Namespace, root: number, wanted: boolean): void {
    const { mounts, whole } = readMountTable(namespace.table!);
    const kinds = mountKinds(mounts, this.#host?.mounts ?? []);
    const rootMount = mounts.findLast(({ mountPoint }) => mountPoint === "/");
    const own = rootMount === undefined ? null : this.#claim(rootMount, namespace);
    namespace.watched = 0;
    namespace.unwatched = [];
    for (const mount of mounts) {
      if (mount.type !== "overlay") this.#overlays.delete(mount.device);
      const kind = kinds.get(mount.id);
      if (kind === "empty") continue;
      const what = mount === rootMount && mount.device === own ? "filesystem" : "mount";
      const marked = kind === "local" && this.#apply(what, mount, root, wanted);
      if (wanted && marked) namespace.watched++;
      if (wanted && kind === "remote") namespace.unwatched.push(toJsonText(Buffer.from(mount.mountPoint, "latin1")));
    }
    if (!whole) namespace.unwatched.push("more mounts than are read");
    namespace.unwatched.splice(MAX_UNWATCHED);
  }

  /** The device of a namespace's root, if it is an overlay that is nobody else's. */
  #claim({ device, type }: Mount, { container }: Namespace): string | null {
    if (type !== "overlay" || this.#host?.devices.has(device)) return null;
    const known = this.#overlays.get(device);
    if (known?.shared) return null;
    if (known !== undefined) {
      if (containerKey(known.owner) === containerKey(container)) return device;
      if (this.#lives(known.owner)) {
        this.#overlays.set(device, { ...known, shared: true });
        stopIgnoring(this.#group);
        return null;
      }
    }
    this.#overlays.set(device, {
      owner: container,
      shared: false,
      place: this.#host?.overlays.get(device)?.[0] ?? null,
    });
    return device;
  }

  /**
   * Marks a mount, or takes its mark away. False where its place leads to another one by now: nothing can be executed
   * through it by that way.
   */
  #apply(what: MarkedWhole, { id, mountPoint }: Mount, root: number, wanted: boolean): boolean {
    const place = openPlainInRoot(root, Buffer.from(mountPoint, "latin1"));
    if (place === null) return false;
    try {
      if (mountIdOf(place) !== id) return false;
      return wanted ? markExecs(this.#group, what, place) : unmarkExecs(this.#group, what, place);
    } finally {
      closeSync(place);
    }
  }

  /** Marks each overlay that has appeared on the host: a container may be about to start on it. */
  #readHost(): void {
    const { mounts } = readMountTable(this.#host!.table);
    const devices = hostDevices(mounts);
    const kinds = mountKinds(mounts, mounts);
    const overlays = mounts.filter(
      ({ type, device, id }) => type === "overlay" && !devices.has(device) && kinds.get(id) === "local",
    );
    const places = new Map(
      [...Map.groupBy(overlays, ({ device }) => device)].map(([device, at]) => [device, at.map(placeOf)]),
    );
    this.#host = { table: this.#host!.table, mounts, devices, overlays: places };
    for (const [device, { place }] of this.#overlays)
      if (place !== null && places.get(device)?.includes(place) !== true) this.#overlays.delete(device);
    const met = new Map<string, number>();
    for (const mount of overlays) {
      const atMs = this.#met.get(placeOf(mount)) ?? performance.now();
      met.set(placeOf(mount), atMs);
      // Marking once more what is marked costs next to nothing.
      if (this.#isWanted(mount, atMs)) this.#onHost(mount, true);
    }
    this.#met = met;
  }

  /** A container's by its settings; one that nobody has claimed for a while only. */
  #isWanted({ device }: Mount, metMs: number): boolean {
    const owner = this.#overlays.get(device)?.owner ?? null;
    if (owner !== null && this.#lives(owner)) return this.#wanted.get(containerKey(owner)) !== false;
    return performance.now() - metMs < UNCLAIMED_MS;
  }

  #letGoOfUnclaimed(): void {
    const limit = performance.now() - UNCLAIMED_MS;
    if (this.#host === null || ![...this.#met.values()].some((metMs) => metMs < limit && metMs > limit - LET_GO_MS))
      return;
    for (const mount of readMountTable(this.#host.table).mounts) {
      const metMs = this.#met.get(placeOf(mount));
      if (metMs !== undefined && !this.#isWanted(mount, metMs)) this.#onHost(mount, false);
    }
  }

  #onHost(mount: Mount, wanted: boolean): void {
    const root = openRoot(HOST_PID, HOST_NAMESPACE);
    if (root === null) return;
    try {
      this.#apply("filesystem", mount, root, wanted);
    } finally {
      closeSync(root);
    }
  }
}

function placeOf({ device, mountPoint }: Mount): string {
  return `${device} ${mountPoint}`;
}
