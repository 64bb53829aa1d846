package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
	"github.com/wechatqr/wechatqr/tickets"
)

func checkCredentials(_ context.Context, s *session) Finding {
	creds, err := s.Credentials()
	if err == nil {
		s.creds = creds
		s.client, err = wechatqr.New(creds, wechatqr.WithEndpoint(s.Endpoint))
	}
	if err != nil {
		return wrong(text("%s", "%s", short(err)),
			Text{"copy both from the console",
				"请从后台复制 AppID 与 AppSecret（环境变量 WECHAT_APP_ID、WECHAT_APP_SECRET）"})
	}
	return good("set, for %s", "已设置，%s", creds.AppID)
}

// short is an error without the words that open those of this library.
func short(err error) string {
	s := err.Error()
	if _, after, found := strings.Cut(s, wechatqr.ErrInvalidArgument.Error()+": "); found {
		return after
	}
	return strings.TrimPrefix(s, "wechatqr: ")
}

// apiFault is an error of a call.
func apiFault(err error) Finding {
	var e *wechatqr.Error
	if !errors.As(err, &e) {
		return wrong(text("%s", "%s", short(err)),
			Text{"look at the network, then run this again", "请检查网络后重试"})
	}
	what := text("errcode %d: %s", "错误码 %d：%s", e.Code, e.Message)
	if e.Code == 0 {
		what = text("HTTP %d: %s", "HTTP %d：%s", e.StatusCode, e.Message)
	}
	return wrong(what, Text{e.Hint(), e.HintZH()})
}

func checkToken(ctx context.Context, s *session) Finding {
	token, err := s.client.TokenSource().Token(ctx, "")
	if err != nil {
		return apiFault(err)
	}
	minutes := int(time.Until(token.Expiry).Round(time.Minute).Minutes())
	return good("WeChat gave one, good for %d minutes", "已取得，有效期 %d 分钟", minutes)
}

// checkAccount makes a code that lives for a minute: no other API has the same
// permission.
func checkAccount(ctx context.Context, s *session) Finding {
	req := wechatqr.Temporary(wechatqr.SceneString("wechatqr-doctor"), time.Minute)
	_, err := s.client.CreateTicket(ctx, req)
	switch {
	case errors.Is(err, wechatqr.ErrQuota):
		return notChecked("because no calls are left today", "因为今日次数已用完")
	case err != nil:
		return apiFault(err)
	}
	return good("it made a temporary code", "已生成一个临时二维码")
}

func checkQuota(ctx context.Context, s *session) Finding {
	q, err := account.Quota(ctx, s.client, "/cgi-bin/qrcode/create")
	switch {
	case err != nil:
		return apiFault(err)
	case q.Daily == 0:
		return good("no limit of the day", "没有每日上限")
	case q.Remaining <= 0:
		return wrong(text("all %d calls that make codes are used", "生成二维码的 %d 次调用已用完", q.Daily),
			Text{"wait for midnight in China, or call account.ClearQuota (ten times a month)",
				"请等到次日 0 点（北京时间），或调用 account.ClearQuota（每月 10 次）"})
	}
	return good("%d of %d calls that make codes", "生成二维码：剩余 %d 次，共 %d 次", q.Remaining, q.Daily)
}

func checkPermanent(ctx context.Context, s *session) Finding {
	if s.Tickets == "" {
		return notChecked("because no file is given: -tickets", "因为没有指定文件：-tickets")
	}
	if _, err := os.Stat(s.Tickets); err != nil {
		return wrong(text("%v", "%v", err), Text{"correct -tickets", "请修正 -tickets"})
	}
	store, err := tickets.OpenFile(s.Tickets)
	switch {
	case errors.Is(err, tickets.ErrInUse):
		return notChecked("because a running program has %s open", "因为运行中的程序正在使用 %s", s.Tickets)
	case errors.Is(err, fs.ErrPermission):
		return wrong(text("%v", "%v", err), Text{"run this as the user of the program", "请以该程序的用户身份运行"})
	case err != nil:
		return wrong(text("%v", "%v", err),
			Text{"restore the file from a backup; do not edit it", "请从备份恢复该文件，不要手工修改"})
	}
	defer func() { _ = store.Close() }() // nothing was written

	n, err := store.CountPermanent(ctx, s.creds.AppID)
	switch {
	case err != nil:
		return wrong(text("%v", "%v", err), Text{"run this again", "请重试"})
	case n >= wechatqr.MaxPermanentID:
		return wrong(text("all %d are used", "%d 个已用完", n),
			Text{"none can be freed: use temporary codes, or another account", "无法释放：请改用临时二维码，或换用其他账号"})
	}
	return good("%d of %d are used", "已用 %d 个，共 %d 个", n, wechatqr.MaxPermanentID)
}
