package main

import (
	"net/http"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// advice says in plain words what is wrong with a callback.
type advice struct{ What, Todo phrase }

func adviceOn(e *wechatqrtest.CallbackError) advice {
	switch e.Reason {
	case wechatqrtest.ReasonUnreachable:
		return advice{say("Nothing answers at this address."), say("Is the backend running, and does it listen on this host and port? Inside a container, localhost is the container itself.")}
	case wechatqrtest.ReasonTooSlow:
		return advice{say("The answer took too long."), say("Answer “success” at once and do the work afterwards; what the user should read can follow as a customer service message. To step through the backend in a debugger, start the sandbox with a longer -deadline.")}
	case wechatqrtest.ReasonRedirected:
		return advice{say("The address redirects, and WeChat does not follow."), say("Set the final address. Look for http or https, a slash at the end, and a login page in front.")}
	case wechatqrtest.ReasonWrongStatus:
		return advice{say("The answer has the status %d, not 200.", e.Status), adviceOnStatus(e.Status)}
	case wechatqrtest.ReasonQuoted:
		return advice{say("The text is right, but it is in quotes."), say("Write it as plain text. A JSON encoder adds the quotes.")}
	case wechatqrtest.ReasonWrongEcho:
		return advice{say("The answer is not the echostr."), say("Answer GET with the echostr of the query and nothing else: no page around it, no line break, no byte order mark.")}
	case wechatqrtest.ReasonNotXML:
		return advice{say("The answer is neither XML nor “success”."), say("Answer with a reply's XML, with “success”, or with nothing at all.")}
	case wechatqrtest.ReasonWrongReply:
		return advice{say("The reply's XML is not one that WeChat shows."), say("Compare its elements with WeChat's page on passive replies.")}
	case wechatqrtest.ReasonNotEncrypted:
		return advice{say("The reply is in the clear, and in safe mode it must be encrypted."), say("Encrypt the reply as the push was, or choose another mode here.")}
	case wechatqrtest.ReasonUndecryptable:
		return advice{say("The encrypted reply cannot be opened."), say("Compare Token, EncodingAESKey and AppID with those here. The signature is of Token, TimeStamp, Nonce and Encrypt.")}
	}
	return advice{say("The answer is not what WeChat wants."), phrase{}}
}

// adviceOnStatus says what to do about an answer that is not 200. Package
// events answers with these, and so do others.
func adviceOnStatus(status int) phrase {
	switch status {
	case http.StatusBadRequest:
		return say("The backend cannot read what it got: compare EncodingAESKey, AppID and the mode with those here.")
	case http.StatusUnauthorized, http.StatusForbidden:
		return say("The signature was refused: compare Token with that here, then AppID and the mode. Or the backend's clock is off, or something in front of it asks for a login.")
	case http.StatusNotFound:
		return say("The backend has nothing at this path: compare it letter by letter, and look for a slash at the end.")
	case http.StatusMethodNotAllowed:
		return say("The path does not take this method: WeChat checks the URL with GET and pushes with POST to the same one.")
	case http.StatusRequestEntityTooLarge:
		return say("The body is too large for the backend, or for a proxy in front of it: allow 64 KiB.")
	case http.StatusInternalServerError:
		return say("The backend failed: see its log.")
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return say("A proxy in front of the backend gets no answer from it: is it running, and does the proxy know its port?")
	case http.StatusServiceUnavailable:
		return say("The backend is overloaded or shutting down: see its log for what its requests wait for.")
	}
	return say("See the backend's log for why it does not answer with 200.")
}

// faultKind is one that the page offers.
type faultKind struct {
	Key   string
	label string
	fault wechatqrtest.Fault // without Path and Times
}

var faultKinds = []faultKind{
	{"busy", "WeChat is busy (errcode -1)", wechatqrtest.Fault{Code: -1}},
	{"slow", "An answer after 3 seconds", wechatqrtest.Fault{Delay: 3 * time.Second}},
	{"slower", "An answer after 15 seconds", wechatqrtest.Fault{Delay: 15 * time.Second}},
	{"hang", "No answer at all", wechatqrtest.Fault{Break: wechatqrtest.BreakHang}},
	{"reset", "The connection breaks within the answer", wechatqrtest.Fault{Break: wechatqrtest.BreakReset}},
	{"502", "HTTP 502 with a page of HTML", wechatqrtest.Fault{Status: 502}},
	{"html", "HTTP 200 with a page of HTML", wechatqrtest.Fault{Break: wechatqrtest.BreakHTML}},
	{"notjson", "A line of text that is not JSON", wechatqrtest.Fault{Break: wechatqrtest.BreakNotJSON}},
	{"empty", "An empty answer", wechatqrtest.Fault{Break: wechatqrtest.BreakEmpty}},
	{"truncated", "Half an answer", wechatqrtest.Fault{Break: wechatqrtest.BreakTruncate}},
	{"length", "A wrong Content-Length", wechatqrtest.Fault{Break: wechatqrtest.BreakWrongLength}},
	{"huge", "8 MiB after the answer", wechatqrtest.Fault{Break: wechatqrtest.BreakHuge}},
	{"40001", "The token is refused (40001)", wechatqrtest.Fault{Code: 40001}},
	{"40164", "The IP is not on the whitelist (40164)", wechatqrtest.Fault{Code: 40164}},
	{"45009", "The day's quota is used up (45009)", wechatqrtest.Fault{Code: 45009}},
	{"45011", "Too many calls in this minute (45011)", wechatqrtest.Fault{Code: 45011}},
	{"45029", "No permanent codes are left (45029)", wechatqrtest.Fault{Code: 45029}},
	{"48001", "The account may not use the API (48001)", wechatqrtest.Fault{Code: 48001}},
}

// faultPaths are the calls that the page offers to befall.
var faultPaths = []string{
	"/cgi-bin/qrcode/create", "/cgi-bin/showqrcode", "/cgi-bin/stable_token", "/cgi-bin/token",
	"/cgi-bin/user/info", "/cgi-bin/message/custom/send",
}

func faultOf(key string) (wechatqrtest.Fault, bool) {
	for _, k := range faultKinds {
		if k.Key == key {
			return k.fault, true
		}
	}
	return wechatqrtest.Fault{}, false
}

// labelOf names an armed fault.
func labelOf(f wechatqrtest.Fault) string {
	f.Path, f.Times = "", 0
	for _, k := range faultKinds {
		if k.fault == f {
			return k.label
		}
	}
	return "Another fault"
}
