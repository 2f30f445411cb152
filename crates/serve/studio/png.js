// Reads the recipe back out of a PNG that was made here.

const PREFIX = "XML:com.adobe.xmp\0\0\0\0\0";

/** The recipe in the metadata of a PNG, or null. */
export async function recipeOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const view = new DataView(bytes.buffer);
  const text = new TextDecoder();
  if (text.decode(bytes.subarray(1, 4)) !== "PNG") return null;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const chunk = bytes.subarray(at + 8, at + 8 + length);
    if (text.decode(bytes.subarray(at + 4, at + 8)) === "iTXt") {
      const whole = text.decode(chunk);
      if (whole.startsWith(PREFIX)) return recipeIn(whole.slice(PREFIX.length));
    }
    at += 12 + length;
  }
  return null;
}

function recipeIn(xmp) {
  const page = new DOMParser().parseFromString(xmp, "application/xml");
  for (const element of page.querySelectorAll("*")) {
    const values = [element.children.length ? "" : element.textContent, ...[...element.attributes].map((a) => a.value)];
    for (const value of values) {
      if (!value.includes("model_hash")) continue;
      try {
        return JSON.parse(value);
      } catch {
        // Some other element that speaks of one.
      }
    }
  }
  return null;
}
