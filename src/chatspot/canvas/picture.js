// A picture opened upright, and smaller copies of it, so that a huge one is drawn fast.

const COPY_ABOVE = 2048; // pixels of the longer side: smaller ones need no copies

export class Picture {
  #levels;

  constructor(levels) {
    this.#levels = levels;
  }

  /** Open a Blob, an ImageBitmap or an <img>. Rejects with an Error for what is no picture. */
  static async open(source) {
    let whole;
    try {
      if (globalThis.HTMLImageElement && source instanceof HTMLImageElement) await source.decode();
      whole = await createImageBitmap(source, { imageOrientation: "from-image" });
    } catch (error) {
      const message = "this is no picture that the browser can open (it can JPEG, PNG, WebP, GIF and BMP)";
      throw new Error(message, { cause: error });
    }
    const levels = [whole];
    while (Math.max(levels.at(-1).width, levels.at(-1).height) > COPY_ABOVE) {
      const last = levels.at(-1);
      const [resizeWidth, resizeHeight] = [last.width, last.height].map((side) => Math.max(1, Math.round(side / 2)));
      levels.push(await createImageBitmap(last, { resizeWidth, resizeHeight, resizeQuality: "medium" }));
    }
    return new Picture(levels);
  }

  /** {width, height} in pixels. */
  get size() {
    return { width: this.#levels[0].width, height: this.#levels[0].height };
  }

  /** Draw it as `view` says, `ratio` device pixels for a CSS pixel. */
  draw(context, view, ratio) {
    const { width, height } = this.size;
    const wanted = width * view.scale * ratio;
    const level = this.#levels.findLast((copy) => copy.width >= wanted) ?? this.#levels[0];
    context.imageSmoothingEnabled = view.scale * ratio < 4; // pixels are shown as squares when they are looked at
    context.imageSmoothingQuality = "high";
    context.drawImage(level, view.x * ratio, view.y * ratio, wanted, height * view.scale * ratio);
  }

  close() {
    this.#levels.forEach((level) => level.close());
  }
}
