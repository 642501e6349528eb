import type { Command } from "commander";
import { z } from "zod";
import { MAX_BUNDLE_BYTES, parseBundle } from "../attest/bundle.ts";
import { requestJson } from "../attest/http.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { replacePrivateFile } from "../core/private-file.ts";
import { action } from "./command.ts";
import { EXIT, say } from "./output.ts";
import { OPERATOR_TOKEN, type OperatorOptions, operated } from "./verifier-address.ts";

const TIMEOUT_MS = 120_000;

export function addBundle(program: Command): void {
  const bundle = program.command("bundle").description("evidence that others can check offline");
  bundle
    .command("export")
    .description("everything needed to check a host's last accepted evidence, as one file")
    .argument("<host>", "the host's name at the verifier")
    .option("--out <file>", "where to write it; standard output without it")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--operator-token <file>", "the operator's token", OPERATOR_TOKEN)
    .action(
      action(async (host: string, options: OperatorOptions & { out?: string }) => {
        const { address, token } = await operated(options);
        const path = `/v1/hosts/${encodeURIComponent(host)}/bundle`;
        const request = { method: "GET", token, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BUNDLE_BYTES } as const;
        const text = JSON.stringify(await requestJson(address, path, z.unknown(), request));
        const { evidence, log } = parseBundle(new Uint8Array(Buffer.from(text)));
        if (options.out === undefined) process.stdout.write(text);
        else await write(options.out, text);
        say(`pims: evidence of ${host} accepted at ${evidence.acceptedAt}, ${log.records.length} records`);
        return EXIT.good;
      }),
    );
}

/** Logs tell what ran on a host, so nobody else may read it. */
async function write(path: string, text: string): Promise<void> {
  try {
    await replacePrivateFile(path, text);
  } catch (cause) {
    throw new PimsError("file-unwritable", `${path} cannot be written (${errorCode(cause)})`, { cause });
  }
}
