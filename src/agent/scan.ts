import { findingKey } from "../attest/host-state.ts";
import { judgeCode } from "../attest/judge.ts";
import { judgeStart } from "../attest/judge-start.ts";
import { isJitRuntime } from "../baseline/jit.ts";
import { printable } from "../core/bytes.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { Fact } from "../measure/facts.ts";
import { type Coverage, containerKey, Sweeper, type SweepOptions } from "../measure/sweep.ts";
import { nameContainer } from "./container-names.ts";
import { containerStart } from "./container-start.ts";
import { codeFields, findingOf, isWrongInItself } from "./events.ts";

/** What one sweep of this machine found without any baseline. */
export interface ScanReport {
  readonly schema: "pims.scan/v1";
  readonly findings: readonly Finding[];
  /** Same form; worth knowing, expected in these programs. */
  readonly notes: readonly Finding[];
  readonly coverage: Coverage & {
    readonly scope: "containers" | "all";
    readonly containers: number;
    /** One sentence for each thing that could not be read. */
    readonly missed: readonly string[];
  };
}

/**
 * One sweep: written-to code pages, code from memory files and deleted files, executable anonymous memory. Needs neither
 * TPM nor ledger, and so cannot say whether a file is the image's.
 */
export async function scan(options: SweepOptions): Promise<ScanReport> {
  const sweeper = new Sweeper(options);
  try {
    const { facts, coverage, containers } = await sweeper.sweep();
    const names = new Map<string, ContainerName>();
    const findings = new Map<string, Finding>();
    for (const [key, container] of containers) {
      const info = await nameContainer(container);
      const { runtime, id, name, image } = info;
      names.set(key, { runtime, id, name, image });
      const pids = facts.filter(({ process }) => process.container?.id === id).map(({ process }) => process.pid);
      const start = containerStart(info, pids);
      if (start !== undefined)
        for (const finding of judgeStart({ runtime, id, name, image }, start, null, [])) add(findings, finding);
    }
    const nameIn = (fact: Fact) => {
      const { container } = fact.process;
      return container === null ? null : (names.get(containerKey(container)) ?? null);
    };
    // A process may have many pieces of the same kind of memory: one finding says it.
    const notes = new Map<string, Finding>();
    const missed: string[] = [];
    for (const fact of facts) {
      if (fact.kind === "unreadable") missed.push(`process ${fact.process.pid}: ${printable(fact.text)}`);
      else if (isWrongInItself(fact)) add(findings, findingOf(fact, nameIn(fact)));
      else {
        const code = { ...codeFields(fact), container: nameIn(fact) };
        const finding = judgeCode(code, null);
        if (finding === null) continue;
        const compiled = code.backing === "anonymous" || (code.backing === "memfd" && code.role === "library");
        const expected = compiled && isJitRuntime(finding.exe);
        add(expected ? notes : findings, finding);
      }
    }
    return {
      schema: "pims.scan/v1",
      findings: [...findings.values()],
      notes: [...notes.values()],
      coverage: { ...coverage, scope: options.scope, containers: containers.size, missed },
    };
  } finally {
    await sweeper.close();
  }
}

function add(list: Map<string, Finding>, finding: Finding): void {
  const key = findingKey(finding);
  if (!list.has(key)) list.set(key, finding);
}
