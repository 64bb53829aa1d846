package main

import (
	_ "embed"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
)

// sdks.json says how each SDK is led to the sandbox: by the proxy, without a change of
// the program, or by the base URL. docs/testing.md shows the same, and the tests in e2e
// run what is for the proxy.
//
//go:embed sdks.json
var sdksJSON []byte

type sdk struct {
	Name string `json:"sdk"`
	Code string `json:"code"`
}

type sdkSettings struct {
	Proxy   []sdk `json:"proxy"` // shell commands
	BaseURL []sdk `json:"base_url"`
}

var allSDKs = sync.OnceValue(func() sdkSettings {
	var out sdkSettings
	if err := json.Unmarshal(sdksJSON, &out); err != nil {
		panic("sdks.json: " + err.Error())
	}
	return out
})

// settingsFor fills in the addresses. Without a file of the authority there is no proxy.
func settingsFor(origin, issuer string) sdkSettings {
	all := allSDKs()
	u, err := url.Parse(origin)
	if err != nil {
		u = &url.URL{} // parseConfig has checked it
	}
	fill := strings.NewReplacer("{origin}", origin, "{host}", u.Hostname(), "{port}", u.Port(),
		"{ca}", issuer)
	filled := func(list []sdk) []sdk {
		var out []sdk
		for _, s := range list {
			out = append(out, sdk{s.Name, fill.Replace(s.Code)})
		}
		return out
	}
	out := sdkSettings{BaseURL: filled(all.BaseURL)}
	if issuer != "" {
		out.Proxy = filled(all.Proxy)
	}
	return out
}
