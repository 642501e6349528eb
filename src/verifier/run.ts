import { mkdir } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import type { Address } from "viem";
import { lookUpBaseline } from "../attest/reference-values.ts";
import { type Releases, readReleases } from "../attest/release-manifest.ts";
import { isToken, makeToken, tokenDigest } from "../attest/token.ts";
import { formatVerifierAddress, parseVerifierAddress } from "../attest/verifier-address.ts";
import { systemClock } from "../core/clock.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { makePrivateFile, replacePrivateFile } from "../core/private-file.ts";
import { BaselineCache } from "../ledger/baseline-cache.ts";
import { singleEndpointNotice } from "../ledger/config.ts";
import { parseAddress } from "../ledger/contract/address.ts";
import { followedFile } from "../ledger/header/followed-chain.ts";
import { type LedgerKey, readKeyFile, readPassphraseFile } from "../ledger/keys/keys.ts";
import { openRemoteSigner } from "../ledger/keys/remote-signer.ts";
import { isNvIndex } from "../log/pcr.ts";
import { readRoots } from "../tpm/certificate/roots.ts";
import { IMA_PCR } from "../tpm/event-log/ima.ts";
import { buildApi } from "./api.ts";
import { bundleCheckpoint } from "./bundle-checkpoint.ts";
import { bundleBaseline, bundlePolicy } from "./bundle-sources.ts";
import { Checkpointing } from "./checkpointing.ts";
import {
  ADDRESS_FILE,
  CHECKPOINT_FOLDER,
  LEDGER_FOLLOWED_FILE,
  OPERATOR_TOKEN_FILE,
  type VerifierConfig,
} from "./config.ts";
import { Enrollment } from "./enrollment.ts";
import { Orders } from "./orders.ts";
import { openOrdersKey } from "./orders-key.ts";
import { Platforms } from "./platforms.ts";
import { openResultsKey } from "./results-key.ts";
import { type HostRow, Store } from "./store.ts";
import { openTlsIdentity } from "./tls.ts";
import { Verifier } from "./verifier.ts";

export interface RunningVerifier {
  /** Its URL with the pin of its key, as `parseVerifierAddress` takes it. On every address of the machine: by loopback. */
  readonly address: string;
  /** How hosts reach it, where that is configured. */
  readonly publicAddress: string | undefined;
  /** Pin of the key that results are signed with. */
  readonly resultsKey: string;
  /** The same of the key that signs orders. */
  readonly ordersKey: string;
  close(): Promise<void>;
}

/** Starts the service. Throws `port-in-use`, `store-unusable`, `tls-invalid`. A chain that does not answer does not stop it. */
export async function runVerifier(
  config: VerifierConfig,
  report: (text: string) => void = () => {},
): Promise<RunningVerifier> {
  await mkdir(config.state, { recursive: true, mode: 0o700 });
  const operator = tokenDigest(await readOrMakeToken(join(config.state, OPERATOR_TOKEN_FILE)));
  const tls = config.listen.plain ? undefined : await openTlsIdentity(config.state, config.listen.tls);
  const pins = tls === undefined ? [] : [tls.pin];
  const publicAddress = config.listen.url === undefined ? undefined : withPins(config.listen.url, pins);
  const { roots: folder } = config.enrollment;
  const roots = folder === undefined ? [] : await readRoots(folder);
  const key = await openResultsKey(config.state);
  const orders = new Orders(await openOrdersKey(config.state), systemClock);
  const signer = await openCheckpointKey(config);
  const store = Store.open(join(config.state, "verifier.sqlite"));
  const followed = followedFile(join(config.state, LEDGER_FOLLOWED_FILE));
  const modules = { heights: store.heights(), followed, report };
  const cache = new BaselineCache(config.ledger, store.baselines(), systemClock, modules);
  const checkpointFolder = join(config.state, CHECKPOINT_FOLDER);
  const { host, port } = config.listen;
  let app: FastifyInstance;
  let checkpointing: Checkpointing | undefined;
  try {
    const releases = await openReleases(config);
    const verifier = new Verifier(config, {
      store,
      ...(config.platform && releases ? { platforms: new Platforms(config.platform, releases, store) } : {}),
      clock: systemClock,
      lookUp: (identity) => lookUpBaseline(cache, identity),
      onProved: (host, records) => orders.onProved(host, records),
    });
    const { uncertified } = config.enrollment;
    const modules = { verifier, store: store.enrollments, clock: systemClock };
    const enrollment = new Enrollment({ roots, uncertified, operator }, modules);
    const results = {
      ...{ store, verifier, clock: systemClock, roots, pcr: config.pcr, policy: bundlePolicy(config, releases), key },
      bundleBaseline: (identity: string) => bundleBaseline(cache, identity),
      bundleCheckpoint: async (row: HostRow) => {
        if (config.checkpoints === undefined || signer === null) return null;
        const contract = config.checkpoints.contract.toLowerCase() as Address;
        const reporter = signer.address.toLowerCase() as Address;
        return bundleCheckpoint({ ledger: cache.ledger, contract, reporter, folder: checkpointFolder }, row, report);
      },
    };
    app = buildApi(verifier, enrollment, { report, tls, results, orders, publicAddress, ledger: () => cache.view() });
    await app.listen({ host, port });
    const notice = singleEndpointNotice(config.ledger);
    if (notice !== undefined) report(notice);
    if (config.checkpoints !== undefined && signer !== null) {
      const { contract, hosts, intervalMs, keep } = config.checkpoints;
      checkpointing = new Checkpointing(
        {
          ...{ key: signer, intervalMs, keep, folder: checkpointFolder },
          contract: parseAddress(contract),
          hosts: hosts === undefined ? undefined : parseAddress(hosts),
        },
        {
          ledger: cache.ledger,
          clock: systemClock,
          hosts: () => store.hosts(),
          report: () => verifier.report(),
          isRevoked: (name) => store.enrollments.notice(name)?.reason === "host-revoked",
          say: report,
        },
      );
    }
  } catch (error) {
    store.close();
    if (errorCode(error) === "EADDRINUSE")
      throw new PimsError("port-in-use", `port ${port} of ${host} is already in use`, {
        hint: "stop what listens there or give another port",
        cause: error,
      });
    if (errorCode(error) === "EADDRNOTAVAIL" || errorCode(error) === "ENOTFOUND")
      throw new PimsError("port-in-use", `this machine has no address ${host} to listen on`, { cause: error });
    throw error;
  }
  const here = reachable(host);
  const place = `${here.includes(":") ? `[${here}]` : here}:${(app.server.address() as AddressInfo).port}`;
  const url = `${tls === undefined ? "http" : "https"}://${place}`;
  const address = formatVerifierAddress({ url, pins });
  await replacePrivateFile(join(config.state, ADDRESS_FILE), `${address}\n`);
  return {
    address,
    publicAddress,
    resultsKey: key.pin,
    ordersKey: orders.pin,
    async close() {
      await checkpointing?.close();
      await app.close();
      store.close();
    },
  };
}

/** Nobody connects to the addresses that stand for all of them. */
function reachable(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}

function withPins(address: string, own: readonly string[]): string {
  const { url, pins } = parseVerifierAddress(address);
  return formatVerifierAddress({ url, pins: [...new Set([...own, ...pins])] });
}

/** Null where nothing is put on the ledger. Throws `key-unreadable`, `passphrase-wrong`. */
async function openCheckpointKey({ checkpoints }: VerifierConfig): Promise<LedgerKey | null> {
  if (checkpoints === undefined) return null;
  const { key, passphraseFile, signer, from } = checkpoints;
  if (signer !== undefined) return openRemoteSigner(signer, from!);
  return readKeyFile(key!, () => readPassphraseFile(passphraseFile!));
}

/** Null where what is below the agents is not judged. */
async function openReleases({ platform, pcr }: VerifierConfig): Promise<Releases | null> {
  if (platform === undefined) return null;
  if (isNvIndex(pcr))
    throw new PimsError("config-invalid", "with 'platform', 'pcr' must be a PCR: one quote covers it and those below", {
      hint: `take a PCR above ${IMA_PCR} that nothing else extends, or leave 'platform' out`,
    });
  if (pcr <= IMA_PCR)
    throw new PimsError(
      "config-invalid",
      `with 'platform', 'pcr' must be above ${IMA_PCR}: those below are the host's own`,
    );
  return readReleases(platform.releases);
}

async function readOrMakeToken(path: string): Promise<string> {
  const token = (await makePrivateFile(path, () => `${makeToken()}\n`)).trim();
  if (!isToken(token))
    throw new PimsError("token-invalid", `the operator's token in ${path} is damaged`, {
      hint: "delete the file to get a new one",
    });
  return token;
}
