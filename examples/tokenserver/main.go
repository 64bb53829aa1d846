// Command tokenserver holds an account's AppSecret and gives its access token
// to the workers that know a key. The workers need no AppSecret, but their IPs
// on the whitelist too, and a token is fetched once for all of them. Their half
// is package tokenclient, one file to copy.
//
//	export WECHAT_APP_ID=wx… WECHAT_APP_SECRET=… TOKEN_SERVER_KEY=$(openssl rand -hex 32)
//	tokenserver -listen :8787 -cert server.pem -certkey server.key
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
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "tokenserver:", err)
		os.Exit(1)
	}
}

const minKey = 32 // characters

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("tokenserver", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:8787", "`host:port` to listen on")
	cert := flags.String("cert", "", "`file` with the certificate, for TLS")
	certKey := flags.String("certkey", "", "`file` with the certificate's key")
	plain := flags.Bool("plain", false, "listen on other addresses than this machine's own without a certificate, behind something else that does TLS")
	api := flags.String("api", "", "WeChat's `address`, if it is not https://api.weixin.qq.com")
	flags.Usage = func() {
		fmt.Fprintln(out, `tokenserver gives an account's access token to who knows a key. Set WECHAT_APP_ID,
WECHAT_APP_SECRET and TOKEN_SERVER_KEY, which workers send as a Bearer token.`)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(*listen)
	key := getenv("TOKEN_SERVER_KEY")
	switch ip := net.ParseIP(host); {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? See -h", flags.Arg(0))
	case err != nil:
		return fmt.Errorf("-listen: %w", err)
	case len(key) < minKey:
		return fmt.Errorf("TOKEN_SERVER_KEY has %d characters, and should have %d or more: openssl rand -hex 32 makes some", len(key), minKey)
	case (*cert == "") != (*certKey == ""):
		return errors.New("-cert and -certkey go together")
	case *cert == "" && !*plain && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("tokens would cross the network in the clear from %s: give -cert and -certkey, or -plain if something else does TLS", *listen)
	}
	var opts []wechatqr.Option
	if *api != "" {
		opts = append(opts, wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{*api}}))
	}
	creds := wechatqr.Credentials{AppID: getenv("WECHAT_APP_ID"), AppSecret: getenv("WECHAT_APP_SECRET")}
	client, err := wechatqr.New(creds, opts...)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           newHandler(client.TokenSource(), key),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	ended := make(chan error, 1)
	go func() {
		if *cert != "" {
			ended <- srv.ServeTLS(l, *cert, *certKey)
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
