import type { Description, Earned } from "./readme.ts";

/** docs/benign.md: what the READMEs say, once a run has shown that it is so. */
export function benignPage(descriptions: readonly Description[]): string {
  const rows = descriptions.map(({ name, runs, load, earned, enforced }) => {
    const found = words(earned);
    return `| [${name}](../test/benign/${name}/README.md) | ${runs} | ${load} | ${found} | ${words(enforced ?? earned)} |`;
  });
  const silent = descriptions.filter(({ earned }) => earned.length === 0).length;
  return `# Busy software, and what PIMS makes of it

Written by \`npm run test:benign\`, which runs [the benign corpus](../test/benign/README.md): software from Debian packages, each
in a container of its own, under load for a minute at least, with a sweep every second and each exec looked at: once with the
newest calls of the kernel and once with those of older kernels; and then once more, by both, with [the gate](gate.md) in \`enforce\`. The page is written only when all of it is so.

${silent} of ${descriptions.length} are found for nothing. The others do something that a person ought to hear of, and are found for exactly that.

The software works in \`enforce\` as it does without, and no program is refused but where \`exec-denied\` stands.

| case | what runs | under what | found | in \`enforce\` |
|---|---|---|---|---|
${rows.join("\n")}
`;
}

function words(earned: readonly Earned[]): string {
  const found = earned.map(({ reason, object, says }) => {
    const quoted = says === "" ? "" : ` ("${says}")`;
    return `\`${reason}\` of \`${object}\`${quoted}`;
  });
  return found.join(", ") || "nothing";
}
