package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/demo"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// runDemo serves a made-up account, in a directory that goes when ctx ends.
func runDemo(ctx context.Context, c *config, stdout io.Writer, logger *slog.Logger) (err error) {
	l, err := c.listeners(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	dir, err := os.MkdirTemp("", "channeld-demo")
	if err != nil {
		return fmt.Errorf("channeld: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	account := demo.New()
	defer account.WeChat.Close()
	c.account.Credentials = account.WeChat.Credentials()
	c.account.Events = account.WeChat.CallbackConfig()
	c.db, c.api = filepath.Join(dir, "demo.db"), account.WeChat.URL()
	c.account.Location, c.account.Keep = demo.Location, 30*24*time.Hour
	key := personKey{value: make([]byte, personKeyBytes)}
	_, _ = rand.Read(key.value) // cannot fail

	d, err := openBackdated(ctx, c, &key, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	fmt.Fprintln(stdout, "channeld -demo\n\n正在生成一家虚构公司两个月的数据，约需几秒……\n"+
		"Writing two months of a company that does not exist: some seconds …")
	err = d.fill(ctx, account)
	if ctx.Err() != nil { // somebody has ended it already
		return nil
	}
	if err != nil {
		return err
	}
	link, err := d.demoLink(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n请在浏览器打开此链接，打开即以管理员登录：\n"+
		"Open this link in a browser; it signs in as an administrator:\n\n  %s\n\n"+
		"不会访问微信；程序结束后，演示数据全部删除。\n"+
		"Nothing reaches WeChat, and everything is gone when this ends.\n%s\n", link, leaveOpen)
	openBrowser(link, l.pages.Addr(), stdout)

	ctx, cancel := context.WithCancel(ctx)
	var people sync.WaitGroup
	people.Go(func() { account.Run(ctx, logger) })
	err = d.serve(ctx, l)
	cancel()
	people.Wait()
	return err
}

// openBackdated opens a desk whose ledger began before the demo's history.
func openBackdated(
	ctx context.Context, c *config, key *personKey, logger *slog.Logger,
) (*desk, error) {
	d, err := openDesk(ctx, c, key, logger)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(demo.Backdate(ctx, d.store.DB()), d.close()); err != nil {
		return nil, err
	}
	return openDesk(ctx, c, key, logger)
}

// fill makes the account's past, and has its pushes sent here from now on.
func (d *desk) fill(ctx context.Context, account *demo.Account) error {
	if err := account.Fill(ctx, d.ledger, d.client); err != nil {
		return err
	}
	if err := d.lists.RunIfDue(ctx); err != nil {
		return err
	}
	account.LosePushes()
	for key, text := range demo.Welcomes() {
		if err := d.store.SetWelcome(ctx, key, text); err != nil {
			return err
		}
	}
	for _, note := range demo.Notes(time.Now()) {
		if err := d.store.AddNote(ctx, &note); err != nil {
			return err
		}
	}
	callback := account.WeChat.Callback()
	callback.URL = d.config.callbackURL
	return account.WeChat.SetCallback(callback)
}

// demoLink signs in whoever opens it, as often as they like.
func (d *desk) demoLink(ctx context.Context) (string, error) {
	secret, err := d.store.NewLink(ctx, store.Link{
		Title: "demo", Role: web.Admin, Ends: time.Now().Add(store.SessionLife),
	})
	return d.config.origin + "/s/" + secret, err
}
