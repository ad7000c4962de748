// One image: the prompts and mask of the open object, and the objects that were accepted.
// Tells "change" after each step, "working" while something is awaited, "problem" where it fails.

import { ServiceError, segment, sendImage } from "./service.js";
import { countPixels } from "./masks.js";

export class Session extends EventTarget {
  constructor(file, name, picture) {
    super();
    this.file = file;
    this.name = name;
    this.width = picture.width;
    this.height = picture.height;
    this.prompts = []; // {label, x, y} or {box: [left, top, right, bottom]}, in pixels
    this.mask = null; // {runs, score, pixels, ms}
    this.objects = []; // {prompts, mask}
    this.request = new AbortController();
    this.sending = null; // the image, being sent or sent
    this.pending = null; // the mask, being asked for
  }

  /** Send the image, once; clicks wait for that. */
  send() {
    this.sending ??= sendImage(this.file).then((sent) => {
      if (sent.width !== this.width || sent.height !== this.height) {
        throw new ServiceError(0, {
          reason: `This browser shows ${this.width} x ${this.height} pixels, the service ${sent.width} x ${sent.height}`,
          remedy: "save the image in another format",
        });
      }
      return sent.image;
    });
    this.sending.catch(() => { this.sending = null; });
    return this.sending;
  }

  get hasObject() {
    return this.prompts.some((prompt) => prompt.box || prompt.label);
  }

  click(x, y, label) {
    if (!label && !this.hasObject) {
      this.tell("problem", { text: "Click on the object first, then take away from it." });
      return;
    }
    this.prompts.push({ label: Number(label), x, y });
    this.update();
  }

  drag(box) {
    this.prompts.push({ box });
    this.update();
  }

  undo() {
    if (this.prompts.pop()) {
      if (!this.hasObject) this.prompts = [];
    } else if (this.objects.length) {
      const { prompts, mask } = this.objects.pop();
      this.prompts = prompts;
      this.mask = mask;
      this.tell("change");
      return;
    }
    this.update();
  }

  async accept() {
    while (this.pending) await this.pending; // the mask of the last click, not the one before
    if (!this.mask?.pixels) return;
    this.objects.push({ prompts: this.prompts, mask: this.mask });
    this.discard();
  }

  discard() {
    this.prompts = [];
    this.update();
  }

  remove(number) {
    this.objects.splice(number, 1);
    this.tell("change");
  }

  /** What a download holds: the accepted objects and the open one. */
  get drawn() {
    const masks = this.objects.map((object) => object.mask);
    if (this.mask?.pixels) masks.push(this.mask);
    const objects = masks.map(({ runs, score }) => ({ runs, score }));
    return { name: this.name, width: this.width, height: this.height, objects };
  }

  /** Ask for the mask of the prompts as they are now; an earlier question is dropped. */
  update() {
    this.request.abort();
    this.request = new AbortController();
    if (!this.prompts.length) this.mask = null;
    this.pending = this.hasObject ? this.refresh(this.request.signal) : null;
    this.tell("change");
    if (this.pending) this.tell("working");
  }

  async refresh(signal) {
    const started = performance.now();
    try {
      const answer = await this.ask(signal);
      if (signal.aborted) return;
      const ms = Math.round(performance.now() - started);
      this.mask = { ...answer, ms, pixels: countPixels(answer.runs) };
      this.pending = null;
      this.tell("change");
    } catch (error) {
      if (signal.aborted) return;
      this.pending = null;
      this.prompts.pop(); // what was not answered is not shown as if it had been
      if (!this.hasObject) { this.prompts = []; this.mask = null; }
      this.tell("change");
      this.tell("problem", { text: [error.message, error.remedy].filter(Boolean).join(": ") });
    }
  }

  async ask(signal) {
    const points = this.prompts.filter((prompt) => !prompt.box);
    const prompt = {
      points: points.map(({ x, y }) => [x, y]),
      labels: points.map(({ label }) => label),
      box: this.prompts.findLast((prompt) => prompt.box)?.box ?? null,
    };
    try {
      return await segment(await this.send(), prompt, signal);
    } catch (error) {
      if (error.code !== "unknown_image") throw error;
      this.sending = null; // the service has dropped it: once more
      return segment(await this.send(), prompt, signal);
    }
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
