import { z } from "zod";
import { NAMESPACES } from "../container/kernel-start.ts";
import { digestSchema, processSchema } from "./finding.ts";

/** Bounds on what one event tells; what is longer is cut, what is more is counted. */
export const MAX_START_TEXT = 256;
export const MAX_START_LIST = 64;
const text = z.string().max(MAX_START_TEXT);
const list = <T extends z.ZodType>(item: T) => z.array(item).max(MAX_START_LIST);
const mount = z.strictObject({ source: text, destination: text, rw: z.boolean() });

/** How a container was started: what the kernel shows in its first process, and what its runtime says besides. */
export const startSchema = z.strictObject({
  process: processSchema,
  kernel: z
    .strictObject({
      /** The bounding set of its first process. */
      capabilities: list(text),
      allCapabilities: z.boolean(),
      hostNamespaces: list(z.enum(NAMESPACES)),
      seccomp: z.enum(["none", "strict", "filter"]),
      label: text.nullable(),
      user: text,
      readonlyRoot: z.boolean(),
      /** Folders and files of the host, those that lay open most first, and how many there is no room for. */
      mounts: list(mount),
      mountsLeftOut: z.int().min(0),
      runtimeSockets: list(mount),
    })
    .nullable(),
  runtime: z
    .strictObject({
      privileged: z.boolean().nullable(),
      /** The first word of what was started. */
      program: text.nullable(),
      /** The leading words that are the entry point, each ended by a zero byte: how many, and their SHA-256. */
      entrypoint: z.strictObject({ words: z.int().min(0), digest: digestSchema }),
      /** SHA-256 of all words, and of the environment, written the same way. */
      arguments: digestSchema,
      environment: digestSchema,
      /** Variables that tell the dynamic loader what to load. `image`: whether it is the image that sets them; null where nobody says. */
      loader: list(z.strictObject({ name: text, value: text, image: z.boolean().nullable() })),
      devices: list(text),
    })
    .nullable(),
});
export type ContainerStart = z.infer<typeof startSchema>;
