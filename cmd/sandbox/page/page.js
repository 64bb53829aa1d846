"use strict";
// The server draws the page. This keeps it up to date without a reload, and
// posts its forms without leaving it.
(() => {
  const html = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const seen = new Set();
  let offset = 0; // of the sandbox's clock, in milliseconds

  // morph makes the node old like the node fresh, and touches nothing that is
  // the same, so that focus, selection and what was typed stay.
  function morph(old, fresh) {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !keeps(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !keeps(old, name)) old.setAttribute(name, value);
    }
    const byKey = new Map();
    for (const child of old.children) if (child.id) byKey.set(child.id, child);
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      let match = null;
      if (want.id && byKey.has(want.id)) {
        match = byKey.get(want.id);
      } else if (!want.id && at && !at.id && at.nodeType === want.nodeType && at.nodeName === want.nodeName) {
        match = at;
      }
      if (!match) {
        old.insertBefore(document.importNode(want, true), at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, want);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // What the reader changes is the reader's.
  function keeps(element, name) {
    return name === "open" || name === "aria-busy" || name === "hidden" && element.matches("[data-copy], [data-setting]");
  }

  function draw(text, withNotice) {
    const doc = new DOMParser().parseFromString(text, "text/html");
    const main = doc.getElementById("main");
    if (!main) return;
    morph(byId("main"), main);
    const fresh = doc.getElementById("notice");
    if (withNotice) {
      current = fresh.dataset.last;
      shown = "";
    }
    if (fresh.hasChildNodes() && fresh.textContent !== shown) {
      shown = fresh.textContent;
      notify(...fresh.childNodes);
    }
    dress();
  }

  let current = ""; // id of the latest notice: a push that fails later changes it
  let shown = ""; // its text

  // notify shows what came of an action. Good news leaves by itself.
  let leaving = 0;

  function notify(...nodes) {
    const notice = byId("notice");
    notice.replaceChildren(...nodes);
    for (const button of notice.querySelectorAll("[data-close]")) button.hidden = false;
    clearTimeout(leaving);
    if (notice.querySelector(".bad")) return;
    leaving = setTimeout(function leave() {
      if (notice.matches(":hover, :focus-within")) leaving = setTimeout(leave, 2000);
      else notice.replaceChildren();
    }, 8000);
  }

  // dress does what the server cannot.
  function dress() {
    offset = Number(byId("main").dataset.now) - Date.now();
    for (const button of document.querySelectorAll("[data-copy], [data-setting]")) button.hidden = false;
    for (const time of document.querySelectorAll("time[datetime]")) localize(time);
    announce();
    tick();
  }

  // localize writes a time in the browser's zone, with the date if it is not today's.
  function localize(time) {
    const at = new Date(time.dateTime);
    const date = at.getFullYear() + "-" + two(at.getMonth() + 1) + "-" + two(at.getDate());
    const clock = two(at.getHours()) + ":" + two(at.getMinutes());
    let text = clock + ":" + two(at.getSeconds());
    if (time.hasAttribute("data-date")) text = date + " " + clock;
    else if (at.toDateString() !== new Date().toDateString()) text = date + " " + text;
    if (time.textContent !== text) time.textContent = text;
  }

  function announce() {
    const first = seen.size === 0;
    const news = [];
    for (const turn of document.querySelectorAll("[data-say]")) {
      const key = turn.id + turn.dataset.state;
      if (seen.has(key)) continue;
      seen.add(key);
      if (turn.dataset.state !== "running") news.unshift(turn.dataset.say);
    }
    seen.add("");
    if (first) return;
    const log = byId("log");
    for (const text of news) {
      const p = document.createElement("p");
      p.textContent = text;
      log.append(p);
    }
    while (log.childElementCount > 20) log.firstElementChild.remove();
  }

  const two = (n) => String(n).padStart(2, "0");
  let due = false;

  function tick() {
    const now = Date.now() + offset;
    let expired = false;
    for (const life of document.querySelectorAll("[data-expires]")) {
      let s = Math.floor((Number(life.dataset.expires) - now) / 1000);
      if (s < 0) {
        expired = true;
        s = 0;
      }
      const days = Math.floor(s / 86400);
      s %= 86400;
      const text = (days ? days + html.dataset.day : "") + two(Math.floor(s / 3600)) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
      if (life.textContent !== text) life.textContent = text;
    }
    if (expired && !due) {
      due = true;
      setTimeout(() => { due = false; refresh(); }, 1000);
    }
  }

  let running = false, again = false;

  async function refresh() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        const query = new URLSearchParams(location.search);
        query.set("n", current);
        const response = await fetch("/?" + query, { cache: "no-store" });
        if (response.ok) draw(await response.text(), false);
      } while (again);
    } catch {
      // The stream tells when the sandbox is back.
    } finally {
      running = false;
    }
  }

  function live(on) {
    const mark = byId("live");
    mark.hidden = false;
    mark.classList.toggle("on", on);
    mark.textContent = on ? mark.dataset.up : mark.dataset.down;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const button = event.submitter;
    if (button?.getAttribute("aria-busy") === "true") return;
    button?.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, button)) });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
      draw(text, true);
      if (form.hasAttribute("data-clear") && !document.querySelector("#notice .bad")) form.reset();
    } catch (err) {
      const box = document.createElement("div");
      box.className = "notice bad";
      box.append(err instanceof TypeError ? byId("live").dataset.down : err.message); // fetch's TypeError: nobody answers
      notify(box);
    } finally {
      button?.removeAttribute("aria-busy");
    }
  });

  // copied is what a button copies: a text, or a setting with its secret, which the
  // page does not have.
  async function copied(button) {
    if (button.hasAttribute("data-copy")) return button.dataset.copy;
    const text = await (await fetch("/_sandbox/env", { cache: "no-store" })).text();
    const name = button.dataset.setting;
    if (!name) return text;
    return text.split("\n").find((line) => line.startsWith(name + "=")).slice(name.length + 1);
  }

  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-close]")) byId("notice").replaceChildren();
    const button = event.target.closest("[data-copy], [data-setting]");
    if (!button) return;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(await copied(button));
      button.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = label; }, 1500);
    } catch { // not allowed, or not a secure origin
      if (button.hasAttribute("data-setting")) location.assign("/_sandbox/env");
      else getSelection().selectAllChildren(button.parentElement.querySelector("pre, code"));
    }
  });

  html.classList.add("scripted");
  dress();
  current = byId("notice").dataset.last;
  shown = byId("notice").textContent;
  notify(...byId("notice").childNodes);
  setInterval(tick, 1000);
  const events = new EventSource("/_sandbox/events");
  events.addEventListener("change", refresh);
  events.onopen = () => live(true);
  events.onerror = () => live(false);
})();
