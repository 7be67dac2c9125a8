// Asks the hub's JSON API. What is refused is thrown as Refused, with the problem document (RFC 9457) and the seconds to wait.
export class Refused extends Error {
  constructor(problem, status = 0, wait = 0) {
    super(problem.detail || problem.title);
    this.problem = problem;
    this.code = problem.code;
    this.status = status;
    this.wait = wait;
  }
}

export async function ask(method, path, body, token = "") {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refused({ title: "The hub cannot be reached.", code: "unreachable", hint: "Check your connection, then try again." });
  }
  if (answer.ok) return answer;
  const unreadable = { title: "The hub's answer cannot be read.", code: "unreadable", hint: "Try again in a moment." };
  const problem = await answer.json().catch(() => unreadable);
  throw new Refused(problem, answer.status, Number(problem.retry_after ?? answer.headers.get("Retry-After")) || 0);
}

// What the list of sessions calls a browser.
export function deviceName(agent = navigator.userAgent) {
  const found = (names) => names.find(([, pattern]) => pattern.test(agent))?.[0];
  const browser = found([["Edge", /Edg/], ["Opera", /OPR/], ["Firefox", /Firefox|FxiOS/], ["Chrome", /Chrom|CriOS/], ["Safari", /Safari/]]);
  const system = found([["Android", /Android/], ["iPhone", /iPhone/], ["iPad", /iPad/], ["Windows", /Windows/], ["macOS", /Mac OS X/], ["Linux", /Linux/]]);
  return [browser ?? "Browser", system].filter(Boolean).join(" on ");
}

export function leaveFor(path) {
  const found = new URL(path, location.origin);
  location.assign(found.origin === location.origin ? found.href : "/account");
}
