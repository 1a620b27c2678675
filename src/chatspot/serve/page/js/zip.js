// Zip files: written without compression (pictures are compressed already), read with or without it.
// Format: PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const UTF8_NAMES = 0x0800;
const DATE = (1 << 5) | 1; // 1 January 1980: the same session gives the same bytes
const MOST_BYTES = 512 * 2 ** 20; // of what a file unpacks to

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Fields of 2 or 4 bytes, little-endian. */
function packed(...fields) {
  const bytes = [];
  for (const [size, value] of fields) for (let at = 0; at < size; at += 1) bytes.push((value >>> (8 * at)) & 0xff);
  return Uint8Array.from(bytes);
}

/** A zip file (Blob) of `files`, [[name, Blob], ...]. */
export async function zipped(files) {
  const [parts, directory] = [[], []];
  let offset = 0;
  for (const [name, blob] of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const title = new TextEncoder().encode(name);
    const common = [[2, 20], [2, UTF8_NAMES], [2, 0], [2, 0], [2, DATE], [4, crc32(bytes)], [4, bytes.length],
      [4, bytes.length], [2, title.length], [2, 0]]; // prettier-ignore
    const head = packed([4, LOCAL], ...common);
    parts.push(head, title, bytes);
    directory.push(packed([4, CENTRAL], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), title);
    offset += head.length + title.length + bytes.length;
  }
  const length = directory.reduce((sum, bytes) => sum + bytes.length, 0);
  const end = packed([4, END], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** The files of a zip, a Map from name to Blob; folders are left out. Throws Error for what is none. */
export async function unzipped(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const view = new DataView(bytes.buffer);
  const u16 = (at) => view.getUint16(at, true);
  const u32 = (at) => view.getUint32(at, true);
  try {
    const files = new Map();
    let left = MOST_BYTES;
    let at = u32(endOf(view) + 16);
    for (let count = u16(endOf(view) + 10); count > 0; count -= 1) {
      if (u32(at) !== CENTRAL) throw new Error("its directory is broken");
      const [flags, method, size, whole] = [u16(at + 8), u16(at + 10), u32(at + 20), u32(at + 24)];
      const [title, extra, remark, local] = [u16(at + 28), u16(at + 30), u16(at + 32), u32(at + 42)];
      const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + title));
      at += 46 + title + extra + remark;
      if (name.endsWith("/")) continue;
      if (flags & 1) throw new Error(`${name} is encrypted`);
      left -= whole;
      if (left < 0) throw new Error("it unpacks to more than 512 MB");
      const start = local + 30 + u16(local + 26) + u16(local + 28);
      const content = bytes.subarray(start, start + size);
      if (content.length !== size) throw new Error(`${name} is cut off`);
      files.set(name, method === 0 ? new Blob([content]) : await inflated(content, method, whole, name));
    }
    return files;
  } catch (error) {
    throw new Error(`this zip file cannot be read: ${error instanceof RangeError ? "it is cut off" : error.message}`);
  }
}

async function inflated(content, method, whole, name) {
  if (method !== 8) throw new Error(`${name} is compressed in a way that browsers do not know`);
  const reader = new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > whole) throw new Error(`${name} is larger than the directory says`);
    parts.push(value);
  }
  return new Blob(parts);
}

/** Where the directory's end stands: the last bytes, before a remark of up to 65,535. */
function endOf(view) {
  for (let at = view.byteLength - 22; at >= Math.max(0, view.byteLength - 22 - 65_535); at -= 1) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw new Error("it is no zip file");
}
