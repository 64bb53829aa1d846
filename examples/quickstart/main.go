// Command quickstart makes parametric QR codes, saves their pictures and shows
// what a scan tells.
//
// Without WECHAT_APP_ID and WECHAT_APP_SECRET in the environment it talks to a
// fake WeChat that it starts itself, and needs neither an account nor a
// network.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(out)
	text := flags.String("scene", "", "make one code with this `text`, 1 to 64 bytes")
	id := flags.Uint64("id", 0, "make one code with this `number`, 1 to 4294967295, or 100000 with -permanent")
	ttl := flags.Duration("ttl", 24*time.Hour, "how long a temporary code lives, 1s to 720h")
	permanent := flags.Bool("permanent", false, "make a permanent code; an account has 100000 of them in all and none can be deleted")
	dir := flags.String("out", ".", "the `folder` for the pictures")
	flags.Usage = func() {
		fmt.Fprintln(out, `quickstart makes WeChat parametric QR codes. Without -scene or -id it makes one of each kind.
Set WECHAT_APP_ID and WECHAT_APP_SECRET to make them with your account; without, a fake WeChat is used.`)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? See -h", flags.Arg(0))
	case *text != "" && *id != 0:
		return errors.New("a code carries -scene or -id, not both")
	case *id > math.MaxUint32:
		return errors.New("-id is above 4294967295")
	}

	request := func(s wechatqr.Scene) wechatqr.TicketRequest { return wechatqr.Temporary(s, *ttl) }
	if *permanent {
		request = wechatqr.Permanent
	}
	var requests []wechatqr.TicketRequest
	creds := wechatqr.Credentials{AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET")}
	real := creds.AppID != "" || creds.AppSecret != ""
	switch {
	case *text != "":
		requests = append(requests, request(wechatqr.SceneString(*text)))
	case *id != 0:
		requests = append(requests, request(wechatqr.SceneID(uint32(*id))))
	case real:
		requests = append(requests, request(wechatqr.SceneID(7)), request(wechatqr.SceneString("渠道=北京&a<b")))
	default:
		requests = append(requests, request(wechatqr.SceneID(7)), request(wechatqr.SceneString("渠道=北京&a<b")),
			wechatqr.Permanent(wechatqr.SceneString("shop-1")))
	}

	if !real {
		fmt.Fprintln(out, "No WECHAT_APP_ID and WECHAT_APP_SECRET: this is a fake WeChat inside this process.")
		wx := wechatqrtest.NewServer()
		defer wx.Close()
		return tour(ctx, wx, requests, *dir, out)
	}
	client, err := wechatqr.New(creds)
	if err != nil {
		return err
	}
	_, err = makeCodes(ctx, client, requests, *dir, out)
	if err == nil {
		fmt.Fprintln(out, "Scan one. To see who did, WeChat must reach your server: examples/callback is one.")
	}
	return err
}

// makeCodes is all that a backend does to show codes.
func makeCodes(ctx context.Context, client *wechatqr.Client, requests []wechatqr.TicketRequest, dir string, out io.Writer) ([]*wechatqr.Ticket, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var tickets []*wechatqr.Ticket
	for i, req := range requests {
		ticket, err := client.CreateTicket(ctx, req)
		if err != nil {
			return nil, err
		}
		code, err := client.FetchQRCode(ctx, ticket.Value)
		if err != nil {
			return nil, err
		}
		ext := cmp.Or(strings.TrimPrefix(code.ContentType, "image/"), "jpeg")
		path := filepath.Join(dir, fmt.Sprintf("code-%d.%s", i+1, ext))
		if err := os.WriteFile(path, code.Data, 0o644); err != nil {
			return nil, err
		}
		life := "permanent"
		if !ticket.Permanent() {
			life = "until " + ticket.ExpiresAt.Format(time.DateTime)
		}
		fmt.Fprintf(out, "scene %s, %s\n  url     %s\n  picture %s\n", ticket.Scene, life, ticket.Content, path)
		tickets = append(tickets, ticket)
	}
	return tickets, draw(out, tickets[0].Content)
}

// tour makes the codes and has a stranger and a follower scan each.
func tour(ctx context.Context, wx *wechatqrtest.Server, requests []wechatqr.TicketRequest, dir string, out io.Writer) error {
	handler, err := events.NewHandler(wx.CallbackConfig(), func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		scan, ok := ev.Scan()
		if !ok {
			return nil, nil
		}
		who := "a follower"
		if scan.NewFollower {
			who = "a new follower"
		}
		fmt.Fprintf(out, "%s: scene %s scanned by %s, %s\n", ev.Type, scan.SceneKey, scan.OpenID, who)
		return events.Text("欢迎！ Welcome! " + scan.SceneKey), nil
	})
	if err != nil {
		return err
	}
	wx.ServeCallback(handler)
	tickets, err := makeCodes(ctx, wx.Client(), requests, dir, out)
	if err != nil {
		return err
	}
	for _, ticket := range tickets {
		openID := "o-" + strings.TrimPrefix(ticket.Content, "http://weixin.qq.com/q/") // anybody new
		for range 2 {                                                                  // by the second time they follow
			push, err := wx.Scan(ctx, ticket.Value, openID)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  and reads: %s\n", push.Reply.Content)
		}
	}
	return handler.Shutdown(ctx)
}

// draw writes the code in black on white, two modules to a character.
func draw(out io.Writer, content string) error {
	code, err := qr.Encode(content, qr.M, qr.Auto)
	if err != nil {
		return err
	}
	const quiet = 4
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x < 0 || y < 0 || x >= size || y >= size {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	for y := -quiet; y < size+quiet; y += 2 {
		fmt.Fprint(out, "\x1b[30;107m")
		for x := -quiet; x < size+quiet; x++ {
			switch upper, lower := dark(x, y), dark(x, y+1); {
			case upper && lower:
				fmt.Fprint(out, "█")
			case upper:
				fmt.Fprint(out, "▀")
			case lower:
				fmt.Fprint(out, "▄")
			default:
				fmt.Fprint(out, " ")
			}
		}
		fmt.Fprintln(out, "\x1b[0m")
	}
	return nil
}
