// Command sandbox runs a fake WeChat account for development: the API, the picture
// host and the pushes of package wechatqrtest, and a page on which a person scans
// codes and sees the backend's replies. Backends in any language use its base URL.
// Nothing reaches Tencent.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
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
func run(
	ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer,
) error {
	cfg, err := parseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	logger := log.New(stderr, "", log.LstdFlags)

	l, err := cfg.listen(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if cfg.origin == "" {
		cfg.origin = originOf(l.http.Addr())
	}
	var scanPage *phone
	if l.phone != nil {
		scanPage = &phone{origin: phoneOrigin(l.phone.Addr())}
	}

	state, err := openState(cfg.state, logger)
	if err != nil {
		return err
	}
	defer state.close()
	wx, err := cfg.server(state, scanPage)
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
	if scanPage != nil {
		scanPage.app, a.phone = a, scanPage
	}
	term := newTerminal(a, stdout)
	srv, err := newServer(cfg, l, a, term, logger)
	if err != nil {
		return err
	}
	if srv.tunnels != nil {
		a.proxyCA = srv.authority.file
	}
	_, _ = io.WriteString(stdout, a.greeting(cfg, srv))

	var background sync.WaitGroup
	background.Go(func() { state.saveChanges(appCtx, saveInterval) })
	background.Go(func() { term.follow(appCtx) })
	if cfg.callback.URL != "" {
		background.Go(func() {
			if d, _ := a.diagnose(appCtx); d.Findings != nil {
				term.check(d)
			}
		})
	}
	err = srv.serve(ctx)

	cancelApp() // event streams, pushes and the check
	wx.Close()  // API requests that hang
	srv.shutdown()
	a.pushes.Wait()
	background.Wait()
	return errors.Join(err, state.save())
}

// server creates the fake account and restores the state file, if there is one.
// The flags of the callback override the file.
func (c *config) server(state *stateFile, scanPage *phone) (*wechatqrtest.Server, error) {
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
	if c.account != "" {
		opts = append(opts, wechatqrtest.WithAccount(c.account))
	}
	if scanPage != nil {
		opts = append(opts, wechatqrtest.WithContentPrefix(scanPage.contentPrefix()))
	}
	if c.lenient {
		opts = append(opts, wechatqrtest.WithLenient())
	}
	if c.unverified {
		opts = append(opts, wechatqrtest.WithUnverified())
	}
	wx := wechatqrtest.NewServer(opts...)

	state.wx = wx
	if c.state != "" {
		if err := state.load(); err != nil {
			return nil, err
		}
		if !c.isAccountOf(wx) {
			return nil, fmt.Errorf("sandbox: -state %s has an account of its own, with the AppID %s: "+
				"leave -appid, -secret "+
				"and -account out, or move the file away", c.state, wx.Credentials().AppID)
		}
		if err := state.save(); err != nil { // fail now if the file is not writable
			return nil, err
		}
	}

	cb := wx.Callback()
	if c.callback.URL != "" {
		cb.URL = c.callback.URL
	}
	cb.Token, cb.EncodingAESKey, cb.Mode = c.callback.Token, c.callback.EncodingAESKey, c.callback.Mode
	if err := wx.SetCallback(cb); err != nil {
		return nil, fmt.Errorf("sandbox: %s", plain(err))
	}
	return wx, nil
}

// isAccountOf reports whether the flags that are set are those of the account.
func (c *config) isAccountOf(wx *wechatqrtest.Server) bool {
	creds := wx.Credentials()
	return cmp.Or(c.appID, creds.AppID) == creds.AppID &&
		cmp.Or(c.appSecret, creds.AppSecret) == creds.AppSecret &&
		cmp.Or(c.account, wx.Account()) == wx.Account()
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
