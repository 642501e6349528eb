// What this room's tests share: a log whose every step can be made to fail, on real files and a real TPM.
import assert from "node:assert/strict";
import { bytesEqual, fromHex } from "../core/bytes.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import type { Tpm } from "../tpm/tpm.ts";
import type { LogEvent } from "./event.ts";
import { diskFiles, type LogFile, type LogFiles } from "./log-files.ts";
import { type LogRecord, parseRecord } from "./record.ts";
import type { Register } from "./register.ts";
import { replay } from "./replay.ts";
import { segmentsAt } from "./scan-log.ts";
import { linesOf } from "./segments.ts";

/** Anybody can reset it, as a reboot does with all others. */
export const PCR = 16;
export const BOOTS = [1, 2, 3].map((number) => `00000000-0000-4000-8000-00000000000${number}`);

/** An event that is told from all others. */
export function numbered(number: number): LogEvent {
  return { type: "gap", time: "2026-01-02T03:04:05.678Z", text: `event ${number}, ünïcode` };
}

/** The register of a TPM. */
export function registerOf(tpm: Tpm): Register {
  return {
    pcr: PCR,
    read: async () => (await pcrRead(tpm, "sha256", [PCR])).get(PCR)!,
    extend: (digest) => pcrExtend(tpm, "sha256", PCR, fromHex(digest)),
  };
}

/** Called at each step with its name and a text to tell it by; it throws where the fault is to be. */
export type Step = (name: string, path: string) => void | Promise<void>;

/** Real files with a step before and after each thing that is done to them, and one half-way through each write. */
export function steppedFiles(step: Step): LogFiles {
  const around = async <T>(name: string, path: string, work: () => Promise<T>): Promise<T> => {
    await step(`before ${name}`, path);
    const result = await work();
    await step(`after ${name}`, path);
    return result;
  };
  const steppedFile = (file: LogFile, path: string): LogFile => ({
    append: (text) =>
      around("write", path, async () => {
        const bytes = Buffer.from(text);
        // In the middle of a character, too.
        await file.append(bytes.subarray(0, bytes.lastIndexOf(0xc3) + 1));
        await step("half a line", path);
        await file.append(bytes.subarray(bytes.lastIndexOf(0xc3) + 1));
      }),
    sync: () => around("fsync", path, () => file.sync()),
    truncate: (bytes) => around("truncate", path, () => file.truncate(bytes)),
    close: () => file.close(),
  });
  return {
    async open(path) {
      await step("before open", path);
      const file = await diskFiles.open(path);
      try {
        await step("after open", path);
      } catch (error) {
        await file.close();
        throw error;
      }
      return steppedFile(file, path);
    },
    write: (path, text) => around("draft", path, () => diskFiles.write(path, text)),
    link: (path, name) => around("link", path, () => diskFiles.link(path, name)),
    rename: (path, name) => around("rename", path, () => diskFiles.rename(path, name)),
    remove: (path) => around("remove", path, () => diskFiles.remove(path)),
    syncFolder: (folder) => around("fsync of the folder", folder, () => diskFiles.syncFolder(folder)),
  };
}

/** A register with a step before and after each extend. */
export function steppedRegister(register: Register, step: Step): Register {
  return {
    pcr: register.pcr,
    read: () => register.read(),
    async extend(digest) {
      await step("before extend", digest);
      await register.extend(digest);
      await step("after extend", digest);
    },
  };
}

/** The log's whole records, which must lead to what the register holds. */
export async function agreeing(path: string, register: Register): Promise<LogRecord[]> {
  const { segments, start } = await segmentsAt(path);
  const records: LogRecord[] = [];
  for await (const line of linesOf(segments)) {
    assert.ok(line.endsWith("\n"), "no torn line is left");
    records.push(parseRecord(line.slice(0, -1), segments[0]!.from + records.length));
  }
  const value = replay(
    records.map(({ digest }) => digest),
    start,
  );
  assert.ok(bytesEqual(value, await register.read()), "log and register agree");
  return records;
}

/** The numbers of the numbered events in these records. */
export function numbersIn(records: readonly LogRecord[]): number[] {
  return records.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === "gap" ? Number(/^event (\d+)/.exec(event.text)![1]) : [])),
  );
}
