import { z } from "zod";
import { describeError, PimsError } from "../core/errors.ts";
import { type ContainerdPlace, containerdAddresses, contentOf, ctr } from "./ctr.ts";
import { chainId, identifyImage, orUnresolved, unresolved } from "./image-identity.ts";
import type { ContainerInfo } from "./types.ts";

/** Where Kubernetes has its containers. */
const NAMESPACE = "k8s.io";

const containerShape = z.object({
  ID: z.string(),
  Image: z.string().max(1000).nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
  SnapshotKey: z.string().max(1000).nullish(),
  Snapshotter: z.string().max(100).nullish(),
});
const snapshotShape = z.object({ Parent: z.string().nullish() });

/**
 * A container as containerd itself has it. Its image is what its name leads to now, and only if the container stands on
 * just that image's layers: names are given to other images. `places` are asked one after the other. Throws
 * `containerd-silent` and `containerd-failed` where one does not answer or not in order.
 */
export async function inspectContainerdContainer(
  id: string,
  places?: readonly ContainerdPlace[],
): Promise<ContainerInfo> {
  const unknown = {
    runtime: "containerd",
    id,
    name: id.slice(0, 12),
    image: null,
    imageName: null,
    labels: {},
  } as const;
  if (!/^[A-Za-z0-9][\w.-]{0,200}$/.test(id)) return unknown;
  try {
    for (const place of places ?? (await knownPlaces())) {
      const info = await inspectAt(place, id);
      if (info !== null) return info;
    }
  } catch (error) {
    if (!(error instanceof PimsError) || error.code !== "tool-missing") throw error;
    return { ...unknown, unresolved: describeError(error) };
  }
  const unresolved = `no containerd of this machine has the container ${id}: CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE tell of another one`;
  return { ...unknown, unresolved };
}

async function inspectAt(where: ContainerdPlace, id: string): Promise<ContainerInfo | null> {
  const answer = await ctr(where, ["containers", "info", id]).catch((error: unknown) => {
    if (error instanceof PimsError && error.message.endsWith("not found")) return null;
    throw error;
  });
  if (answer === null) return null;
  const { Image, Labels, SnapshotKey, Snapshotter } = parse(containerShape, answer);
  const labels = Labels ?? {};
  const name = labels["io.kubernetes.container.name"] ?? id.slice(0, 12);
  const info = { runtime: "containerd", id, name, imageName: Image ?? null, labels } as const;
  if (!Image || !SnapshotKey || !Snapshotter) return { ...info, image: null };
  const identified = await orUnresolved(async () => {
    const { identity, diffIds } = await identifyImage(await digestOf(where, Image), contentOf(where));
    const snapshot = await ctr(where, ["snapshots", "--snapshotter", Snapshotter, "info", SnapshotKey]);
    if (parse(snapshotShape, snapshot).Parent === chainId(diffIds)) return identity;
    throw unresolved(Image, "the container does not stand on the layers of the image that is called so now");
  });
  return { ...info, ...identified };
}

async function knownPlaces(): Promise<ContainerdPlace[]> {
  const namespace = process.env.CONTAINERD_NAMESPACE ?? NAMESPACE;
  return (await containerdAddresses()).map((address) => ({ address, namespace }));
}

/** The digest that an image's name stands for now. */
async function digestOf(where: ContainerdPlace, name: string): Promise<string> {
  // A name goes into a filter expression: nothing that could end it.
  if (!/^[A-Za-z0-9][\w./:@-]{0,400}$/.test(name)) throw unresolved(JSON.stringify(name), "that is no image's name");
  const table = (await ctr(where, ["images", "ls", `name==${name}`])).toString("utf8");
  const row = table.split("\n").find((line) => line.split(/\s+/)[0] === name);
  const digest = row?.split(/\s+/).find((word) => /^sha256:[0-9a-f]{64}$/.test(word) && word !== name);
  if (digest === undefined) throw unresolved(name, "containerd has no image of this name any more");
  return digest;
}

function parse<T>(shape: z.ZodType<T>, bytes: Uint8Array): T {
  try {
    return shape.parse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (error) {
    throw new PimsError("containerd-failed", "containerd's answer has an unknown form", { cause: error });
  }
}
