// Masks as the service answers them: lengths of runs of pixels, row by row, off and on in turn.

const MAX_RASTER_PX = 6e6; // a larger mask is drawn from every second, third ... row and column

export function countPixels(runs) {
  let pixels = 0;
  for (let i = 1; i < runs.length; i += 2) pixels += runs[i];
  return pixels;
}

/** The middle of the longest run: surely on the object, for its number. */
export function anchor(runs, width) {
  let at = 0;
  let best = [0, 0];
  runs.forEach((run, i) => {
    if (i % 2 && run > best[1]) best = [at, run];
    at += run;
  });
  const pixel = best[0] + Math.floor(Math.min(best[1], width) / 2);
  return [pixel % width + 0.5, Math.floor(pixel / width) + 0.5];
}

/** Draw a mask in one colour, [r, g, b], on a canvas of its own. */
export function raster(runs, width, height, color) {
  const step = Math.max(1, Math.ceil(Math.sqrt((width * height) / MAX_RASTER_PX)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width / step);
  canvas.height = Math.ceil(height / step);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const ink = ((255 << 24) | (color[2] << 16) | (color[1] << 8) | color[0]) >>> 0;
  let start = 0;
  runs.forEach((run, i) => {
    if (i % 2) fill(pixels, ink, start, start + run, width, step, canvas.width);
    start += run;
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function fill(pixels, ink, start, end, width, step, across) {
  if (step === 1) {
    pixels.fill(ink, start, end);
    return;
  }
  for (let row = Math.floor(start / width); row * width < end; row += 1) {
    if (row % step) continue;
    const from = Math.max(start - row * width, 0);
    const to = Math.min(end - row * width, width);
    pixels.fill(ink, (row / step) * across + Math.ceil(from / step), (row / step) * across + Math.ceil(to / step));
  }
}
