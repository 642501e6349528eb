import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CoverageCounter } from "../agent/coverage.ts";
import { openTpmAnchor, type TpmAnchor } from "../agent/tpm-anchor.ts";
import { VerifierClient } from "../agent/verifier-client.ts";
import { collectEvidence } from "../attest/collect.ts";
import type { Evidence } from "../attest/evidence.ts";
import type { HostReport } from "../attest/report.ts";
import { fromHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import { MeasurementLog } from "../log/measurement-log.ts";
import { Sweeper } from "../measure/sweep.ts";
import type { DemoContainer } from "./containers.ts";
import { openForeignKey } from "./foreign-key.ts";
import type { Platform } from "./platform.ts";
import type { TamperingReport } from "./report.ts";

/**
 * Plays root on the host, with the host's own TPM, log and token, while the agent is stopped. Each evidence is honest but
 * for one thing, so only one check can refuse it; in between and at the end honest evidence is accepted.
 */
export async function runTampering(platform: Platform, bystander: DemoContainer): Promise<TamperingReport[]> {
  const anchor = await openTpmAnchor(platform.tpmAddress, platform.pcr);
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const { log } = await MeasurementLog.open(platform.logFolder, anchor.register, bootId);
  const verifier = new VerifierClient(platform.view.address, platform.host);
  verifier.useToken((await readFile(join(platform.folder, "agent", "host-token"), "utf8")).trim());
  const attacker = new Attacker(platform, anchor, log, verifier, await platform.scratch("attacker"), bystander);
  try {
    const reports = [
      // The last record but one is what `appendHonestly` wrote first.
      await attacker.alterLog("record-altered", "log-broken", (lines) => lines.with(-2, alterText(lines.at(-2)!))),
      await attacker.alterLog("record-removed", "log-broken", (lines) => lines.toSpliced(-2, 1)),
      await attacker.alterLog("record-rewritten", "pcr-mismatch", (lines) => lines.with(-2, rewrite(lines.at(-2)!))),
      await attacker.alterLog("log-cut-off", "log-rollback", (lines, from) => lines.slice(0, from - 1)),
      await attacker.replayQuote(),
      await attacker.foreignKey(),
      await attacker.alterBaseline(),
    ];
    return reports;
  } finally {
    await attacker.close();
    await log.close();
    await anchor.close();
  }
}

class Attacker {
  readonly #platform: Platform;
  readonly #anchor: TpmAnchor;
  readonly #log: MeasurementLog;
  readonly #verifier: VerifierClient;
  readonly #folder: string;
  readonly #bystander: DemoContainer;
  readonly #sweeper = new Sweeper({ scope: "containers" });
  readonly #coverage = new CoverageCounter(performance.now());

  constructor(
    platform: Platform,
    anchor: TpmAnchor,
    log: MeasurementLog,
    verifier: VerifierClient,
    folder: string,
    bystander: DemoContainer,
  ) {
    this.#platform = platform;
    this.#anchor = anchor;
    this.#log = log;
    this.#verifier = verifier;
    this.#folder = folder;
    this.#bystander = bystander;
  }

  close(): Promise<void> {
    return this.#sweeper.close();
  }

  /** Changes the log on disk between extending and sending. */
  async alterLog(
    name: string,
    expected: Reason,
    alter: (lines: string[], from: number) => string[],
  ): Promise<TamperingReport> {
    const { nonce, from } = await this.#appendHonestly();
    const lines = (await readFile(this.#log.path, "utf8")).trimEnd().split("\n");
    const altered = join(this.#folder, `${name}.jsonl`);
    await writeFile(altered, `${alter(lines, from).join("\n")}\n`);
    return this.#expectRefusal(name, expected, await this.#evidence(nonce, from, altered));
  }

  /** Sends an older quote, of the same TPM and key, under the new nonce. */
  async replayQuote(): Promise<TamperingReport> {
    const old = await this.#anchor.quote(Buffer.alloc(32, 7));
    const { nonce, from } = await this.#appendHonestly();
    const evidence = await this.#evidence(nonce, from);
    return this.#expectRefusal("quote-replayed", "nonce-mismatch", { ...evidence, ...encode(old) });
  }

  /** Sends a quote over the right PCR and nonce by another restricted key of the same TPM. */
  async foreignKey(): Promise<TamperingReport> {
    const { nonce, from } = await this.#appendHonestly();
    const evidence = await this.#evidence(nonce, from);
    const key = await openForeignKey(this.#platform.tpmAddress, this.#platform.pcr);
    try {
      return await this.#expectRefusal("foreign-key", "quote-invalid", {
        ...evidence,
        ...encode(await key.quote(fromHex(nonce))),
      });
    } finally {
      await key.close();
    }
  }

  /** Plays root on the verifier's machine: puts another digest into its copy of a baseline. */
  async alterBaseline(): Promise<TamperingReport> {
    const problems = await this.#sendHonestly();
    const database = new DatabaseSync(join(this.#platform.verifierState, "verifier.sqlite"), { timeout: 5000 });
    try {
      const rows = database.prepare("SELECT identity, lines FROM baselines").all();
      for (const { identity, lines } of rows) {
        const altered = String(lines).replace(/"sha256":"[0-9a-f]{8}/, '"sha256":"deadbeef');
        database.prepare("UPDATE baselines SET lines = ? WHERE identity = ?").run(altered, identity!);
      }
      if (rows.length === 0) problems.push("the verifier has no copy of a baseline");
    } finally {
      database.close();
    }
    const { nonce, from } = await this.#appendHonestly();
    await this.#verifier.evidence(await this.#evidence(nonce, from));
    const report = await this.#platform.view.report();
    const reasons = this.#bystanderIn(report)?.reasons.map(({ reason }) => reason) ?? [];
    problems.push(...this.#stillTrusted(report));
    const refused = reasons.includes("baseline-altered");
    if (!refused) problems.push("the altered copy was not noticed");
    const text = this.#bystanderIn(report)?.reasons[0]?.text ?? "";
    return { name: "baseline-altered", refused, reason: reasons[0] ?? null, text, problems };
  }

  /** Two honest records that the verifier lacks, the second with its nonce. */
  async #appendHonestly(): Promise<{ nonce: string; from: number }> {
    const { nonce, from } = await this.#verifier.nonce();
    const time = rfc3339(Date.now());
    await this.#log.append([{ type: "gap", time, text: "the agent is stopped while the demo plays root on the host" }]);
    this.#coverage.add(await this.#sweeper.sweep(), performance.now());
    await this.#log.append([this.#coverage.take(nonce, time, performance.now())]);
    return { nonce, from };
  }

  #evidence(nonce: string, from: number, path = this.#log.path): Promise<Evidence> {
    return collectEvidence({ segments: [{ path, from: 0 }], from, nonce: fromHex(nonce), quote: this.#anchor.quote });
  }

  async #expectRefusal(name: string, expected: Reason, evidence: Evidence): Promise<TamperingReport> {
    const outcome = await this.#verifier.evidence(evidence);
    const problems: string[] = [];
    if (outcome.accepted) problems.push("the evidence was accepted");
    else if (outcome.reason !== expected) problems.push(`the reason is ${outcome.reason} instead of ${expected}`);
    problems.push(...this.#stillTrusted(await this.#platform.view.report()), ...(await this.#sendHonestly()));
    return {
      name,
      refused: !outcome.accepted,
      reason: outcome.accepted ? null : outcome.reason,
      text: outcome.accepted ? "" : outcome.text,
      problems,
    };
  }

  /** Control: without the alteration the very same way of proving is accepted, and the bystander trusted again. */
  async #sendHonestly(): Promise<string[]> {
    const { nonce, from } = await this.#appendHonestly();
    const outcome = await this.#verifier.evidence(await this.#evidence(nonce, from));
    if (!outcome.accepted)
      throw new PimsError("demo-failed", `honest evidence is refused (${outcome.reason}): ${outcome.text}`);
    const status = this.#bystanderIn(await this.#platform.view.report())?.status;
    return status === "trusted" ? [] : [`after honest evidence ${this.#bystander.name} is ${status}`];
  }

  /** Bad evidence of a host leaves none of its containers trusted. */
  #stillTrusted(report: HostReport): string[] {
    return report.containers
      .filter(({ status, stoppedAt }) => status === "trusted" && stoppedAt === null)
      .map(({ container }) => `${container.name} is still trusted`);
  }

  #bystanderIn(report: HostReport) {
    return report.containers.find(({ container }) => container.id === this.#bystander.ref.id);
  }
}

function encode({
  attest,
  signature,
}: {
  attest: Uint8Array;
  signature: Uint8Array;
}): Pick<Evidence, "attest" | "signature"> {
  return { attest: Buffer.from(attest).toString("base64"), signature: Buffer.from(signature).toString("base64") };
}

/** Another text in a record, its digest left as it is. */
function alterText(line: string): string {
  return line.replace("plays root", "plays toor");
}

/** Another text in a record, with a digest that fits. */
function rewrite(line: string): string {
  const altered = alterText(line);
  const content = altered.slice(altered.indexOf('"content":') + '"content":'.length, -1);
  return altered.replace(/"digest":"[0-9a-f]{64}"/, `"digest":"${sha256Hex(content)}"`);
}
