// Command sandbox runs a fake WeChat account for development: the API, the picture
// host and the pushes of package wechatqrtest, and a page on which a person scans
// codes and sees the backend's replies. Backends in any language use its base URL.
// Nothing reaches Tencent.
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

func main() { os.Exit(exitCode()) }

func exitCode() int {
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
	saveInterval    = 300 * time.Millisecond // between two writes of the state file
	shutdownTimeout = 3 * time.Second        // for requests in progress when ctx ends
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

	wx, state, err := cfg.account(logger)
	if err != nil {
		return err
	}
	defer wx.Close()
	appCtx, cancelApp := context.WithCancel(context.Background())
	defer cancelApp()
	a, err := newApp(appCtx, wx, cfg.origin)
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
	if state != nil {
		saver.Go(func() { state.saveChanges(appCtx, saveInterval) })
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err = <-served:
		err = fmt.Errorf("sandbox: %w", err)
	case <-ctx.Done():
		err = nil
	}

	cancelApp() // event streams and pushes
	wx.Close()  // API requests that hang
	shutdownCtx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if srv.Shutdown(shutdownCtx) != nil {
		_ = srv.Close()
	}
	a.pushes.Wait()
	saver.Wait()
	if state != nil {
		err = errors.Join(err, state.save())
	}
	return err
}

// account creates the fake account and restores the state file, if there is one.
// The flags of the callback override the file.
func (c *config) account(logger *log.Logger) (*wechatqrtest.Server, *stateFile, error) {
	creds := wechatqr.Credentials{AppID: c.appID, AppSecret: c.appSecret}
	if creds.AppID == "" {
		creds.AppID = "wx" + randomHex(8)
	}
	if creds.AppSecret == "" {
		creds.AppSecret = randomHex(16)
	}
	opts := []wechatqrtest.Option{
		wechatqrtest.WithOrigin(c.origin), wechatqrtest.WithCredentials(creds),
		wechatqrtest.WithPushTimeout(c.pushTimeout),
	}
	if c.lenient {
		opts = append(opts, wechatqrtest.WithLenient())
	}
	if c.unverified {
		opts = append(opts, wechatqrtest.WithUnverified())
	}
	wx := wechatqrtest.NewServer(opts...)

	var state *stateFile
	if c.state != "" {
		state = &stateFile{path: c.state, wx: wx, log: logger}
		if err := state.load(); err != nil {
			return nil, nil, err
		}
		saved := wx.Credentials()
		if c.appID != "" && c.appID != saved.AppID || c.appSecret != "" && c.appSecret != saved.AppSecret {
			return nil, nil, fmt.Errorf("sandbox: -state %s has the AppID %s and its AppSecret, not those of the flags: "+
				"leave -appid and -secret out, or move the file away", c.state, saved.AppID)
		}
		if err := state.save(); err != nil { // fail now if the file is not writable
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
	return wx, state, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// handler serves the page and the API, each behind its guard.
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

// greeting is printed when the program is ready.
func (a *app) greeting(cfg config) string {
	var b strings.Builder
	creds, cb := a.wx.Credentials(), a.wx.Callback()
	url := cb.URL
	if url == "" {
		url = "none yet: set it on the page, or start with -callback http://127.0.0.1:3000/wechat"
	}
	fmt.Fprintf(&b, `WeChat sandbox: a fake account for development. Nothing reaches Tencent.

  page            %s/
  base URL        %[1]s
  AppID           %s
  AppSecret       %s
  callback        %s
  Token           %s
  EncodingAESKey  %s
  mode            %s

Configure your backend with it: use the base URL in place of
https://api.weixin.qq.com and https://mp.weixin.qq.com.

`, a.origin, creds.AppID, creds.AppSecret, url, cb.Token, cb.EncodingAESKey, cb.Mode)
	for _, h := range hintsFor(a.origin) {
		fmt.Fprintf(&b, "  %s\n    %s\n", h.SDK, strings.ReplaceAll(h.Code, "\n", "\n    "))
	}
	if cfg.state == "" {
		b.WriteString("\nThe keys are new at each start: -state sandbox.json saves them and the rest of the state.\n")
	}
	if host, _, err := net.SplitHostPort(cfg.addr); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			b.WriteString("\nWarning: it listens beyond this machine, and everybody who reaches it can use it.\n")
		}
	}
	return b.String()
}
