// Pointer and keys on the canvas -> clicks and boxes of the session.

const DRAG_PX = 5; // on the screen; less is a click
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pointing {
  /** `tool()` says what a plain click does: "add", "remove" or "box"; `say(text)` tells the user. */
  constructor(view, tool, say) {
    this.view = view;
    this.tool = tool;
    this.say = say;
    this.start = null; // of the pointer's press
    this.corner = null; // of a box that the keyboard began
    const { canvas } = view;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.leave());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { view.crosshair = null; this.leave(); });
  }

  press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.view.crosshair = null;
    this.corner = null;
    this.start = { event, xy: this.view.locate(event) };
    if (this.boxes(event)) this.view.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.start || !this.boxes(event) || !this.isDrag(event)) return;
    this.view.rubber = ordered(this.start.xy, this.view.locate(event));
    this.view.draw();
  }

  release(event) {
    if (!this.start) return;
    const { xy } = this.start;
    const isDrag = this.isDrag(event);
    this.start = null;
    this.view.rubber = null;
    if (isDrag) {
      if (this.boxes(event)) this.drag(xy, this.view.locate(event));
      return;
    }
    this.click(xy, event.shiftKey || event.altKey || this.tool() === "remove");
  }

  leave() {
    this.start = null;
    this.corner = null;
    this.view.rubber = null;
    if (this.view.picture) this.view.draw();
  }

  /** Fingers scroll the page, unless the box is chosen. */
  boxes(event) {
    return event.pointerType !== "touch" || this.tool() === "box";
  }

  isDrag(event) {
    const from = this.start.event;
    return Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > DRAG_PX;
  }

  click([x, y], isNegative) {
    this.view.session.click(x, y, !isNegative);
  }

  drag(from, to) {
    const box = ordered(from, to);
    if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) this.view.session.drag(box);
    else this.view.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key]) this.step(STEPS[event.key], event.shiftKey);
    else if (event.key === " ") this.keyClick(event.shiftKey || this.tool() === "remove");
    else if (event.key === "Enter") this.view.session.accept();
    else if (event.key.toLowerCase() === "b") this.keyCorner();
    else if (event.key === "Escape") this.leave();
    else return;
    event.preventDefault();
  }

  get crosshair() {
    const { width, height } = this.view.picture;
    this.view.crosshair ??= [width / 2, height / 2];
    return this.view.crosshair;
  }

  step([right, down], isFine) {
    const { width, height } = this.view.picture;
    const px = isFine ? 1 : Math.max(1, Math.round(Math.max(width, height) / 50));
    const [x, y] = this.crosshair;
    this.view.crosshair = [
      Math.min(Math.max(x + right * px, 0.5), width - 0.5),
      Math.min(Math.max(y + down * px, 0.5), height - 0.5),
    ];
    if (this.corner) this.view.rubber = ordered(this.corner, this.view.crosshair);
    this.view.draw();
    this.say(`Crosshair at ${this.view.crosshair.map(Math.round).join(", ")}`);
  }

  keyClick(isNegative) {
    if (this.corner || this.tool() === "box") this.keyCorner();
    else this.click(this.crosshair, isNegative);
  }

  keyCorner() {
    const at = this.crosshair;
    if (!this.corner) {
      this.corner = at;
      this.view.draw();
      this.say("First corner of a box. Move the crosshair, and press B again.");
      return;
    }
    const from = this.corner;
    this.corner = null;
    this.view.rubber = null;
    this.drag(from, at);
  }
}

function ordered([x0, y0], [x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}
