import type { Description } from "./readme.ts";
import { OUTCOMES } from "./readme.ts";

/** docs/attacks.md: what the READMEs say, once a run has shown that it is so. */
export function attacksPage(descriptions: readonly Description[]): string {
  const counts = OUTCOMES.map((outcome) => {
    const count = descriptions.filter((one) => one.outcome === outcome).length;
    return `${count} ${outcome}`;
  });
  const preventedCount = descriptions.filter(({ prevented }) => prevented !== null).length;
  const rows = descriptions.flatMap((description) =>
    [description, ...description.also].map(({ reason, process, object, outcome }, index) => {
      const { name, imitates, technique, prevented } = description;
      const attack =
        index > 0 ? "| | | |" : `| [${name}](../test/attacks/${name}/README.md) | ${imitates} | ${technique} |`;
      return `${attack} \`${reason}\` | ${process} | \`${object}\` | ${outcome} | ${index > 0 ? "" : prevented === null ? outcome : "prevented"} |`;
    }),
  );
  return `# Attacks, and what PIMS makes of them

Written by \`npm run test:attacks\`, which carries out every attack of [the corpus](../test/attacks/README.md) on a container of its
own and compares what is found with this table: once with the newest calls of the kernel and once with those of older kernels; and once
more with [the gate](gate.md) in \`enforce\`.
The page is written only when all of it is so.

${counts.join(", ")}, of ${descriptions.length}; with the gate in \`enforce\`, ${preventedCount} prevented.

- *prevented*: the code does not run, since the gate refuses it (\`exec-denied\`).
- *detected*: the reason, the process and the object are reported, and nothing else is.
- *missed*: the attack takes effect and nothing is reported. The reason is the one that it ought to be; it may not exist yet.
- *not covered*: no code is changed, only data. Such attacks are outside code integrity, and PIMS does not claim to see them.

A chain of several steps has a line for each; the first one counts.

| attack | imitates | ATT&CK | reason | process | object | outcome | in \`enforce\` |
|---|---|---|---|---|---|---|---|
${rows.join("\n")}
`;
}
