package main

import (
	"fmt"
	"net"
	"strings"
)

// greeting is printed when the program is ready.
func (a *app) greeting(cfg config, srv *server) string {
	var b strings.Builder
	st := a.wx.State()
	callback := st.Callback.URL
	if callback == "" {
		callback = "none yet: set it on the page, or start with -callback http://127.0.0.1:3000/wechat"
	}
	fmt.Fprintf(&b, `WeChat sandbox: a fake account for development. Nothing reaches Tencent.

  page            %s/
  base URL        %[1]s
  AppID           %s
  AppSecret       %s
  original ID     %s
  callback        %s
  Token           %s
  EncodingAESKey  %s
  mode            %s
  all settings    %[1]s/_sandbox/env
`, a.origin, st.AppID, st.AppSecret, st.Account, callback, st.Callback.Token,
		st.Callback.EncodingAESKey, st.Callback.Mode)
	if srv.tls != nil {
		address := strings.Replace(originOf(srv.tls.Addr()), "http:", "https:", 1)
		fmt.Fprintf(&b, "  https           %s\n", address)
	}
	if srv.tunnels != nil {
		fmt.Fprintf(&b, "  proxy           %s\n", a.origin)
	}
	if a.phone != nil {
		fmt.Fprintf(&b, "  scan page       %s  (codes made from now on open it on a phone)\n",
			a.phone.origin)
	}
	if srv.authority != nil {
		fmt.Fprintf(&b, "  CA certificate  %s\n", srv.authority.file)
	}

	b.WriteString("\nUse the base URL in place of https://api.weixin.qq.com and " +
		"https://mp.weixin.qq.com")
	if srv.tunnels != nil {
		b.WriteString(",\nor set the proxy and the CA certificate, and change nothing else")
	}
	b.WriteString(".\nThe page says how, for each SDK.\n")
	if cfg.state == "" {
		b.WriteString("\nThe keys are new at each start: -state sandbox.json saves them and the rest " +
			"of the state.\n")
	}
	if host, _, err := net.SplitHostPort(cfg.addr); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			b.WriteString("\nWarning: it listens beyond this machine, and everybody who reaches it can " +
				"use it.\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}
