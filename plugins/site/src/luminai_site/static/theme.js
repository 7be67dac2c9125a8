// Dark unless the reader chose light or what the system says; kept in this browser only.
const order = ["dark", "light", "system"];
const root = document.documentElement;
const button = document.querySelector(".theme");

function read() {
  try { return localStorage.getItem("theme") ?? "dark"; } catch { return "dark"; }
}

function apply(theme) {
  const light = theme === "light" || (theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  root.dataset.theme = light ? "light" : "dark";
  button.title = `Colours: ${theme}`;
}

apply(read());
button.hidden = false;
button.addEventListener("click", () => {
  const next = order[(order.indexOf(read()) + 1) % order.length];
  try { localStorage.setItem("theme", next); } catch { /* private mode: it holds for this page */ }
  apply(next);
});
