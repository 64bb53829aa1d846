// The pages work without this file. With it, numbers move as pushes come, a change of the
// question keeps the scroll, and "/" goes to the search.
"use strict";

const live = document.querySelectorAll("[data-live]");

// refresh reads the page again and changes the parts of it that change by themselves. The
// header says that it may wait: today's numbers are read once a second for all who do.
async function refresh() {
  const response = await fetch(location.href, { headers: { "X-Refresh": "1" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live], [data-poll]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) change(part, fresh);
  }
}

// change makes a node like the fresh one. What is alike stays: the focus, an open table, and
// where a screen reader is.
function change(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  changeChildren(old, [...old.childNodes], [...fresh.childNodes]);
}

function changeChildren(parent, before, after) {
  const added = before.length ? after.findIndex((node) => node.isEqualNode(before[0])) : 0;
  const first = after.splice(0, Math.max(added, 0)); // of a list, whose newest is the first
  if (first.length) before[0].before(...first.map((node) => document.importNode(node, true)));
  after.forEach((node, i) => {
    if (before[i]) change(before[i], node);
    else parent.append(document.importNode(node, true));
  });
  for (const node of before.slice(after.length)) node.remove();
}

// refreshSoon refreshes at once, or when the last refresh is over: one that waits tells of all
// that comes until it begins.
let turn = Promise.resolve(), waiting = false;
function refreshSoon() {
  if (waiting) return;
  waiting = true;
  turn = turn.then(() => {
    waiting = false;
    return refresh();
  }).catch(() => {}); // after a failure the next event tries again
}

// listen has the page refreshed at what it does not tell yet.
function listen() {
  const told = document.querySelector("[data-live]").dataset.live;
  const source = new EventSource("/live?after=" + encodeURIComponent(told));
  source.addEventListener("events", refreshSoon);
  return source;
}

if (live.length) {
  let source = listen();
  setInterval(() => {
    if (source.readyState === EventSource.CLOSED) source = listen(); // a proxy had no server
    refreshSoon();
  }, 60000);
}

// Until it is over, what goes on is read again every two seconds.
if (document.querySelector("[data-poll]")) {
  const polling = setInterval(() => {
    if (document.querySelector("[data-poll]")) refreshSoon();
    else clearInterval(polling);
  }, 2000);
}

// How long ago the last push was.
function tick() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = Math.max(0, Math.round((Date.now() + skew - Date.parse(time.dateTime)) / 1000));
    const [unit, n] = seconds < 120 ? ["s", seconds] : seconds < 7200 ? ["m", Math.floor(seconds / 60)] :
      ["h", Math.floor(seconds / 3600)];
    time.textContent = time.dataset[unit].replace("%", n);
    const state = seconds >= time.dataset.red ? "red" : seconds >= time.dataset.amber ? "amber" : "ok";
    time.parentElement.className = "push " + state;
  }
}

// skew is by how much the server's clock is ahead.
const now = document.querySelector("[data-now]");
const skew = now ? Date.parse(now.dataset.now) - Date.now() : 0;
if (now) setInterval(tick, 1000);

// find suggests the channels in which what is typed is found.
async function find({ target: input }) {
  const typed = input.value;
  const response = await fetch("/find?q=" + encodeURIComponent(typed));
  if (!response.ok) return;
  const found = await response.json();
  if (input.value !== typed) return; // a later request has the answer
  input.list.replaceChildren(...found.map(({ key, name }) => new Option(name || key, key)));
}

for (const input of document.querySelectorAll("[data-find]")) {
  input.addEventListener("focus", find);
  input.addEventListener("input", find);
}

// A change of the question keeps the scroll.
const kept = "scroll " + location.pathname;
const scroll = sessionStorage.getItem(kept);
sessionStorage.removeItem(kept);
if (scroll && !location.hash) scrollTo(0, Number(scroll));
const keep = () => sessionStorage.setItem(kept, String(scrollY));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (link && link.origin === location.origin && link.pathname === location.pathname) keep();
});
document.addEventListener("submit", (event) => {
  if (event.target.method === "get") keep();
});

document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = event.target.closest("input, textarea, select");
  if (event.key !== "/" || !search || typing || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  search.focus();
});
