import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { exactObject, readJson } from "../core/read-json.ts";
import type { LoaderVariables } from "./lines.ts";
import { platformText } from "./platform.ts";
import { portText } from "./schema.ts";

/** What an image's configuration says, as far as a baseline needs it. */
export interface ImageConfig {
  /** `sha256:` and the digest of the configuration's bytes: the image's name in every engine. */
  readonly identity: string;
  readonly architecture: string;
  /** `linux/amd64`, `linux/arm64/v8` */
  readonly platform: string;
  readonly ports: readonly string[];
  /** Entry point and command, as the container's first process gets them. */
  readonly entrypoint: readonly string[];
  readonly workingFolder: string;
  readonly loader: LoaderVariables | undefined;
  /** SHA-256 of each layer uncompressed, lowest first, in hexadecimal. */
  readonly diffIds: readonly string[];
}

const words = z.array(z.string()).nullish();

/** OCI image specification, "Image Configuration". */
const shape = exactObject({
  architecture: z.string().min(1).max(256),
  os: z.string().max(256).nullish(),
  variant: z.string().max(256).nullish(),
  config: exactObject({
    ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
    Entrypoint: words,
    Cmd: words,
    Env: words,
    WorkingDir: z.string().nullish(),
  }).nullish(),
  rootfs: exactObject({ diff_ids: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/)).nullish() }),
});

/** Throws `image-malformed`. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const { architecture, os, variant, config, rootfs } = parseJson(bytes, shape, "configuration");
  return {
    identity: `sha256:${sha256Hex(bytes)}`,
    architecture,
    platform: platformText({ os, architecture, variant }),
    ports: Object.keys(config?.ExposedPorts ?? {}).map(portOf),
    entrypoint: [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])],
    workingFolder: config?.WorkingDir || "/",
    loader: loaderVariables(config?.Env ?? []),
    diffIds: (rootfs.diff_ids ?? []).map((id) => id.slice("sha256:".length)),
  };
}

/** Of a variable that is there twice the last counts, as for the container's first process. */
function loaderVariables(environment: readonly string[]): LoaderVariables | undefined {
  const found: { LD_PRELOAD?: string; LD_AUDIT?: string } = {};
  for (const name of ["LD_PRELOAD", "LD_AUDIT"] as const) {
    const value = environment.findLast((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
    if (value) found[name] = value;
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

/** `80/tcp` or `80` → `tcp/80`. */
function portOf(text: string): string {
  const [number, protocol = "tcp"] = text.split("/");
  const port = portText.safeParse(`${protocol}/${number}`);
  if (!port.success || text.split("/").length > 2) {
    throw new PimsError(
      "image-malformed",
      `the image's configuration exposes ${JSON.stringify(text)}, which is no port`,
    );
  }
  return port.data;
}

/** JSON of the image's own, in the shape that it must have. `what` is for the message. Throws `image-malformed`. */
export function parseJson<T>(bytes: Uint8Array, expected: z.ZodType<T>, what: string): T {
  const read = readJson(bytes);
  if ("wrong" in read) throw new PimsError("image-malformed", `the image's ${what} ${read.wrong}`);
  const parsed = expected.safeParse(read.value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? ` at ${issue.path.join(".")}` : "";
  throw new PimsError("image-malformed", `the image's ${what} is wrong${where}: ${issue?.message ?? "another shape"}`);
}
