// What the page asks of the service. Addresses are relative, so that a proxy may add a path.

export class ServiceError extends Error {
  constructor(status, fault) {
    super(fault.reason || `HTTP ${status}`);
    this.status = status;
    this.code = fault.code;
    this.remedy = fault.remedy || "";
  }
}

async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, { code: "unreachable", reason: "The service does not answer", remedy: "look whether it runs" });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ServiceError(response.status, body.error || {});
}

const json = (body, signal) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

export const status = async () => (await ask("page/status")).json();

export const activity = async () => (await ask("activity")).json();

export const sample = async (name) => (await ask(`playground/samples/${name}`)).blob();

/** Send an image file; answers {image, height, width}. */
export async function sendImage(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  return (await ask("playground/images", { method: "POST", headers, body: file })).json();
}

/** Ask for a mask; answers {runs, score}. */
export async function segment(image, prompt, signal) {
  return (await ask("playground/masks", json({ image, ...prompt }, signal))).json();
}

/** Ask for a download; answers a Blob. */
export async function download(kind, drawn) {
  return (await ask(`playground/downloads/${kind}`, json(drawn))).blob();
}
