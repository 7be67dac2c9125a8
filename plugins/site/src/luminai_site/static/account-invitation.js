// An invitation to an organisation. Who is not signed in goes to sign in first; the letter's secret waits in this tab meanwhile.
import { ask } from "./account-api.js";
import { bind } from "./account-forms.js";
import { fill, handed, tokenOf } from "./account-letter.js";
import { signed } from "./account-session.js";

const KEPT = "luminai-invitation";
const form = document.getElementById("answer");
if (handed.has("token")) sessionStorage.setItem(KEPT, handed.get("token"));
if (sessionStorage.getItem(KEPT)) fill(sessionStorage.getItem(KEPT));

function settle(id, name = "") {
  sessionStorage.removeItem(KEPT);
  form.hidden = true;
  const shown = document.getElementById(id);
  for (const place of shown.querySelectorAll(".organisation")) place.textContent = name;
  shown.hidden = false;
  shown.focus();
}

bind(form, async (given, button) => {
  const token = tokenOf(given.token);
  if (button?.value === "decline") {
    await ask("POST", "/api/invitations/decline", { token });
    return settle("declined");
  }
  sessionStorage.setItem(KEPT, token);
  const joined = await (await signed("POST", "/api/invitations/accept", { token })).json();
  return settle("joined", joined.name);
});
