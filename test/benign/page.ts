import type { Description } from "./readme.ts";

/** docs/benign.md: what the READMEs say, once a run has shown that it is so. */
export function benignPage(descriptions: readonly Description[]): string {
  const rows = descriptions.map(({ name, runs, load, earned }) => {
    const found = earned.map(
      ({ reason, object, says }) => `\`${reason}\` of \`${object}\`${says === "" ? "" : ` ("${says}")`}`,
    );
    return `| [${name}](../test/benign/${name}/README.md) | ${runs} | ${load} | ${found.join(", ") || "nothing"} |`;
  });
  const silent = descriptions.filter(({ earned }) => earned.length === 0).length;
  return `# Busy software, and what PIMS makes of it

Written by \`npm run test:benign\`, which runs [the benign corpus](../test/benign/README.md): software from Debian packages, each
in a container of its own, under load for a minute at least, with a sweep every second and each exec looked at: once with the
newest calls of the kernel and once with those of older kernels. The page is written only when all of it is so.

${silent} of ${descriptions.length} are found for nothing. The others do something that a person ought to hear of, and are found for exactly that.

| case | what runs | under what | found |
|---|---|---|---|
${rows.join("\n")}
`;
}
