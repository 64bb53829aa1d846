package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // machines without the time zones

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/setup"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/doctor"
)

// config is set by the flags and the environment.
type config struct {
	demo     bool
	db       string // of store.Open
	keyFile  string
	listen   string
	origin   string // base URL; empty: that of the listener
	callback string // address of a listener for the callback alone; empty: none

	callbackURL string // of this process, known once it listens
	api         string // base URL in place of WeChat's hosts; empty: WeChat
	forwarded   bool
	invite      string          // name; empty: serve
	copyTarget  string          // of store.Open; empty: serve
	given       map[string]bool // flags that were given
	personKey   string          // of the environment

	account     setup.Account // without an AppID: it is to be set up
	accountFile string        // empty: the account is the environment's
	accountInfo fs.FileInfo   // of the file that was read; nil: there was none
}

var (
	errFlags = errors.New("see -h")
	errPart  = errors.New("the environment has a part of the account")
)

const defaultListen = "127.0.0.1:8930"

// parseConfig reads the flags and the environment. The error is flag.ErrHelp after -h.
func parseConfig(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	c := config{personKey: getenv("PERSON_KEY")}
	flags := flag.NewFlagSet("channeld", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	flags.BoolVar(&c.demo, "demo", false,
		"show a made-up account with forty channels; needs no account, no database and no network")
	flags.StringVar(&c.db, "db", "",
		"`database`: the path of a SQLite file, postgres://… or mysql://…; default: channeld.db")
	flags.StringVar(&c.keyFile, "key", "",
		"`file` of the person key, made at the first start; default: beside the database")
	flags.StringVar(&c.accountFile, "account", "",
		"`file` of the account that the set-up page makes; default: beside the database")
	flags.StringVar(&c.listen, "listen", defaultListen, "`host:port` to listen on for the pages")
	flags.StringVar(&c.origin, "origin", "",
		"base `URL` by which browsers reach the pages, such as https://codes.example.com")
	flags.StringVar(&c.callback, "callback", "",
		"`host:port` to listen on for the callback alone; default: /wechat beside the pages")
	flags.StringVar(&c.api, "api", "",
		"base `URL` to use in place of WeChat's hosts, such as the sandbox's")
	flags.BoolVar(&c.forwarded, "forwarded", false,
		"a proxy in front sets X-Forwarded-For: its last entry is the client's address")
	flags.StringVar(&c.invite, "invite", "",
		"print a link by which this `user` chooses a new password, and exit; a new user "+
			"becomes an administrator")
	flags.StringVar(&c.copyTarget, "copy", "",
		"copy everything into this new `database`, verify the copy and exit; stop the others first")
	zone := flags.String("zone", "Asia/Shanghai", "time `zone` in which days begin")
	flags.DurationVar(&c.account.Keep, "keep", 0,
		"how long somebody who unfollowed is remembered, a `duration` such as 720h: who comes "+
			"back within it counts as returning, not as new")
	flags.Usage = func() {}

	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		printHelp(flags, stderr)
		return config{}, err
	} else if err != nil {
		return config{}, fmt.Errorf("channeld: %w: %w", err, errFlags)
	}
	if flags.NArg() > 0 {
		return config{}, fmt.Errorf("channeld: %q is not a flag: %w", flags.Arg(0), errFlags)
	}
	if err := c.checkFlags(*zone); err != nil {
		return config{}, fmt.Errorf("channeld: %w: %w", err, errFlags)
	}
	c.given = map[string]bool{}
	flags.Visit(func(f *flag.Flag) { c.given[f.Name] = true })
	return c, c.complete(getenv)
}

// checkFlags reads the values of which flag knows nothing.
func (c *config) checkFlags(zone string) (err error) {
	if zone == "" || zone == "Local" {
		return errors.New("-zone: write it as Asia/Shanghai")
	}
	if c.account.Location, err = time.LoadLocation(zone); err != nil {
		return fmt.Errorf("-zone: %w", err)
	}
	if keep := c.account.Keep; keep < 0 || keep > setup.MaxKeep {
		return fmt.Errorf("-keep %v: it is 0 to %v", keep, setup.MaxKeep)
	}
	if c.origin == "" {
		return nil
	}
	u, err := url.Parse(strings.ToLower(c.origin))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Scheme+"://"+u.Host != strings.TrimSuffix(u.String(), "/") {
		return fmt.Errorf("-origin %q: write it as https://codes.example.com", c.origin)
	}
	c.origin = u.Scheme + "://" + u.Host
	return nil
}

func printHelp(flags *flag.FlagSet, stderr io.Writer) {
	flags.SetOutput(stderr)
	_, _ = fmt.Fprint(stderr, "channeld 为账号的各渠道建码、接收推送、展示数字。先看演示：\n"+
		"channeld makes the channels' codes of an account, receives its pushes and shows the\n"+
		"numbers. Try it:\n\n  channeld -demo\n\nusage: channeld [flags]\n\n")
	flags.PrintDefaults()
	_, _ = fmt.Fprint(stderr, "\nThe environment may have the account: WECHAT_APP_ID, "+
		"WECHAT_APP_SECRET, WECHAT_TOKEN\nand WECHAT_AES_KEY, or WECHAT_PLAINTEXT=1. Without "+
		"them a page asks for it. PERSON_KEY\nmay have the person key, in place of its file.\n")
}

// complete reads the environment and sets the defaults that depend on other flags.
func (c *config) complete(getenv func(string) string) error {
	if c.demo {
		if c.db != "" || c.api != "" || c.invite != "" || c.copyTarget != "" {
			return fmt.Errorf("channeld: -demo has an account and a database of its own: "+
				"leave -db, -api, -invite and -copy out: %w", errFlags)
		}
		return nil
	}
	if c.origin == "" && (c.invite != "" || c.copyTarget != "") { // which do not listen
		c.origin = "http://" + c.listen
	}
	c.db = cmp.Or(c.db, "channeld.db")
	beside := "channeld"
	if file, ok := c.file(); ok {
		beside = strings.TrimSuffix(file, filepath.Ext(file))
	}
	c.keyFile = cmp.Or(c.keyFile, beside+".key")
	c.accountFile = cmp.Or(c.accountFile, beside+".account")
	return c.readEnv(getenv)
}

// readEnv reads the account, if the environment has any part of it.
func (c *config) readEnv(getenv func(string) string) error {
	variables := []string{"WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_AES_KEY",
		"WECHAT_PLAINTEXT"}
	isSet := func(name string) bool { return getenv(name) != "" }
	if !slices.ContainsFunc(variables, isSet) || c.invite != "" {
		return nil
	}
	c.accountFile = ""
	var err, settings error
	c.account.Credentials, err = wechatqr.CredentialsFromEnv()
	c.account.Events, settings = events.ConfigFromEnv()
	if err = errors.Join(err, settings); err != nil {
		return fmt.Errorf("channeld: %w: %w", errPart, err)
	}
	return nil
}

// file is the path of the database, if it is a file.
func (c *config) file() (path string, ok bool) {
	path, err := filepath.Abs(c.db)
	return path, err == nil && !strings.Contains(c.db, "://")
}

// checkDatabase refuses a SQLite file that is not there: -invite and -copy of a new one are
// of no use to anybody.
func (c *config) checkDatabase() error {
	file, ok := c.file()
	if !ok {
		return nil
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("channeld: the database: %w", err)
	}
	return nil
}

// readAccount reads the file that the page has written, unless the account is the
// environment's. Flags go before what the file has.
func (c *config) readAccount() error {
	if c.accountFile == "" {
		return nil
	}
	c.accountInfo, _ = os.Stat(c.accountFile) // ReadFile returns the error
	a, err := setup.ReadFile(c.accountFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.given["zone"] {
		a.Location = c.account.Location
	}
	if c.given["keep"] {
		a.Keep = c.account.Keep
	}
	c.account = a
	return nil
}

// accountChanged reports whether the file is another one than that which was read.
func (c *config) accountChanged() bool {
	info, err := os.Stat(c.accountFile)
	was := c.accountInfo
	if err != nil || was != nil && os.SameFile(was, info) && was.ModTime().Equal(info.ModTime()) {
		return false
	}
	_, err = setup.ReadFile(c.accountFile)
	return err == nil
}

// isSetUp reports whether it is known which account the desk is for.
func (c *config) isSetUp() bool { return c.account.Credentials.AppID != "" }

// originOf is the base URL of a listener.
func originOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// isLoopback reports whether only this machine reaches the listener.
func isLoopback(addr net.Addr) bool {
	host, _, err := net.SplitHostPort(addr.String())
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// doctor is what the checks of the settings page look at.
func (c *config) doctor() doctor.Config {
	return doctor.Config{
		Credentials: func() (wechatqr.Credentials, error) { return c.account.Credentials, nil },
		Events:      func() (events.Config, error) { return c.account.Events, nil },
		Callback:    c.callbackURL,
		Endpoint:    c.endpoint(),
	}
}

// endpoint is the zero Endpoint for WeChat's own hosts.
func (c *config) endpoint() (e wechatqr.Endpoint) {
	if c.api != "" {
		e = wechatqr.Endpoint{API: []string{c.api}, Image: c.api}
	}
	return e
}
