// Pictures as the server takes them: JPEG, PNG or WebP, upright, not larger than it reads. Others are written anew.

const PLAIN = ["image/jpeg", "image/png", "image/webp"];
const MOST_BYTES = 4 * 2 ** 20; // eight pictures in base64 stay below the 32 MB of a request
const MOST_PIXELS = 24_000_000; // the server takes 25
const LARGEST_SIDE = 4096; // of a picture that is written anew (our choice)

/** {blob, type, width, height} of a picture from wherever; width and height upright. Throws Error for what is none. */
export async function prepared(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new Error("This is no picture that the browser can open.");
  }
  try {
    const { width, height } = bitmap;
    const small = blob.size <= MOST_BYTES && width * height <= MOST_PIXELS;
    if (small && PLAIN.includes(blob.type)) return { blob, type: blob.type, width, height };
    const share = Math.min(1, LARGEST_SIDE / Math.max(width, height), Math.sqrt(MOST_PIXELS / (width * height)));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share)));
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff"; // below what is transparent: JPEG has no transparency
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const written = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
    return { blob: written, type: "image/jpeg", width: canvas.width, height: canvas.height };
  } finally {
    bitmap.close();
  }
}

/** A blob as a `data:` URL. */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

// The examples of the first minute (chatspot/examples), each with a region and a question to begin with.
export const EXAMPLES = [
  { file: "coffee.jpg", title: "Cup of coffee", size: [600, 400], box: [172, 14, 416, 314], ask: ["What is ", "?"] },
  { file: "cat.jpg", title: "Chelsea the cat", size: [451, 300], box: [60, 10, 420, 300], ask: ["What can you see in ", "?"] },
  { file: "astronaut.jpg", title: "Astronaut", size: [512, 512], box: [50, 10, 400, 500],
    ask: ["What is ", "?"] }, // prettier-ignore
];
