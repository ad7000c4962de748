// The canvas: the picture, masks and prompts on it, and where a pointer is in the picture's pixels.

import { anchor, raster } from "./masks.js";

const INK = [98, 84, 243];
const LINE = `rgb(${INK})`;
const LARGEST_ZOOM = 3;

export class View {
  constructor(canvas, stage) {
    this.canvas = canvas;
    this.stage = stage;
    this.context = canvas.getContext("2d");
    this.rasters = new WeakMap(); // of masks that were drawn before
    this.layer = document.createElement("canvas");
    this.crosshair = null; // [x, y] in pixels of the picture
    this.rubber = null; // a box that is being dragged
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  open(picture, session) {
    this.picture = picture;
    this.session = session;
    this.crosshair = null;
    this.rubber = null;
    this.fit();
  }

  /** Size the canvas to the room that there is, and draw. */
  fit() {
    if (!this.picture || !this.stage.clientWidth) return;
    const { width, height } = this.picture;
    const room = Math.max(240, window.innerHeight * 0.66);
    this.scale = Math.min(this.stage.clientWidth / width, room / height, LARGEST_ZOOM);
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.style.width = `${Math.round(width * this.scale)}px`;
    this.canvas.style.height = `${Math.round(height * this.scale)}px`;
    this.canvas.width = Math.max(1, Math.round(width * this.scale * ratio));
    this.canvas.height = Math.max(1, Math.round(height * this.scale * ratio));
    this.ratio = ratio;
    this.draw();
  }

  /** Where a pointer is, [x, y] in pixels of the picture. */
  locate(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const { width, height } = this.picture;
    const x = ((event.clientX - bounds.left) / bounds.width) * width;
    const y = ((event.clientY - bounds.top) / bounds.height) * height;
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  }

  draw() {
    const { context, canvas, session } = this;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    session.objects.forEach(({ mask }) => this.drawMask(mask, 0.32));
    if (session.mask) this.drawMask(session.mask, 0.5);
    session.objects.forEach(({ mask }, number) => this.drawNumber(mask, number + 1));
    const box = this.rubber ?? session.prompts.findLast((prompt) => prompt.box)?.box;
    if (box) this.drawBox(box, Boolean(this.rubber));
    session.prompts.filter((prompt) => !prompt.box).forEach((prompt) => this.drawPoint(prompt));
    if (this.crosshair) this.drawCrosshair(this.crosshair);
  }

  drawMask(mask, alpha) {
    if (!this.rasters.has(mask)) {
      this.rasters.set(mask, raster(mask.runs, this.picture.width, this.picture.height, INK));
    }
    const drawn = this.rasters.get(mask);
    const { width, height } = this.canvas;
    this.context.globalAlpha = alpha;
    this.context.drawImage(drawn, 0, 0, width, height);
    this.context.globalAlpha = 1;
    this.drawOutline(drawn, "#fff", 2.6);
    this.drawOutline(drawn, LINE, 1.6);
  }

  /** The mask moved in all directions, less the mask, in one colour. */
  drawOutline(drawn, color, reach) {
    const { width, height } = this.canvas;
    this.layer.width = width; // empties it
    this.layer.height = height;
    const outline = this.layer.getContext("2d");
    for (let turn = 0; turn < 8; turn += 1) {
      const angle = (turn * Math.PI) / 4;
      const [right, down] = [Math.cos(angle), Math.sin(angle)].map((part) => reach * this.ratio * part);
      outline.drawImage(drawn, right, down, width, height);
    }
    outline.globalCompositeOperation = "destination-out";
    outline.drawImage(drawn, 0, 0, width, height);
    outline.globalCompositeOperation = "source-in";
    outline.fillStyle = color;
    outline.fillRect(0, 0, width, height);
    this.context.drawImage(this.layer, 0, 0);
  }

  onCanvas([x, y]) {
    return [x * this.scale * this.ratio, y * this.scale * this.ratio];
  }

  drawPoint({ x, y, label }) {
    const { context, ratio } = this;
    const [across, down] = this.onCanvas([x, y]);
    const arm = 3.5 * ratio;
    context.beginPath();
    context.arc(across, down, 7.5 * ratio, 0, 2 * Math.PI);
    context.fillStyle = label ? LINE : "#1b1b25";
    context.fill();
    context.lineWidth = 2 * ratio;
    context.strokeStyle = "#fff";
    context.stroke();
    context.beginPath();
    context.moveTo(across - arm, down);
    context.lineTo(across + arm, down);
    if (label) {
      context.moveTo(across, down - arm);
      context.lineTo(across, down + arm);
    }
    context.stroke();
  }

  drawBox([left, top, right, bottom], isOpen) {
    const [x0, y0] = this.onCanvas([left, top]);
    const [x1, y1] = this.onCanvas([right, bottom]);
    this.context.setLineDash(isOpen ? [6 * this.ratio, 4 * this.ratio] : []);
    this.strokeTwice(() => this.context.strokeRect(x0, y0, x1 - x0, y1 - y0));
    this.context.setLineDash([]);
  }

  drawCrosshair(xy) {
    const { context, canvas } = this;
    const [across, down] = this.onCanvas(xy);
    context.beginPath();
    context.moveTo(0, down);
    context.lineTo(canvas.width, down);
    context.moveTo(across, 0);
    context.lineTo(across, canvas.height);
    this.strokeTwice(() => context.stroke());
  }

  /** White below the ink, to be seen on any picture. */
  strokeTwice(stroke) {
    for (const [color, width] of [["#ffffffcc", 3], [LINE, 1.5]]) {
      this.context.strokeStyle = color;
      this.context.lineWidth = width * this.ratio;
      stroke();
    }
  }

  drawNumber(mask, number) {
    const { context, ratio } = this;
    const [across, down] = this.onCanvas(anchor(mask.runs, this.picture.width));
    context.beginPath();
    context.arc(across, down, 10 * ratio, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.fillStyle = LINE;
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(number), across, down + 0.5 * ratio);
  }
}
