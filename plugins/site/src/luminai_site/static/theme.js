// Dark unless the reader chose otherwise; kept in this browser, and brought along by the account on signing in.
const order = ["dark", "light", "high-contrast", "system"];
const root = document.documentElement;
const button = document.querySelector(".theme");

function read() {
  try { return localStorage.getItem("theme") ?? "dark"; } catch { return "dark"; }
}

function apply(theme) {
  const seen = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  root.dataset.theme = theme === "system" ? seen : theme;
  button.title = `Colours: ${theme}`;
}

export function choose(theme) {
  try { localStorage.setItem("theme", theme); } catch { /* private mode: it holds for this page */ }
  apply(theme);
}

apply(read());
button.hidden = false;
button.addEventListener("click", () => choose(order[(order.indexOf(read()) + 1) % order.length]));
