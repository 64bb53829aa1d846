package settings

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/alert"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// webhookView is a webhook without what is secret.
type webhookView struct {
	ID, Title, Kind, Host string
	Result                string
	ResultAt              time.Time
	Waiting               int
}

type alertView struct {
	Text  string
	Since time.Time
}

type kindView struct{ Value, Label string }

func kinds(r *http.Request) []kindView {
	return []kindView{
		{alert.WeCom, web.Say(r, "企业微信群机器人", "WeCom group robot")},
		{alert.Feishu, web.Say(r, "飞书群机器人", "Feishu group robot")},
		{alert.DingTalk, web.Say(r, "钉钉群机器人", "DingTalk group robot")},
		{alert.JSON, web.Say(r, "JSON（自己的程序）", "JSON, to a program of yours")},
	}
}

func ruleText(r *http.Request, rule string) string {
	switch alert.Rule(rule) {
	case alert.Silence:
		return web.Say(r, "推送中断", "no push")
	case alert.Spike:
		return web.Say(r, "突增", "spike")
	case alert.Drop:
		return web.Say(r, "骤降", "drop")
	case alert.QuickLoss:
		return web.Say(r, "速取关过高", "quick loss")
	case alert.Budget:
		return web.Say(r, "永久码余量不足", "few codes left")
	}
	return web.Say(r, "渠道将停用", "a channel ends")
}

// readAlerts reads what the sections of alerts and tags show.
func (p *Pages) readAlerts(r *http.Request, v *view) error {
	ctx := r.Context()
	hooks, err := p.Store.Webhooks(ctx)
	if err != nil {
		return err
	}
	v.Kinds = kinds(r)
	for _, w := range hooks {
		one := webhookView{
			w.ID, w.Title, w.Kind, alert.Host(w.Address), w.Result, w.ResultAt.In(p.Location), w.Waiting,
		}
		if i := slices.Index(alert.Kinds, w.Kind); i >= 0 {
			one.Kind = v.Kinds[i].Label
		}
		if w.ResultAt.IsZero() {
			one.ResultAt = w.ResultAt
		}
		v.Webhooks = append(v.Webhooks, one)
	}
	raised, err := p.Store.Alerts(ctx)
	if err != nil {
		return err
	}
	for _, a := range raised {
		text := ruleText(r, a.Rule)
		if a.Channel != "" {
			name, err := p.nameOf(ctx, a.Channel)
			if err != nil {
				return err
			}
			text += web.Say(r, "：渠道 ", ": channel ") + name
		}
		v.Alerts = append(v.Alerts, alertView{text, a.Since.In(p.Location)})
	}
	if v.TagsWaiting, err = p.Store.TagsWaiting(ctx); err != nil {
		return err
	}
	v.TagFailures, err = p.Store.TagFailures(ctx)
	for i := range v.TagFailures {
		v.TagFailures[i].Latest = v.TagFailures[i].Latest.In(p.Location)
	}
	return err
}

// nameOf is the channel's name, or its key if it has none or is not there.
func (p *Pages) nameOf(ctx context.Context, key string) (string, error) {
	c, err := p.Ledger.Channel(ctx, key)
	if errors.Is(err, channels.ErrUnknownChannel) {
		err = nil
	}
	return cmp.Or(c.Name, key), err
}

const (
	maxAddress = 1000 // bytes
	maxSecret  = 200
)

func (p *Pages) addWebhook(w http.ResponseWriter, r *http.Request) {
	hook := store.Webhook{
		Title:   strings.TrimSpace(r.PostFormValue("title")),
		Kind:    r.PostFormValue("kind"),
		Address: strings.TrimSpace(r.PostFormValue("address")),
		Secret:  strings.TrimSpace(r.PostFormValue("secret")),
	}
	switch {
	case hook.Title == "" || len(hook.Title) > 200:
		p.refuse(w, r, "请写明发到哪个群（最多 200 字节）。",
			"Say which group it is, in at most 200 bytes.")
		return
	case !slices.Contains(alert.Kinds, hook.Kind):
		p.refuse(w, r, "请选择种类。", "Choose a kind.")
		return
	case alert.CheckAddress(hook.Address) != nil || len(hook.Address) > maxAddress:
		p.refuse(w, r, "地址须以 https:// 开头，请从机器人的设置里完整复制。",
			"The address begins with https://: copy all of it from the robot's settings.")
		return
	case len(hook.Secret) > maxSecret:
		p.refuse(w, r, "密钥最多 200 字节。", "A secret has at most 200 bytes.")
		return
	}
	_, err := p.Store.AddWebhook(r.Context(), &hook)
	p.done(w, r, err)
}

// webhook returns the webhook of the form.
func (p *Pages) webhook(w http.ResponseWriter, r *http.Request) (store.Webhook, bool) {
	hook, err := p.Store.Webhook(r.Context(), r.PostFormValue("id"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.refuse(w, r, "没有这个告警地址。", "There is no such webhook.")
	case err != nil:
		p.fail(w, r, err)
	}
	return hook, err == nil
}

// testWebhook sends a message; its result is on the page.
func (p *Pages) testWebhook(w http.ResponseWriter, r *http.Request) {
	hook, ok := p.webhook(w, r)
	if !ok {
		return
	}
	message := alert.TestMessage(p.Origin, time.Now())
	err := alert.Send(r.Context(), &hook, "test-"+hook.ID, message)
	p.done(w, r, alert.NoteResult(r.Context(), p.Store, hook.ID, err))
}

func (p *Pages) removeWebhook(w http.ResponseWriter, r *http.Request) {
	if hook, ok := p.webhook(w, r); ok {
		p.done(w, r, p.Store.DeleteWebhook(r.Context(), hook.ID))
	}
}
