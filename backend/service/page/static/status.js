// The service's state, asked again every few seconds while somebody looks at the page.

import * as service from "./service.js";

const EVERY_MS = 4000;
const CLICKS_SHOWN = 8;
const FAILURES_SHOWN = 20;
const STEPS = ["fetch", "load", "wait", "decode", "encode", "mask", "codec"];
const find = (id) => document.getElementById(id);

export function watch(onState) {
  let timer = null;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return; // visibilitychange goes on
    try {
      const [state, activity] = await Promise.all([service.status(), service.activity()]);
      showState(state);
      showClicks(activity.clicks);
      showFailures(activity.failures);
      onState(state);
    } catch (error) {
      showPill(error.message, "down");
    }
    timer = setTimeout(look, EVERY_MS);
  };
  document.addEventListener("visibilitychange", look);
  look();
}

function showPill(text, kind) {
  const pill = find("state");
  put(pill, text);
  pill.className = `pill ${kind}`;
}

function showState(state) {
  showPill(state.waiting_for_encoder ? `up, ${state.waiting_for_encoder} in the encoder` : "up", "up");
  find("demo-weights").hidden = state.weights !== "demo";
  put(find("since"), `up for ${duration(state.uptime_s)}`);
  facts(find("model"), {
    Weights: state.weights,
    "Model version": state.model_version,
    Device: state.device,
    Runtime: `${state.runtime}, ${state.precision} (${state.runtime_reason})`,
    "Waiting for the encoder": images(state.waiting_for_encoder),
    "Largest image": `${state.max_image_mb} MB, ${(state.max_pixels / 1e6).toLocaleString("en")} megapixels`,
  });
  const tiers = Object.entries(state.cache);
  rows(find("tiers"), tiers.length, newTier).forEach((row, number) => showTier(row, ...tiers[number]));
}

function newTier() {
  const tier = element("div", "tier");
  const [top, bottom] = [element("p"), element("p")];
  top.append(element("span"), element("span"));
  bottom.append(element("span"), element("span"));
  tier.append(top, element("progress"), bottom);
  return tier;
}

function showTier(row, name, tier) {
  const [title, kept, hits, entries] = row.querySelectorAll("span");
  const bar = row.querySelector("progress");
  const asked = tier.hits + tier.misses;
  put(title, name);
  put(kept, tier.bytes === null ? "" : megabytes(tier.bytes) + (tier.max_bytes ? ` of ${megabytes(tier.max_bytes)}` : ""));
  put(hits, asked ? `${tier.hits} of ${asked} found here (${Math.round((100 * tier.hits) / asked)} %)` : "not asked yet");
  put(entries, tier.entries === null ? "" : images(tier.entries));
  bar.hidden = !tier.max_bytes;
  bar.max = tier.max_bytes || 1;
  bar.value = tier.bytes || 0;
  bar.setAttribute("aria-label", `${name}: room that is taken`);
}

function showClicks(clicks) {
  const shown = clicks.slice(0, CLICKS_SHOWN);
  find("no-clicks").hidden = shown.length > 0;
  find("clicks").hidden = !shown.length;
  const steps = STEPS.filter((step) => shown.some((click) => step in click.steps_ms));
  const cells = [
    ["When", "Task", "All, ms", "Embedding", ...steps.map((step) => `${step}, ms`)],
    ...shown.map((click) => [
      ago(click.at),
      click.task_id ?? "this page",
      click.total_ms.toFixed(1),
      click.tiers.join(", ") || "\u2013",
      ...steps.map((step) => click.steps_ms[step]?.toFixed(1) ?? ""),
    ]),
  ];
  const table = find("clicks-table");
  rows(table, cells.length, () => element("tr")).forEach((row, number) => {
    const name = number ? "td" : "th";
    rows(row, cells[number].length, () => element(name)).forEach((cell, column) => {
      put(cell, cells[number][column]);
      cell.className = column === 2 || column > 3 ? "number" : "";
      if (!number) cell.scope = "col";
    });
  });
}

function showFailures(failures) {
  const shown = failures.filter(isNews).slice(0, FAILURES_SHOWN);
  find("no-failures").hidden = shown.length > 0;
  rows(find("failures"), shown.length, newFailure).forEach((row, number) => showFailure(row, shown[number]));
}

/** Every browser's first try is without the login, and the page sends a dropped image again. */
function isNews({ code, path }) {
  return code !== "unknown_image" && !(code === "unauthorized" && path === "/");
}

function newFailure() {
  const row = element("li");
  const what = element("p", "what");
  what.append(element("strong"), element("span", "quiet"));
  row.append(what, element("p", "told"), element("p", "remedy"));
  return row;
}

function showFailure(row, failure) {
  const where = [
    failure.task_id === null ? failure.path : `task ${failure.task_id}`,
    failure.project && `project ${failure.project.split(".")[0]}`,
    ago(failure.at),
    failure.times > 1 && `${failure.times} times`,
    failure.request_id && `request ${failure.request_id}`,
  ];
  put(row.querySelector("strong"), failure.reason);
  put(row.querySelector("span"), where.filter(Boolean).join(" \u00b7 "));
  put(row.querySelector(".told"), failure.message);
  put(row.querySelector(".remedy"), failure.remedy);
}

// Values are put into what is there already: nothing flickers, a selection stays.

function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

function element(name, className = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function rows(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make());
  return [...parent.children];
}

function facts(list, values) {
  const entries = Object.entries(values);
  const nodes = rows(list, 2 * entries.length, () => element(list.children.length % 2 ? "dd" : "dt"));
  entries.forEach(([name, value], number) => {
    put(nodes[2 * number], name);
    put(nodes[2 * number + 1], value);
  });
}

function megabytes(bytes) {
  const mb = bytes / 2 ** 20;
  return `${mb.toLocaleString("en", { maximumFractionDigits: mb < 10 ? 1 : 0 })} MB`;
}

function images(number) {
  return `${number.toLocaleString("en")} ${number === 1 ? "image" : "images"}`;
}

function ago(at) {
  return `${duration(Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000)))} ago`;
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} hours`;
  return `${Math.round(seconds / 86_400)} days`;
}
