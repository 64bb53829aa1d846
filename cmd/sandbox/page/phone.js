"use strict";
// The server draws the page. This shows replies that come later.
(() => {
  const thread = document.getElementById("thread");
  if (!thread) return;
  const down = () => scrollTo(0, document.body.scrollHeight);
  down();
  new EventSource("/_sandbox/events").addEventListener("change", async () => {
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("thread");
    if (!fresh || fresh.innerHTML === thread.innerHTML) return;
    thread.replaceChildren(...fresh.childNodes);
    down();
  });
})();
