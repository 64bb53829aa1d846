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
// who does.
func (d *desk) greet(ctx context.Context, stdout io.Writer, l listeners) error {
	fmt.Fprintf(stdout, "channeld\n\n  pages     %s/\n  callback  %s\n", d.config.origin,
		d.config.callbackURL)
	users, err := d.store.Users(ctx)
	if err != nil {
		return err
	}
	known := func(u store.User) bool { return u.Password != "" }
	switch {
	case slices.ContainsFunc(users, known) && d.config.isSetUp():
		fmt.Fprintln(stdout)
		return nil
	case slices.ContainsFunc(users, known):
		fmt.Fprintf(stdout, "\nThe account is not set up: sign in as an administrator, at\n\n"+
			"  %s%s\n\n", d.config.origin, setup.Path)
		return nil
	}
	link, err := invite(ctx, d.store, d.config.origin, "admin")
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, "\nFirst visit: choose the administrator's password")
	if !d.config.isSetUp() {
		fmt.Fprint(stdout, ", then set the account up")
	}
	fmt.Fprintf(stdout, ". The link is good for one day, and once.\n\n  %s\n\n", link)
	if !isLoopback(l.pages.Addr()) && d.config.origin == originOf(l.pages.Addr()) {
		fmt.Fprint(stdout, "Warning: others can reach the pages, and passwords go over plain "+
			"http: put a proxy with\nhttps in front, and give its address by -origin.\n\n")
	}
	return nil
}

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
