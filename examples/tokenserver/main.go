// Command tokenserver holds an account's AppSecret and gives its access token
// to the workers that know a key. The workers need no AppSecret, but their IPs
// on the whitelist too, and a token is fetched once for all of them. Their half
// is package tokenclient, one file to copy.
//
//	export WECHAT_APP_ID=wx… WECHAT_APP_SECRET=… TOKEN_SERVER_KEY=$(openssl rand -hex 32)
//	tokenserver -listen :8787 -cert server.pem -certkey server.key
//
// WECHAT_BASE_URL points it at the sandbox.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wechatqr/wechatqr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "tokenserver:", err)
	}
	os.Exit(exitCode(err))
}

// errUsage says that the flags cannot be right.
var errUsage = errors.New("see -h")

func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	return 1
}

const minKey = 32 // characters

// settings are what the flags say.
type settings struct {
	listen        string
	cert, certKey string // both or neither
}

func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("tokenserver", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8787", "`host:port` to listen on")
	flags.StringVar(&s.cert, "cert", "", "`file` with the certificate, for TLS")
	flags.StringVar(&s.certKey, "certkey", "", "`file` with the certificate's key")
	plain := flags.Bool("plain", false, "listen on other addresses than this machine's own "+
		"without a certificate, behind something else that does TLS")

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, `tokenserver gives an account's access token to those who know a key. Set WECHAT_APP_ID,
WECHAT_APP_SECRET and TOKEN_SERVER_KEY, which workers send as a Bearer token.
WECHAT_BASE_URL points it at the sandbox.`)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return s, err
	case err != nil:
		return s, fmt.Errorf("%w: %w", err, errUsage)
	case flags.NArg() > 0:
		return s, fmt.Errorf("%q is no flag: %w", flags.Arg(0), errUsage)
	case (s.cert == "") != (s.certKey == ""):
		return s, fmt.Errorf("-cert and -certkey go together: %w", errUsage)
	}

	host, _, err := net.SplitHostPort(s.listen)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		return s, fmt.Errorf("-listen: %w: %w", err, errUsage)
	case s.cert == "" && !*plain && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return s, fmt.Errorf("tokens would cross the network in the clear from %s: give -cert "+
			"and -certkey, or -plain if something else does TLS: %w", s.listen, errUsage)
	}
	return s, nil
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	secret := getenv("TOKEN_SERVER_KEY")
	if len(secret) < minKey {
		return fmt.Errorf("TOKEN_SERVER_KEY has %d characters, and should have %d or more: "+
			"openssl rand -hex 32 makes some", len(secret), minKey)
	}
	client, err := newClient(getenv)
	if err != nil {
		return err
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           newHandler(client.TokenSource(), secret),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ended := make(chan error, 1)
	go func() {
		if s.cert != "" {
			ended <- srv.ServeTLS(l, s.cert, s.certKey)
		} else {
			ended <- srv.Serve(l)
		}
	}()
	fmt.Fprintln(out, "listening on", l.Addr())

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}

func newClient(getenv func(string) string) (*wechatqr.Client, error) {
	creds := wechatqr.Credentials{
		AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET"),
	}
	if creds.AppID == "" || creds.AppSecret == "" {
		return nil, errors.New("set WECHAT_APP_ID and WECHAT_APP_SECRET")
	}
	var opts []wechatqr.Option
	if url := getenv("WECHAT_BASE_URL"); url != "" {
		opts = append(opts, wechatqr.WithBaseURL(url))
	}
	return wechatqr.New(creds, opts...)
}
