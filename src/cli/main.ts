import { Command } from "commander";
import { VERSION } from "../core/version.ts";
import { addAgent } from "./agent.ts";
import { addBaseline } from "./baseline.ts";
import { addDemo } from "./demo.ts";
import { addLedger } from "./ledger.ts";
import { addLog } from "./log.ts";
import { complain, EXIT } from "./output.ts";
import { addScan } from "./scan.ts";
import { addStatus } from "./status.ts";
import { addTpm } from "./tpm.ts";
import { addVerifier } from "./verifier.ts";

const program = new Command("pims")
  .description("Watches the code that containers execute in memory, and proves what it found to a verifier.")
  .version(VERSION)
  .showHelpAfterError("(run with --help for what it takes)")
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "pims: ")) });

for (const add of [addScan, addDemo, addStatus, addLog, addBaseline, addLedger, addAgent, addVerifier, addTpm])
  add(program);

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
