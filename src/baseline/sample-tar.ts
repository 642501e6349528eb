// For tests: archives made to measure, hostile ones too.

export interface SampleEntry {
  readonly name: string | Buffer;
  readonly content?: string | Buffer;
  /** Type flag; a file unless said otherwise. */
  readonly type?: string;
  readonly mode?: number;
  readonly linkName?: string;
  /** How a name that does not fit is written. */
  readonly long?: "gnu" | "pax";
  readonly sizeAs?: "binary" | "pax";
  readonly claimedSize?: number;
  readonly sizeField?: Buffer;
  readonly pax?: readonly (readonly [string, string])[];
}

export function sampleTar(entries: readonly SampleEntry[]): Buffer {
  return Buffer.concat([...entries.map(packEntry), Buffer.alloc(1024)]);
}

function packEntry(entry: SampleEntry): Buffer {
  const name = Buffer.from(entry.name);
  const content = Buffer.from(entry.content ?? "");
  const parts: Buffer[] = [];
  const records: [string, Buffer][] = (entry.pax ?? []).map(([key, value]) => [key, Buffer.from(value)]);
  if (entry.long === "pax") records.push(["path", name]);
  if (entry.sizeAs === "pax") records.push(["size", Buffer.from(`${content.length}`)]);
  if (entry.long === "gnu")
    parts.push(packEntry({ name: "././@LongLink", type: "L", content: Buffer.concat([name, Buffer.of(0)]) }));
  if (records.length > 0) {
    parts.push(
      packEntry({ name: "pax", type: "x", content: Buffer.concat(records.map(([key, value]) => record(key, value))) }),
    );
  }
  const size = entry.claimedSize ?? (entry.sizeAs === "pax" ? 0 : content.length);
  parts.push(header(entry, name, size), content, Buffer.alloc((512 - (content.length % 512)) % 512));
  return Buffer.concat(parts);
}

function header(entry: SampleEntry, name: Buffer, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.set(name.subarray(0, 100));
  block.write((entry.mode ?? 0o644).toString(8).padStart(7, "0"), 100);
  if (entry.sizeAs === "binary") {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  } else {
    block.set(entry.sizeField ?? Buffer.from(size.toString(8).padStart(11, "0")), 124);
  }
  block.write(entry.type ?? "0", 156);
  block.write(entry.linkName ?? "", 157, 100);
  block.write("ustar\u000000", 257);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** A pax record holds its own length. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}
