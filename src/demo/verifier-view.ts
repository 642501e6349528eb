import { setTimeout as sleep } from "node:timers/promises";
import { requestJson } from "../attest/http.ts";
import { type ContainerReport, type HostReport, hostReportSchema } from "../attest/report.ts";
import { PimsError } from "../core/errors.ts";

const POLL_MS = 20;

/** The verifier's verdicts, as anybody can read them over HTTP. */
export class VerifierView {
  readonly url: string;
  readonly host: string;

  constructor(url: string, host: string) {
    this.url = url;
    this.host = host;
  }

  report(): Promise<HostReport> {
    return requestJson(`${this.url}/v1/hosts/${this.host}`, hostReportSchema, { method: "GET", timeoutMs: 5000 });
  }

  async container(id: string): Promise<ContainerReport | undefined> {
    return (await this.report()).containers.find(({ container }) => container.id === id);
  }

  /** Waits until the report is as wished. Throws `demo-timeout` with the last report's state. */
  async waitUntil(
    what: string,
    timeoutMs: number,
    signal: AbortSignal,
    wished: (report: HostReport) => boolean,
  ): Promise<HostReport> {
    const deadline = performance.now() + timeoutMs;
    let last = "no report";
    for (;;) {
      signal.throwIfAborted();
      try {
        const report = await this.report();
        if (wished(report)) return report;
        last = `evidence ${report.evidence}, ${report.containers.map(({ container, status }) => `${container.name} ${status}`).join(", ") || "no containers"}`;
      } catch (error) {
        if (!(error instanceof PimsError)) throw error;
        last = error.message;
      }
      if (performance.now() > deadline)
        throw new PimsError("demo-timeout", `${what} did not happen within ${timeoutMs / 1000} s (${last})`);
      await sleep(POLL_MS);
    }
  }
}
