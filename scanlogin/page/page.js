"use strict";
// The server draws the page. This asks it for the present view when the state has
// changed, and sends the form that needs no click.
const changing = ["waiting", "scanned", "used", "confirmed"];
const view = () => document.getElementById("view");
let stream;

function differs(status) {
	const { state, content } = view().dataset;
	return status.state !== state || (status.content ?? "") !== content;
}

async function refresh() {
	const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
	if (!answer.ok) return;
	const next = new DOMParser().parseFromString(await answer.text(), "text/html");
	const focused = view().contains(document.activeElement);
	view().replaceWith(next.getElementById("view"));
	document.getElementById("status").textContent = next.getElementById("status").textContent;
	const field = view().querySelector("[autofocus]");
	if (field) field.focus();
	else if (focused) view().focus();
	start();
}

async function check() {
	try {
		const answer = await fetch(location.href, { headers: { Accept: "application/json" } });
		if (answer.ok && differs(await answer.json())) await refresh();
	} catch {
		// There is no network: the next time.
	}
}

function follow() {
	if (stream && stream.readyState !== EventSource.CLOSED) return;
	stream = new EventSource(location.href);
	stream.onmessage = (event) => {
		const status = JSON.parse(event.data);
		if (!changing.includes(status.state)) stream.close();
		if (differs(status)) refresh().catch(() => {});
	};
	stream.addEventListener("superseded", () => stream.close());
}

// Another page of this browser may have taken the stream: who looks at this one gets
// it back.
document.addEventListener("visibilitychange", () => {
	if (!document.hidden && stream?.readyState === EventSource.CLOSED) check().then(start);
});
setInterval(() => {
	if (changing.includes(view().dataset.state) && stream?.readyState !== EventSource.OPEN) check();
}, 5000);

document.addEventListener("submit", (event) => {
	// A second click would end the response to the first.
	setTimeout(() => { for (const b of event.target.querySelectorAll("button")) b.disabled = true; });
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// The mark is for the page that follows the request for a code: reloaded later it would
// mean that the browser keeps no cookies.
const here = new URL(location.href);
if (here.searchParams.has("begun") && view().dataset.state !== "none") {
	here.searchParams.delete("begun");
	history.replaceState(null, "", here);
}

function start() {
	const { state, auto } = view().dataset;
	if (auto !== undefined) view().querySelector("form button").click();
	else if (changing.includes(state)) follow();
}

if (document.prerendering) document.addEventListener("prerenderingchange", start, { once: true });
else start();
