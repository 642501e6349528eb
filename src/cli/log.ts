import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { type LogReport, verifyLog } from "../attest/verify-log.ts";
import { fromHex } from "../core/bytes.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { LOG_FILE, LOG_FOLDER } from "../log/measurement-log.ts";
import { isNvIndex, parseRegister } from "../log/pcr.ts";
import { parseRecord } from "../log/record.ts";
import { segmentsAt } from "../log/scan-log.ts";
import { linesFrom, linesOf } from "../log/segments.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { unwrapPublic } from "../tpm/public.ts";
import { openTpm } from "../tpm/tpm.ts";
import { action } from "./command.ts";
import { describeEvent } from "./describe.ts";
import { EXIT, printJson, printLine, printPatiently, say } from "./output.ts";

/** The agent's state folder; the log is in it. */
const DEFAULT_LOG = "/var/lib/pims/agent";

export function addLog(program: Command): void {
  const log = program.command("log").description("read and check a measurement log");
  log
    .command("show")
    .description("a line for each event, with container, process, path and digest")
    .argument("[file]", "the log, or the agent's state folder", DEFAULT_LOG)
    .option("--type <types>", "only events of these types, separated by commas")
    .option("--json", "an event a line, as in the log, with its record number")
    .addHelpText(
      "after",
      "\nExit status: 0 shown, 1 not a log, or broken at some record (what stands before it is shown)",
    )
    .action(
      action(async (file: string, options: { type?: string; json?: boolean }) => {
        const types = options.type?.split(",");
        const { segments } = await segmentsAt(await logPath(file));
        let recnum = segments[0]!.from;
        for await (const line of linesOf(segments)) {
          const record = parseRecord(line.replace(/\n$/, ""), recnum++);
          for (const event of record.events) {
            if (types !== undefined && !types.includes(event.type)) continue;
            if (options.json) await printPatiently(JSON.stringify({ recnum: record.recnum, ...event }));
            else await printPatiently(`${String(record.recnum).padStart(6)} ${describeEvent(event)}`);
          }
        }
        return EXIT.good;
      }),
    );
  log
    .command("export")
    .description("all records that are there as one file, as 'pims log verify' and other programs read it")
    .argument("[file]", "the log, or the agent's state folder", DEFAULT_LOG)
    .addHelpText("after", "\nExit status: 0 written, 1 not a log")
    .action(
      action(async (file: string) => {
        const { segments } = await segmentsAt(await logPath(file));
        for await (const line of linesFrom(segments, segments[0]!.from)) await printPatiently(line);
        return EXIT.good;
      }),
    );
  log
    .command("verify")
    .description("replay a log against the value of its register or against a quote, and say where it first disagrees")
    .argument("[file]", "the log, or the agent's state folder", DEFAULT_LOG)
    .option("--value <hex>", "the register's value, 64 hexadecimal digits")
    .option("--tpm <address>", "read the value from this TPM: device, device:PATH, unix:PATH or tcp:HOST:PORT")
    .option("--quote <file>", "a quote (TPMS_ATTEST), with --signature and --ak")
    .option("--signature <file>", "its signature (TPMT_SIGNATURE)")
    .option("--ak <file>", "the attestation key (TPMT_PUBLIC or TPM2B_PUBLIC)")
    .option("--nonce <hex>", "the nonce that the quote must answer")
    .option("--others <file>", "where the quote is of more PCRs: the values of the others, as tpm2_pcrread prints them")
    .option("--pcr <register>", "which PCR, or an NV index as nv:0x01800000", "13")
    .option("--json", "print one object (pims.log-verify/v1)")
    .addHelpText("after", "\nExit status: 0 it agrees, 1 could not be checked, 2 it disagrees")
    .action(
      action(async (file: string, options: VerifyOptions) => {
        const path = await logPath(file);
        const pcr = parseRegister(options.pcr);
        const report = await verify(path, pcr, options);
        if (options.json) printJson({ schema: "pims.log-verify/v1", ...report });
        else {
          const pruned = report.from === 0 ? "" : `, from record ${report.from} on,`;
          printLine(`${report.records} records${pruned} replay to ${report.value}`);
          if (report.agrees) printLine(report.from === 0 ? "the log agrees" : `the log agrees: ${report.text}`);
          else say(`pims: ${report.reason}: ${report.text}`);
        }
        return report.agrees ? EXIT.good : EXIT.findings;
      }),
    );
}

const MAX_TRIES = 5;
const RETRY_MS = 200;

interface VerifyOptions {
  value?: string;
  tpm?: string;
  quote?: string;
  signature?: string;
  ak?: string;
  nonce?: string;
  others?: string;
  pcr: string;
  json?: boolean;
}

/** A running agent appends while log and PCR are read one after the other, so a disagreement must last to be one. */
async function verify(path: string, pcr: number, options: VerifyOptions): Promise<LogReport> {
  for (let tries = 1; ; tries++) {
    const report = await verifyLog(path, pcr, await expectation(options, pcr));
    const mayChange = report.reason === "pcr-mismatch" || report.reason === "log-broken";
    if (!mayChange || options.tpm === undefined || tries === MAX_TRIES) return report;
    await sleep(RETRY_MS);
  }
}

async function expectation(options: VerifyOptions, pcr: number): Promise<Parameters<typeof verifyLog>[2]> {
  if ([options.value, options.tpm, options.quote].filter((given) => given !== undefined).length !== 1)
    throw new PimsError("usage", "a log is checked against exactly one of --value, --tpm and --quote");
  if (options.value !== undefined) {
    if (!/^[0-9a-fA-F]{64}$/.test(options.value))
      throw new PimsError("usage", "the value of a register is 64 hexadecimal digits");
    return { kind: "value", value: new Uint8Array(Buffer.from(options.value, "hex")) };
  }
  if (options.tpm !== undefined) {
    const tpm = await openTpm(options.tpm);
    try {
      const value = isNvIndex(pcr)
        ? await new NvRegister(tpm, pcr).read()
        : (await pcrRead(tpm, "sha256", [pcr])).get(pcr)!;
      return { kind: "value", value };
    } finally {
      await tpm.close();
    }
  }
  if (options.signature === undefined || options.ak === undefined || options.nonce === undefined)
    throw new PimsError("usage", "a quote is checked with --signature, --ak and --nonce");
  if (!/^([0-9a-fA-F]{2}){1,64}$/.test(options.nonce))
    throw new PimsError("usage", "a nonce is 1 to 64 bytes in hexadecimal");
  const read = async (path: string) => new Uint8Array(await readSmall(path));
  return {
    kind: "quote",
    attest: await read(options.quote!),
    signature: await read(options.signature),
    ak: bareKey(await read(options.ak)),
    nonce: new Uint8Array(Buffer.from(options.nonce, "hex")),
    ...(options.others === undefined ? {} : { others: readValues(await readSmall(options.others), pcr) }),
  };
}

/** A line for each PCR, "  7 : 0x…" or "7 …"; lines without a value, as the bank's name, are left out. */
function readValues(file: Buffer, own: number): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  for (const line of file.toString("latin1").split("\n")) {
    const [, index, value] = /^\s*(\d{1,2})\s*:?\s*(?:0x)?([0-9a-fA-F]{64})\s*$/.exec(line) ?? [];
    if (index !== undefined && Number(index) < 24) values.set(Number(index), fromHex(value!));
  }
  // The log says what this one is.
  values.delete(own);
  if (values.size === 0) throw new PimsError("usage", "the file of --others has no value of another PCR");
  return values;
}

/** A TPM2B_PUBLIC begins with the size of the TPMT_PUBLIC in it; a TPMT_PUBLIC with its type, which is no such number. */
function bareKey(key: Uint8Array): Uint8Array {
  const size = key.length < 2 ? -1 : key[0]! * 256 + key[1]!;
  return size === key.length - 2 ? unwrapPublic(key) : key;
}

async function readSmall(path: string): Promise<Buffer> {
  try {
    if ((await stat(path)).size > 65_536) throw new PimsError("usage", `${path} is too large for what it should be`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof PimsError) throw error;
    throw new PimsError("file-unreadable", `${path} cannot be read (${errorCode(error) ?? describeError(error)})`, {
      cause: error,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function logPath(file: string): Promise<string> {
  try {
    const stats = await stat(file);
    if (!stats.isDirectory()) return file;
    const inState = join(file, LOG_FOLDER, LOG_FILE);
    return (await exists(inState)) ? inState : await logPath(join(file, LOG_FILE));
  } catch (error) {
    if (error instanceof PimsError) throw error;
    throw new PimsError("log-unreadable", `there is no measurement log at ${file} (${errorCode(error)})`, {
      hint: "give the agent's state folder or the log's path",
      cause: error,
    });
  }
}
