// The second factor: turned on by an authenticator app's first code, which gives recovery codes; turned off again.
import { bind, say } from "./account-forms.js";
import { showSessions } from "./account-lists.js";
import { knowFactors, signed } from "./account-session.js";
import { el } from "./dom.js";

const [start, confirm, off] = ["factor-start", "factor-confirm", "factor-off"].map((id) => document.getElementById(id));
const codes = document.getElementById("recovery");

let held = [];

export function showFactor(factors) {
  held = factors;
  const hasApp = held.includes("totp");
  start.hidden = hasApp;
  document.getElementById("factor-on").hidden = !hasApp;
  off.closest("details").open = false;
  confirm.hidden = true;
  confirm.reset();
  for (const place of confirm.querySelectorAll(".secret, .uri, .address")) place.replaceChildren();
  document.getElementById("change").querySelector(".code").hidden = !held.length;
  knowFactors(held);
}

function copyButton(text) {
  const button = el("button", { type: "button", className: "button quiet small" }, "Copy");
  button.onclick = async () => { await navigator.clipboard.writeText(text); button.textContent = "Copied"; };
  return button;
}

bind(start, async () => {
  const { secret, uri } = await (await signed("POST", "/api/auth/totp/enrol")).json();
  confirm.querySelector(".secret").replaceChildren(el("code", {}, secret.match(/.{1,4}/g).join(" ")), copyButton(secret));
  confirm.querySelector(".uri").replaceChildren(el("a", { href: uri }, "Open it in the app on this device"), copyButton(uri));
  confirm.querySelector(".address").textContent = uri;
  start.hidden = true;
  confirm.hidden = false;
  confirm.elements.code.focus();
});
bind(confirm, async ({ code }, button) => {
  if (button?.value === "cancel") return showFactor(held);
  const answer = await (await signed("POST", "/api/auth/totp/confirm", { code: code.trim() })).json();
  showFactor(["totp", ...held]);
  document.getElementById("factor-on").hidden = true; // until the codes are kept
  codes.querySelector("ul").replaceChildren(...answer.recovery_codes.map((one) => el("li", {}, el("code", {}, one))));
  codes.querySelector(".copy").replaceChildren(copyButton(answer.recovery_codes.join("\n")));
  codes.hidden = false;
  codes.focus();
  return showSessions();
});
bind(codes, () => {
  codes.querySelector("ul").replaceChildren();
  codes.hidden = true;
  document.getElementById("factor-on").hidden = false;
  document.getElementById("factor").focus();
});
bind(off, async () => {
  await signed("POST", "/api/auth/totp/disable");
  showFactor(held.filter((one) => one !== "totp"));
  codes.hidden = true;
  say(start, "The second factor is off. Other sessions were ended.");
  start.querySelector("button").focus();
  await showSessions();
});
