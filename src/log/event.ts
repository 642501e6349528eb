import { z } from "zod";
import { PRELOAD_WAYS } from "../process/preload.ts";
import {
  containerSchema,
  decimalSchema,
  digestSchema,
  findingSchema,
  jsonTextSchema,
  MAX_ID,
  objectSchema,
  processSchema,
  reasonSchema,
  textSchema,
} from "./finding.ts";
import { startSchema } from "./start.ts";

const time = z.iso.datetime();
export const MAX_IMAGE_NAME = 512;
export const MAX_UNRESOLVED = 1024;
const count = z.int().min(0);

const boot = z.strictObject({
  type: z.literal("boot"),
  time,
  bootId: z.uuid(),
  /** The last record of the log before this boot, null on the first. */
  previous: z.strictObject({ bootId: z.uuid(), recnum: count, digest: digestSchema, pcr: digestSchema }).nullable(),
  /** Where the log is extended into an NV index: the count at which that began. */
  nv: z.strictObject({ count: z.string().regex(/^(0|[1-9]\d{0,18})$/) }).optional(),
});

/** Opens a segment of a log: what came before is in another file, which may be gone. */
const checkpoint = z.strictObject({
  type: z.literal("checkpoint"),
  time,
  /** How the log began. */
  boot: boot.omit({ type: true }),
  /** Value of the register before this record, from which a replay goes on. */
  value: digestSchema,
  /** So many events that tell again of living containers follow, and of what was found and done in them. */
  events: count,
});

const agentStart = z.strictObject({
  type: z.literal("agent-start"),
  time,
  version: z.string().max(64),
  pid: z.int().min(1),
  intervalMs: z.int().min(1),
});

const agentStop = z.strictObject({ type: z.literal("agent-stop"), time });

/** A stretch that was not watched. */
const gap = z.strictObject({ type: z.literal("gap"), time, text: textSchema });

const containerStart = z.strictObject({
  type: z.literal("container-start"),
  time,
  container: containerSchema,
  imageName: z.string().max(MAX_IMAGE_NAME).nullable(),
  /** Why its image, which the runtime names somehow, could not be told. Absent where that is not so. */
  unresolved: z.string().max(MAX_UNRESOLVED).optional(),
  /** Absent where its first process had gone before it could be looked at. */
  start: startSchema.optional(),
});

const containerStop = z.strictObject({ type: z.literal("container-stop"), time, container: containerSchema });

/** Executable code seen for the first time in a container. */
const code = z.strictObject({
  type: z.literal("code"),
  time,
  ...processSchema.shape,
  container: containerSchema,
  object: objectSchema,
  role: z.enum(["executable", "library"]),
  backing: z.enum(["file", "memfd", "anonymous"]),
  size: decimalSchema,
  deleted: z.boolean(),
  /** Where in the file's image its bytes lie; null for code that no ELF file holds. */
  place: z.enum(["in-segment", "outside-segment", "displaced"]).nullable(),
  /** Of the mapping in the file. */
  offset: decimalSchema,
  /** For code in anonymous memory or a memory file: digests of the files whose code the process has mapped, the program's first. Else empty. */
  mapped: z.array(digestSchema).max(1024),
});

/** How a process was started: the first of its kind in a container. */
const processStart = z.strictObject({
  type: z.literal("process-start"),
  time,
  ...processSchema.shape,
  parent: count,
  container: containerSchema,
  /** The program. */
  object: objectSchema,
  /** The host's number of its effective user. */
  user: count,
  /** SHA-256 of its arguments, each ended by a zero byte. Null when they were not read. */
  arguments: digestSchema.nullable(),
  script: objectSchema.nullable(),
  /** Why the script that an interpreter runs has no digest, or what is to be known about it. */
  unresolved: z
    .enum(["stdin", "command", "module", "not-found", "not-a-file", "changed", "gone", "unreadable"])
    .nullable(),
  /** Libraries that the process is made to load. `said` is the SHA-256 of the variable's value, or of the file. */
  preloads: z.array(z.strictObject({ by: z.enum(PRELOAD_WAYS), said: digestSchema, object: objectSchema })).max(32),
});

/** A socket that others can reach, seen for the first time in a container and program. */
const listener = z.strictObject({
  type: z.literal("listener"),
  time,
  ...processSchema.shape,
  container: containerSchema,
  protocol: z.enum(["tcp", "udp", "unix"]),
  /** Of a unix socket its abstract name, with `@` for each zero byte. */
  address: jsonTextSchema,
  /** 0 for a unix socket. */
  port: z.int().min(0).max(65_535),
  /** False where nobody was found that holds the socket: the process is then some process of the container. */
  held: z.boolean(),
});

const violation = z.strictObject({ type: z.literal("violation"), time, ...findingSchema.shape });

/** Stands for the container in a sweep's `incomplete` where it is not known whose process could not be read. */
export const NOT_KNOWN_WHOSE = "";

/** What was covered since the last one. The nonce shows that the measuring, and not only the TPM, is fresh. */
const sweep = z.strictObject({
  type: z.literal("sweep"),
  time,
  nonce: z
    .string()
    .max(128)
    .regex(/^([0-9a-f]{2})*$/),
  sweeps: count,
  longestPauseMs: z.number().min(0),
  /** The longest that a violation has waited to be proved, of those that waited since the last one; null when none did. */
  longestUnprovedMs: z.number().min(0).nullable(),
  processes: count,
  mappings: count,
  pagesCompared: count,
  /** Pages of files in memory that were read again, and how long all of them took when they were last; null before. */
  pagesScrubbed: count,
  scrubCycleMs: count.nullable(),
  unreadable: count,
  /** Containers in which something could not be read, as `runtime:id`; empty with `unreadable` > 0 means: not known whose. */
  incomplete: z.array(z.strictObject({ container: z.string().max(MAX_ID + 16), text: textSchema })).max(64),
});

/** What can be done to a container. */
const ACTIONS = ["pause", "resume", "kill"] as const;
export type Action = (typeof ACTIONS)[number];

export const actionSchema = z.strictObject({
  type: z.literal("action"),
  time,
  action: z.enum(ACTIONS),
  container: containerSchema,
  /** The reason that led to it by policy; null for an order. */
  reason: reasonSchema.nullable(),
  by: z.enum(["policy", "order"]),
  /** The verifier's order, who asked for it, as they said, and why. */
  order: z.strictObject({ id: z.string().max(64), by: textSchema, reason: textSchema }).optional(),
  outcome: z.enum(["done", "failed", "suppressed", "refused"]),
  text: textSchema,
});

/** What the gate does in a container: said when mode or mounts change, and what it has done since the agent started. */
export const gateEventSchema = z.strictObject({
  type: z.literal("gate"),
  time,
  container: containerSchema,
  mode: z.enum(["off", "observe", "enforce"]),
  /** Mounts under the gate, and places of those that are not. */
  watched: count,
  unwatched: z.array(jsonTextSchema).max(16),
  decisions: count,
  /** Programs that were refused; in `observe` those that would have been. */
  denials: count,
  /** The longest that a program waited for its answer. */
  slowestMs: z.number().min(0),
});

export const eventSchema = z.discriminatedUnion("type", [
  boot,
  checkpoint,
  agentStart,
  agentStop,
  gap,
  containerStart,
  containerStop,
  code,
  processStart,
  listener,
  violation,
  sweep,
  actionSchema,
  gateEventSchema,
]);
/** One event of the measurement log. */
export type LogEvent = z.infer<typeof eventSchema>;
export type BootEvent = z.infer<typeof boot>;
export type CodeEvent = z.infer<typeof code>;
export type ProcessStartEvent = z.infer<typeof processStart>;
export type ListenerEvent = z.infer<typeof listener>;
export type SweepEvent = z.infer<typeof sweep>;
export type ActionEvent = z.infer<typeof actionSchema>;
export type GateEvent = z.infer<typeof gateEventSchema>;
