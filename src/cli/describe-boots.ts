import type { HostReport } from "../attest/report.ts";

/** What has happened to a host's power, and what was lost with it; undefined when nothing has. */
export function describeBoots({ known, told, unloggedResets, resumes, last }: HostReport["boots"]): string | undefined {
  const said: string[] = [];
  if (known > 1) said.push(`rebooted ${times(known - 1)}, the last boot first seen at ${last.at(-1)?.since ?? "-"}`);
  if (told > 0) said.push(`${told} ${told === 1 ? "record was" : "records were"} told after a reboot and never proved`);
  if (unloggedResets > 0) said.push(`the TPM was reset ${times(unloggedResets)} without a log that tells of it`);
  if (resumes > 0)
    said.push(`its TPM was suspended ${times(resumes)}, so what was not proved before that may be missing`);
  return said.length === 0 ? undefined : said.join("; ");
}

/** A line for each of a host's last boots. */
export function bootRows({ last }: HostReport["boots"]): string[][] {
  return last.map(({ bootId, since, records, proved, unloggedResets, resumes }) => [
    `  boot ${bootId ?? "-"}`,
    since,
    `${proved} of ${records} records proved`,
    unloggedResets === 0 ? "" : `${times(unloggedResets)} reset before it without a log`,
    resumes === 0 ? "" : `suspended ${times(resumes)}`,
  ]);
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
