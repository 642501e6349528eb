export interface StatedPlatform {
  readonly os?: string | null | undefined;
  readonly architecture?: string | null | undefined;
}

/** Other names that containerd takes for an architecture (its module platforms, database.go). */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ["i386", "386"],
  ["x86_64", "amd64"],
  ["x86-64", "amd64"],
  ["aarch64", "arm64"],
  ["armhf", "arm"],
  ["armel", "arm"],
]);

/** Operating system and architecture as containerd reads them. Variants are left out: releases differ about them. */
export function normalizePlatform({ os, architecture }: StatedPlatform): { os: string; architecture: string } {
  const named = (architecture ?? "").toLowerCase();
  return { os: (os || "linux").toLowerCase(), architecture: ARCHITECTURES.get(named) ?? named };
}

const NODE: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
const OURS = NODE[process.arch] ?? process.arch;

/**
 * Whether an engine on this machine may take what is listed with this platform, of any variant. One that is not stated
 * may be any, and so may one in other letters than ASCII, which programs fold differently.
 */
export function couldBeOurs(platform: StatedPlatform | null | undefined): boolean {
  const { os, architecture } = normalizePlatform(platform ?? {});
  if (architecture === "" || !/^[ -~]*$/.test(os + architecture)) return true;
  return os === "linux" && architecture === OURS;
}
