package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// demo is the site, and two people who log in.
func demo(ctx context.Context, logger *log.Logger) error {
	wx := wechatqrtest.NewServer()
	defer wx.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := newSite(wx.Client(), wx.CallbackConfig(), "http://"+l.Addr().String(), logger)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, l) }()
	err = evening(ctx, wx, s.origin, logger)
	stop()
	return errors.Join(err, <-served)
}

func evening(ctx context.Context, wx *wechatqrtest.Server, origin string, logger *log.Logger) error {
	if err := wx.SetCallback(wechatqrtest.Callback{URL: origin + "/wechat"}); err != nil {
		return err
	}
	if err := wx.CheckCallback(ctx); err != nil {
		return err
	}
	logger.Printf("the console has accepted %s/wechat, messages are encrypted", origin)
	wx.PutUser(wechatqrtest.User{OpenID: "o-li", Follows: true})
	for _, who := range []string{"o-wang", "o-li"} {
		browser := newBrowser(http.DefaultTransport)
		if _, err := browse(browser, http.MethodPost, origin+"/login", nil); err != nil {
			return err
		}
		codes := wx.QRCodes()
		code := codes[len(codes)-1]
		logger.Printf("%s opens the page, which shows %s with the scene %s", who, code.Content, code.Scene())
		push, err := wx.Scan(ctx, code.Ticket, who)
		if err != nil {
			return err
		}
		logger.Printf("  scans it, as WeChat tells by %s, and reads:\n%s", push.Event.Type, push.UserSees())
		if _, err := browse(browser, http.MethodPost, origin+"/confirm", url.Values{"number": {numberIn(push.UserSees())}}); err != nil {
			return err
		}
		state, err := browse(browser, http.MethodGet, origin+"/status", nil)
		if err != nil {
			return err
		}
		logger.Printf("  types the number, and is: %s", state)
	}
	return nil
}

// numberIn is what a person reads in the reply.
func numberIn(reply string) string { return regexp.MustCompile(`\b\d{6}\b`).FindString(reply) }

func newBrowser(transport http.RoundTripper) *http.Client {
	jar, _ := cookiejar.New(nil) // has no error
	return &http.Client{Transport: transport, Jar: jar}
}

// browse is one step in a browser. It returns the page that this leads to.
func browse(browser *http.Client, method, address string, form url.Values) (string, error) {
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, resp.Status, page)
	}
	return string(page), err
}
