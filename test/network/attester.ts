import { join } from "node:path";
import { VerifierClient } from "../../src/agent/verifier-client.ts";
import { codeEvent, containerOf, digestOf, startEvent } from "../../src/attest/sample-events.ts";
import { TestHost } from "../../src/attest/testing.ts";
import { formatEntry, formatHeader } from "../../src/baseline/format.ts";
import { joinToken } from "../../src/verifier/testing.ts";
import type { VerifierProcess } from "./verifier-process.ts";

/** The host whose containers the verifiers judge. */
export const ATTESTER = "web1";
const PROGRAM = "/usr/bin/server";

/** A host with a software TPM and one container of each image, that proves to any verifier that its image's program runs in it. */
export class Attester {
  readonly #host: TestHost;

  private constructor(host: TestHost) {
    this.#host = host;
  }

  static async start(images: readonly string[], after: (undo: () => Promise<void>) => void): Promise<Attester> {
    const host = await TestHost.start({ after });
    const containers = images.map((name) => containerOf(name));
    await host.append(...containers.flatMap((container) => [startEvent(container), codeEvent(container, PROGRAM)]));
    return new Attester(host);
  }

  async proveTo({ address, folder }: VerifierProcess): Promise<void> {
    const client = new VerifierClient(address, ATTESTER);
    client.useToken(await client.enroll(this.#host, await joinToken({ address }, join(folder, "state"), ATTESTER)));
    const outcome = await client.evidence(await this.#host.answerTo(await client.nonce()));
    if (!outcome.accepted) throw new Error(`evidence was refused: ${outcome.text}`);
  }
}

/** The image that a container of this name is made of. */
export function identityOf(name: string): string {
  return containerOf(name).image!;
}

/** A baseline of that image: the program that runs in it, and as many files more. */
export function linesOf(name: string, more = 0): string[] {
  const paths = Array.from({ length: more }, (_, index) => `/usr/lib/lib${String(index).padStart(6, "0")}.so`);
  const entries = [PROGRAM, ...paths].sort().map((path) => {
    const kind = path === PROGRAM ? ("executable" as const) : ("library" as const);
    return formatEntry({ path, kind, size: 10n, sha256: digestOf(path), segments: [] });
  });
  const header = { identity: identityOf(name), name, architecture: "amd64", ports: [], entrypoint: [], jit: [] };
  return [formatHeader({ ...header, entries: entries.length }), ...entries];
}
