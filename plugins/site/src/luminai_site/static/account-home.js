// The own account: loaded once the page has its session, and saved section by section.
import { ask } from "./account-api.js";
import { showFactor } from "./account-factor.js";
import { bind, hintOf, say } from "./account-forms.js";
import { showServices, showSessions } from "./account-lists.js";
import { signed, signOut } from "./account-session.js";
import { el } from "./dom.js";
import { choose } from "./theme.js";

const [home, loading, failed, profile, change, exporting, looking, erasing] = ["home", "loading", "failed", "profile", "change", "export", "look", "erase"].map((id) => document.getElementById(id));

function showPerson(person) {
  document.querySelector(".who-am-i").textContent = person.email;
  for (const field of document.querySelectorAll("input[name=username]")) field.value = person.email; // for password managers
  profile.elements.name.value = person.name;
  profile.elements.theme.value = person.preferences.theme;
  profile.elements.audio.checked = person.preferences.audio;
  profile.elements.locale.value = person.preferences.locale;
}

async function load() {
  failed.hidden = true;
  loading.hidden = false;
  try {
    const person = await (await signed("GET", "/api/users/profile")).json();
    showPerson(person);
    showFactor(person.second_factors);
    home.hidden = false;
    await Promise.all([showSessions(), showServices()]);
  } catch (error) {
    home.hidden = true;
    failed.querySelector(".problem").replaceChildren(el("p", {}, error === null ? "Your account stays closed without your password." : `${error.message} ${hintOf(error)}`));
    failed.hidden = false;
  } finally {
    loading.hidden = true;
  }
}

bind(failed, load);
bind(document.getElementById("sign-out"), signOut);
bind(profile, async ({ name, theme, locale, audio }) => {
  const wished = { name: name.trim(), preferences: { theme, locale: locale.trim(), audio: audio !== undefined } };
  showPerson(await (await signed("PATCH", "/api/users/profile", wished)).json());
  choose(theme);
  say(profile, "Saved.");
});
bind(change, async ({ password, new_password, code }) => {
  await signed("POST", "/api/auth/password/change", { password, new_password, code: code.trim() });
  for (const field of change.querySelectorAll("[data-secret]")) field.value = "";
  say(change, "Your password is changed. Other sessions were ended.");
  await showSessions();
});
bind(exporting, async () => {
  const file = await (await signed("POST", "/api/users/me/export")).blob();
  const url = URL.createObjectURL(file);
  el("a", { href: url, download: "luminai-export.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  say(exporting, "The file is in your downloads.");
});
bind(looking, async () => {
  const { held, erased, kept } = await (await signed("POST", "/api/users/me/erase", { dry_run: true })).json();
  const rows = Object.values(erased).reduce((sum, count) => sum + count, 0);
  const list = Object.entries(kept).map(([what, why]) => el("li", {}, el("code", {}, what), ` ${why}`));
  erasing.querySelector(".what").replaceChildren(
    el("p", {}, `${rows} entries would be erased, and the key that your words are sealed with, in back-ups too.`),
    ...(list.length ? [el("p", {}, "This stays:"), el("ul", {}, ...list)] : []),
    ...(held ? [el("p", {}, "A legal hold forbids it now. Ask the operator.")] : []),
  );
  looking.hidden = true;
  erasing.hidden = false;
  erasing.elements.confirm.focus();
});
bind(erasing, async ({ confirm }, button) => {
  if (button?.value === "cancel") {
    erasing.reset();
    erasing.hidden = true;
    looking.hidden = false;
    return looking.querySelector("button").focus();
  }
  const { left } = await (await signed("POST", "/api/users/me/erase", { confirm: confirm.trim() })).json();
  const open = Object.keys(left);
  if (open.length) return say(erasing, `Your account is erased, but not what these keep: ${open.join(", ")}. Tell the operator.`);
  await ask("POST", "/api/auth/logout", {}).catch(() => null);
  return location.assign("/account/sign-in?done=erased");
});
load();
