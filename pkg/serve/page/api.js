// The service's API (openapi.json), and its problems in plain words. Addresses are relative
// to the page, so that the service works under any prefix.

/** An answer that isn't one. detail is the service's own text. */
export class Problem extends Error {
  constructor(status, { detail = "", error = "" } = {}, retryAfter = 0) {
    super(detail || `The service answered ${status}.`);
    Object.assign(this, { status, detail, error, retryAfter });
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 429 || (this.status === 503 && this.retryAfter > 0);
  }
}

export const address = (path) => new URL(path, document.baseURI).href;

const tokenKey = "clipdet token";
let askForToken = async () => null;

/** A header's text has characters of one byte: those of the UTF-8 that the service reads. */
const inHeader = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** Names the function that asks the person for a token: (wrong) => text or null. */
export function onToken(ask) {
  askForToken = ask;
}
export const hasToken = () => sessionStorage.getItem(tokenKey) !== null;

async function send(path, init) {
  const headers = { ...init.headers };
  if (hasToken()) headers.Authorization = "Bearer " + inHeader(sessionStorage.getItem(tokenKey));
  let response;
  try {
    response = await fetch(address(path), { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (response.ok) return response.json();
  const problem = /json/.test(response.headers.get("Content-Type") ?? "") ? await response.json().catch(() => ({})) : {};
  throw new Problem(response.status, problem, Number(response.headers.get("Retry-After")) || 0);
}

let tokenAsked = null; // one dialog for all requests that wait for it

async function ask(path, init = {}) {
  for (let tries = 0; ; tries++) {
    const used = sessionStorage.getItem(tokenKey);
    try {
      return await send(path, init);
    } catch (problem) {
      if (problem.status !== 401 || tries > 4) throw problem;
      if (used !== sessionStorage.getItem(tokenKey)) continue; // it was given meanwhile
      tokenAsked ??= askForToken(used !== null).finally(() => (tokenAsked = null));
      const token = await tokenAsked;
      if (token === null) throw problem;
      sessionStorage.setItem(tokenKey, token);
    }
  }
}

const inJSON = (body, signal) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });

export const models = () => ask("v1/models");
export const regions = (file, signal) =>
  ask("v1/regions", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file, signal });
export const match = (id, request, signal) => ask(`v1/regions/${id}/match`, inJSON(request, signal));
export const search = (request, signal) => ask("v1/search", inJSON(request, signal));

/** Waits for ms, or fails as soon as signal ends. */
export const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

/**
 * Calls request until it isn't refused for the moment. Before each further try it waits as
 * long as the service says, and calls waits(seconds) each second, at the end with 0.
 */
export async function patiently(request, waits, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await request();
    } catch (problem) {
      if (!problem.passes || tries >= 20) throw problem;
      for (let left = Math.min(60, Math.max(1, problem.retryAfter)); left > 0; left--) {
        waits(left, problem);
        await pause(1000, signal);
      }
      waits(0, problem);
    }
  }
}

const size = (bytes) => (bytes >= 1 << 20 ? `${Math.round(bytes / (1 << 20))} MB` : `${Math.round(bytes / 1024)} kB`);

/** What a problem means, for people. limits are the service's. */
export function inWords(problem, limits) {
  const said = problem.detail ? ` The service says: “${problem.detail}”` : "";
  switch (problem.status) {
    case 0:
      return "The service can't be reached. Is it still running, and is this computer connected to it?";
    case 400:
      return problem.detail || "The service didn't understand the request.";
    case 401:
      return "The service wants a token that it knows.";
    case 408:
      return "The picture arrived too slowly, so the service stopped waiting. Try again with a better connection or a smaller picture.";
    case 413:
      return `This is more than the service takes${limits ? `: at most ${size(limits.bytes)} and ${Math.round(limits.pixels / 1e6)} million pixels` : ""}. Make the picture smaller.${said}`;
    case 415:
      return `The service can't read this file. It takes JPEG, PNG, WebP, GIF, BMP and TIFF.${said}`;
    case 422:
      return problem.error.startsWith("pixels.") ? `The service can't use this picture.${said}` : `This is more than the service takes.${said}`;
    case 429:
      return "The service has too much to do at the moment.";
    case 503:
      return `The service can't answer at the moment.${said}`;
    case 504:
      return "The service took too long. Try again later, or with a smaller picture.";
    default:
      return problem.status >= 500 ? `Something is wrong in the service.${said}` : problem.message;
  }
}
