/** e_machine (System V ABI and its registry) → the name that images use for the architecture. */
const names: ReadonlyMap<number, string> = new Map([
  [3, "386"],
  [8, "mips"],
  [20, "ppc"],
  [21, "ppc64le"],
  [22, "s390x"],
  [40, "arm"],
  [62, "amd64"],
  [183, "arm64"],
  [243, "riscv64"],
  [258, "loong64"],
]);

/** The architecture that most of an image's programs and libraries are made for, `unknown` where there are none. */
export function architectureOf(machines: readonly number[]): string {
  const counts = new Map<number, number>();
  for (const machine of machines) counts.set(machine, (counts.get(machine) ?? 0) + 1);
  const [most] = [...counts].sort(([a, countA], [b, countB]) => countB - countA || a - b);
  return most === undefined ? "unknown" : (names.get(most[0]) ?? `elf-machine-${most[0]}`);
}
