// The session of this page: an access token in memory, got by a cookie that no script reads, and got anew when it has run out.
import { ask, leaveFor, Refused } from "./account-api.js";
import { bind, clear, say } from "./account-forms.js";

const OVER = ["session-ended", "token-reused"];
const dialog = document.querySelector("#again");
const form = dialog.querySelector("form");
let token = "";
let answered = null;

export async function renew(given = {}) {
  const session = await (await ask("POST", "/api/auth/refresh", given)).json();
  token = session.access_token;
  return session.person;
}

// Asks in the name of the person who is signed in. Throws null when the person does not want to give the password anew.
export async function signed(method, path, body) {
  for (let tries = 1; ; tries++) {
    try {
      if (!token) await renew();
      return await ask(method, path, body, token);
    } catch (refused) {
      if (OVER.includes(refused.code)) return leave(refused.code);
      if (tries === 4 || !(refused instanceof Refused)) throw refused;
      if (refused.code === "bad-credential") token = "";
      else if (refused.code === "session-locked") await again("You were away for a while.");
      else if (refused.code === "step-up-required") await again("This needs your password once more.");
      else throw refused;
    }
  }
}

export async function signOut() {
  await ask("POST", "/api/auth/logout", {}, token);
  leaveFor("/account/sign-in?done=signed-out");
}

function leave(code) {
  const query = new URLSearchParams({ next: location.pathname });
  if (token || code !== "session-ended") query.set("problem", code); // nobody was signed in here: that is no problem
  leaveFor(`/account/sign-in?${query}`);
  return new Promise(() => {}); // the page is left: nothing comes after
}

// Password, and code where there is a second factor: unlocks the session and opens what is sensitive for ten minutes.
function again(why) {
  if (!answered) {
    dialog.querySelector(".why").textContent = why;
    clear(form);
    dialog.showModal();
    answered = {};
    answered.promise = new Promise((resolve, reject) => Object.assign(answered, { resolve, reject }));
  }
  return answered.promise;
}

export function knowFactors(held) {
  form.querySelector(".code").hidden = !held.length;
  form.querySelector(".send").hidden = !held.includes("sms");
}

bind(form, async ({ password, code }, button) => {
  if (button?.classList.contains("send")) {
    await ask("POST", "/api/auth/sms/send", undefined, token);
    return say(form, "A code is on its way to your phone.");
  }
  try {
    await renew({ password, code: code.trim() });
  } catch (refused) {
    if (refused.code === "code-needed") form.querySelector(".code").hidden = false;
    if (OVER.includes(refused.code)) await leave(refused.code);
    throw refused;
  }
  answered.resolve();
  answered = null;
  return dialog.close();
});
dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  form.reset();
  answered?.reject(null);
  answered = null;
});
