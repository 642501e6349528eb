import { normalizePlatform } from "../container/image-platform.ts";
import { PimsError } from "../core/errors.ts";

export interface Platform {
  readonly os?: string | null | undefined;
  readonly architecture?: string | null | undefined;
  readonly variant?: string | null | undefined;
}

/** `linux/amd64`, `linux/arm/v7`: as engines write it. */
export function platformText({ os, architecture, variant }: Platform): string {
  return [os || "linux", architecture || "unknown", ...(variant ? [variant] : [])].join("/");
}

/** Throws `usage` for what is no platform. */
export function parsePlatform(text: string): string {
  const parts = text.split("/");
  const whole = parts.length === 1 ? ["linux", ...parts] : parts;
  if (whole.length > 3 || !whole.every((part) => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(part)))
    throw new PimsError("usage", `${JSON.stringify(text)} is no platform`, { hint: "one is written like linux/amd64" });
  return whole.join("/");
}

/** Whether an image's platform is the wanted one, as containerd writes it. Where one of them has no variant, any will do. */
export function platformMatches(wanted: string, found: string): boolean {
  const [a, b] = [wanted.split("/"), found.split("/")];
  const [x, y] = [a, b].map(([os, architecture]) => normalizePlatform({ os, architecture }));
  return (
    x!.os === y!.os &&
    x!.architecture === y!.architecture &&
    (a[2] === undefined || b[2] === undefined || a[2] === b[2])
  );
}
