import { Agent, type AgentOptions, type ClientRequestArgs } from "node:http";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, getCACertificates, type TLSSocket } from "node:tls";
import { errorCode, PimsError } from "../core/errors.ts";
import { hostOf, parseVerifierAddress, pinOf, type VerifierAddress } from "./verifier-address.ts";

const HANDSHAKE_MS = 10_000;
const POOL: AgentOptions = { keepAlive: true, maxFreeSockets: 4 };
const pools = new Map<string, Agent>();

/** Connections to a verifier, kept for the next request. `http:` to this machine itself has no TLS. */
export function connectionsTo(address: string): Agent {
  let pool = pools.get(address);
  if (pool === undefined) {
    const parsed = parseVerifierAddress(address);
    pool = parsed.url.startsWith("http:") ? new Agent(POOL) : new CheckedAgent(parsed);
    pools.set(address, pool);
  }
  return pool;
}

/**
 * Gives connections only after the verifier's key was checked, so that no byte of a request reaches anybody else. TLS 1.3;
 * sessions are not resumed, so every connection shows its certificate.
 */
class CheckedAgent extends Agent {
  readonly #address: VerifierAddress;

  constructor(address: VerifierAddress) {
    super(POOL);
    this.#address = address;
  }

  override createConnection(
    _options: ClientRequestArgs,
    done: (error: Error | null, connection: Duplex) => void,
  ): undefined {
    const { url, pins } = this.#address;
    const { port } = new URL(url);
    const host = hostOf(new URL(url));
    const socket = connect({
      host,
      port: port === "" ? 443 : Number(port),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: "TLSv1.3",
      ALPNProtocols: ["http/1.1"],
      // With a pin the key is what counts: it is checked below, whoever has signed the certificate.
      rejectUnauthorized: pins.length === 0,
      ca: pins.length === 0 ? getCACertificates("system") : [],
    });
    // Between two requests nobody else listens to it.
    socket.on("error", () => {});
    // Who asked has a deadline of its own, and may have gone when this one ends.
    const timer = setTimeout(() => socket.destroy(failure("ETIMEDOUT", "no TLS handshake in time")), HANDSHAKE_MS);
    const end = (error: Error | null) => {
      clearTimeout(timer);
      socket.off("error", failed);
      if (error !== null) socket.destroy();
      done(error, socket);
    };
    const failed = (error: Error) => end(refusalOf(error, url));
    socket.on("error", failed);
    socket.once("secureConnect", () => end(pins.length === 0 ? null : checkPin(socket, this.#address)));
    return undefined;
  }
}

function checkPin(socket: TLSSocket, { url, pins }: VerifierAddress): PimsError | null {
  const certificate = socket.getPeerX509Certificate();
  const shown = certificate === undefined ? "none" : pinOf(certificate.publicKey);
  if (pins.includes(shown)) return null;
  return new PimsError("verifier-pin", `what answers at ${url} has another key than the pinned one (${shown})`, {
    hint: "somebody may sit in between; if the verifier's key was changed on purpose, 'pims verifier pin' there prints the new one",
  });
}

/** What a failed handshake means, where it is about the certificate. */
function refusalOf(error: Error, url: string): Error {
  const code = errorCode(error) ?? "";
  const isAboutTrust = /CERT|SIGNATURE|ISSUER|^HOSTNAME/.test(code) && !code.startsWith("ERR_SSL");
  if (!isAboutTrust) return error;
  return new PimsError("verifier-certificate", `no root of this machine vouches for what answers at ${url} (${code})`, {
    hint: "add the verifier's pin to the address, as 'pims verifier pin' prints it there",
    cause: error,
  });
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
