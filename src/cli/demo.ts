import { type Command, Option } from "commander";
import { PimsError } from "../core/errors.ts";
import { describeDemoEnd, runDemo } from "../demo/demo.ts";
import type { Platform } from "../demo/platform.ts";
import type { DemoReport } from "../demo/report.ts";
import { colours as pc } from "./colours.ts";
import { action, untilSignal } from "./command.ts";
import { describeFinding } from "./describe.ts";
import { colourStatus, EXIT, printJson, printLine, say, table } from "./output.ts";

interface Options {
  runtime?: "docker" | "runc";
  tpm: "swtpm" | "device";
  json?: boolean;
  keep?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command("demo")
    .description("the whole system on this machine: TPM, chain, containers, agent, verifier, and attacks on them")
    .addOption(
      new Option("--runtime <runtime>", "without it Docker when its engine answers, else runc").choices([
        "docker",
        "runc",
      ]),
    )
    .addOption(new Option("--tpm <tpm>", "swtpm, or /dev/tpmrm0").choices(["swtpm", "device"]).default("swtpm"))
    .option("--json", "print one object (pims.demo/v1)")
    .option("--keep", "leave it running afterwards, to look around")
    .addHelpText(
      "after",
      "\nExit status: 0 everything was caught and refused, 1 something was not, or it could not run",
    )
    .action(action(demo));
}

async function demo(options: Options): Promise<number> {
  const { runtime, tpm } = options;
  const stop = untilSignal();
  const started = performance.now();
  const onProgress = (text: string) =>
    say(pc.dim(`[${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s] `) + text);
  const show = (report: DemoReport) => (options.json ? printJson(report) : printReport(report));
  try {
    const report = await runDemo({
      ...(runtime === undefined ? {} : { runtime }),
      tpm,
      signal: stop.signal,
      onProgress,
      ...(options.keep ? { keep: (platform, report) => lookAround(platform, report, show, stop.signal) } : {}),
    });
    if (!options.keep) show(report);
    return report.ok ? EXIT.good : EXIT.failed;
  } catch (error) {
    throw new PimsError("demo-failed", describeDemoEnd(error, stop.signal), { cause: error });
  } finally {
    stop.dispose();
  }
}

async function lookAround(
  platform: Platform,
  report: DemoReport,
  show: (report: DemoReport) => void,
  signal: AbortSignal,
): Promise<void> {
  show(report);
  say("");
  say("It goes on running. In another terminal:");
  say(`  bin/pims status --verifier ${platform.view.address}`);
  say(
    `  bin/pims attest ${platform.host} --verifier ${platform.view.address} --operator-token ${platform.verifierState}/operator-token`,
  );
  say(`  bin/pims log show ${platform.logPath}`);
  say(`  bin/pims log verify ${platform.logPath} --tpm ${platform.tpmAddress} --pcr ${platform.pcr}`);
  say(`  bin/pims baseline list --ledger ${platform.ledger.url} --registry ${platform.ledger.registry}`);
  say("  bin/pims scan");
  say("Ctrl-C ends it and removes everything.");
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

function printReport(report: DemoReport): void {
  const yes = (good: boolean) => (good ? pc.green("yes") : pc.red("no"));
  const ms = (value: number | null) => (value === null ? "-" : `${value} ms`);
  printLine();
  printLine(
    table([
      ["CONTAINER", "IMAGE", "VERDICT", "REASONS", "DONE", "ANSWERS", "REQUESTS"],
      ...report.containers.map((one) => [
        one.name,
        one.image,
        colourStatus(one.verdict),
        one.reasons.join(" ") || "-",
        one.action,
        one.answers ? "yes" : "no",
        String(one.requests),
      ]),
    ]),
  );
  printLine();
  printLine(
    table([
      ["ATTACK", "ON", "DETECTED", "REASON", "IN LOG AFTER", "VERDICT AFTER", "DONE"],
      ...report.attacks.map((one) => [
        one.name,
        one.container,
        yes(one.detected),
        one.reason ?? "-",
        ms(one.detectMs),
        ms(one.verdictMs),
        one.action,
      ]),
    ]),
  );
  for (const { finding } of report.attacks)
    if (finding !== null) for (const line of describeFinding(finding)) printLine(pc.dim(`  ${line}`));
  printLine();
  printLine(
    table([
      ["EVIDENCE TAMPERED WITH", "REFUSED", "REASON", ""],
      ...report.tampering.map((one) => [one.name, yes(one.refused), one.reason ?? "-", pc.dim(one.text)]),
    ]),
  );
  const problems = [
    ...report.problems,
    ...report.attacks.flatMap(({ name, problems }) => problems.map((text) => `${name}: ${text}`)),
    ...report.tampering.flatMap(({ name, problems }) => problems.map((text) => `${name}: ${text}`)),
  ];
  printLine();
  for (const problem of problems) printLine(pc.red(`not as it should be: ${problem}`));
  const seconds = (report.durationMs / 1000).toFixed(1);
  printLine(
    report.ok
      ? pc.green(`Everything was caught and refused, in ${seconds} s.`)
      : pc.red(`Not everything held (${seconds} s).`),
  );
}
