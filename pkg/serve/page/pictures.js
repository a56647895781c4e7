// Pictures as the page shows them: upright by their EXIF as the service's boxes are, and
// scaled down, so that many pictures of 20 megapixels fit into a browser.

const longest = 2560, thumbnail = 192;

function drawn(bitmap, most) {
  const scale = Math.min(1, most / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const blob = (canvas, type, quality) =>
  new Promise((resolve, reject) => canvas.toBlob((b) => (b ? resolve(b) : reject(new Error("the browser has no memory for the picture"))), type, quality));

/**
 * Reads a picture: {width, height} of the upright picture, and the URLs of a copy to show
 * and a thumbnail, to be revoked by the caller. It returns null for a picture that the
 * browser can't read; the service may.
 */
export async function read(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
  const { width, height } = bitmap;
  const asItIs = file.type === "image/jpeg" && Math.max(width, height) <= longest;
  const shown = asItIs ? file : await blob(drawn(bitmap, longest), "image/webp", 0.92);
  const small = await blob(drawn(bitmap, thumbnail), "image/webp", 0.8);
  bitmap.close();
  return { width, height, shown: URL.createObjectURL(shown), small: URL.createObjectURL(small) };
}

// The largest canvas that all browsers make.
const side = 16384, area = 16_777_216;

/**
 * Draws on a copy of a picture, in full size if browsers can. paint gets the context and the
 * scale. The result is a JPEG of a JPEG, and else a PNG.
 */
export async function paintOn(file, paint) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height), Math.sqrt(area / (bitmap.width * bitmap.height)));
  const canvas = drawn(bitmap, Math.max(bitmap.width, bitmap.height) * scale);
  bitmap.close();
  paint(canvas.getContext("2d"), scale);
  const type = file.type === "image/jpeg" ? "image/jpeg" : "image/png";
  return { blob: await blob(canvas, type, 0.92), extension: type === "image/jpeg" ? "jpg" : "png" };
}
