// Command quickstart makes parametric QR codes, saves their pictures and shows
// what a scan tells.
//
// Without WECHAT_APP_ID and WECHAT_APP_SECRET in the environment it talks to a
// fake WeChat that it starts itself, and needs no account. WECHAT_BASE_URL points
// it at the sandbox. tickets.json keeps the codes of an account, each made once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/tickets"
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
	creds := wechatqr.Credentials{
		AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET"),
	}
	baseURL := getenv("WECHAT_BASE_URL")
	if creds == (wechatqr.Credentials{}) && baseURL == "" {
		fmt.Fprintln(out, "WECHAT_APP_ID and WECHAT_APP_SECRET are not set: "+
			"this is a fake WeChat inside this process, whose codes no phone can follow.")
		return s.tour(ctx, out, s.codes(wechatqr.Permanent(wechatqr.SceneString("shop-1"))))
	}

	client, err := newClient(creds, baseURL)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	store, err := tickets.OpenFile(filepath.Join(s.dir, "tickets.json"))
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := newMaker(client, creds.AppID, store, s.dir, out)
	if err != nil {
		return err
	}
	if _, err := m.makeAll(ctx, s.codes()); err != nil {
		return err
	}
	if baseURL != "" {
		fmt.Fprintf(out, "The sandbox scans them on its page, %s\n", baseURL)
	}
	fmt.Fprintln(out, "To see who scans, WeChat must reach your server: examples/callback is one.")
	return nil
}

func newClient(creds wechatqr.Credentials, baseURL string) (*wechatqr.Client, error) {
	if creds.AppID == "" || creds.AppSecret == "" {
		return nil, errors.New("set WECHAT_APP_ID and WECHAT_APP_SECRET, both; " +
			"or, for the fake, neither, and no WECHAT_BASE_URL")
	}
	var opts []wechatqr.Option
	if baseURL != "" {
		opts = append(opts, wechatqr.WithBaseURL(baseURL))
	}
	return wechatqr.New(creds, opts...)
}

// settings are what the flags say.
type settings struct {
	text      string
	id        uint
	ttl       time.Duration
	permanent bool
	dir       string
	given     map[string]bool         // the flags that were set
	only      *wechatqr.TicketRequest // nil: one of each kind
}

// codes are the one that the flags ask for; or else a number, a text with
// characters that want care, and more.
func (s *settings) codes(more ...wechatqr.TicketRequest) []wechatqr.TicketRequest {
	if s.only != nil {
		return []wechatqr.TicketRequest{*s.only}
	}
	return append([]wechatqr.TicketRequest{
		wechatqr.Temporary(wechatqr.SceneID(7), 24*time.Hour),
		wechatqr.Temporary(wechatqr.SceneString("渠道=北京&a<b"), 24*time.Hour),
	}, more...)
}

func parse(args []string, out io.Writer) (*settings, error) {
	s := &settings{given: map[string]bool{}}
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&s.text, "scene", "", "make one code with this `text`, 1 to 64 bytes")
	flags.UintVar(&s.id, "id", 0,
		"make one code with this `number`, 1 to 4294967295, or 100000 with -permanent")
	flags.DurationVar(&s.ttl, "ttl", 24*time.Hour,
		"how `long` a temporary code lives, 1s to 720h")
	flags.BoolVar(&s.permanent, "permanent", false,
		"make a permanent code; an account has 100000 of them in all and none can be deleted")
	flags.StringVar(&s.dir, "out", ".", "the `folder` for the pictures and the tickets")

	err := flags.Parse(args)
	flags.Visit(func(f *flag.Flag) { s.given[f.Name] = true })
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil, err
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("%q is no flag", flags.Arg(0))
	case err == nil:
		s.only, err = s.request()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	}
	return s, nil
}

const usage = `quickstart makes WeChat parametric QR codes. Without -scene or -id it makes one of
each kind. Set WECHAT_APP_ID and WECHAT_APP_SECRET to make them with your account; without, a
fake WeChat is used. WECHAT_BASE_URL points it at the sandbox.`

// request is the only code that the flags ask for, nil if they name no scene.
func (s *settings) request() (*wechatqr.TicketRequest, error) {
	named := s.given["scene"] || s.given["id"]
	switch {
	case s.dir == "":
		return nil, errors.New("-out is empty")
	case s.given["scene"] && s.given["id"]:
		return nil, errors.New("a code carries -scene or -id, not both")
	case !named && (s.permanent || s.given["ttl"]):
		return nil, errors.New("-permanent and -ttl want -scene or -id")
	case !named:
		return nil, nil
	case s.permanent && s.given["ttl"]:
		return nil, errors.New("a permanent code has no -ttl")
	case uint64(uint32(s.id)) != uint64(s.id):
		return nil, errors.New("-id is above 4294967295")
	}

	scene := wechatqr.SceneString(s.text)
	if s.given["id"] {
		scene = wechatqr.SceneID(uint32(s.id))
	}
	req := wechatqr.Temporary(scene, s.ttl)
	if s.permanent {
		req = wechatqr.Permanent(scene)
	}
	return &req, req.Validate()
}

// tour makes the codes and has a stranger and a follower scan each.
func (s *settings) tour(
	ctx context.Context, out io.Writer, codes []wechatqr.TicketRequest,
) error {
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
		fmt.Fprintf(out, "  %s: scene %s scanned by %s, %s\n",
			ev.Type, scan.SceneKey, scan.OpenID, who)
		return events.Text("欢迎！ Welcome! " + scan.SceneKey), nil
	}
	handler, err := events.NewHandler(wx.CallbackConfig(), onEvent)
	if err != nil {
		return err
	}
	wx.ServeCallback(handler)

	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	m, err := newMaker(wx.Client(), wx.Credentials().AppID, tickets.NewMemory(), s.dir, out)
	if err != nil {
		return err
	}
	made, err := m.makeAll(ctx, codes)
	if err != nil {
		return err
	}
	for _, ticket := range made {
		// Somebody new for each code.
		openID := "o-" + strings.TrimPrefix(ticket.Content, "http://weixin.qq.com/q/")
		for range 2 { // by the second time they follow
			fmt.Fprintf(out, "somebody scans the code with the scene %s\n", ticket.Scene)
			push, err := wx.Scan(ctx, ticket.Value, openID)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  and reads: %s\n", push.Reply.Content)
		}
	}
	return handler.Shutdown(ctx)
}
