// Each check of what leads to the registers below the agent's.
import { appraise, NOTHING_PROVED } from "../../src/attest/appraise.ts";
import type { Evidence } from "../../src/attest/evidence.ts";
import { judgePlatform, platformPolicySchema } from "../../src/attest/judge-platform.ts";
import type { PlatformEvidence } from "../../src/attest/platform-evidence.ts";
import type { PlatformState } from "../../src/attest/platform-state.ts";
import { assertAccepted, type Ending, PCR, TestHost } from "../../src/attest/testing.ts";
import { digestOf, FIRMWARE_LOG, RELEASES, TestPlatform } from "../../src/attest/testing-platform.ts";
import { concatBytes } from "../../src/core/bytes.ts";
import { BOOT_EVENT_TYPE } from "../../src/tpm/event-log/boot-event-types.ts";
import { sha1Event } from "../../src/tpm/event-log/sample-boot-log.ts";
import { imaEntryBytes, imaNg } from "../../src/tpm/event-log/sample-ima.ts";
import { NONCE } from "./attester.ts";
import type { Check, Outcome } from "./check.ts";

interface Wrong {
  readonly sent: (evidence: Evidence & { platform: PlatformEvidence }) => Evidence;
  readonly before?: (state: PlatformState) => PlatformState;
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const ENTRIES = 3;

export async function platformChecks(t: Ending): Promise<Check[]> {
  const host = await TestHost.start(t);
  const platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/opt/pims/main.ts", "main");
  await platform.measure("/usr/sbin/runc", "runc");
  await platform.measure("/usr/bin/other", "other");
  const whole = await platform.answer(NONCE, 0, { firmwareLog: true, imaFrom: 0 });
  const judge = (evidence: Evidence, before: PlatformState | null) => {
    const expected = { akPublic: host.akPublic, nonce: NONCE, pcr: PCR, platform: { before, releases: RELEASES } };
    return appraise(evidence, expected, NOTHING_PROVED);
  };
  const known = assertAccepted(judge(whole, null)).platform!;
  const given = (fields: Partial<PlatformEvidence>): Wrong["sent"] => {
    return (evidence) => ({ ...evidence, platform: { ...evidence.platform, ...fields } });
  };
  const listed = (...parts: readonly Uint8Array[]): Wrong["sent"] =>
    given({ ima: { from: 0, entries: base64(concatBytes(...parts)) } });
  const check = (
    name: string,
    reason: string,
    text: RegExp,
    wrong: Wrong,
    right: Wrong = { sent: (evidence) => evidence },
  ): Check => ({
    ...{ name: `platform: ${name}`, reason, text },
    attempt(isWrong) {
      const { sent, before } = isWrong ? wrong : right;
      return judge(sent(whole), before?.(known) ?? null);
    },
  });
  /** Evidence of these is accepted, and leaves nothing of the host trusted. */
  const firmware = (name: string, text: RegExp, log: Uint8Array | null): Check => ({
    ...{ name: `firmware: ${name}`, reason: "boot-untrusted", text },
    attempt(isWrong): Outcome {
      const sent = given({ firmwareLog: isWrong ? log && base64(log) : base64(FIRMWARE_LOG) });
      const state = assertAccepted(judge(sent(whole), null)).platform;
      const policy = platformPolicySchema.parse({ require: ["boot"] });
      const [reason] = judgePlatform(state, policy, { hasReleases: true }).reasons;
      return reason === undefined ? { accepted: true } : { accepted: false, ...reason };
    },
  });

  const list = platform.list();
  const first = imaNg("/opt/pims/main.ts", digestOf("main")).length;
  const rest = { from: ENTRIES, entries: "" };
  const { pcrs, own } = known;
  const one = imaNg("/x", digestOf("x"));
  const least = imaEntryBytes("", new Uint8Array(0));
  const fill = (entries: number) =>
    new Uint8Array(Buffer.concat(Array.from({ length: entries - ENTRIES }, () => least)));
  const unled = ["pcr-mismatch", /list of measured files does not lead/] as const;
  return [
    check("nothing of it is sent", "pcr-mismatch", /nothing that leads to the quoted PCR 0 to 10/, {
      sent: ({ platform: _, ...evidence }) => evidence,
    }),
    check("no list, though files are measured", "pcr-mismatch", /there is no list of them/, {
      sent: given({ ima: null }),
    }),
    ...pcrs.map((value, pcr) =>
      check(`PCR ${pcr} is another`, ...unled, { sent: given({ pcrs: pcrs.with(pcr, otherHex(value)) }) }),
    ),
    check("the log's register is another", ...unled, { sent: given({ own: otherHex(own) }) }),
    check("the list's first entry is withheld", ...unled, { sent: listed(list.subarray(first)) }),
    check("two entries of the list changed places", ...unled, {
      sent: listed(list.subarray(first), list.subarray(0, first)),
    }),
    check(
      "the list goes on at another entry",
      "log-broken",
      /goes on at entry 2 instead of 3/,
      {
        sent: given({ ima: { from: 2, entries: "" } }),
        before: (state) => state,
      },
      { sent: given({ ima: rest }), before: (state) => state },
    ),
    check(
      "the list goes on where it was judged by other releases",
      "log-broken",
      /goes on at entry 3/,
      {
        sent: given({ ima: rest }),
        before: (state) => ({ ...state, ima: { ...state.ima!, releases: "others" } }),
      },
      { sent: given({ ima: rest }), before: (state) => state },
    ),
    // These stand behind what is quoted: no register tells of them.
    check(
      "an entry of another register",
      "log-broken",
      /has an entry of PCR 11/,
      {
        sent: listed(list, imaNg("/x", digestOf("x"), { pcr: 11 })),
      },
      { sent: listed(list, one) },
    ),
    check(
      "an entry whose digest is not its data's",
      "log-broken",
      /entry 3 of the IMA list has another digest/,
      {
        sent: listed(list, one.with(4, one[4]! ^ 1)),
      },
      { sent: listed(list, one) },
    ),
    check(
      "an entry that is cut",
      "log-broken",
      /malformed IMA list/,
      { sent: listed(list, one.subarray(0, -1)) },
      { sent: listed(list, one) },
    ),
    check(
      "more entries than any list has",
      "log-broken",
      /too many entries/,
      { sent: listed(list, fill(262_145)) },
      { sent: listed(list, fill(1000)) },
    ),
    firmware("no log", /gives no event log of its firmware/, null),
    firmware(
      "a log without SHA-256",
      /has no SHA-256 digests/,
      sha1Event(7, BOOT_EVENT_TYPE.EV_SEPARATOR, new Uint8Array(4)),
    ),
    firmware(
      "a log that does not lead to its registers",
      /does not lead to PCR 7/,
      FIRMWARE_LOG.with(FIRMWARE_LOG.length - 10, FIRMWARE_LOG.at(-10)! ^ 1),
    ),
    firmware("a log that is cut", /not what was measured: malformed/, FIRMWARE_LOG.subarray(0, -1)),
  ];
}

function otherHex(value: string): string {
  return (value.startsWith("0") ? "1" : "0") + value.slice(1);
}
