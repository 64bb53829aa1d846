package main

import (
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

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
	{"reset", "The connection is reset within the response",
		wechatqrtest.Fault{Break: wechatqrtest.BreakReset}},
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

func faultByKey(key string) (wechatqrtest.Fault, bool) {
	for _, k := range faultKinds {
		if k.Key == key {
			return k.fault, true
		}
	}
	return wechatqrtest.Fault{}, false
}

func faultLabel(f wechatqrtest.Fault) phrase {
	f.Path, f.Times = "", 0
	for _, k := range faultKinds {
		if k.fault == f {
			return say(k.label)
		}
	}
	if f.Code != 0 {
		return say("errcode %d", f.Code)
	}
	return say("Another fault")
}
