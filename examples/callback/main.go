// Command callback is a whole backend for parametric codes: permanent codes for
// three shops, a callback that welcomes whoever scans one in that shop's own
// words, and a page with the codes and how often each was scanned.
//
// With WECHAT_APP_ID, WECHAT_APP_SECRET and WECHAT_TOKEN in the environment, and
// WECHAT_AES_KEY, or WECHAT_PLAINTEXT=1 for an account in plaintext mode, it
// serves WeChat. In the console give it the URL http(s)://your-host/wechat.
// Without them it serves a fake WeChat that it starts itself, lets some people
// scan, and ends. WECHAT_BASE_URL points it at the sandbox.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "callback:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("callback", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", ":8080", "the `address` to serve; WeChat itself calls ports 80 and 443 only")
	file := flags.String("tickets", "tickets.json", "the `file` that keeps the codes; back it up: an account has 100000 permanent ones in all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	creds := wechatqr.Credentials{AppID: os.Getenv("WECHAT_APP_ID"), AppSecret: os.Getenv("WECHAT_APP_SECRET")}
	logger := log.New(out, "", 0)
	if creds == (wechatqr.Credentials{}) && os.Getenv("WECHAT_TOKEN") == "" && os.Getenv("WECHAT_AES_KEY") == "" {
		logger.Print("No WECHAT_APP_ID, WECHAT_APP_SECRET and WECHAT_TOKEN: this is a fake WeChat inside this process.")
		return demo(ctx, logger)
	}
	var opts []wechatqr.Option
	if url := os.Getenv("WECHAT_BASE_URL"); url != "" {
		opts = append(opts, wechatqr.WithBaseURL(url))
	}
	client, err := wechatqr.New(creds, opts...)
	if err != nil {
		return err
	}
	cfg, err := events.ConfigFromEnv()
	if err != nil {
		return err
	}
	store, err := tickets.OpenFile(*file)
	if err != nil {
		return err
	}
	defer store.Close()
	keeper, err := tickets.NewKeeper(creds.AppID, client, store)
	if err != nil {
		return err
	}
	b, err := newBackend(ctx, keeper, cfg, logger)
	if err != nil {
		return err
	}
	return b.serve(ctx, *listen, func(addr string) {
		logger.Printf("serving %s: the codes are at /, the callback is at /wechat", addr)
	})
}

type shop struct {
	scene   string // what its code carries
	name    string
	welcome events.Reply
}

func shops() []shop {
	return []shop{
		{"shop-beijing", "北京店", events.Text("欢迎来到北京店！本周烤鸭八折。")},
		{"shop-shanghai", "上海店", events.Text("欢迎来到上海店！今日生煎买一送一。")},
		{"shop-chengdu", "成都店", events.News(events.Article{
			Title: "欢迎来到成都店", Description: "点开领取你的火锅券", URL: "https://example.com/chengdu",
		})},
	}
}

// backend is the codes, the callback and the page.
type backend struct {
	keeper  *tickets.Keeper
	logger  *log.Logger
	handler *events.Handler

	mu    sync.Mutex
	scans map[string]tally // by scene
}

type tally struct{ New, Known int }

// request is for the shop's code. It is permanent: it hangs on a wall.
func (s shop) request() wechatqr.TicketRequest {
	return wechatqr.Permanent(wechatqr.SceneString(s.scene))
}

// newBackend makes the codes that are missing.
func newBackend(
	ctx context.Context, keeper *tickets.Keeper, cfg events.Config, logger *log.Logger,
) (*backend, error) {
	b := &backend{keeper: keeper, logger: logger, scans: make(map[string]tally)}
	var mux events.Mux
	for _, s := range shops() {
		mux.HandleScene(s.scene, b.scanned(s))
	}
	mux.HandleEvent(wechatqr.EventSubscribe, func(context.Context, *wechatqr.Event) (events.Reply, error) {
		return events.Text("欢迎关注！到店扫码有惊喜。"), nil
	})
	mux.HandleEvent(wechatqr.EventUnsubscribe, func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		logger.Printf("%s left: delete what is kept of them", ev.FromUserName)
		return nil, nil
	})
	var err error
	b.handler, err = events.NewHandler(cfg, mux.Serve, events.WithProblemHandler(func(_ context.Context, p events.Problem) {
		logger.Printf("callback: %v (%s / %s)", p.Err, p.Hint, p.HintZH)
	}))
	if err != nil {
		return nil, err
	}
	for _, s := range shops() {
		if _, err := keeper.Ticket(ctx, s.request()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// scanned counts a scan, by a new follower or an old one, and welcomes them.
func (b *backend) scanned(s shop) events.ScanFunc {
	return func(_ context.Context, scan wechatqr.Scan, _ *wechatqr.Event) (events.Reply, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		t := b.scans[s.scene]
		if scan.NewFollower {
			t.New++
		} else {
			t.Known++
		}
		b.scans[s.scene] = t
		b.logger.Printf("%s scanned %s", scan.OpenID, scan.SceneKey)
		return s.welcome, nil
	}
}

// serve ends when ctx does, and tells which address it has.
func (b *backend) serve(ctx context.Context, listen string, serving func(addr string)) error {
	routes := http.NewServeMux()
	routes.Handle("/wechat", b.handler)
	routes.HandleFunc("GET /{$}", b.page)
	for _, s := range shops() {
		routes.Handle("/codes/"+s.scene, b.keeper.Picture(s.request()))
	}
	server := &http.Server{Addr: listen, Handler: routes, WriteTimeout: 10 * time.Second}
	server.BaseContext = func(l net.Listener) context.Context {
		serving(l.Addr().String())
		return context.Background()
	}
	return events.Serve(ctx, server, b.handler)
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="zh-CN"><meta charset="utf-8"><title>门店二维码</title>
<h1>门店二维码</h1>
{{range .}}<figure><img src="/codes/{{.Scene}}" width="258" alt="{{.Name}}">
<figcaption>{{.Name}}：新关注 {{.New}}，老用户 {{.Known}}</figcaption></figure>
{{end}}</html>
`))

func (b *backend) page(w http.ResponseWriter, _ *http.Request) {
	type row struct {
		Name, Scene string
		tally
	}
	var rows []row
	b.mu.Lock()
	for _, s := range shops() {
		rows = append(rows, row{s.name, s.scene, b.scans[s.scene]})
	}
	b.mu.Unlock()
	if err := pageTemplate.Execute(w, rows); err != nil {
		b.logger.Print(err)
	}
}

// demo is the backend and a day in the shops.
func demo(ctx context.Context, logger *log.Logger) error {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(), tickets.NewMemory())
	if err != nil {
		return err
	}
	b, err := newBackend(ctx, keeper, wx.CallbackConfig(), logger)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var day sync.WaitGroup
	var went error
	served := b.serve(ctx, "127.0.0.1:0", func(addr string) {
		day.Go(func() {
			defer stop()
			went = b.day(ctx, wx, "http://"+addr+"/wechat")
		})
	})
	day.Wait()
	return errors.Join(went, served)
}

func (b *backend) day(ctx context.Context, wx *wechatqrtest.Server, url string) error {
	if err := wx.SetCallback(wechatqrtest.Callback{URL: url}); err != nil {
		return err
	}
	if err := wx.CheckCallback(ctx); err != nil {
		return err
	}
	b.logger.Printf("the console has accepted %s, messages are encrypted", url)
	scans := func(scene string) func(string) (wechatqrtest.Push, error) {
		return func(who string) (wechatqrtest.Push, error) {
			kept, err := b.keeper.Ticket(ctx, shop{scene: scene}.request())
			if err != nil {
				return wechatqrtest.Push{}, err
			}
			return wx.Scan(ctx, kept.Value, who)
		}
	}
	for _, step := range []struct {
		who, does string
		push      func(who string) (wechatqrtest.Push, error)
	}{
		{"o-wang", "scans the poster in Beijing and follows", scans("shop-beijing")},
		{"o-wang", "scans it once more", scans("shop-beijing")},
		{"o-li", "follows by a search", func(who string) (wechatqrtest.Push, error) { return wx.Follow(ctx, who) }},
		{"o-li", "scans in Shanghai", scans("shop-shanghai")},
		{"o-zhao", "scans in Chengdu and follows", scans("shop-chengdu")},
		{"o-zhao", "writes", func(who string) (wechatqrtest.Push, error) { return wx.SendText(ctx, who, "你好") }},
		{"o-zhao", "leaves", func(who string) (wechatqrtest.Push, error) { return wx.Unfollow(ctx, who) }},
	} {
		push, err := step.push(step.who)
		if err != nil {
			return err
		}
		b.logger.Printf("  %s %s and reads: %s", step.who, step.does, cmp.Or(push.UserSees(), "nothing"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range shops() {
		b.logger.Printf("%s: %d new followers, %d others", s.name, b.scans[s.scene].New, b.scans[s.scene].Known)
	}
	return nil
}
