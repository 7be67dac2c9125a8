// What the link of a letter brings along: its secret part stands behind the #, and leaves the address bar at once.
export const handed = new URLSearchParams(location.hash.slice(1));
addEventListener("hashchange", () => { if (location.hash.includes("token=")) location.reload(); }); // a link that is opened on its own page
if (location.hash.includes("token=")) history.replaceState(null, "", location.pathname + location.search);

// A pasted link is as good as what stands behind its #.
export function tokenOf(text) {
  return text.trim().replace(/^.*#token=/, "");
}

export function fill(token) {
  for (const field of document.querySelectorAll("input[name=token]")) field.value = token;
  for (const part of document.querySelectorAll("[data-with-token]")) part.hidden = part.dataset.withToken === "no";
}
