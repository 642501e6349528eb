import { type JsonText, printable } from "../core/bytes.ts";

export type SocketProtocol = "tcp" | "udp" | "unix";

/** Where a socket listens. */
export interface ListenAddress {
  readonly protocol: SocketProtocol;
  /** `0.0.0.0`, `::`, …; of a unix socket its abstract name with `@` for each zero byte. */
  readonly address: JsonText;
  /** 0 for a unix socket. */
  readonly port: number;
}

/** Linux gives these ports to whoever names none (net.ipv4.ip_local_port_range, the same in each new namespace). */
const CLIENT_PORTS = { first: 32_768, last: 60_999 };

/** Whether it may as well be the socket of a client that waits for answers: of a UDP socket nothing tells. */
export function isClientPort({ protocol, port }: Pick<ListenAddress, "protocol" | "port">): boolean {
  return protocol === "udp" && port >= CLIENT_PORTS.first && port <= CLIENT_PORTS.last;
}

/** An address as it stands before a port: `10.0.0.5`, `[::]`. */
export function listenerHost({ address }: Pick<ListenAddress, "address">): string {
  const text = printable(address);
  return text.includes(":") ? `[${text}]` : text;
}

/** A listener in few words: `tcp/4444` on all addresses of IPv4, `udp/[::]:53`, `tcp/10.0.0.5:80`, `unix/@name`. */
export function listenerName(listener: ListenAddress): string {
  const { protocol, address, port } = listener;
  if (protocol === "unix") return `unix/${printable(address)}`;
  return address === "0.0.0.0" ? `${protocol}/${port}` : `${protocol}/${listenerHost(listener)}:${port}`;
}
