// Choosing an image, the tools beside it, the list of objects and the downloads.

import { Pointing } from "./pointing.js";
import * as service from "./service.js";
import { Session } from "./session.js";
import { View } from "./view.js";

const SAMPLES = { "scene_53.png": "Painted shapes", "scene_13.png": "More painted shapes", "coins.png": "Photograph of coins" };
const SUFFIXES = { png: "_mask.png", "label-studio": "_label_studio.json", coco: "_coco.json" };
const find = (id) => document.getElementById(id);

export class Playground {
  constructor() {
    this.root = find("playground");
    this.message = find("message");
    this.view = new View(find("canvas"), find("stage"));
    this.session = null;
    this.bounds = {};
    this.downloads = [...this.root.querySelectorAll("[data-download]")];
    new Pointing(this.view, () => this.tool, (text) => this.say(text));
    this.offerSamples();
    this.listen();
  }

  get tool() {
    return this.root.querySelector("[name=tool]:checked").value;
  }

  setBounds(state) {
    this.bounds = { maxBytes: state.max_image_mb * 2 ** 20, mb: state.max_image_mb };
  }

  listen() {
    find("file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.open(target.files[0], target.files[0].name);
      target.value = "";
    });
    find("undo").addEventListener("click", () => this.session.undo());
    find("accept").addEventListener("click", () => { this.session.accept(); this.view.canvas.focus(); });
    find("other").addEventListener("click", () => this.close());
    this.root.addEventListener("change", () => this.view.canvas.classList.toggle("boxing", this.tool === "box"));
    this.downloads.forEach((button) => button.addEventListener("click", () => this.save(button.dataset.download)));
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("paste", (event) => this.take(event.clipboardData));
    document.addEventListener("dragover", (event) => { event.preventDefault(); this.root.classList.add("dragging"); });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) this.root.classList.remove("dragging"); });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.root.classList.remove("dragging");
      this.take(event.dataTransfer);
    });
  }

  take(transfer) {
    const file = [...(transfer?.files ?? [])][0];
    if (file) this.open(file, file.name || "image");
  }

  key(event) {
    if (!this.session || event.target.matches("input:not([type=radio]), select, textarea")) return;
    const isUndo = event.key === "Backspace" || (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey));
    if (isUndo) this.session.undo();
    else if (event.key === "Delete") this.removeOne(event.target);
    else return;
    event.preventDefault();
  }

  removeOne(target) {
    const row = target.closest?.("[data-number]");
    if (row) this.session.remove(Number(row.dataset.number));
    else if (this.session.prompts.length) this.session.discard();
    else this.session.remove(this.session.objects.length - 1);
  }

  offerSamples() {
    for (const [name, title] of Object.entries(SAMPLES)) {
      const picture = new Image();
      picture.src = `playground/samples/${name}`;
      picture.alt = title;
      const button = document.createElement("button");
      button.type = "button";
      button.append(picture);
      button.addEventListener("click", async () => {
        try {
          this.open(await service.sample(name), name);
        } catch (error) {
          this.fail(error);
        }
      });
      find("samples").append(button);
    }
  }

  async open(file, name) {
    if (file.size > this.bounds.maxBytes) {
      this.say(`${name} has more than ${this.bounds.mb} MB. Scale it down, or raise MOBILESAM_MAX_IMAGE_MB.`, true);
      return;
    }
    let picture;
    try {
      picture = await createImageBitmap(file); // turned as EXIF says
    } catch {
      this.say(`This browser cannot show ${name}. Choose a JPEG, PNG or WebP.`, true);
      return;
    }
    const session = new Session(file, name, picture);
    this.session = session;
    find("start").hidden = true;
    find("work").hidden = false;
    this.view.open(picture, session);
    session.addEventListener("change", () => this.show());
    session.addEventListener("working", () => this.wait());
    session.addEventListener("problem", ({ detail }) => this.say(detail.text, true));
    this.show();
    this.say("Reading the image ...");
    this.view.canvas.focus({ preventScroll: true });
    try {
      await session.send();
      if (this.session === session && !session.prompts.length) this.say("Ready. Click an object, or drag a box around one.");
    } catch (error) {
      if (this.session === session) this.fail(error);
    }
  }

  close() {
    this.session.request.abort();
    this.session = null;
    find("start").hidden = false;
    find("work").hidden = true;
    this.list([]);
    this.say("");
    find("file").focus();
  }

  /** Bring everything up to the session's state. */
  show() {
    clearTimeout(this.waiting);
    const { session } = this;
    const { mask } = session;
    this.view.draw();
    this.list(session.objects);
    find("undo").disabled = !session.prompts.length && !session.objects.length;
    find("accept").disabled = !mask?.pixels;
    this.downloads.forEach((button) => { button.disabled = !session.drawn.objects.length; });
    if (!mask) this.say(session.objects.length ? "Click the next object." : "Click an object, or drag a box around one.");
    else if (!mask.pixels) this.say("No object there. Click another place.");
    else this.say(`${mask.pixels.toLocaleString("en")} pixels, score ${mask.score.toFixed(2)}, ${mask.ms} ms`);
  }

  wait() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.say("Segmenting ..."), 150); // what is quicker would flicker
  }

  list(objects) {
    const rows = objects.map(({ mask }, number) => this.row(`Object ${number + 1}`, mask, number));
    const open = this.session?.mask;
    if (open?.pixels) rows.push(this.row(`Object ${objects.length + 1}, open`, open, null));
    find("objects").replaceChildren(...rows);
    find("no-objects").hidden = rows.length > 0;
    if (!this.session) this.downloads.forEach((button) => { button.disabled = true; });
  }

  row(title, mask, number) {
    const row = document.createElement("li");
    const size = document.createElement("small");
    size.textContent = `${mask.pixels.toLocaleString("en")} px`;
    row.append(title, size);
    if (number === null) {
      row.className = "open";
      return row;
    }
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "small";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${title}`);
    remove.addEventListener("click", () => { this.session.remove(number); this.view.canvas.focus(); });
    row.dataset.number = number;
    row.append(remove);
    return row;
  }

  async save(kind) {
    const { session } = this;
    try {
      await session.pending;
      let file = await service.download(kind, session.drawn);
      if (kind === "label-studio") file = await withImage(file, session.file);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(file);
      link.download = session.name.replace(/\.[^.]*$/, "") + SUFFIXES[kind];
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    this.say([error.message, error.remedy].filter(Boolean).join(": "), true);
  }

  say(text, isBad = false) {
    this.message.textContent = text;
    this.message.classList.toggle("bad", isBad);
  }
}

/** Put the image itself into a task, which is thus complete wherever it is imported. */
async function withImage(file, image) {
  const tasks = JSON.parse(await file.text());
  tasks[0].data.image = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(image);
  });
  return new Blob([JSON.stringify(tasks)], { type: "application/json" });
}
