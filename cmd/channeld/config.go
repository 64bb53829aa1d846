package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // machines without the time zones

	"github.com/wechatqr/wechatqr"
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
	invite      string // name; empty: serve
	copyTarget  string // of store.Open; empty: serve
	location    *time.Location
	keep        time.Duration

	credentials wechatqr.Credentials
	events      events.Config
	personKey   string // of the environment
}

var errFlags = errors.New("see -h")

const defaultListen = "127.0.0.1:8930"

// parseConfig reads the flags and the environment. The error is flag.ErrHelp after -h.
func parseConfig(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	c := config{personKey: getenv("PERSON_KEY")}
	fs := flag.NewFlagSet("channeld", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main prints the error
	fs.BoolVar(&c.demo, "demo", false,
		"show a made-up account with forty channels; needs no account, no database and no network")
	fs.StringVar(&c.db, "db", "",
		"`database`: the path of a SQLite file, postgres://… or mysql://…; default: channeld.db")
	fs.StringVar(&c.keyFile, "key", "",
		"`file` of the person key, made at the first start; default: beside the database")
	fs.StringVar(&c.listen, "listen", defaultListen, "`host:port` to listen on for the pages")
	fs.StringVar(&c.origin, "origin", "",
		"base `URL` by which browsers reach the pages, such as https://codes.example.com")
	fs.StringVar(&c.callback, "callback", "",
		"`host:port` to listen on for the callback alone; default: /wechat beside the pages")
	fs.StringVar(&c.api, "api", "",
		"base `URL` to use in place of WeChat's hosts, such as the sandbox's")
	fs.BoolVar(&c.forwarded, "forwarded", false,
		"a proxy in front sets X-Forwarded-For: its last entry is the client's address")
	fs.StringVar(&c.invite, "invite", "",
		"print a link by which this `user` chooses a new password, and exit; a new user "+
			"becomes an administrator")
	fs.StringVar(&c.copyTarget, "copy", "",
		"copy everything into this new `database`, verify the copy and exit; stop the others first")
	zone := fs.String("zone", "Asia/Shanghai", "time `zone` in which days begin")
	fs.DurationVar(&c.keep, "keep", 0,
		"how long somebody who unfollowed is remembered, a `duration` such as 720h: who comes "+
			"back within it counts as returning, not as new")
	fs.Usage = func() {}

	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		printHelp(fs, stderr)
		return config{}, err
	} else if err != nil {
		return config{}, fmt.Errorf("channeld: %w: %w", err, errFlags)
	}
	if fs.NArg() > 0 {
		return config{}, fmt.Errorf("channeld: %q is not a flag: %w", fs.Arg(0), errFlags)
	}
	var err error
	if c.location, err = time.LoadLocation(*zone); err != nil {
		return config{}, fmt.Errorf("channeld: -zone: %w", err)
	}
	return c, c.complete()
}

func printHelp(fs *flag.FlagSet, stderr io.Writer) {
	fs.SetOutput(stderr)
	_, _ = fmt.Fprint(stderr, "channeld 为账号的各渠道建码、接收推送、展示数字。先看演示：\n"+
		"channeld makes the channels' codes of an account, receives its pushes and shows the\n"+
		"numbers. Try it:\n\n  channeld -demo\n\nusage: channeld [flags]\n\n")
	fs.PrintDefaults()
	_, _ = fmt.Fprint(stderr, "\nThe environment has the account: WECHAT_APP_ID, "+
		"WECHAT_APP_SECRET, WECHAT_TOKEN and\nWECHAT_AES_KEY, or WECHAT_PLAINTEXT=1. PERSON_KEY "+
		"may have the person key, in\nplace of its file.\n")
}

// complete reads the account and sets the defaults that depend on other flags.
func (c *config) complete() error {
	c.origin = strings.TrimSuffix(c.origin, "/")
	if c.demo {
		if c.db != "" || c.api != "" || c.invite != "" || c.copyTarget != "" {
			return errors.New("channeld: -demo has an account and a database of its own: " +
				"leave -db, -api, -invite and -copy out")
		}
		return nil
	}
	if c.origin == "" && (c.invite != "" || c.copyTarget != "") { // which do not listen
		c.origin = "http://" + c.listen
	}
	if c.db == "" {
		c.db = "channeld.db"
	}
	if c.keyFile == "" {
		c.keyFile = "channeld.key"
		if file, ok := c.file(); ok {
			c.keyFile = file + ".key"
		}
	}
	var err, settings error
	c.credentials, err = wechatqr.CredentialsFromEnv()
	c.events, settings = events.ConfigFromEnv()
	if err = errors.Join(err, settings); err != nil && c.invite == "" {
		return fmt.Errorf("channeld: the environment lacks the account: %w\n"+
			"To look around without one: channeld -demo", err)
	}
	return nil
}

// file is the path of the database, if it is a file.
func (c *config) file() (path string, ok bool) {
	path, err := filepath.Abs(c.db)
	return path, err == nil && !strings.Contains(c.db, "://")
}

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
	d := doctor.Config{
		Credentials: func() (wechatqr.Credentials, error) { return c.credentials, nil },
		Events:      func() (events.Config, error) { return c.events, nil },
		Callback:    c.callbackURL,
	}
	if c.api != "" {
		d.Endpoint = wechatqr.Endpoint{API: []string{c.api}, Image: c.api}
	}
	return d
}
