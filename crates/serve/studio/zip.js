// Packs a folder that was dropped into one .zip. Pictures are compressed already, so files are stored as they are.
import { w } from "./words.js";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** CRC-32 of bytes. */
function crc(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = TABLE[(c ^ byte) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** Little-endian numbers: `[bytes, value]` each. */
function numbers(...list) {
  const view = new DataView(new ArrayBuffer(list.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of list) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

/** A .zip of `[path, File]` pairs, at most 65,535 of them and 4 GB. */
export async function zipped(files) {
  // The numbers of the format have no room for more.
  const bytes = files.reduce((sum, [, file]) => sum + file.size, 0);
  if (files.length > 65535 || bytes > 4e9) throw new Error(w("tooMany"));
  const [parts, directory] = [[], []];
  let offset = 0;
  for (const [path, file] of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(path);
    // Version 2.0, names in UTF-8, stored, the first day that there is.
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc(bytes)], [4, bytes.length], [4, bytes.length], [2, name.length], [2, 0]];
    const head = numbers([4, 0x04034b50], ...common);
    parts.push(head, name, file);
    directory.push(numbers([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
    offset += head.length + name.length + bytes.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** All files under a folder that was dropped, as `[path, File]` pairs. */
export async function filesOf(folder, path = "") {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // A folder is read in parts; the last one is empty.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    for (const entry of part) {
      const own = `${path}${entry.name}`;
      if (entry.isDirectory) found.push(...(await filesOf(entry, `${own}/`)));
      else if (!entry.name.startsWith(".")) found.push([own, await new Promise((resolve, reject) => entry.file(resolve, reject))]);
    }
  }
}
