import { PimsError } from "../core/errors.ts";

/** Where a TPM is: a device of the kernel, or the server socket of a swtpm. */
export type TpmAddress =
  | { readonly kind: "device" | "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** The kernel's device with a resource manager, for several programs at once. */
const DEFAULT_DEVICE = "/dev/tpmrm0";

/** "device" (`/dev/tpmrm0`), "device:PATH", "unix:PATH" or "tcp:HOST:PORT"; PimsError `tpm-unreachable` for anything else. */
export function parseTpmAddress(address: string): TpmAddress {
  if (address === "device") return { kind: "device", path: DEFAULT_DEVICE };
  const [, kind, path] = /^(device|unix):([^\0]+)$/s.exec(address) ?? [];
  if (path !== undefined) return { kind: kind === "unix" ? "unix" : "device", path };
  const [, bracketed, plain, port] = /^tcp:(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined && Number(port) > 0 && Number(port) < 65536) return { kind: "tcp", host, port: Number(port) };
  throw new PimsError("tpm-unreachable", `${JSON.stringify(address)} is not the address of a TPM`, {
    hint: "write device, device:PATH, unix:PATH or tcp:HOST:PORT",
  });
}

/**
 * The same TPM for tpm2-tools: the value of their `--tcti` or TPM2TOOLS_TCTI. Theirs expects the control socket of a
 * swtpm beside its server socket, as `startSwtpm` puts it, or on the port after the server's.
 */
export function tctiOf(address: string): string {
  const place = parseTpmAddress(address);
  if (place.kind === "tcp") return `swtpm:host=${place.host},port=${place.port}`;
  return place.kind === "device" ? `device:${place.path}` : `swtpm:path=${place.path}`;
}
