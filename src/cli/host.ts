import type { Command } from "commander";
import { requestJson } from "../attest/http.ts";
import { type HostPlatform, hostPlatformSchema } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";
import { action } from "./command.ts";
import { bootRows, describeBoots } from "./describe-boots.ts";
import { describeNotice, describeTpm } from "./describe-tpm.ts";
import { addHostEnroll, addHostList, addHostRevoke } from "./host-decisions.ts";
import { colourStatus, EXIT, printJson, printLine, table } from "./output.ts";
import { verifierAddress } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

export function addHost(program: Command): void {
  const host = program.command("host").description("the hosts that a verifier knows");
  host
    .command("show")
    .description("a host's TPM, its boots, how it booted, and the links of trust below its agent")
    .argument("<host>", "its name")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--json", "print one object (pims.host-platform/v1)")
    .action(
      action(async (name: string, options: { verifier?: string; json?: boolean }) => {
        const address = await verifierAddress(options.verifier);
        const path = `/v1/hosts/${encodeURIComponent(name)}/platform`;
        const shown = await requestJson(address, path, hostPlatformSchema, { method: "GET", timeoutMs: TIMEOUT_MS });
        if (options.json) printJson(shown);
        else printPlatform(shown);
        return exitStatus(shown);
      }),
    );
  addHostList(host);
  addHostEnroll(host);
  addHostRevoke(host);
}

function exitStatus({ platform, notice }: HostPlatform): number {
  if (notice !== null) return EXIT.findings;
  if (platform === null) return EXIT.undetermined;
  if (platform.verdict.reasons.length > 0) return EXIT.findings;
  return platform.verdict.links.every(({ state }) => state === "proved") ? EXIT.good : EXIT.undetermined;
}

function printPlatform({ host, tpm, notice, boots, platform }: HostPlatform): void {
  printLine(`host ${host}:`);
  printLine(`  ${describeTpm(tpm)}`);
  const noticed = describeNotice(notice);
  if (noticed !== undefined) printLine(`  ${noticed}`);
  const power = describeBoots(boots);
  if (power !== undefined) printLine(`  ${power}`);
  if (boots.last.length > 0) printLine(table(bootRows(boots)));
  if (platform === null) {
    printLine("  the verifier's configuration asks for its log only, not for what is below its agent");
    return;
  }
  const { state, verdict } = platform;
  printLine(table(verdict.links.map(({ link, state, text }) => [`  ${link}`, colourStatus(state), printable(text)])));
  for (const { reason, text } of verdict.reasons) printLine(`  ${reason}: ${printable(text)}`);
  if (state === null) return;
  printLine();
  printLine(table(state.pcrs.map((value, pcr) => [`PCR ${pcr}`, value])));
  if (state.firmware === null || state.firmware.steps.length === 0) return;
  printLine();
  const rows = state.firmware.steps.map(({ pcr, type, digest, text, bound }) => {
    // What the digest is not of is the firmware's word only.
    return [String(pcr), type, digest.slice(0, 16), bound ? "proved" : "said", printable(text)];
  });
  printLine(table([["PCR", "EVENT", "DIGEST", "TEXT IS", "WHAT"], ...rows]));
  if (state.firmware.more > 0) printLine(`and ${state.firmware.more} more`);
}
