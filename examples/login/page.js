"use strict";
// The server draws the page; this has it drawn anew when something has happened.
const { state } = document.body.dataset;
if (state === "code" || state === "number") {
  setInterval(async () => {
    try {
      const answer = await fetch("/status");
      if (answer.ok && await answer.text() !== state) location.reload();
    } catch {
      // No network: the next time.
    }
  }, 2000);
}
