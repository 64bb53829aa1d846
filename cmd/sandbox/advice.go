package main

import (
	"net/http"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// advice says what is wrong with a callback's response, and what to do about it.
type advice struct{ What, Remedy phrase }

func adviceOn(e *wechatqrtest.CallbackError) advice {
	switch e.Reason {
	case wechatqrtest.ReasonUnreachable:
		return advice{say("There is no response from this address."), say("Is the backend running, and does it listen on this host and port? Inside a container, localhost is the container itself.")}
	case wechatqrtest.ReasonTooSlow:
		return advice{say("The response took too long."), say("Respond with “success” at once and do the work afterwards; the reply can follow as a customer service message. To step through the backend in a debugger, start the sandbox with a longer -push-timeout.")}
	case wechatqrtest.ReasonRedirected:
		return advice{say("The address redirects, and WeChat does not follow redirects."), say("Set the final URL: check http or https, the slash at the end, and whether a login page is in front of it.")}
	case wechatqrtest.ReasonWrongStatus:
		return advice{say("The response has the status %d, not 200.", e.Status), adviceOnStatus(e.Status)}
	case wechatqrtest.ReasonQuoted:
		return advice{say("The text is right, but it is in quotes."), say("Write it as plain text. A JSON encoder adds the quotes.")}
	case wechatqrtest.ReasonWrongEcho:
		return advice{say("The response is not the echostr."), say("Respond to GET with the echostr of the query and nothing else: no page around it, no line break, no byte order mark.")}
	case wechatqrtest.ReasonNotXML:
		return advice{say("The response is neither XML nor “success”."), say("Respond with a reply's XML, with “success”, or with an empty body.")}
	case wechatqrtest.ReasonWrongReply:
		return advice{say("The XML is not a reply that WeChat shows."), say("Compare its elements with WeChat's page on passive replies.")}
	case wechatqrtest.ReasonNotEncrypted:
		return advice{say("The reply is not encrypted, and in safe mode it must be."), say("Encrypt the reply like the push, or choose another mode here.")}
	case wechatqrtest.ReasonUndecryptable:
		return advice{say("The encrypted reply cannot be decrypted."), say("Compare Token, EncodingAESKey and AppID with those here. The signature is of Token, TimeStamp, Nonce and Encrypt.")}
	}
	return advice{say("WeChat does not accept this response."), phrase{}}
}

// adviceOnStatus is the remedy for a status other than 200. Package events and
// other backends use these.
func adviceOnStatus(status int) phrase {
	switch status {
	case http.StatusBadRequest:
		return say("The backend cannot read the push: compare EncodingAESKey, AppID and the mode with those here.")
	case http.StatusUnauthorized, http.StatusForbidden:
		return say("The signature was refused: compare Token with that here, then AppID and the mode. Otherwise the backend's clock is more than 5 minutes off, or something in front of it requires a login.")
	case http.StatusNotFound:
		return say("The backend does not serve this path: compare it letter by letter, and check the slash at the end.")
	case http.StatusMethodNotAllowed:
		return say("The path does not accept this method: WeChat checks the URL with GET and pushes to it with POST.")
	case http.StatusRequestEntityTooLarge:
		return say("The body is too large for the backend, or for a proxy in front of it: allow 64 KiB.")
	case http.StatusInternalServerError:
		return say("The backend failed: see its log.")
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return say("A proxy in front of the backend gets no response from it: is it running, and does the proxy know its port?")
	case http.StatusServiceUnavailable:
		return say("The backend is overloaded or shutting down: see its log for what its requests wait for.")
	}
	return say("See the backend's log for why it does not respond with 200.")
}

// faultKind is a fault that the page offers.
type faultKind struct {
	Key   string
	label string
	fault wechatqrtest.Fault // without Path and Times
}

var faultKinds = []faultKind{
	{"busy", "WeChat is busy (errcode -1)", wechatqrtest.Fault{Code: -1}},
	{"slow", "A response after 3 seconds", wechatqrtest.Fault{Delay: 3 * time.Second}},
	{"slower", "A response after 15 seconds", wechatqrtest.Fault{Delay: 15 * time.Second}},
	{"hang", "No response", wechatqrtest.Fault{Break: wechatqrtest.BreakHang}},
	{"reset", "The connection is reset within the response", wechatqrtest.Fault{Break: wechatqrtest.BreakReset}},
	{"502", "HTTP 502 with an HTML page", wechatqrtest.Fault{Status: 502}},
	{"html", "HTTP 200 with an HTML page", wechatqrtest.Fault{Break: wechatqrtest.BreakHTML}},
	{"notjson", "Text that is not JSON", wechatqrtest.Fault{Break: wechatqrtest.BreakNotJSON}},
	{"empty", "An empty response", wechatqrtest.Fault{Break: wechatqrtest.BreakEmpty}},
	{"truncated", "Half a response", wechatqrtest.Fault{Break: wechatqrtest.BreakTruncate}},
	{"length", "A wrong Content-Length", wechatqrtest.Fault{Break: wechatqrtest.BreakWrongLength}},
	{"huge", "8 MiB of spaces after the response", wechatqrtest.Fault{Break: wechatqrtest.BreakHuge}},
	{"40001", "The token is refused (40001)", wechatqrtest.Fault{Code: 40001}},
	{"40164", "The IP is not on the whitelist (40164)", wechatqrtest.Fault{Code: 40164}},
	{"45009", "The day's quota is used up (45009)", wechatqrtest.Fault{Code: 45009}},
	{"45011", "Too many calls in this minute (45011)", wechatqrtest.Fault{Code: 45011}},
	{"45029", "No permanent codes are left (45029)", wechatqrtest.Fault{Code: 45029}},
	{"48001", "The account may not use the API (48001)", wechatqrtest.Fault{Code: 48001}},
}

// faultPaths are the paths to which the page lets a fault apply.
var faultPaths = []string{
	"/cgi-bin/qrcode/create", "/cgi-bin/showqrcode", "/cgi-bin/stable_token", "/cgi-bin/token",
	"/cgi-bin/user/info", "/cgi-bin/message/custom/send",
}

const otherFault = "Another fault"

func faultByKey(key string) (wechatqrtest.Fault, bool) {
	for _, k := range faultKinds {
		if k.Key == key {
			return k.fault, true
		}
	}
	return wechatqrtest.Fault{}, false
}

func faultLabel(f wechatqrtest.Fault) string {
	f.Path, f.Times = "", 0
	for _, k := range faultKinds {
		if k.fault == f {
			return k.label
		}
	}
	return otherFault
}
