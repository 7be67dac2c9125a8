// Sessions and linked services: lists that say when they load, are empty, or cannot be shown.
import { ask, deviceName, Refused } from "./account-api.js";
import { hintOf } from "./account-forms.js";
import { signed } from "./account-session.js";
import { el } from "./dom.js";

function when(text) {
  return el("time", { dateTime: text }, new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
}

function action(label, name, work, place) {
  const button = el("button", { type: "button", className: "button quiet small", ariaLabel: name }, label);
  button.onclick = async () => {
    button.disabled = true;
    try { await work(); } catch (error) { tell(place, error); } finally { button.disabled = false; }
  };
  return button;
}

// What was refused, beside the list that it is about; nothing where somebody only closed a dialog.
function tell(place, error) {
  if (error === null) return;
  if (!(error instanceof Refused)) throw error;
  place.querySelector(".problem").replaceChildren(el("p", {}, `${error.message} ${hintOf(error)}`));
  place.querySelector(".problem").focus();
}

// Fills the list of a section page by page. row(item) returns what stands in it.
async function fill(place, path, row, empty) {
  const list = place.querySelector("ul");
  const more = place.querySelector(".more");
  let cursor = null;
  const load = async () => {
    place.ariaBusy = "true";
    try {
      const page = await (await signed("GET", path + (cursor ? `?${new URLSearchParams({ cursor })}` : ""))).json();
      if (cursor === null) list.replaceChildren();
      list.append(...page.items.map((item) => el("li", {}, ...row(item))));
      if (!list.children.length) list.append(el("li", { className: "empty" }, empty));
      cursor = page.next_cursor;
      more.replaceChildren(...(cursor ? [action("Show more", "Show more", load, place)] : []));
      place.querySelector(".problem").replaceChildren();
    } catch (error) {
      if (!list.children.length || list.querySelector(".loading")) list.replaceChildren();
      more.replaceChildren(action("Try again", "Try again", load, place));
      tell(place, error);
    } finally {
      place.ariaBusy = "false";
    }
  };
  await load();
}

const sessions = document.getElementById("sessions");

function nameOf(device) {
  return device.startsWith("Mozilla/") ? deviceName(device) : device || "Unnamed device";
}

export async function showSessions() {
  await fill(sessions, "/api/auth/sessions", (one) => [
    el("div", {}, el("p", { className: "device" }, nameOf(one.device), one.is_current ? el("span", { className: "badge steady" }, "this one") : ""),
      el("p", { className: "hint" }, `${one.address} · since `, when(one.created_at), " · last used ", when(one.last_used_at))),
    one.is_current ? "" : action("End", `End the session of ${nameOf(one.device)}`, async () => {
      await signed("DELETE", `/api/auth/sessions/${one.id}`);
      await showSessions();
    }, sessions),
  ], "There is no session.");
  const others = sessions.querySelectorAll("li button").length;
  sessions.querySelector(".all").replaceChildren(...(others ? [action("End all others", "End all other sessions", async () => {
    await signed("DELETE", "/api/auth/sessions");
    await showSessions();
  }, sessions)] : []));
}

const services = document.getElementById("services");

export async function showServices() {
  const { items: offered } = await (await ask("GET", "/api/auth/providers")).json();
  const linked = new Set();
  await fill(services, "/api/auth/identities", (one) => {
    linked.add(one.provider);
    return [
      el("div", {}, el("p", { className: "device" }, one.title || one.issuer), el("p", { className: "hint" }, "linked ", when(one.created_at))),
      action("Unlink", `Unlink ${one.title || one.issuer}`, async () => {
        await signed("DELETE", `/api/auth/identities/${one.id}`);
        await Promise.all([showServices(), showSessions()]);
      }, services),
    ];
  }, "Your account is linked to no other service.");
  services.hidden = !offered.length && !linked.size;
  const free = offered.filter((one) => !linked.has(one.name));
  services.querySelector(".all").replaceChildren(...free.map((one) => action(`Link ${one.title}`, `Link ${one.title}`, async () => {
    const { location: there } = await (await signed("POST", "/api/auth/identities", { provider: one.name, next: "/account" })).json();
    location.assign(there);
  }, services)));
}
