package wechatqrtest

import (
	"errors"
	"net/http"
)

// Reason is why WeChat does not accept a callback's response.
type Reason string

// WeChat delivers a push again after each of these down to ReasonWrongStatus.
const (
	ReasonUnreachable   Reason = "unreachable"   // no connection to the host and port
	ReasonTLS           Reason = "tls"           // no TLS, or a certificate that is not accepted
	ReasonNoResponse    Reason = "no response"   // connected, and closed before an HTTP response
	ReasonIncomplete    Reason = "incomplete"    // the connection broke within the response
	ReasonTooSlow       Reason = "too slow"      // no complete response within the timeout
	ReasonRedirected    Reason = "redirected"    // status 3xx, which WeChat does not follow
	ReasonWrongStatus   Reason = "wrong status"  // a status other than 200
	ReasonQuoted        Reason = "quoted"        // the right text in quotes
	ReasonWrongEcho     Reason = "wrong echo"    // a text other than echostr
	ReasonNotXML        Reason = "not xml"       // neither XML nor success
	ReasonWrongReply    Reason = "wrong reply"   // XML that is not a reply
	ReasonNotEncrypted  Reason = "not encrypted" // plain text in safe mode
	ReasonUndecryptable Reason = "undecryptable" // the reply's signature or encryption is wrong

	// Of DiagnoseCallback only; WeChat does not notice these.
	ReasonForged   Reason = "forged"   // a request with a wrong signature was accepted
	ReasonReplayed Reason = "replayed" // a push with an old timestamp was accepted
)

// CallbackError says why WeChat does not accept a callback's response.
type CallbackError struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
	Status int    `json:"status,omitempty"` // of HTTP; 0: no response, or the error is that of ParseReply
	Advice string `json:"advice,omitempty"` // what to do about it
}

func (e *CallbackError) Error() string {
	text := "wechatqrtest: callback: " + string(e.Reason) + ": " + e.Detail
	if e.Advice != "" {
		text += ". " + e.Advice
	}
	return text
}

// withStatus sets the status, and the advice that the reason and the status allow.
func (e *CallbackError) withStatus(status int) *CallbackError {
	e.Status = status
	e.Advice = adviceOn(e.Reason, status)
	return e
}

// ErrNoCallback means that the callback has no URL.
var ErrNoCallback = errors.New("wechatqrtest: there is no callback URL: use ServeCallback or " +
	"SetCallback")

// adviceOn is what to do about a response of which nothing else is known.
func adviceOn(reason Reason, status int) string {
	switch reason {
	case ReasonUnreachable:
		return "Is the backend running, and does it listen on this host and port? Inside a " +
			"container, localhost is the container itself."
	case ReasonTLS:
		return "WeChat accepts certificates of public authorities only, with their intermediate " +
			"certificates. Check http or https, the port, and the host name in the certificate."
	case ReasonNoResponse:
		return "The backend closed the connection without a response: it panicked, crashed or was " +
			"restarted. See its log."
	case ReasonIncomplete:
		return "The backend broke off within its response: see its log, and that of a proxy in front " +
			"of it."
	case ReasonTooSlow:
		return "Respond with “success” at once and do the work afterwards; the reply can follow as a " +
			"customer service message. A debugger needs a longer timeout."
	case ReasonRedirected:
		return "Set the final URL: check http or https, the slash at the end, and whether a login " +
			"page is in front of it."
	case ReasonWrongStatus:
		return adviceOnStatus(status)
	case ReasonQuoted:
		return "Write it as plain text. A JSON encoder adds the quotes."
	case ReasonWrongEcho:
		return "Respond to GET with the echostr of the query and nothing else: no page around it, no " +
			"line break, no byte order mark."
	case ReasonNotXML:
		return "Respond with a reply's XML, with “success”, or with an empty body."
	case ReasonWrongReply:
		return "Compare its elements with WeChat's page on passive replies."
	case ReasonNotEncrypted:
		return "Encrypt the reply like the push, or choose another mode."
	case ReasonUndecryptable:
		return "Encrypt the reply with the key and the AppID of the push. Its signature is of Token, " +
			"TimeStamp, Nonce and Encrypt."
	case ReasonForged:
		return "Check the signature of GET and POST before anything else, and respond with the " +
			"status 401 or 403. A backend that ignores such a push in silence looks the same as one " +
			"that accepts it."
	case ReasonReplayed:
		return "Refuse a timestamp that is more than five minutes old: whoever has seen one push can " +
			"send it again and again."
	}
	return ""
}

// adviceOnStatus is the advice for a status other than 200. Package events and
// other backends use these.
func adviceOnStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "The backend cannot read the request: compare Token, EncodingAESKey, AppID and the mode."
	case http.StatusUnauthorized, http.StatusForbidden:
		return "The signature was refused: compare Token, then EncodingAESKey, AppID and the mode."
	case http.StatusNotFound:
		return "The backend does not serve this path: compare it letter by letter, and check the " +
			"slash at the end."
	case http.StatusMethodNotAllowed:
		return "The path does not accept this method: WeChat checks the URL with GET and pushes to " +
			"it with POST."
	case http.StatusRequestEntityTooLarge:
		return "The body is too large for the backend, or for a proxy in front of it: allow 64 KiB."
	case http.StatusInternalServerError:
		return "The backend failed: see its log."
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return "A proxy in front of the backend gets no response from it: is it running, and does " +
			"the proxy know its port?"
	case http.StatusServiceUnavailable:
		return "The backend is overloaded or shutting down: see its log for what its requests wait for."
	}
	return "See the backend's log for why it does not respond with 200."
}
