package doctor

import (
	"context"
	"errors"
	"net/http"

	"github.com/wechatqr/wechatqr"
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

// sender sends to the callback what WeChat would.
func (s *session) sender(mode wechatqrtest.Mode) (*wechatqrtest.Server, error) {
	fake := wechatqrtest.NewServer(wechatqrtest.WithOrigin("http://127.0.0.1"), // serves nothing
		wechatqrtest.WithCredentials(wechatqr.Credentials{AppID: s.events.AppID}))
	err := fake.SetCallback(wechatqrtest.Callback{
		URL: s.Callback, Token: s.events.Token, EncodingAESKey: s.events.EncodingAESKey, Mode: mode,
	})
	if err != nil {
		fake.Close()
		return nil, err
	}
	return fake, nil
}

func (s *session) mode() wechatqrtest.Mode {
	if s.events.Plaintext {
		return wechatqrtest.ModePlain
	}
	return wechatqrtest.ModeSafe
}

func checkEcho(ctx context.Context, s *session) Finding {
	if s.Callback == "" {
		return notChecked("because its URL is not given: -callback", "因为没有指定 URL：-callback")
	}
	fake, err := s.sender(s.mode())
	if err != nil {
		return wrong(text("%v", "%v", err), Text{"correct -callback", "请修正 -callback"})
	}
	defer fake.Close()
	if err := fake.CheckCallback(ctx); err != nil {
		return callbackFault(err, Text{
			"if the path is right, its Token is another one than WECHAT_TOKEN here, or its clock is off",
			"若路径无误，则其 Token 与此处的 WECHAT_TOKEN 不同，或其时钟不准",
		})
	}
	return good("with the Token that is set here", "Token 与此处一致")
}

// push sends an event of a type of its own, which a callback takes note of at most.
func (s *session) push(ctx context.Context, mode wechatqrtest.Mode) error {
	fake, err := s.sender(mode)
	if err != nil {
		return err
	}
	defer fake.Close()
	_, err = fake.Push(ctx, wechatqr.Event{
		Type: "wechatqr_doctor", ToUserName: s.events.Account, FromUserName: "o_wechatqr_doctor",
	})
	return err
}

func checkPush(ctx context.Context, s *session) Finding {
	err := s.push(ctx, s.mode())
	switch {
	case err == nil && s.events.Plaintext:
		return good("in plaintext mode", "明文模式")
	case err == nil:
		return good("in safe mode", "安全模式")
	case !refused(err):
		return callbackFault(err, Text{})
	case s.events.Plaintext:
		return callbackFault(err, Text{
			"wrong mode: it does not take plaintext (明文模式): set WECHAT_AES_KEY here as there",
			"加解密方式不符：对方不接受明文：请在此处设置与其相同的 WECHAT_AES_KEY",
		})
	case s.push(ctx, wechatqrtest.ModePlain) == nil:
		return callbackFault(err, Text{
			"wrong mode: it takes plaintext (明文模式) alone: give it the EncodingAESKey instead",
			"加解密方式不符：对方只接受明文：请为其改设 EncodingAESKey",
		})
	}
	return callbackFault(err, Text{
		"its EncodingAESKey or AppID is another one than here (WECHAT_AES_KEY, WECHAT_APP_ID)",
		"其 EncodingAESKey 或 AppID 与此处不同（WECHAT_AES_KEY、WECHAT_APP_ID）",
	})
}

// refused reports whether the callback answered that the request is bad.
func refused(err error) bool {
	var e *wechatqrtest.CallbackError
	return errors.As(err, &e) && e.Reason == wechatqrtest.ReasonWrongStatus && e.Status/100 == 4 &&
		e.Status != http.StatusNotFound
}

// callbackFault is an error of the sender. refusal is the advice where the callback
// says that the request is bad.
func callbackFault(err error, refusal Text) Finding {
	var e *wechatqrtest.CallbackError
	if !errors.As(err, &e) {
		return wrong(text("%v", "%v", err), Text{"run this again", "请重试"})
	}
	name, advice := e.Reason, Text{"see the log of the program", "请查看程序日志"}
	inChinese := string(name)
	for _, r := range callbackReasons {
		if r.reason == name {
			inChinese, advice = r.zh, r.advice
		}
	}
	switch {
	case name == wechatqrtest.ReasonWrongStatus && e.Status == http.StatusNotFound:
		advice = Text{"the path is another one", "路径不对"}
	case refused(err):
		advice = refusal
	}
	return wrong(text("%s: %s", "%s：%s", Text{string(name), inChinese}, e.Detail), advice)
}

// callbackReasons are why a callback's response is not accepted.
var callbackReasons = [...]struct {
	reason wechatqrtest.Reason
	zh     string
	advice Text
}{
	{wechatqrtest.ReasonUnreachable, "无法连接",
		Text{"is the program running, and is this its address?", "请确认程序已启动且地址正确"}},
	{wechatqrtest.ReasonTooSlow, "响应过慢",
		Text{"WeChat waits 5 s: answer first, work afterwards", "微信只等待 5 秒：请先应答，再处理"}},
	{wechatqrtest.ReasonRedirected, "发生跳转",
		Text{"give the URL to which it redirects, here and in the console", "请在此处与后台填写跳转后的 URL"}},
	{wechatqrtest.ReasonWrongStatus, "状态码不是 200",
		Text{"see the log of the program", "请查看程序日志"}},
	{wechatqrtest.ReasonQuoted, "echostr 带引号",
		Text{"send echostr as text, not as JSON", "请以纯文本返回 echostr，不要用 JSON"}},
	{wechatqrtest.ReasonWrongEcho, "返回的不是 echostr",
		Text{"the path is another one, or the program does not answer GET", "路径不对，或程序没有处理 GET"}},
	{wechatqrtest.ReasonNotXML, "返回的不是 XML",
		Text{"answer success, an empty body or XML", "请返回 success、空内容或 XML"}},
	{wechatqrtest.ReasonWrongReply, "回复有误",
		Text{"answer with a reply to the push", "请按推送内容回复"}},
	{wechatqrtest.ReasonNotEncrypted, "回复未加密",
		Text{"encrypt replies as the mode asks for", "该模式下的回复须加密"}},
	{wechatqrtest.ReasonUndecryptable, "回复无法解密",
		Text{"encrypt replies with the same key and AppID", "请用相同的密钥与 AppID 加密回复"}},
}
