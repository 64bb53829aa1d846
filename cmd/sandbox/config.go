package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// config is set by the flags and the environment.
type config struct {
	addr        string
	origin      string // base URL; empty: that of the listener
	appID       string
	appSecret   string
	account     string // original ID
	callback    wechatqrtest.Callback
	state       string
	proxy       bool
	tls         string // address; empty: no https
	phone       string // address; empty: no scan page
	pushTimeout time.Duration
	lenient     bool
	unverified  bool
}

const envPrefix = "WECHAT_SANDBOX_"

// envName is the environment variable of a flag.
func envName(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parseConfig reads the flags, and the environment for those that are not set. The
// error is flag.ErrHelp after -h.
func parseConfig(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	var c config
	var mode string
	fs := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main prints the error
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8900",
		"`host:port` to listen on; port 0 takes a free one")
	fs.StringVar(&c.origin, "origin", "",
		"base `URL` by which browsers and backends reach the sandbox; default: http://addr")
	fs.StringVar(&c.appID, "appid", "", "the account's `AppID`; default: random")
	fs.StringVar(&c.appSecret, "secret", "", "the account's `AppSecret`; default: random")
	fs.StringVar(&c.callback.URL, "callback", "",
		"`URL` of your backend that pushes go to; default: none, set it on the page")
	fs.StringVar(&c.callback.Token, "token", "",
		"the callback's `Token`, 3 to 32 letters and digits; default: random")
	fs.StringVar(&c.callback.EncodingAESKey, "aeskey", "",
		"the callback's `EncodingAESKey`, 43 letters and digits; default: random")
	fs.StringVar(&mode, "mode", "",
		"how pushes are encrypted: `plain, compatible or safe`; default: safe")
	fs.DurationVar(&c.pushTimeout, "push-timeout", 5*time.Second,
		"how long the backend may take to respond, a `duration` such as 5s; more, to step through it "+
			"in a debugger")
	fs.StringVar(&c.state, "state", "",
		"`file` that keeps QR codes, users, keys and pushes across restarts; it contains the secrets")
	fs.BoolVar(&c.proxy, "proxy", false,
		"be an HTTP proxy too, which responds for WeChat's hosts and refuses every other one")
	fs.StringVar(&c.tls, "tls", "", "`host:port` to listen on for https; port 0 takes a free one")
	fs.StringVar(&c.phone, "phone", "",
		"`host:port` to listen on for a scan page, which the codes then open on a phone: :8901 reaches "+
			"the local network")
	fs.StringVar(&c.account, "account", "", "the account's original `ID`, gh_…; default: random")
	fs.BoolVar(&c.lenient, "lenient", false,
		"accept scenes out of range, as WeChat was seen to do, instead of refusing them")
	fs.BoolVar(&c.unverified, "unverified", false,
		"be an account that is not verified: creating codes gets 48001")
	fs.Usage = func() {}
	help := func() {
		fs.SetOutput(stderr)
		_, _ = fmt.Fprint(stderr,
			"sandbox runs a fake WeChat account for development: the API, the picture host and the "+
				"pushes,\nwith a page to scan codes by hand. Nothing reaches Tencent.\n\nusage: sandbox "+
				"[flags]\n\n")
		fs.PrintDefaults()
		_, _ = fmt.Fprintf(stderr,
			"\nEach flag is also an environment variable, %s for -addr and so on; a flag takes "+
				"precedence.\n", envName("addr"))
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		help()
		return config{}, err
	} else if err != nil {
		return config{}, fmt.Errorf("sandbox: %w: see -h", err)
	}
	if fs.NArg() > 0 {
		return config{}, fmt.Errorf("sandbox: %q is not a flag: see -h", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var wrong []error
	fs.VisitAll(func(f *flag.Flag) {
		if v := getenv(envName(f.Name)); v != "" && !given[f.Name] {
			if err := f.Value.Set(v); err != nil {
				wrong = append(wrong, fmt.Errorf("sandbox: %s=%q: %w", envName(f.Name), v, err))
			}
		}
	})
	if len(wrong) > 0 {
		return config{}, errors.Join(wrong...)
	}
	c.callback.Mode = wechatqrtest.Mode(mode)
	return c, c.check()
}

var accountForm = regexp.MustCompile(`^gh_[A-Za-z0-9]+$`)

func (c *config) check() error {
	switch c.callback.Mode {
	case "", wechatqrtest.ModePlain, wechatqrtest.ModeCompatible, wechatqrtest.ModeSafe:
	default:
		return fmt.Errorf("sandbox: -mode %q: use plain, compatible or safe", c.callback.Mode)
	}
	if c.pushTimeout <= 0 {
		return fmt.Errorf("sandbox: -push-timeout %v: use more than 0, as 5s", c.pushTimeout)
	}
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return fmt.Errorf("sandbox: -addr %q: use host:port, as 127.0.0.1:8900", c.addr)
	}
	if _, _, err := net.SplitHostPort(c.tls); c.tls != "" && err != nil {
		return fmt.Errorf("sandbox: -tls %q: use host:port, as 127.0.0.1:8943", c.tls)
	}
	if _, _, err := net.SplitHostPort(c.phone); c.phone != "" && err != nil {
		return fmt.Errorf("sandbox: -phone %q: use host:port, as :8901", c.phone)
	}
	if c.account != "" && !accountForm.MatchString(c.account) {
		return fmt.Errorf("sandbox: -account %q: use gh_ and letters and digits", c.account)
	}
	if c.origin == "" {
		return nil
	}
	u, err := url.Parse(c.origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("sandbox: -origin %q: use scheme, host and port alone, as "+
			"http://wechat.test:8900", c.origin)
	}
	c.origin = u.Scheme + "://" + u.Host
	return nil
}

// originOf is the base URL of a listener.
func originOf(l net.Addr) string {
	host, port, err := net.SplitHostPort(l.String())
	if err != nil {
		return "http://" + l.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
