import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { lookUpBaseline } from "../attest/reference-values.ts";
import type { ContainerRef } from "../container/types.ts";
import { systemClock } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { lockFolder } from "../core/folder-lock.ts";
import { lockName } from "../core/lock.ts";
import { VERSION } from "../core/version.ts";
import { PAGE_SIZE } from "../kernel/pagemap.ts";
import { openProcConnector } from "../kernel/proc-connector.ts";
import { BaselineCache } from "../ledger/baseline-cache.ts";
import { singleEndpointNotice } from "../ledger/config.ts";
import { followedFile } from "../ledger/header/followed-chain.ts";
import { heightFile } from "../ledger/header/ledger-height.ts";
import { LOG_FOLDER, MeasurementLog } from "../log/measurement-log.ts";
import { type Register, registerName } from "../log/register.ts";
import { Sweeper } from "../measure/sweep.ts";
import { requireRoot } from "../process/root.ts";
import { act, ownContainer } from "../respond/act.ts";
import { Agent } from "./agent.ts";
import type { AgentConfig } from "./config.ts";
import { ContainerNames } from "./container-names.ts";
import { readState } from "./earlier-boots.ts";
import { enroll, findVerifier, useHostToken } from "./enrollment.ts";
import { AgentGate } from "./gate.ts";
import { OrderTaker } from "./order-taker.ts";
import { readOrdersKey } from "./orders-key.ts";
import { reportFault } from "./report-fault.ts";
import { listenForStarts } from "./start-socket.ts";
import { openTpmAnchor, type TpmAnchor } from "./tpm-anchor.ts";
import { VerifierClient } from "./verifier-client.ts";

/**
 * Runs the agent until `stop` is aborted. Throws `not-root`, `agent-in-use`, `tpm-unreachable`, `not-enrolled`, `join-invalid`, and what
 * opening the log and appending to it throw; a verifier or chain that does not answer is waited for.
 */
export async function runAgent(config: AgentConfig, stop: AbortSignal, report: (text: string) => void): Promise<void> {
  requireRoot("pims agent run");
  await mkdir(config.state, { recursive: true, mode: 0o700 });
  // Two agents on one log would write each other's record numbers: then nothing of it proves anything any more.
  const closing: (() => Promise<void>)[] = [await lockFolder(config.state, "agent-in-use", "runs an agent")];
  try {
    const anchor = await openTpmAnchor(config.tpm, config.pcr);
    closing.push(() => anchor.close());
    closing.push(await lockRegister(config, anchor));
    const verifier = new VerifierClient(await findVerifier(config), config.host);
    const enrolled = await useHostToken(config, verifier);
    const opened = await openLog(config, anchor.register).catch(async (error: unknown) => {
      if (enrolled) await reportFault(error, config.state, anchor, verifier);
      throw error;
    });
    const { log } = opened;
    closing.push(() => log.close());
    if (!enrolled && !(await enroll(config, verifier, anchor, stop, report))) return;
    const heights = heightFile(join(config.state, LEDGER_HEIGHT_FILE));
    const followed = followedFile(join(config.state, LEDGER_FOLLOWED_FILE));
    const notice = singleEndpointNotice(config.ledger);
    if (notice !== undefined) report(notice);
    const cache = new BaselineCache(config.ledger, undefined, systemClock, { heights, followed, report });
    const names = new ContainerNames(report);
    const sweeper = new Sweeper({ scope: "containers", method: config.method, scrubPages: scrubPages(config) });
    const orders = new OrderTaker({
      ...{ host: config.host, policy: config.policy, clock: systemClock, act, report },
      ownContainer: await ownContainer(),
      key: () => readOrdersKey(config.state, verifier, report),
    });
    const agent = new Agent(
      { ...config, version: VERSION },
      {
        log,
        ...(await readState(join(config.state, LOG_FOLDER), opened, report)),
        sweeper,
        verifier,
        quote: anchor.quote,
        quotePlatform: anchor.quotePlatform,
        clock: systemClock,
        lookUp: (identity) => lookUpBaseline(cache, identity),
        nameContainer: (container) => names.name(container),
        enrollAgain: () => enroll(config, verifier, anchor, stop, report),
        act,
        orders,
        report,
      },
    );
    stop.addEventListener("abort", () => agent.stop(), { once: true });
    if (stop.aborted) agent.stop();
    const connector = await openExecEvents(agent, report);
    closing.push(connector);
    closing.push(await openGate(config, names, cache, agent, report));
    report(`the agent watches ${config.host}, ${log.length} records in its log`);
    await agent.run().catch(async (error: unknown) => {
      await reportFault(error, config.state, anchor, verifier);
      throw error;
    });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** Two agents on one register would each take the other's extends for somebody else's. */
function lockRegister(config: AgentConfig, anchor: TpmAnchor): Promise<() => Promise<void>> {
  return lockName(`register-${anchor.identity}-${config.pcr}`, {
    code: "agent-in-use",
    text: `another agent on this host extends ${registerName(config.pcr)}`,
    hint: "stop that one first, or give this one another register by its setting 'pcr'",
  });
}

async function openLog(config: AgentConfig, register: Register) {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return MeasurementLog.open(join(config.state, LOG_FOLDER), register, bootId);
}

/** In the state folder: the highest block of the ledger that was believed. */
const LEDGER_HEIGHT_FILE = "ledger-height";
/** How far a Clique chain was followed. */
const LEDGER_FOLLOWED_FILE = "ledger-followed";
/** So many in one sweep that nothing else waits for long; a longer interval lowers the rate. */
const MAX_SCRUB_PAGES = 16_384;

function scrubPages({ scrubBytesPerSecond, sweepIntervalMs }: AgentConfig): number {
  const bytes = (scrubBytesPerSecond * sweepIntervalMs) / 1000;
  return Math.min(MAX_SCRUB_PAGES, Math.ceil(bytes / Number(PAGE_SIZE)));
}

/** Without a gate nothing is prevented; the sweeps find what runs. */
async function openGate(
  config: AgentConfig,
  names: ContainerNames,
  cache: BaselineCache,
  agent: Agent,
  report: (text: string) => void,
): Promise<() => Promise<void>> {
  try {
    const askRuntime = (container: ContainerRef) => names.ask(container);
    const modules = { askRuntime, lookUp: (identity: string) => cache.lookUp(identity), report };
    const gate = await AgentGate.open(config.gate, modules, agent);
    if (gate === null) return async () => {};
    const starts = await listenForStarts(config.state, (pid) => gate.mark(pid));
    return async () => {
      await starts.close();
      await gate.close();
    };
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    report(`no gate before exec: ${describeError(error)}`);
    return async () => {};
  }
}

/** Without exec events every sweep still sees everything that lives at its time. */
async function openExecEvents(agent: Agent, report: (text: string) => void): Promise<() => Promise<void>> {
  try {
    const connector = await openProcConnector({
      onExec: (pids, lost) => agent.onExec(pids, lost),
      onError: (error) => report(`exec events ended: ${describeError(error)}`),
    });
    return () => connector.close();
  } catch (error) {
    report(`no exec events, sweeps only: ${describeError(error)}`);
    return async () => {};
  }
}
