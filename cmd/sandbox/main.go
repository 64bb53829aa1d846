// Command sandbox is a WeChat account to develop against, as a program: the
// API, the picture host and the pushes of package wechatqrtest, and a page by
// which a person scans codes and sees what the backend answers. Backends in
// any language point their base URL at it. Nothing reaches Tencent.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func main() { os.Exit(program()) }

// program returns the exit status.
func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const (
	savePause = 300 * time.Millisecond // between two writes of the state
	grace     = 3 * time.Second        // for requests under way at the end
)

// run serves the sandbox until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	logger := log.New(stderr, "", log.LstdFlags)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return fmt.Errorf("sandbox: %w; choose another address with -addr", err)
	}
	defer func() { _ = l.Close() }() // Shutdown may have done it
	if cfg.origin == "" {
		cfg.origin = originOf(l.Addr())
	}
	wx, keeper, err := cfg.account(logger)
	if err != nil {
		return err
	}
	defer wx.Close()
	life, end := context.WithCancel(context.Background())
	defer end()
	a, err := newApp(life, wx, cfg.origin)
	if err != nil {
		return err
	}
	h, err := a.handler()
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger}
	_, _ = io.WriteString(stdout, a.greeting(cfg))

	var saver sync.WaitGroup
	if keeper != nil {
		saver.Go(func() { keeper.keep(life, savePause) })
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err = <-served:
		err = fmt.Errorf("sandbox: %w", err)
	case <-ctx.Done():
		err = nil
	}

	end()      // streams and pushes
	wx.Close() // calls that hang
	last, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if srv.Shutdown(last) != nil {
		_ = srv.Close()
	}
	a.work.Wait()
	saver.Wait()
	if keeper != nil {
		err = errors.Join(err, keeper.save())
	}
	return err
}

// account makes the fake, with the state of the file if there is one. What the
// flags say of the callback replaces what the file says.
func (c *config) account(logger *log.Logger) (*wechatqrtest.Server, *store, error) {
	creds := wechatqr.Credentials{AppID: c.appID, AppSecret: c.appSecret}
	if creds.AppID == "" {
		creds.AppID = "wx" + randomHex(8)
	}
	if creds.AppSecret == "" {
		creds.AppSecret = randomHex(16)
	}
	opts := []wechatqrtest.Option{
		wechatqrtest.WithOrigin(c.origin), wechatqrtest.WithCredentials(creds), wechatqrtest.WithPushTimeout(c.deadline),
	}
	if c.lenient {
		opts = append(opts, wechatqrtest.WithLenient())
	}
	if c.unverified {
		opts = append(opts, wechatqrtest.WithUnverified())
	}
	wx := wechatqrtest.NewServer(opts...)
	var keeper *store
	if c.state != "" {
		keeper = &store{path: c.state, wx: wx, log: logger}
		if err := keeper.load(); err != nil {
			return nil, nil, err
		}
		kept := wx.Credentials()
		if c.appID != "" && c.appID != kept.AppID || c.appSecret != "" && c.appSecret != kept.AppSecret {
			return nil, nil, fmt.Errorf("sandbox: -state %s is of the AppID %s with another AppID or AppSecret than the flags say: leave -appid and -secret out, or move the file away", c.state, kept.AppID)
		}
		if err := keeper.save(); err != nil { // now rather than after an hour's work
			return nil, nil, err
		}
	}
	cb := wx.Callback()
	if c.callback.URL != "" {
		cb.URL = c.callback.URL
	}
	cb.Token, cb.EncodingAESKey, cb.Mode = c.callback.Token, c.callback.EncodingAESKey, c.callback.Mode
	if err := wx.SetCallback(cb); err != nil {
		return nil, nil, fmt.Errorf("sandbox: %s", plain(err))
	}
	return wx, keeper, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// handler is the page and the API, each behind its guard.
func (a *app) handler() (http.Handler, error) {
	g, err := newGuard(a.origin)
	if err != nil {
		return nil, err
	}
	page, api := g.page(a.routes()), g.api(a.wx)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/_sandbox/") {
			page.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	}), nil
}

// greeting is what the program prints when it is ready.
func (a *app) greeting(cfg config) string {
	var b strings.Builder
	creds, cb := a.wx.Credentials(), a.wx.Callback()
	url := cb.URL
	if url == "" {
		url = "none yet: set it on the page, or start with -callback http://127.0.0.1:3000/wechat"
	}
	fmt.Fprintf(&b, `WeChat sandbox: an account to develop against. Nothing reaches Tencent.

  page            %s/
  base URL        %[1]s
  AppID           %s
  AppSecret       %s
  callback        %s
  Token           %s
  EncodingAESKey  %s
  mode            %s

Point your backend here: the base URL takes the place of
https://api.weixin.qq.com and https://mp.weixin.qq.com.

`, a.origin, creds.AppID, creds.AppSecret, url, cb.Token, cb.EncodingAESKey, cb.Mode)
	for _, h := range hintsFor(a.origin) {
		fmt.Fprintf(&b, "  %s\n    %s\n", h.SDK, strings.ReplaceAll(h.Code, "\n", "\n    "))
	}
	if cfg.state == "" {
		b.WriteString("\nThe keys are new at each start: -state sandbox.json keeps them, and all else.\n")
	}
	if host, _, err := net.SplitHostPort(cfg.addr); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			b.WriteString("\nWarning: it listens beyond this machine, and whoever reaches it can drive it.\n")
		}
	}
	return b.String()
}
