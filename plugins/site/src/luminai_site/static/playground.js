// Streams an answer from POST /api/chat and builds it as nodes: no innerHTML, so Trusted Types can stay on.
import { ask as account, leaveFor, Refused } from "./account-api.js";
import { el } from "./dom.js";

const form = document.querySelector("#ask");
const log = document.querySelector("#log");
const box = form.elements.message;
const send = document.querySelector("#send");
const stop = document.querySelector("#stop");
const keep = document.querySelector("#keep");
let running = null, token = "", session = null;

// What is saved is somebody's: an access token in memory, got by a cookie that no script reads, as on the pages of the account.
async function signIn() {
  token = (await (await account("POST", "/api/auth/refresh", {})).json()).access_token;
}

async function post(path, body, tries = 2) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream", ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (response.status !== 401 || !token || tries === 1) return response;
  await signIn(); // it has run out
  return post(path, body, 1);
}

function safeLink(url) {
  try {
    const found = new URL(url, location.href);
    return ["http:", "https:"].includes(found.protocol) ? found.href : null;
  } catch { return null; }
}

// Inline Markdown: code, bold, emphasis, links. Anything else stays text.
function inline(text) {
  const nodes = [];
  const pattern = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    nodes.push(text.slice(last, match.index));
    const [whole, code, bold, emphasis, label, url] = match;
    if (code) nodes.push(el("code", {}, code));
    else if (bold) nodes.push(el("strong", {}, bold));
    else if (emphasis) nodes.push(el("em", {}, emphasis));
    else {
      const href = safeLink(url);
      nodes.push(href ? el("a", { href, rel: "noopener" }, label) : whole);
    }
    last = match.index + whole.length;
  }
  nodes.push(text.slice(last));
  return nodes;
}

// Blocks: paragraphs, lists, quotations, fenced code.
function blocks(text) {
  const out = document.createDocumentFragment();
  for (const part of text.split(/(```[\s\S]*?(?:```|$))/)) {
    if (part.startsWith("```")) {
      out.append(el("pre", {}, el("code", {}, part.replace(/^```\w*\n?/, "").replace(/```$/, ""))));
      continue;
    }
    for (const block of part.split(/\n{2,}/)) {
      const lines = block.split("\n").filter((line) => line.trim());
      if (!lines.length) continue;
      if (lines.every((line) => line.startsWith(">"))) {
        out.append(el("blockquote", {}, blocks(lines.map((line) => line.replace(/^> ?/, "") || "\n").join("\n"))));
      } else if (lines.every((line) => /^\s*([-*]|\d+\.)\s/.test(line))) {
        out.append(el(/^\s*\d/.test(lines[0]) ? "ol" : "ul", {}, ...lines.map((line) => el("li", {}, ...inline(line.replace(/^\s*([-*]|\d+\.)\s/, ""))))));
      } else {
        out.append(el("p", {}, ...inline(lines.join(" "))));
      }
    }
  }
  return out;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    pending += value;
    const parts = pending.split("\n\n");
    pending = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").filter((line) => line && !line.startsWith(":")).map((line) => line.split(/: ?(.*)/s)));
      if (fields.data) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function showProblem(problem, retry) {
  const wait = problem.retry_after ? ` Try again in ${Math.ceil(problem.retry_after)} s.` : "";
  const again = el("button", { type: "button", onclick: retry }, "Try again");
  log.append(el("article", { className: "bubble problem", role: "alert" }, el("p", {}, (problem.detail || problem.title) + wait), problem.hint ? el("p", { className: "hint" }, problem.hint) : null, el("p", { className: "tools" }, again)));
}

function finish(bubble, body, answer) {
  const { badge } = answer.resonance;
  bubble.querySelector(".who").append(el("span", { className: `badge ${badge.state}${badge.pulse ? " pulse" : ""}` }, `R ${answer.R.toFixed(2)} ${badge.state}`));
  body.classList.remove("waiting");
  body.replaceChildren(blocks(answer.response));
  if (answer.end_state !== "finished") {
    const more = el("button", { type: "button", onclick: () => { more.remove(); goOn(answer.turn_id, bubble); } }, "Go on");
    const isKept = answer.session_id && answer.end_state !== "filtered";
    bubble.append(el("p", { className: "hint" }, `This answer is ${answer.end_state}. `, isKept ? more : null));
  }
  if (answer.sources.length) {
    bubble.append(el("ul", { className: "sources" }, ...answer.sources.map((source) => el("li", {}, el("a", { href: safeLink(source.url) ?? "#" }, source.title)))));
  }
  bubble.append(el("p", { className: "chips" }, ...answer.witness_chips.map((chip) => el("span", { className: "chip" }, chip.label))));
  const parts = answer.resonance.parts.flatMap((part) => [el("dt", {}, `${part.name} = ${part.value.toFixed(2)}`), el("dd", {}, `${part.formula}. ${part.note ?? ""} `, el("cite", {}, part.citation ?? ""))]);
  bubble.append(el("details", {}, el("summary", {}, "How R came about"), el("p", {}, el("code", {}, answer.resonance.formula)), el("dl", {}, ...parts)));
  const copy = el("button", { type: "button" }, "Copy");
  copy.onclick = async () => { await navigator.clipboard.writeText(answer.response); copy.textContent = "Copied"; };
  bubble.append(el("p", { className: "tools" }, copy));
}

function ask(question) {
  if (running || !question.trim()) return;
  document.querySelector("#empty")?.remove();
  log.append(el("article", { className: "bubble mine" }, el("p", {}, question)));
  const persona = form.elements.persona;
  const who = persona.selectedOptions[0].text.replace(/^\S+\s/, "");
  return listen(who, "/api/chat", { message: question, persona: persona.value, ...(session && { session_id: session }) }, () => ask(question));
}

// A reply that broke off stays as it is; what comes is a message of its own.
function goOn(turn, bubble) {
  if (running) return;
  return listen(bubble.querySelector(".who").childNodes[1].textContent.trim(), `/api/chat/turns/${turn}/continue`, {}, () => goOn(turn, bubble));
}

async function listen(who, path, given, retry) {
  const body = el("div", { className: "waiting" });
  const bubble = el("article", { className: "bubble theirs", ariaBusy: "true" }, el("p", { className: "who" }, el("span", { className: "orb", ariaHidden: "true" }), ` ${who} `), body);
  log.append(bubble);
  bubble.scrollIntoView({ block: "end" });
  running = { turn: null };
  send.hidden = true;
  stop.hidden = false;
  let text = "", ended = false;
  try {
    const response = await post(path, given);
    if (!response.ok) throw await response.json();
    for await (const { event, data } of events(response)) {
      if (event === "turn") { running.turn = data.turn_id; session = data.session_id; }
      else if (event === "text") { text += data.text; body.replaceChildren(blocks(text)); }
      else if (event === "seam" && !data.keep) {
        text = "";
        body.after(el("p", { className: "hint" }, `A first answer broke off (${data.reason}); ${data.model} began anew.`));
      }
      else if (event === "problem") throw data;
      else if (event === "end") { ended = true; finish(bubble, body, data); }
    }
    if (!ended) throw { title: "The connection was lost.", hint: "What was answered so far stands above." };
  } catch (problem) {
    body.classList.remove("waiting");
    if (!text) bubble.remove();
    const unreachable = { title: "The hub cannot be reached.", hint: "Check your connection." };
    showProblem(problem instanceof Refused ? problem.problem : problem instanceof Error ? unreachable : problem, retry);
  } finally {
    bubble.ariaBusy = "false";
    running = null;
    send.hidden = false;
    stop.hidden = true;
    log.lastElementChild?.scrollIntoView({ block: "nearest" });
    box.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return;
  const question = box.value;
  box.value = "";
  ask(question);
});
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
});
stop.addEventListener("click", () => running?.turn && post(`/api/chat/turns/${running.turn}/cancel`, {}));
log.addEventListener("click", (event) => { const question = event.target.closest?.("[data-question]")?.dataset.question; if (question) ask(question); });
keep.hidden = false;
keep.addEventListener("click", async () => {
  try {
    await signIn();
  } catch {
    return leaveFor(`/account/sign-in?next=${encodeURIComponent(location.pathname)}`);
  }
  keep.closest("p").replaceChildren("What is said from here on is saved under your account.");
});
