package wechatqr_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Secrets come from the environment and are never printed.
func ExampleCredentialsFromEnv() {
	for name, value := range map[string]string{
		"WECHAT_APP_ID":     "wx0123456789abcdef",
		"WECHAT_APP_SECRET": "0123456789abcdef0123456789abcdef",
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}

	creds, err := wechatqr.CredentialsFromEnv()
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(creds)
	// Output: wechatqr.Credentials(wx0123456789abcdef, [redacted])
}

func ExampleSceneID() {
	scene := wechatqr.SceneID(7)
	fmt.Println(scene.Key(), scene == wechatqr.SceneID(7))
	fmt.Println(wechatqr.Permanent(wechatqr.SceneID(0)).Validate())
	// Output:
	// 7 true
	// wechatqr: ticket request: invalid argument: the scene is empty: use SceneID with 1 to 4294967295 or SceneString with 1 to 64 bytes
}

// A scene says which, not what: what it stands for is in a database.
func ExampleSceneString() {
	scene := wechatqr.SceneString("order-1984")
	fmt.Println(scene.Key(), wechatqr.Temporary(scene, time.Hour).Validate())
	// Output: order-1984 <nil>
}

// A request can say what it asks for, below the picture for instance.
func ExampleTicketRequest() {
	for _, req := range []wechatqr.TicketRequest{
		wechatqr.Temporary(wechatqr.SceneString("order-1984"), 15*time.Minute),
		wechatqr.Permanent(wechatqr.SceneID(7)),
	} {
		fmt.Println(req.Scene(), req.TTL())
	}
	// Output:
	// order-1984 15m0s
	// 7 0s
}

// WeChat sends JPEG today; the extension is that of what it sent.
func ExampleQRCode_Extension() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	client, ctx := srv.Client(), context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ticket, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneString("shop-7")))
	if err != nil {
		log.Fatal(err)
	}

	code, err := client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "shop-7"+code.Extension())
	if err := os.WriteFile(path, code.Data, 0o644); err != nil {
		log.Fatal(err)
	}

	fmt.Println(filepath.Base(path))
	// Output: shop-7.jpg
}

// What a push says, whatever it is. Package events makes an Event from what
// arrives, and only from what WeChat signed.
func ExampleEvent() {
	for _, ev := range []wechatqr.Event{
		{MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7", FromUserName: "o6_a"},
		{MsgType: "event", Type: wechatqr.EventUnsubscribe, FromUserName: "o6_b"},
		{MsgType: "event", Type: "CLICK", EventKey: "menu-1", FromUserName: "o6_c"},
		{MsgType: "text", Content: "hello", FromUserName: "o6_d"},
	} {
		scan, scanned := ev.Scan()
		switch {
		case scanned:
			fmt.Println(scan.OpenID, "scanned", scan.SceneKey)
		case ev.Type.Is(wechatqr.EventUnsubscribe):
			fmt.Println(ev.FromUserName, "left: delete what is kept of them")
		case ev.MsgType == "event":
			fmt.Println(ev.FromUserName, "caused", ev.Type)
		default:
			fmt.Println(ev.FromUserName, "wrote", ev.Content)
		}
	}
	// Output:
	// o6_a scanned shop-7
	// o6_b left: delete what is kept of them
	// o6_c caused CLICK
	// o6_d wrote hello
}

// One text for all deliveries of one push, and another for the next scan.
func ExampleEvent_ID() {
	ev := wechatqr.Event{
		MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7",
		FromUserName: "o6_somebody", CreateTime: time.Unix(1714112445, 0),
	}
	delivered, later := ev, ev
	later.CreateTime = ev.CreateTime.Add(time.Minute)

	fmt.Println(delivered.ID() == ev.ID(), later.ID() == ev.ID())
	// Output: true false
}

func ExampleEvent_Matches() {
	scene := wechatqr.SceneString("shop-7")
	ev := wechatqr.Event{MsgType: "event", Type: "subscribe", EventKey: "qrscene_shop-7"}

	fmt.Println(ev.Matches(scene))
	// Output: true
}

// WeChat does not always spell a type alike.
func ExampleEventType_Is() {
	fmt.Println(wechatqr.EventType("scan").Is(wechatqr.EventScan))
	// Output: true
}

// WeChat's errcode, where the kind of the error does not say enough.
func ExampleErrorCode() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 45029})

	_, err := srv.Client().CreateTicket(context.Background(),
		wechatqr.Permanent(wechatqr.SceneString("shop-7")))
	if e := (*wechatqr.Error)(nil); errors.As(err, &e) {
		fmt.Println(int(e.Code), errors.Is(err, wechatqr.ErrPermanentLimit))
	}
	// Output: 45029 true
}

// The classic endpoint, where each fetch ends the token before: every program of
// the account shares the store, those in other languages too.
func ExampleWithClassicToken() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	store := &table{rows: map[string]wechatqr.Token{}}

	for range 2 { // processes
		client := srv.Client(wechatqr.WithClassicToken(), wechatqr.WithTokenStore(store))
		if _, err := client.CreateTicket(context.Background(),
			wechatqr.Permanent(wechatqr.SceneID(7))); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Println(srv.Count("/cgi-bin/token"), "token")
	// Output: 1 token
}

// A host that is nearer comes first; the others are for when it is down.
func ExampleWithEndpoint() {
	creds := wechatqr.Credentials{
		AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef",
	}

	client, err := wechatqr.New(creds, wechatqr.WithEndpoint(wechatqr.Endpoint{
		API: []string{"https://sh.api.weixin.qq.com", "https://api2.weixin.qq.com"},
	}))

	fmt.Println(client, err)
	// Output: wechatqr.Client <nil>
}

// What the client has to say beside errors, such as a token that could not be
// renewed in time, goes to a logger of your own.
func ExampleWithLogger() {
	creds := wechatqr.Credentials{
		AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef",
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("account", creds)

	client, err := wechatqr.New(creds, wechatqr.WithLogger(logger))

	fmt.Println(client, err)
	// Output: wechatqr.Client <nil>
}

// Another library of the same program gets the token from the client, so that
// both use one.
func ExampleClient_TokenSource() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	ctx := context.Background()
	tokens := srv.Client().TokenSource()

	tok, err := tokens.Token(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tok.Value != "", time.Until(tok.Expiry) > time.Hour)

	// WeChat has refused it: another one, please.
	srv.RevokeTokens()
	next, err := tokens.Token(ctx, tok.Value)
	fmt.Println(next.Value != tok.Value, err)
	// Output:
	// true true
	// true <nil>
}

// A source that is asked once, however many callers there are. Sources that New
// is given are put behind such a memory anyway.
func ExampleReuseTokenSource() {
	asked := 0
	src := wechatqr.TokenSourceFunc(func(context.Context, string) (wechatqr.Token, error) {
		asked++
		return wechatqr.Token{Value: "50_token", Expiry: time.Now().Add(2 * time.Hour)}, nil
	})

	tokens := wechatqr.ReuseTokenSource(src, nil)
	for range 1000 {
		if _, err := tokens.Token(context.Background(), ""); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Println(asked)
	// Output: 1
}

// A script that runs for less than two hours, with a token from the console's
// debugger.
func ExampleStaticTokenSource() {
	tokens := wechatqr.StaticTokenSource("50_token")

	client, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithTokenSource(tokens))

	fmt.Println(client, err)
	// Output: wechatqr.Client <nil>
}
