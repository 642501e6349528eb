import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;

/**
 * For tests: what a swtpm's maker does before `startSwtpm` starts it in the same folder. `caFolder` is where the certification
 * authority of endorsement keys lives, or is made; `options` are swtpm_setup's own.
 */
export async function setUpSwtpm(
  folder: string,
  options: readonly string[],
  caFolder = join(folder, "ca"),
): Promise<void> {
  const state = join(folder, "state");
  for (const path of [folder, state, caFolder]) await mkdir(path, { recursive: true, mode: 0o700 });
  const ca = join(caFolder, "localca.conf");
  const keys = ["signingkey = signkey.pem", "issuercert = issuercert.pem", "certserial = certserial"];
  const lines = keys.map((line) => line.replace(" = ", ` = ${caFolder}/`));
  await writeFile(ca, `statedir = ${caFolder}\n${lines.join("\n")}\n`);
  const configured = join(folder, "setup.conf");
  await writeFile(
    configured,
    `create_certs_tool = swtpm_localca\ncreate_certs_tool_config = ${ca}\ncreate_certs_tool_options = /dev/null\n`,
  );
  await run("swtpm_setup", ["--runas", "root", "--tpm2", "--tpm-state", state, "--config", configured, ...options], {
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
}
