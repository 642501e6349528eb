import { PimsError } from "../core/errors.ts";

/** Where a TPM is: a device of the kernel, or the server socket of a swtpm. */
export interface TpmAddress {
  readonly kind: "device" | "unix";
  readonly path: string;
}

/** The kernel's device with a resource manager, for several programs at once. */
const DEFAULT_DEVICE = "/dev/tpmrm0";

/** "device" (`/dev/tpmrm0`), "device:PATH" or "unix:PATH"; PimsError `tpm-unreachable` for anything else. */
export function parseTpmAddress(address: string): TpmAddress {
  if (address === "device") return { kind: "device", path: DEFAULT_DEVICE };
  const match = /^(device|unix):([^\0]+)$/s.exec(address);
  if (match === null)
    throw new PimsError("tpm-unreachable", `${JSON.stringify(address)} is not the address of a TPM`, {
      hint: "write device, device:PATH or unix:PATH",
    });
  return { kind: match[1] === "unix" ? "unix" : "device", path: match[2]! };
}

/**
 * The same TPM for tpm2-tools: the value of their `--tcti` or TPM2TOOLS_TCTI. Theirs expects the control socket of a
 * swtpm beside its server socket, as `startSwtpm` puts it.
 */
export function tctiOf(address: string): string {
  const { kind, path } = parseTpmAddress(address);
  return kind === "device" ? `device:${path}` : `swtpm:path=${path}`;
}
