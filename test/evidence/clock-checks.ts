// Each check of the TPM's counters and clock against those of the evidence before.
import type { Proved } from "../../src/attest/appraise.ts";
import type { Ending } from "../../src/attest/testing.ts";
import { Attester } from "./attester.ts";
import type { Check } from "./check.ts";

type Tpm = NonNullable<Proved["tpm"]>;

export async function clockChecks(t: Ending): Promise<Check[]> {
  const attester = await Attester.start(t);
  const check = (name: string, reason: string, text: RegExp, before: (tpm: Tpm) => Partial<Tpm>): Check => ({
    ...{ name: `counters: ${name}`, reason, text },
    attempt: (isWrong) =>
      attester.attest({
        proved: (proved) => (isWrong ? { ...proved, tpm: { ...proved.tpm!, ...before(proved.tpm!) } } : proved),
      }),
  });
  const rebooted = ["host-rebooted", /was reset or restarted since the last evidence/] as const;
  const back = ["tpm-rolled-back", /reset count, restart count or clock went back/] as const;
  return [
    check("a reset since", ...rebooted, ({ resetCount }) => ({ resetCount: resetCount - 1 })),
    check("a restart since", ...rebooted, ({ restartCount }) => ({ restartCount: restartCount - 1 })),
    check("resets went back", ...back, ({ resetCount }) => ({ resetCount: resetCount + 1 })),
    check("restarts went back", ...back, ({ restartCount }) => ({ restartCount: restartCount + 1 })),
    check("the clock went back", ...back, ({ clock }) => ({ clock: clock + 3_600_000n })),
  ];
}
