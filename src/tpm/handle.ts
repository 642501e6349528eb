import { WireWriter } from "./wire.ts";

/** Something in a TPM: a PCR, hierarchy or session by its handle, an object or NV index by its handle and Name. */
export type Handle = number | { readonly handle: number; readonly name: Uint8Array };

export function handleOf(handle: Handle): number {
  return typeof handle === "number" ? handle : handle.handle;
}

/**
 * The Name under which a session authorises the handle (TPM 2.0 Library part 1, "Names"). An object or NV index given by
 * its number alone has none that we know; that is a mistake of the caller.
 */
export function nameOf(handle: Handle): Uint8Array {
  if (typeof handle !== "number") return handle.name;
  const type = handle >>> 24;
  if (type === 0x01 || type === 0x80 || type === 0x81)
    throw new Error("a session needs the Name of the object or NV index that it authorises");
  return new WireWriter().u32(handle).done();
}
