// Each check of the TPM's counters and clock against those of the evidence before.
import { appraise, NOTHING_PROVED, type Proved } from "../../src/attest/appraise.ts";
import { assertAccepted, type Ending, PCR, TestHost } from "../../src/attest/testing.ts";
import { Attester, NONCE } from "./attester.ts";
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
  const back = (what: string) => ["tpm-rolled-back", new RegExp(`TPM's ${what} went back from \\d+ to \\d+`)] as const;
  const restarted = (proved: Proved) => ({ ...proved.tpm!, restartCount: proved.tpm!.restartCount - 1 });
  const rebootedHost = await TestHost.start(t);
  const first = await rebootedHost.answer(NONCE, 0);
  const expected = { akPublic: rebootedHost.akPublic, nonce: NONCE, pcr: PCR };
  const { proved } = assertAccepted(appraise(first, expected, NOTHING_PROVED));
  await rebootedHost.reboot();
  const evidence = await rebootedHost.answerTo({ nonce: NONCE, from: proved.length, boot: proved.bootId });
  const { tpm: now } = assertAccepted(appraise(evidence, expected, proved)).proved;
  await rebootedHost.reboot();
  const twice = await rebootedHost.answerTo({ nonce: NONCE, from: proved.length, boot: proved.bootId });
  const { tpm: later } = assertAccepted(appraise(twice, expected, proved)).proved;
  return [
    check("a reset since", ...rebooted, ({ resetCount }) => ({ resetCount: resetCount - 1 })),
    {
      ...{ name: "counters: a restart since, and the PCR was not kept", reason: rebooted[0], text: rebooted[1] },
      attempt: (isWrong) =>
        attester.attest({
          proved: (kept) => ({ ...kept, tpm: restarted(kept), ...(isWrong ? { value: "11".repeat(32) } : {}) }),
        }),
    },
    {
      ...{ name: "counters: no reset since, and a log that begins anew", reason: "log-rollback" },
      text: /begins anew, but the TPM was neither reset nor restarted/,
      attempt: (isWrong) => appraise(evidence, expected, isWrong ? { ...proved, tpm: now } : proved),
    },
    {
      ...{ name: "counters: one restart since, and a log that begins anew twice", reason: "log-rollback" },
      text: /began anew 2 times, but the TPM was restarted 1 times only/,
      attempt: (isWrong) => {
        const restartCount = later!.restartCount - (isWrong ? 1 : 2);
        return appraise(twice, expected, { ...proved, tpm: { ...later!, restartCount } });
      },
    },
    check("resets went back", ...back("reset count"), ({ resetCount }) => ({ resetCount: resetCount + 1 })),
    check("restarts went back", ...back("restart count"), ({ restartCount }) => ({ restartCount: restartCount + 1 })),
    check("the clock went back", ...back("clock"), ({ clock }) => ({ clock: clock + 3_600_000n })),
  ];
}
