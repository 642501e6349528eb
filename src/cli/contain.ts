import { hostname, userInfo } from "node:os";
import type { Command } from "commander";
import { requestJson } from "../attest/http.ts";
import { operate } from "../attest/operator.ts";
import { ORDER_ACTIONS, type OrderAction, type OrderAnswer, orderAnswerSchema } from "../attest/order.ts";
import { statusSchema } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import type { ContainerName } from "../log/finding.ts";
import { action } from "./command.ts";
import { EXIT, printJson, printLine } from "./output.ts";
import { OPERATOR_TOKEN, type OperatorOptions, operated } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

const DESCRIPTIONS: Readonly<Record<OrderAction, string>> = {
  pause: "stop every process of a container where it stands",
  resume: "let a paused container go on",
  kill: "end every process of a container",
};

interface Options extends OperatorOptions {
  readonly host?: string;
  readonly reason: string;
  readonly by: string;
  readonly timeout: string;
  readonly json?: boolean;
}

interface Target {
  readonly host: string;
  readonly container: ContainerName;
}

export function addContain(program: Command): void {
  const contain = program.command("contain").description("order a host's agent to act on a container");
  for (const what of ORDER_ACTIONS)
    contain
      .command(what)
      .description(DESCRIPTIONS[what])
      .argument("<container>", "its name or the beginning of its id")
      .requiredOption("--reason <text>", "why, for whoever reads the log")
      .option("--host <host>", "the host that it is on; needed where several have such a container")
      .option("--by <name>", "who asks, for whoever reads the log", whoAsks())
      .option("--timeout <seconds>", "how long to wait for the proof that it was done", "15")
      .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
      .option("--operator-token <file>", "the operator's token", OPERATOR_TOKEN)
      .option("--json", "print one object (pims.contain/v1)")
      .addHelpText(
        "after",
        "\nExit status: 0 done and proved, 1 not done, 3 sent, and nothing proves yet what came of it",
      )
      .action(action((wanted: string, options: Options) => order(what, wanted, options)));
}

/** A user without a name in the system's list has a number. */
function whoAsks(): string {
  let user: string;
  try {
    user = userInfo().username;
  } catch {
    user = String(process.getuid?.() ?? "somebody");
  }
  return `${user}@${hostname()}`.slice(0, 128);
}

async function order(what: OrderAction, wanted: string, options: Options): Promise<number> {
  const seconds = Number(options.timeout);
  if (!(seconds > 0 && seconds <= 30)) throw new PimsError("usage", "the timeout must be 1 to 30 seconds");
  const verifier = await operated(options);
  const { host, container } = await findTarget(verifier.address, wanted, options.host);
  const { runtime, id } = container;
  const answer = await operate(
    verifier,
    `/v1/hosts/${encodeURIComponent(host)}/orders?waitMs=${Math.round(seconds * 1000)}`,
    orderAnswerSchema,
    {
      body: { container: { runtime, id }, action: what, reason: options.reason, by: options.by },
      timeoutMs: seconds * 1000 + TIMEOUT_MS,
    },
  );
  if (options.json) printJson({ schema: "pims.contain/v1", host, container, action: what, ...answer });
  else printLine(describe(what, { host, container }, answer));
  if (answer.ended !== null) return answer.ended.outcome === "done" ? EXIT.good : EXIT.failed;
  return answer.fetched ? EXIT.undetermined : EXIT.failed;
}

/** The one living container that is meant. PimsError `container-unknown`, `usage`. */
async function findTarget(address: string, wanted: string, host: string | undefined): Promise<Target> {
  const { hosts } = await requestJson(address, "/v1/status", statusSchema, { method: "GET", timeoutMs: TIMEOUT_MS });
  const found = hosts
    .filter((one) => host === undefined || one.host === host)
    .flatMap((one) => one.containers.map(({ container, stoppedAt }) => ({ host: one.host, container, stoppedAt })))
    .filter(({ container, stoppedAt }) => {
      return stoppedAt === null && (container.name === wanted || container.id.startsWith(wanted));
    });
  // A whole id is meant as it stands, whatever other ids begin with it.
  const exact = found.filter(({ container }) => container.id === wanted);
  const [target, another] = exact.length === 1 ? exact : found;
  if (target === undefined)
    throw new PimsError("container-unknown", `no living container ${JSON.stringify(wanted)} is known there`, {
      hint: "'pims status' lists them; a new one is known from its host's next attestation on",
    });
  if (another !== undefined)
    throw new PimsError("usage", `several containers are called ${JSON.stringify(wanted)}`, {
      hint: "give --host, or more of the id",
    });
  return target;
}

function describe(what: OrderAction, { host, container }: Target, { id, fetched, ended }: OrderAnswer): string {
  const name = `${printable(container.name || container.id)} on ${printable(host)}`;
  if (ended !== null)
    return `${what} ${name}: ${ended.outcome}, ${printable(ended.text)} (order ${id}, record ${ended.record} of the proved log)`;
  if (fetched) return `${what} ${name}: the agent has the order ${id}, and no proved record tells yet what came of it`;
  return `${what} ${name}: the agent did not fetch the order, and it was withdrawn`;
}
