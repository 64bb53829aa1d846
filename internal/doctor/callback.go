package doctor

import (
	"context"

	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func checkSettings(_ context.Context, s *session) Finding {
	if s.Events == nil {
		return notChecked("because none are given (WECHAT_TOKEN, …): no scans are received",
			"因为没有设置（WECHAT_TOKEN 等）：不接收扫码事件")
	}
	var err error
	if s.events, err = s.Events(); err == nil {
		_, err = events.NewVerifier(s.events)
	}
	switch {
	case err != nil:
		return wrong(text("%s", "%s", short(err)),
			Text{"copy Token and EncodingAESKey from the console", "请从后台复制 Token 与 EncodingAESKey"})
	case s.events.Plaintext:
		return good("for plaintext mode (明文模式): the console must say the same", "明文模式，须与后台一致")
	}
	return good("for safe or compatible mode (安全模式, 兼容模式): the console must say one of them",
		"安全模式或兼容模式，须与后台一致")
}

func checkReachable(ctx context.Context, s *session) Finding {
	seen, err := account.CheckCallback(ctx, s.client)
	switch {
	case err != nil:
		return apiFault(err)
	case len(seen.DNS) == 0:
		return wrong(text("WeChat cannot resolve its host", "微信无法解析该域名"),
			Text{"give the host a public DNS record, one that mainland China sees",
				"请为该域名添加公网 DNS 记录，并确认中国大陆可以解析"})
	}
	best := 1.0
	for _, ping := range seen.Ping {
		best = min(best, ping.Lost)
	}
	ip := seen.DNS[0].IP
	if best == 1 {
		return good("WeChat resolves its host to %s; it does not answer pings",
			"微信解析为 %s；不响应 ping", ip)
	}
	return good("WeChat resolves its host to %s, and pings reach it", "微信解析为 %s，ping 可达", ip)
}

// checkEcho asks the callback all that is asked of it: whether there is a response at
// the URL, and the right one.
func checkEcho(ctx context.Context, s *session) Finding {
	if s.Callback == "" {
		return notChecked("because its URL is not given: -callback", "因为没有指定 URL：-callback")
	}
	d, err := wechatqrtest.DiagnoseCallback(ctx, s.Callback, s.events)
	if err != nil && d.Findings == nil {
		return wrong(text("%v", "%v", err), Text{"correct -callback, or run this again", "请修正 -callback，或重试"})
	}
	s.callback = d
	for _, q := range []wechatqrtest.Question{
		wechatqrtest.QuestionAddress, wechatqrtest.QuestionToken,
	} {
		if f := d.Finding(q); f.Verdict == wechatqrtest.VerdictFailed {
			return callbackFault(f.Err)
		}
	}
	return good("with the Token that is set here", "Token 与此处一致")
}

// checkPush reads what checkEcho has found out.
func checkPush(_ context.Context, s *session) Finding {
	f := s.callback.Finding(wechatqrtest.QuestionKey)
	switch {
	case f.Verdict == wechatqrtest.VerdictFailed:
		return callbackFault(f.Err)
	case s.events.Plaintext:
		return good("in plaintext mode", "明文模式")
	}
	return good("in safe mode", "安全模式")
}

func callbackFault(e *wechatqrtest.CallbackError) Finding {
	return wrong(text("%s", "%s", e.Detail), Text{e.Advice, e.AdviceZH})
}
