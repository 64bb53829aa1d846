package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// greet prints where the pages are and, while nobody can sign in, a link for the first
// who does. It opens them in a browser.
func (d *desk) greet(ctx context.Context, stdout io.Writer, l listeners) error {
	fmt.Fprintf(stdout, "channeld\n\n  页面 pages     %s/\n  回调 callback  %s\n", d.config.origin,
		d.config.callbackURL)
	if file, ok := d.config.file(); ok {
		fmt.Fprintf(stdout, "  数据 data      %s\n", file)
	}
	text, address, err := d.nextStep(ctx)
	if err != nil {
		return err
	}
	if text != "" {
		fmt.Fprintf(stdout, "\n%s\n\n  %s\n", text, address)
	}
	if !isLoopback(l.pages.Addr()) && d.config.origin == originOf(l.pages.Addr()) {
		fmt.Fprint(stdout, "\n警告：其他机器也能访问，而密码以明文 http 传输：请在前面放一个提供 https 的"+
			"代理，并用 -origin 填写其地址。\nWarning: others can reach the pages, and passwords go "+
			"over plain http: put a proxy with\nhttps in front, and give its address by -origin.\n")
	}
	fmt.Fprint(stdout, leaveOpen, "\n")
	openBrowser(address, l.pages.Addr(), stdout)
	return nil
}

// nextStep is the address to open, and what is to be done there; text is empty if that is
// to look at the numbers.
func (d *desk) nextStep(ctx context.Context) (text, address string, err error) {
	users, err := d.store.Users(ctx)
	if err != nil {
		return "", "", err
	}
	known := slices.ContainsFunc(users, func(u store.User) bool { return u.Password != "" })
	switch {
	case known && d.config.isSetUp():
		return "", d.config.origin + "/", nil
	case known:
		return "还没有填写公众号：请打开此页，以管理员登录。\n" +
				"The account is not set up: open this page and sign in as an administrator.",
			d.config.origin + setup.Path, nil
	}
	zh, en := "", ""
	if !d.config.isSetUp() {
		zh, en = "，再填写公众号", ",\nthen set the account up"
	}
	address, err = invite(ctx, d.store, d.config.origin, "admin")
	return "首次使用：请打开此链接，设置管理员密码" + zh + "。链接一天内有效，只能用一次。\n" +
		"First visit: open this link and choose the administrator's password" + en + ".\n" +
		"The link is good for one day, and once.", address, err
}

// leaveOpen is for who started the program by a double-click.
const leaveOpen = "\n请让此窗口一直开着：关闭它，程序就结束。按 Ctrl-C 也可结束。\n" +
	"Leave this window open: the program ends with it, or by Ctrl-C.\n"

const invitationLife = 24 * time.Hour

// invite returns a link by which the user chooses a password. Who is not known becomes an
// administrator.
func invite(ctx context.Context, s *store.Store, origin, name string) (string, error) {
	_, err := s.User(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = s.PutUser(ctx, name, web.Admin)
	}
	if err != nil {
		return "", err
	}
	secret, err := s.NewLink(ctx, store.Link{User: name, Ends: time.Now().Add(invitationLife)})
	return origin + "/invite/" + secret, err
}

// printInvitation is -invite.
func printInvitation(ctx context.Context, c *config, stdout io.Writer) error {
	if err := c.checkDatabase(); err != nil {
		return err
	}
	s, err := store.Open(ctx, c.db)
	if err != nil {
		return err
	}
	link, err := invite(ctx, s, c.origin, c.invite)
	if err == nil {
		_, err = fmt.Fprintln(stdout, link)
	}
	return errors.Join(err, s.Close())
}
