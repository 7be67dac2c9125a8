// A form sends by script, says at each field what is wrong there, and keeps what was typed, passwords and codes excepted.
import { Refused } from "./account-api.js";
import { el } from "./dom.js";

// Which field a refusal is about, where the problem has no pointer. The first of them that the form shows gets it.
const ABOUT = {
  "bad-address": ["email"],
  "weak-password": ["new_password", "password"],
  "code-refused": ["code"],
  "code-needed": ["code"],
  "confirmation-differs": ["confirm"],
  "token-refused": ["token"],
};
// Hints that the API gives to programs, in words for people.
const HINTS = {
  "code-needed": "Type the code of your authenticator app, or a recovery code.",
  "challenge-refused": "Load this page again, and begin anew.",
  "internal": "Try again; if it stays, tell the operator.",
  "invitation-needed": "Ask the operator for an invitation.",
  "last-way-in": "Set a password first, or link another service.",
  "not-a-session": "Sign in.",
  "nothing-to-confirm": "Begin again.",
  "link-expired": "Begin again on the sign-in page.",
};

export function waitText(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  return whole < 3600 ? `${Math.ceil(whole / 60)} min` : `${Math.ceil(whole / 3600)} h`;
}

export function hintOf(refused) {
  if (refused.wait) return `Try again in ${waitText(refused.wait)}.`;
  return HINTS[refused.code] ?? refused.problem.hint ?? "";
}

// Enables the form. work(values, button) may throw Refused; what it throws otherwise is a fault of ours.
export function bind(form, work) {
  for (const button of form.querySelectorAll("button")) button.disabled = false;
  for (const field of form.querySelectorAll("input[type=password]")) addReveal(field);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    clear(form);
    if (!event.submitter?.formNoValidate && !showInvalid(form)) return;
    form.ariaBusy = "true";
    try {
      await work(Object.fromEntries(new FormData(form, event.submitter)), event.submitter);
    } catch (error) {
      showRefused(form, error);
    } finally {
      form.ariaBusy = "false";
    }
  });
}

export function say(form, text) {
  const place = form.querySelector(".done");
  place.replaceChildren(text);
}

export function clear(form) {
  form.querySelector(".problem").replaceChildren();
  form.querySelector(".done")?.replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]")) unmark(field);
}

export function showRefused(form, error) {
  if (error === null) return; // somebody closed the dialog: nothing to say
  const refused = error instanceof Refused ? error : new Refused({ title: "Something went wrong on this page.", code: "page", hint: "Load it again." });
  if (refused !== error) console.error(error);
  const left = [];
  for (const item of itemsOf(form, refused)) {
    const field = fieldOf(form, item.names);
    if (field) mark(field, item.text);
    else left.push(item.text);
  }
  if (refused.code !== "code-needed") for (const field of form.querySelectorAll("[data-secret]")) field.value = "";
  const box = form.querySelector(".problem");
  if (left.length) box.replaceChildren(...left.map((text) => el("p", {}, text)));
  (form.querySelector("[aria-invalid=true]") ?? box).focus();
}

function itemsOf(form, refused) {
  if (refused.code === "sign-in-refused" && !form.elements.email) return [{ names: ["password"], text: "The password is wrong." }];
  const errors = refused.problem.errors ?? [];
  if (errors.length) return errors.map((one) => ({ names: [one.pointer?.split(/[/.]/).at(-1)], text: [one.detail, one.hint].filter(Boolean).join(" ") }));
  return [{ names: ABOUT[refused.code] ?? [], text: [refused.message, hintOf(refused)].filter(Boolean).join(" ") }];
}

function fieldOf(form, names) {
  return names.map((name) => form.elements.namedItem(name ?? "")).find((field) => field && isShown(field)) ?? null;
}

function showInvalid(form) {
  const wrong = [...form.elements].filter((field) => field.willValidate && isShown(field) && !field.validity.valid);
  for (const field of wrong) mark(field, field.validationMessage);
  wrong[0]?.focus();
  return wrong.length === 0;
}

function isShown(field) {
  return field.getClientRects().length > 0;
}

function mark(field, text) {
  field.setAttribute("aria-invalid", "true");
  document.getElementById(`${field.id}-error`).replaceChildren(text);
  field.addEventListener("input", () => unmark(field), { once: true });
}

function unmark(field) {
  field.removeAttribute("aria-invalid");
  document.getElementById(`${field.id}-error`).replaceChildren();
}

function addReveal(field) {
  const button = el("button", { type: "button", className: "reveal", ariaPressed: "false", ariaLabel: `Show: ${field.labels[0].textContent}` }, "Show");
  button.onclick = () => {
    const isPlain = field.type === "text";
    field.type = isPlain ? "password" : "text";
    button.ariaPressed = String(!isPlain);
    button.textContent = isPlain ? "Show" : "Hide";
  };
  field.after(button);
}
