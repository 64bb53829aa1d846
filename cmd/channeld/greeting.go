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
	known, err := d.hasPassword(ctx)
	if err != nil {
		return err
	}
	address := d.config.origin + "/"
	switch {
	case !known:
		if address, err = invite(ctx, d.store, d.config.origin, "admin"); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "\n首次使用：请打开此链接，设置管理员密码。链接一天内有效，只能用一次。\n"+
			"First visit: open this link and choose the administrator's password. It is good for "+
			"one day,\nand once.\n\n  %s\n", address)
		if !d.config.isSetUp() {
			fmt.Fprint(stdout, "\n之后的页面询问公众号的 AppID 等。\nThe page after it asks for the account.\n")
		}
	case !d.config.isSetUp():
		address = d.config.origin + setup.Path
		fmt.Fprintf(stdout, "\n公众号还没有设置：请以管理员身份登录，打开\n"+
			"The account is not set up: sign in as an administrator, at\n\n  %s\n", address)
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

// hasPassword reports whether there is anybody who can sign in.
func (d *desk) hasPassword(ctx context.Context) (bool, error) {
	users, err := d.store.Users(ctx)
	return slices.ContainsFunc(users, func(u store.User) bool { return u.Password != "" }), err
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
