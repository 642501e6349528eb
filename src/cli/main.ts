import { Command, Help, type Option } from "commander";
import { VERSION } from "../core/version.ts";
import { complain, EXIT } from "./output.ts";

type Add = (program: Command) => void;

/** Each command's file, and all that it needs, is loaded only for that command: `pims log` needs no chain. */
const commands: Readonly<Record<string, () => Promise<Add>>> = {
  scan: async () => (await import("./scan.ts")).addScan,
  demo: async () => (await import("./demo.ts")).addDemo,
  status: async () => (await import("./status.ts")).addStatus,
  attest: async () => (await import("./attest.ts")).addAttest,
  contain: async () => (await import("./contain.ts")).addContain,
  log: async () => (await import("./log.ts")).addLog,
  baseline: async () => (await import("./baseline.ts")).addBaseline,
  ledger: async () => (await import("./ledger.ts")).addLedger,
  agent: async () => (await import("./agent.ts")).addAgent,
  verifier: async () => (await import("./verifier.ts")).addVerifier,
  release: async () => (await import("./release.ts")).addRelease,
  bundle: async () => (await import("./bundle.ts")).addBundle,
  verify: async () => (await import("./verify.ts")).addVerify,
  host: async () => (await import("./host.ts")).addHost,
  tpm: async () => (await import("./tpm.ts")).addTpm,
};

const { optionDescription } = Help.prototype;

function describeOption(this: Help, option: Option): string {
  // An empty list is what an option that may be given again begins with, nothing to choose.
  const text = optionDescription.call(this, option).replace(" (default: [])", "");
  return option.mandatory ? `${text} (required)` : text;
}

const program = new Command("pims")
  .description("Watches the code that containers execute in memory, and proves what it found to a verifier.")
  .version(VERSION)
  .showHelpAfterError("(run with --help for what it takes)")
  .configureHelp({ optionDescription: describeOption })
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "pims: ")) });

const [name] = process.argv.slice(2);
const wanted = name !== undefined && Object.hasOwn(commands, name) ? [name] : Object.keys(commands);
for (const one of wanted) (await commands[one]!())(program);

// A reader that has seen enough closes the pipe: no reason to complain.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.good);
  throw error;
});
process.on("uncaughtException", (error) => {
  complain(error);
  process.exit(EXIT.failed);
});

await program.parseAsync();
