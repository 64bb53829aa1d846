// Package doctor finds what is wrong with the configuration of an account: it goes
// through a table of checks, each of which says what it found and what to do.
package doctor

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Config is what to check. No Finding has a secret.
type Config struct {
	Credentials func() (wechatqr.Credentials, error) // wechatqr.CredentialsFromEnv, for instance
	Events      func() (events.Config, error)        // nil: pushes are not received
	Endpoint    wechatqr.Endpoint                    // empty fields: WeChat
	Callback    string                               // URL of the callback; empty: it is not called
	Tickets     string                               // file of tickets.OpenFile; empty: none
}

// Text is a text in both languages.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// In is the text in a language, "zh" or else English.
func (t Text) In(lang string) string {
	if lang == "zh" {
		return t.ZH
	}
	return t.EN
}

// Status is the outcome of a check.
type Status string

// The outcomes.
const (
	OK         Status = "ok"
	Wrong      Status = "wrong"
	NotChecked Status = "not checked"
)

// Finding is what a check found.
type Finding struct {
	Check  string // its name
	Title  Text
	Status Status
	Text   Text // what was found, or why it was not checked
	Advice Text // what to do; empty unless Wrong
}

// check is a row of the table. It runs if all that it needs are OK, and one of
// needsOne if there are any.
type check struct {
	name     string
	title    Text
	needs    []string
	needsOne []string
	run      func(context.Context, *session) Finding
}

// session is what the checks before have found out.
type session struct {
	Config
	creds  wechatqr.Credentials
	client *wechatqr.Client
	events events.Config

	callback wechatqrtest.Diagnosis

	ahead time.Duration // of this machine's clock, by the first host that responded
	dated bool          // ahead is known
}

// checks is the table for a Config.
func checks(cfg Config) []check {
	table := []check{
		{"credentials", Text{"credentials", "AppID 与 AppSecret"}, nil, nil, checkCredentials},
	}
	var apiHosts []string
	for _, base := range cfg.Endpoint.API {
		apiHosts = append(apiHosts, base)
		table = append(table, hostCheck(base))
	}
	if image := cfg.Endpoint.Image; image != cfg.Endpoint.API[0] {
		table = append(table, hostCheck(image))
	}
	return append(table,
		check{"clock", Text{"clock", "本机时钟"}, nil, apiHosts, checkClock},
		check{"token", Text{"access token", "access_token"},
			[]string{"credentials"}, apiHosts, checkToken},
		check{"account", Text{"account may make codes", "账号权限"}, []string{"token"}, nil, checkAccount},
		check{"quota", Text{"calls left today", "今日剩余次数"}, []string{"token"}, nil, checkQuota},
		check{"permanent", Text{"permanent codes", "永久二维码"},
			[]string{"credentials"}, nil, checkPermanent},
		check{"settings", Text{"callback settings", "回调配置"}, nil, nil, checkSettings},
		check{"reachable", Text{"callback URL in the console", "后台的回调 URL"},
			[]string{"token", "settings"}, nil, checkReachable},
		check{"echo", Text{"callback answers WeChat's check", "回调 URL 验证"},
			[]string{"settings"}, nil, checkEcho},
		check{"push", Text{"callback takes a push", "回调接收推送"}, []string{"echo"}, nil, checkPush},
	)
}

// Run runs the checks in order and yields each Finding as it comes.
func Run(ctx context.Context, cfg Config) iter.Seq[Finding] {
	if cfg.Endpoint.API == nil {
		cfg.Endpoint.API = []string{"https://api.weixin.qq.com", "https://api2.weixin.qq.com"}
	}
	if cfg.Endpoint.Image == "" {
		cfg.Endpoint.Image = "https://mp.weixin.qq.com"
	}
	return func(yield func(Finding) bool) {
		s, found := &session{Config: cfg}, map[string]Finding{}
		for _, c := range checks(cfg) {
			f, ready := c.blocked(found)
			if ready {
				f = c.run(ctx, s)
			}
			f.Check, f.Title = c.name, c.title
			found[c.name] = f
			if !yield(f) {
				return
			}
		}
	}
}

// blocked says why the check cannot run, or that it is ready.
func (c check) blocked(found map[string]Finding) (because Finding, ready bool) {
	for _, name := range c.needs {
		if f := found[name]; f.Status != OK {
			return notChecked("because “%s” is not ok", "因为“%s”未通过", f.Title), false
		}
	}
	for _, name := range c.needsOne {
		if found[name].Status == OK {
			return Finding{}, true
		}
	}
	if c.needsOne != nil {
		return notChecked("because no API host can be reached", "因为 API 域名均无法访问"), false
	}
	return Finding{}, true
}

// text formats both languages; a Text among the arguments is written in each.
func text(en, zh string, args ...any) Text {
	inEN, inZH := make([]any, len(args)), make([]any, len(args))
	for i, arg := range args {
		inEN[i], inZH[i] = arg, arg
		if t, ok := arg.(Text); ok {
			inEN[i], inZH[i] = t.EN, t.ZH
		}
	}
	return Text{fmt.Sprintf(en, inEN...), fmt.Sprintf(zh, inZH...)}
}

func good(en, zh string, args ...any) Finding {
	return Finding{Status: OK, Text: text(en, zh, args...)}
}

func notChecked(en, zh string, args ...any) Finding {
	return Finding{Status: NotChecked, Text: text(en, zh, args...)}
}

func wrong(what, advice Text) Finding { return Finding{Status: Wrong, Text: what, Advice: advice} }
