// Masks: chosen pixels of a grid, as run lengths down the columns, the first run unset (COCO's order, as
// chatspot.regions.Mask). While a mask is painted it is a bitmap: Uint8Array, one value a pixel, down the columns too.

export const MASK_SIDE = 512; // longer side of a new mask's grid (our choice): finer than the words of a box, few runs
export const MAX_RUNS = 20_000; // as chatspot.regions.shapes
const MAX_MASK_PIXELS = 64_000_000;
const MAX_MASK_SIDE = 65_535;

/** [width, height] of the grid for a new mask on a picture of `size`: its pixels, or fewer. */
export function maskSize({ width, height }) {
  const share = Math.min(1, MASK_SIDE / Math.max(width, height));
  return [Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share))];
}

/** The column of pixel number `at`. */
export function columnOf(at, height) {
  return Math.floor(at / height);
}

/** A bitmap from run lengths. */
export function bitmapOf({ counts, size_wh: [width, height] }) {
  const bitmap = new Uint8Array(width * height);
  let at = 0;
  counts.forEach((count, index) => {
    if (index % 2) bitmap.fill(1, at, at + count);
    at += count;
  });
  return bitmap;
}

/** The run lengths of a bitmap, as `Mask.from_bitmap` counts them. */
export function runsOf(bitmap) {
  const counts = [];
  let [value, run] = [0, 0];
  for (const pixel of bitmap) {
    if (pixel === value) run += 1;
    else {
      counts.push(run);
      [value, run] = [pixel, 1];
    }
  }
  counts.push(run);
  return counts;
}

/** `{mask}` of a bitmap; null when none of its pixels is set. */
export function maskFromBitmap(bitmap, size_wh) {
  return bitmap.includes(1) ? { mask: { counts: runsOf(bitmap), size_wh: [...size_wh] } } : null;
}

/** A mask as it is written, without empty runs. Throws TypeError for what chatspot.regions would refuse. */
export function checkedMask(mask) {
  const { counts, size_wh: size } = mask ?? {};
  const whole = (value) => Number.isInteger(value) && value >= 0;
  if (!Array.isArray(size) || size.length !== 2 || !size.every((side) => whole(side) && side >= 1)) {
    throw new TypeError("a mask needs size_wh: [width, height]");
  }
  const pixels = size[0] * size[1];
  if (Math.max(...size) > MAX_MASK_SIDE || pixels > MAX_MASK_PIXELS) throw new TypeError("a mask is too large");
  if (!Array.isArray(counts) || counts.length > MAX_RUNS || !counts.every(whole)) {
    throw new TypeError(`a mask needs counts: at most ${MAX_RUNS} run lengths`);
  }
  if (counts.reduce((sum, count) => sum + count, 0) !== pixels) {
    throw new TypeError(`a mask's counts must sum to ${size[0]} x ${size[1]}`);
  }
  const joined = [0];
  counts.forEach((count, index) => {
    if (index % 2 === (joined.length - 1) % 2) joined[joined.length - 1] += count;
    else if (count) joined.push(count);
  });
  if (joined.length < 2) throw new TypeError("a mask needs a pixel that is set");
  return { counts: joined, size_wh: [...size] };
}

/** [column, row] of the pixel at a place inside the picture. */
function pixelAt([x, y], width, height) {
  return [Math.min(Math.floor(x * width), width - 1), Math.min(Math.floor(y * height), height - 1)];
}

/** Whether the pixel at a place of the picture is set. */
export function isSet({ counts, size_wh: [width, height] }, [x, y]) {
  if (x < 0 || x > 1 || y < 0 || y > 1) return false;
  const [column, row] = pixelAt([x, y], width, height);
  let end = 0;
  const run = counts.findIndex((count) => (end += count) > column * height + row);
  return run % 2 === 1;
}

/** Set the pixels to `value` whose middles a round brush covers on its way from `a` to `b` (places in the picture), and
 *  the one under its middle. `radius` is in pixels of the picture of `size`. Gives back whether anything changed. */
export function setPixels(bitmap, [width, height], a, b, radius, size, value) {
  const pixel = [size.width / width, size.height / height]; // of the grid, in pixels of the picture
  const [from, to] = [a, b].map(([x, y]) => [x * size.width, y * size.height]);
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = dx * dx + dy * dy;
  let changed = false;
  const set = (column, row) => {
    const at = column * height + row;
    if (bitmap[at] !== value) changed = true;
    bitmap[at] = value;
  };
  const span = (low, high, side, count) => [
    Math.max(0, Math.floor((Math.min(low, high) - radius) / side)),
    Math.min(count - 1, Math.floor((Math.max(low, high) + radius) / side)),
  ];
  const [left, right] = span(from[0], to[0], pixel[0], width);
  const [top, bottom] = span(from[1], to[1], pixel[1], height);
  for (let column = left; column <= right; column += 1) {
    for (let row = top; row <= bottom; row += 1) {
      const [x, y] = [(column + 0.5) * pixel[0] - from[0], (row + 0.5) * pixel[1] - from[1]];
      const share = length ? Math.min(Math.max((x * dx + y * dy) / length, 0), 1) : 0;
      if (Math.hypot(x - share * dx, y - share * dy) <= radius) set(column, row);
    }
  }
  if (b.every((value) => value >= 0 && value <= 1)) set(...pixelAt(b, width, height));
  return changed;
}

/** A mask moved by whole pixels of its grid, as far as it stays inside. `bounds` are its own. */
export function movedMask(mask, [dx, dy], [x1, y1, x2, y2]) {
  const [width, height] = mask.size_wh;
  const within = (step, low, high, count) =>
    Math.min(Math.max(Math.round(step * count), -Math.round(low * count)), count - Math.round(high * count));
  const shift = within(dx, x1, x2, width) * height + within(dy, y1, y2, height);
  if (!shift) return mask;
  const bitmap = bitmapOf(mask);
  const shifted = new Uint8Array(bitmap.length);
  shifted.set(shift > 0 ? bitmap.subarray(0, -shift) : bitmap.subarray(-shift), Math.max(shift, 0));
  return { counts: runsOf(shifted), size_wh: [width, height] };
}

/** The outline of a mask's area as lines [x1, y1, x2, y2] in pixels of its grid. It goes through the middles of the
 *  pixels' edges and so cuts their corners (marching squares, Lorensen and Cline 1987 in the plane). */
export function maskOutline({ counts, size_wh: [width, height] }) {
  const bitmap = bitmapOf({ counts, size_wh: [width, height] });
  const at = (column, row) =>
    column >= 0 && row >= 0 && column < width && row < height ? bitmap[column * height + row] : 0;
  const lines = [];
  for (let x = 0; x <= width; x += 1) {
    for (let y = 0; y <= height; y += 1) {
      const around = [at(x - 1, y - 1), at(x, y - 1), at(x, y), at(x - 1, y)]; // clockwise from the top left
      if (around.every((pixel) => pixel === around[0])) continue;
      const middles = [[x, y - 0.5], [x + 0.5, y], [x, y + 0.5], [x - 0.5, y]];
      const crossed = middles.filter((_, side) => around[side] !== around[(side + 1) % 4]);
      for (let pair = 0; pair < crossed.length; pair += 2) lines.push([...crossed[pair], ...crossed[pair + 1]]);
    }
  }
  return lines;
}
