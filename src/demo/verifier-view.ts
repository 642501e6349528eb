import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { requestJson } from "../attest/http.ts";
import { type ContainerReport, type HostReport, hostReportSchema } from "../attest/report.ts";
import { PimsError } from "../core/errors.ts";

const POLL_MS = 20;
const recordsSchema = z.object({ records: z.array(z.string()) });

/** The verifier's verdicts, as anybody can read them over HTTP. */
export class VerifierView {
  /** As `parseVerifierAddress` takes it. */
  readonly address: string;
  readonly host: string;

  constructor(address: string, host: string) {
    this.address = address;
    this.host = host;
  }

  report(): Promise<HostReport> {
    return requestJson(this.address, `/v1/hosts/${this.host}`, hostReportSchema, { method: "GET", timeoutMs: 5000 });
  }

  /** Proved records as the host sent them, from this one on and as many as one answer holds. */
  async records(from: number): Promise<string[]> {
    const path = `/v1/hosts/${this.host}/records?from=${from}`;
    return (await requestJson(this.address, path, recordsSchema, { method: "GET", timeoutMs: 5000 })).records;
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
