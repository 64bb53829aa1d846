// Command login is a website where one logs in by scanning a code with WeChat
// (扫码登录): the page shows a temporary code, the scan comes to the callback, and
// the reply in the chat names a number that the page then asks for.
//
// # What that protects against
//
// Whoever sees a code can scan it and show it to others, so neither the code nor
// the scan opens anything. The browser that asked for the code has a secret of
// its own in a cookie; the code carries a hash of it. A code lives five minutes,
// its first scan wins, and it is used once.
//
// The number goes from the phone to the browser, so it takes both. Somebody who
// passes his code on, as a coupon or in a chat, does not get into the account of
// those who scan it, for the number is in their chat and not in his. Somebody who
// scans the code on another's screen does not log that browser in as himself.
//
// It does not protect those who type the number into a false page that fetches
// a code here and shows it at once, or who tell it to somebody. The reply says
// which address to type it at, and more it cannot do: against a false page in
// between only what knows the address by itself helps, such as passkeys.
//
// # To run it
//
// With WECHAT_APP_ID, WECHAT_APP_SECRET and WECHAT_TOKEN in the environment, and
// WECHAT_AES_KEY, or WECHAT_PLAINTEXT=1 for plaintext mode, it serves WeChat
// behind something that does TLS and that limits requests by address: the
// number of logins under way is bounded, and one visitor could take them all. In
// the console give it the URL https://your-host/wechat. Without them it serves a
// fake WeChat that it starts itself, has two people log in, and ends.
//
// WECHAT_BASE_URL points it at the sandbox; then -origin http://127.0.0.1:8080 is
// enough, for on loopback nobody listens in.
//
// Logins and sessions are in memory: with several processes, or to keep them
// over a restart, put them into your database.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "login:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("login", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", ":8080", "the `address` to serve")
	origin := flags.String("origin", "", "the page's address as people see it, such as `https://login.example.com`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	creds := wechatqr.Credentials{AppID: os.Getenv("WECHAT_APP_ID"), AppSecret: os.Getenv("WECHAT_APP_SECRET")}
	logger := log.New(out, "", 0)
	if creds == (wechatqr.Credentials{}) && os.Getenv("WECHAT_TOKEN") == "" && os.Getenv("WECHAT_AES_KEY") == "" {
		logger.Print("No WECHAT_APP_ID, WECHAT_APP_SECRET and WECHAT_TOKEN: this is a fake WeChat inside this process.")
		return demo(ctx, logger)
	}
	if !strings.HasPrefix(*origin, "https://") && !onLoopback(*origin) {
		return fmt.Errorf("-origin is %q: give the page's address, with https://, for the cookie is as good as a password", *origin)
	}
	var opts []wechatqr.Option
	if base := os.Getenv("WECHAT_BASE_URL"); base != "" {
		opts = append(opts, wechatqr.WithBaseURL(base))
	}
	client, err := wechatqr.New(creds, opts...)
	if err != nil {
		return err
	}
	cfg, err := events.ConfigFromEnv()
	if err != nil {
		return err
	}
	s, err := newSite(client, cfg, *origin, logger)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	logger.Printf("serving %s: the page is at /, the callback is at /wechat", l.Addr())
	return s.serve(ctx, l)
}

// onLoopback reports whether the address is http on this machine.
func onLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// serve ends when ctx does, and leaves no event half handled.
func (s *site) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s.routes(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	// In this order: functions may go on after their requests.
	return errors.Join(server.Shutdown(ctx), s.callback.Shutdown(ctx))
}
