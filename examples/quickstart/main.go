// Command quickstart makes parametric QR codes, saves their pictures and shows
// what a scan tells.
//
// Without WECHAT_APP_ID and WECHAT_APP_SECRET in the environment it talks to a
// fake WeChat that it starts itself, and needs no account. WECHAT_BASE_URL points
// it at the sandbox.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
	}
	os.Exit(exitCode(err))
}

// errUsage says that the flags cannot be right.
var errUsage = errors.New("see -h")

func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	m := &maker{dir: s.dir, out: out}
	baseURL := getenv("WECHAT_BASE_URL")
	creds := wechatqr.Credentials{
		AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET"),
	}
	switch {
	case creds.AppID == "" && creds.AppSecret == "" && baseURL == "":
		fmt.Fprintln(out, "WECHAT_APP_ID and WECHAT_APP_SECRET are not set: "+
			"this is a fake WeChat inside this process, whose codes no phone can follow.")
		return m.tour(ctx, s.codes(defaults()))
	case creds.AppID == "" || creds.AppSecret == "":
		return errors.New("set WECHAT_APP_ID and WECHAT_APP_SECRET, both; " +
			"or, for the fake, neither, and no WECHAT_BASE_URL")
	}

	var opts []wechatqr.Option
	where := "Scan one."
	if baseURL != "" {
		opts = append(opts, wechatqr.WithBaseURL(baseURL))
		where = "Scan one; a sandbox's on its page, " + baseURL + "."
	}
	if m.client, err = wechatqr.New(creds, opts...); err != nil {
		return err
	}
	if _, err := m.makeAll(ctx, s.codes(defaults()[:2])); err != nil {
		return err
	}
	fmt.Fprintln(out, where, "To see who did, WeChat must reach your server: examples/callback is one.")
	return nil
}

// code is one to make.
type code struct {
	scene wechatqr.Scene
	ttl   time.Duration // 0: permanent
}

// defaults are a number, a text with characters that want care, and a permanent one.
func defaults() []code {
	return []code{
		{wechatqr.SceneID(7), 24 * time.Hour},
		{wechatqr.SceneString("渠道=北京&a<b"), 24 * time.Hour},
		{wechatqr.SceneString("shop-1"), 0},
	}
}

func (c code) request() wechatqr.TicketRequest {
	if c.ttl == 0 {
		return wechatqr.Permanent(c.scene)
	}
	return wechatqr.Temporary(c.scene, c.ttl)
}

func (c code) String() string {
	if c.ttl == 0 {
		return "a permanent code with the scene " + c.scene.Key()
	}
	return fmt.Sprintf("a code with the scene %s for %v", c.scene.Key(), c.ttl)
}

// settings are what the flags say.
type settings struct {
	only *code // nil: one of each kind
	dir  string
}

func (s settings) codes(otherwise []code) []code {
	if s.only != nil {
		return []code{*s.only}
	}
	return otherwise
}

func parse(args []string, out io.Writer) (settings, error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	text := flags.String("scene", "", "make one code with this `text`, 1 to 64 bytes")
	id := flags.Uint("id", 0, "make one code with this `number`, 1 to 4294967295, or 100000 with -permanent")
	ttl := flags.Duration("ttl", 24*time.Hour, "how `long` a temporary code lives, 1s to 720h")
	permanent := flags.Bool("permanent", false,
		"make a permanent code; an account has 100000 of them in all and none can be deleted")
	dir := flags.String("out", ".", "the `folder` for the pictures and the tickets")

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, `quickstart makes WeChat parametric QR codes. Without -scene or -id it makes one of each kind.
Set WECHAT_APP_ID and WECHAT_APP_SECRET to make them with your account; without, a fake WeChat is used.
WECHAT_BASE_URL points it at the sandbox.`)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return settings{}, err
	case err != nil:
		return settings{}, fmt.Errorf("%w: %w", err, errUsage)
	case flags.NArg() > 0:
		return settings{}, fmt.Errorf("%q is no flag: %w", flags.Arg(0), errUsage)
	case *dir == "":
		return settings{}, fmt.Errorf("-out is empty: %w", errUsage)
	}

	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	c := code{wechatqr.SceneString(*text), *ttl}
	switch {
	case given["scene"] && given["id"]:
		return settings{}, fmt.Errorf("a code carries -scene or -id, not both: %w", errUsage)
	case !given["scene"] && !given["id"] && (*permanent || given["ttl"]):
		return settings{}, fmt.Errorf("-permanent and -ttl want -scene or -id: %w", errUsage)
	case *permanent && given["ttl"]:
		return settings{}, fmt.Errorf("a permanent code has no -ttl: %w", errUsage)
	case !given["scene"] && !given["id"]:
		return settings{dir: *dir}, nil
	case given["id"] && uint64(uint32(*id)) != uint64(*id):
		return settings{}, fmt.Errorf("-id is above 4294967295: %w", errUsage)
	case given["id"]:
		c.scene = wechatqr.SceneID(uint32(*id))
	}
	if *permanent {
		c.ttl = 0
	}
	if err := c.request().Validate(); err != nil {
		return settings{}, fmt.Errorf("%w: %w", err, errUsage)
	}
	return settings{&c, *dir}, nil
}

// tour makes the codes and has a stranger and a follower scan each.
func (m *maker) tour(ctx context.Context, codes []code) error {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	onEvent := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		scan, ok := ev.Scan()
		if !ok {
			return nil, nil
		}
		who := "a follower"
		if scan.NewFollower {
			who = "a new follower"
		}
		fmt.Fprintf(m.out, "  %s: scene %s scanned by %s, %s\n", ev.Type, scan.SceneKey, scan.OpenID, who)
		return events.Text("欢迎！ Welcome! " + scan.SceneKey), nil
	}
	handler, err := events.NewHandler(wx.CallbackConfig(), onEvent)
	if err != nil {
		return err
	}
	wx.ServeCallback(handler)

	m.client = wx.Client()
	tickets, err := m.makeAll(ctx, codes)
	if err != nil {
		return err
	}
	for _, ticket := range tickets {
		openID := "o-" + strings.TrimPrefix(ticket.Content, "http://weixin.qq.com/q/") // anybody new
		for range 2 {                                                                  // by the second time they follow
			fmt.Fprintf(m.out, "somebody scans the code with the scene %s\n", ticket.Scene)
			push, err := wx.Scan(ctx, ticket.Value, openID)
			if err != nil {
				return err
			}
			fmt.Fprintf(m.out, "  and reads: %s\n", push.Reply.Content)
		}
	}
	return handler.Shutdown(ctx)
}
