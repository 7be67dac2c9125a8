// Signing in, registering, and what letters lead to.
import { ask, deviceName, leaveFor } from "./account-api.js";
import { bind, hintOf, say } from "./account-forms.js";
import { fill, handed, tokenOf } from "./account-letter.js";
import { el } from "./dom.js";
import { choose } from "./theme.js";

const main = document.querySelector(".entry");
const next = main.dataset.next ?? "/account";

function on(id, work) {
  const form = document.getElementById(id);
  if (form) bind(form, (values, button) => work(values, form, button));
}

function show(id) {
  const shown = document.getElementById(id);
  shown.hidden = false;
  (shown.querySelector("input:not([type=hidden])") ?? shown).focus();
}

let challenge = "";
const first = document.querySelector("form"); // what the code form takes the place of

function askForCode(answer) {
  challenge = answer.mfa_token;
  document.getElementById("send-code").hidden = !answer.methods.includes("sms");
  first.hidden = true;
  show("code");
}

function welcome({ person }) {
  if (person.preferences.theme !== "system") choose(person.preferences.theme); // "system" is what nobody chose: this browser's own stays
  leaveFor(next);
}

// A session, or the challenge of the second factor before there is one.
async function enter(answer) {
  const entered = await answer.json();
  if (entered.mfa_token) askForCode(entered);
  else welcome(entered);
}

on("sign-in", async ({ email, password }) => enter(await ask("POST", "/api/auth/login", { email: email.trim(), password, device: deviceName() })));
on("code", async ({ code }, form, button) => {
  if (button?.id === "send-code") {
    await ask("POST", "/api/auth/mfa/sms", { mfa_token: challenge });
    return say(form, "A code is on its way to your phone.");
  }
  return enter(await ask("POST", "/api/auth/mfa", { mfa_token: challenge, code: code.trim(), device: deviceName() }));
});
on("register", async ({ email, password, name }) => {
  const given = { email: email.trim(), password, name: name.trim(), locale: navigator.language.slice(0, 35), device: deviceName() };
  const answer = await (await ask("POST", "/api/auth/register", given)).json();
  if (answer.signed_in) return welcome(answer.signed_in);
  if (answer.next === "sign-in") return leaveFor("/account/sign-in?done=registered");
  document.querySelector("#sent .address").textContent = given.email;
  document.getElementById("ask").hidden = true;
  return show("sent");
});
on("verify", async ({ token }) => enter(await ask("POST", "/api/auth/verify", { token: tokenOf(token), device: deviceName() })));
on("forgot", async ({ email }) => {
  await ask("POST", "/api/auth/password/forgot", { email: email.trim() });
  document.querySelector("#sent .address").textContent = email.trim();
  document.getElementById("forgot").hidden = true;
  show("sent");
});
on("reset", async ({ token, password }) => {
  await ask("POST", "/api/auth/password/reset", { token: tokenOf(token), password });
  leaveFor("/account/sign-in?done=password-set");
});
on("link", async ({ token, password, code }, form) => {
  const shown = handed.has("token") ? { token: tokenOf(token) } : { password };
  try {
    await enter(await ask("POST", "/api/auth/oauth/link", { ...shown, code: code.trim(), device: deviceName() }));
  } catch (refused) {
    if (refused.code === "code-needed") form.querySelector(".code").hidden = false;
    throw refused;
  }
});
on("letter", async (_, form) => {
  await ask("POST", "/api/auth/oauth/letter", {});
  say(form, "If that address can be linked here, a letter is on its way. Open its link in this browser.");
});

// What came behind the #.
if (handed.has("token")) fill(handed.get("token"));
if (handed.has("mfa_token") && document.getElementById("code")) askForCode({ mfa_token: handed.get("mfa_token"), methods: ["totp", "sms"] }); // it is not said which

// The other services through which people can sign in here.
async function showProviders(place) {
  place.ariaBusy = "true";
  const query = new URLSearchParams({ next, ...(main.dataset.again ? { again: "true" } : {}) });
  try {
    const { items } = await (await ask("GET", "/api/auth/providers")).json();
    const links = items.map((one) => el("li", {}, el("a", { className: "button quiet", href: `${one.start}?${query}` }, `Sign in with ${one.title}`)));
    place.replaceChildren(...(links.length ? [el("p", { className: "or" }, "or"), el("ul", {}, ...links)] : []));
  } catch (refused) {
    const retry = el("button", { type: "button", className: "button quiet" }, "Try again");
    retry.onclick = () => showProviders(place);
    place.replaceChildren(el("p", { className: "hint", role: "status" }, `Other ways to sign in could not be loaded. ${hintOf(refused)}`), retry);
  } finally {
    place.ariaBusy = "false";
  }
}

const providers = document.getElementById("providers");
if (providers) showProviders(providers);
