package wechatqr_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Make a code, and learn who scans it. ExampleClient does the same with a fake
// WeChat, and shows what comes of it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	creds := wechatqr.Credentials{AppID: os.Getenv("WECHAT_APP_ID"),
		AppSecret: os.Getenv("WECHAT_APP_SECRET")}
	client, err := wechatqr.New(creds)
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := client.CreateTicket(ctx,
		wechatqr.Temporary(wechatqr.SceneString("shop-7"), 24*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	code, err := client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		log.Fatal(err)
	}
	// The picture; or write client.QRCodeURL(ticket.Value) into <img src>.
	fmt.Println(code.ContentType, len(code.Data))

	onEvent := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		scan, ok := ev.Scan()
		if !ok {
			return nil, nil // something else: a message, an unfollow
		}
		fmt.Println(scan.SceneKey, scan.OpenID, scan.NewFollower)
		return events.Text("Welcome to " + scan.SceneKey), nil
	}
	config := events.Config{AppID: creds.AppID, Token: os.Getenv("WECHAT_TOKEN"),
		EncodingAESKey: os.Getenv("WECHAT_AES_KEY")}
	handler, err := events.NewHandler(config, onEvent)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/wechat", handler) // the URL that the console knows
}

// The same in a test: a fake WeChat makes the code, is scanned and pushes.
func ExampleClient() {
	srv := wechatqrtest.NewServer() // in WeChat's place
	defer srv.Close()
	client, config, ctx := srv.Client(), srv.CallbackConfig(), context.Background()
	mux := http.NewServeMux()

	ticket, err := client.CreateTicket(ctx,
		wechatqr.Temporary(wechatqr.SceneString("shop-7"), 24*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	code, err := client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.ContentType) // the picture is code.Data

	onEvent := func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
		scan, ok := ev.Scan()
		if !ok {
			return nil, nil // something else: a message, an unfollow
		}
		fmt.Println(scan.SceneKey, scan.OpenID, scan.NewFollower)
		return events.Text("Welcome to " + scan.SceneKey), nil
	}
	handler, err := events.NewHandler(config, onEvent)
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/wechat", handler)

	address := strings.TrimSuffix(srv.ServeCallback(mux), "/") + "/wechat"
	if err := srv.SetCallback(wechatqrtest.Callback{URL: address}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		push, err := srv.Scan(ctx, ticket.Value, "o6_somebody")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("  reads:", push.UserSees())
	}
	// Output:
	// image/jpeg
	// shop-7 o6_somebody true
	//   reads: Welcome to shop-7
	// shop-7 o6_somebody false
	//   reads: Welcome to shop-7
}

func ExampleNew() {
	appID, appSecret := "wx0123456789abcdef", "0123456789abcdef0123456789abcdef"

	client, err := wechatqr.New(wechatqr.Credentials{AppID: appID, AppSecret: appSecret})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(client)
	_, err = wechatqr.New(wechatqr.Credentials{AppID: appID})
	fmt.Println(err)
	// Output:
	// wechatqr.Client
	// wechatqr: new client: invalid argument: Credentials.AppSecret is empty: set it, or take tokens from elsewhere by WithTokenSource
}

func ExampleClient_CreateTicket() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	client, ctx := srv.Client(), context.Background()

	for _, req := range []wechatqr.TicketRequest{
		wechatqr.Temporary(wechatqr.SceneID(4_294_967_295), time.Hour),
		wechatqr.Temporary(wechatqr.SceneString("渠道=北京&a<b"), wechatqr.MaxTTL),
		wechatqr.Permanent(wechatqr.SceneID(100_000)),
		wechatqr.Permanent(wechatqr.SceneString("shop-7")),
	} {
		ticket, err := client.CreateTicket(ctx, req)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.Scene, ticket.Permanent())
	}
	// Output:
	// 4294967295 false
	// 渠道=北京&a<b false
	// 100000 true
	// shop-7 true
}

// What WeChat would refuse, or take and mangle, is refused before any request.
func ExampleClient_CreateTicket_limits() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()

	_, err := srv.Client().CreateTicket(context.Background(),
		wechatqr.Permanent(wechatqr.SceneID(100_001)))
	fmt.Println(errors.Is(err, wechatqr.ErrInvalidArgument), srv.Count(""))
	fmt.Println(err)
	// Output:
	// true 0
	// wechatqr: create ticket: invalid argument: scene id 100001 is too large for a permanent code: use at most 100000, a SceneString, or a Temporary code
}

func ExampleClient_FetchQRCode() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	client, ctx := srv.Client(), context.Background()
	ticket, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(7)))
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	code, err := client.FetchQRCode(ctx, ticket.Value)
	if err != nil {
		log.Fatal(err)
	}
	err = os.WriteFile(dir+"/shop-7.jpg", code.Data, 0o644)
	fmt.Println(code.ContentType, err)

	_, err = client.FetchQRCode(ctx, "gQH-nobody-knows-this-one")
	fmt.Println(errors.Is(err, wechatqr.ErrTicketNotFound))
	// Output:
	// image/jpeg <nil>
	// true
}

// A browser can load the picture from WeChat itself.
func ExampleClient_QRCodeURL() {
	client, err := wechatqr.New(wechatqr.Credentials{AppID: "wx0123456789abcdef",
		AppSecret: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		log.Fatal(err)
	}
	ticket := &wechatqr.Ticket{Value: "gQH+7/joAA=="}

	page := template.Must(
		template.New("").Parse(`<img src="{{.}}" alt="Scan to follow us" width="258">`))
	err = page.Execute(os.Stdout, client.QRCodeURL(ticket.Value))

	if err != nil {
		log.Fatal(err)
	}
	// Output: <img src="https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH%2B7%2FjoAA%3D%3D" alt="Scan to follow us" width="258">
}

// A ticket goes into a database as JSON and is used until it expires.
func ExampleTicket() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	made, err := srv.Client().CreateTicket(context.Background(),
		wechatqr.Temporary(wechatqr.SceneString("order-1984"), 15*time.Minute))
	if err != nil {
		log.Fatal(err)
	}

	row, err := json.Marshal(made)
	if err != nil {
		log.Fatal(err)
	}
	var ticket wechatqr.Ticket
	if err := json.Unmarshal(row, &ticket); err != nil {
		log.Fatal(err)
	}

	fmt.Println(ticket.Scene, ticket.Value == made.Value, ticket.Content == made.Content)
	fmt.Println(ticket.Expired(time.Now()), ticket.Expired(time.Now().Add(15*time.Minute)))
	// Output:
	// order-1984 true true
	// false true
}

// Both kinds of push are one kind of Scan.
func ExampleEvent_Scan() {
	for _, ev := range []wechatqr.Event{
		{MsgType: "event", Type: wechatqr.EventSubscribe, EventKey: "qrscene_shop-7",
			FromUserName: "o6_new"},
		{MsgType: "event", Type: wechatqr.EventScan, EventKey: "shop-7", FromUserName: "o6_old"},
		{MsgType: "event", Type: wechatqr.EventSubscribe, FromUserName: "o6_by_search"},
	} {
		scan, ok := ev.Scan()
		fmt.Println(ok, scan.SceneKey, scan.OpenID, scan.NewFollower)
	}
	// Output:
	// true shop-7 o6_new true
	// true shop-7 o6_old false
	// false   false
}

// Do calls any other API of WeChat's. Here it finds the scene of a follower
// whose push got lost.
func ExampleClient_Do() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	client, ctx := srv.Client(), context.Background()
	made, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneString("shop-7")))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := srv.ScanEvent(made.Value, "o6_somebody"); err != nil {
		log.Fatal(err)
	}

	var user struct {
		Subscribe      int    `json:"subscribe"`
		SubscribeTime  int64  `json:"subscribe_time"`
		SubscribeScene string `json:"subscribe_scene"`
		QRScene        uint32 `json:"qr_scene"`
		QRSceneStr     string `json:"qr_scene_str"`
	}
	err = client.Do(ctx, wechatqr.Request{
		Method: http.MethodGet, Path: "/cgi-bin/user/info",
		Query: url.Values{"openid": {"o6_somebody"}},
	}, &user)
	if err != nil {
		log.Fatal(err)
	}
	scene := wechatqr.SceneString(user.QRSceneStr)
	if user.QRSceneStr == "" {
		scene = wechatqr.SceneID(user.QRScene)
	}
	fmt.Println(user.Subscribe, user.SubscribeScene, scene)
	// Output: 1 ADD_SCENE_QR_CODE shop-7
}

// screenCode makes the code that a screen shows until it expires. On paper a
// temporary code would be dead within 30 days.
func screenCode(ctx context.Context, client *wechatqr.Client, screen string) (*wechatqr.Ticket,
	error) {
	scene := wechatqr.SceneString("screen-" + screen)
	ticket, err := client.CreateTicket(ctx, wechatqr.Permanent(scene))
	if errors.Is(err, wechatqr.ErrPermanentLimit) {
		// The account's 100000 permanent codes are used up.
		ticket, err = client.CreateTicket(ctx, wechatqr.Temporary(scene, wechatqr.MaxTTL))
	}
	if err != nil {
		return nil, fmt.Errorf("code of screen %s: %w", screen, err)
	}
	return ticket, nil
}

// A program can act on a kind of failure.
func ExampleError() {
	srv := wechatqrtest.NewServer(wechatqrtest.WithPermanentLimit(0))
	defer srv.Close()

	ticket, err := screenCode(context.Background(), srv.Client(), "lobby")
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(ticket.Scene, ticket.Permanent(), time.Until(ticket.ExpiresAt) > 29*24*time.Hour)
	// Output: screen-lobby false true
}

// A person reads what to do.
func ExampleError_Hint() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	srv.Inject(wechatqrtest.Fault{
		Path: "/cgi-bin/stable_token", Code: 40164,
		Message: "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 611740a4-27f9a8ba-065da01b",
	})
	client, ctx := srv.Client(), context.Background()

	_, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(7)))
	if e := (*wechatqr.Error)(nil); errors.As(err, &e) {
		fmt.Println(e.Code, errors.Is(err, wechatqr.ErrIPNotAllowed))
		fmt.Println(e.RequestID) // account.ExplainCall explains it, for seven days
		fmt.Println(e.Hint())
		fmt.Println(e.HintZH())
	}
	// Output:
	// 40164 true
	// 611740a4-27f9a8ba-065da01b
	// add 203.0.113.9 to the IP whitelist in the account's console; it takes effect within minutes
	// 请在后台将 203.0.113.9 加入 IP 白名单，数分钟后生效
}

// What is to be done depends on the kind of failure.
func ExampleError_Is() {
	srv := wechatqrtest.NewServer(wechatqrtest.WithUnverified())
	defer srv.Close()
	client, ctx := srv.Client(), context.Background()

	_, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(7)))
	switch {
	case errors.Is(err, wechatqr.ErrInvalidArgument):
		fmt.Println("correct the call")
	case errors.Is(err, wechatqr.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		fmt.Println("try again later")
	case errors.Is(err, wechatqr.ErrQuota):
		fmt.Println("wait, or make fewer")
	case err != nil:
		fmt.Println("tell the operator:", errors.Is(err, wechatqr.ErrNotPermitted))
	}
	// Output: tell the operator: true
}

// A test of screenCode against the fake WeChat: nothing has to be scripted.
func TestScreenCode(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	ticket, err := screenCode(t.Context(), srv.Client(), "lobby")
	require.NoError(t, err)
	assert.True(t, ticket.Permanent())

	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 45029, Times: 1})
	ticket, err = screenCode(t.Context(), srv.Client(), "canteen")
	require.NoError(t, err)
	assert.False(t, ticket.Permanent())

	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: 48001})
	_, err = screenCode(t.Context(), srv.Client(), "garage")
	assert.ErrorIs(t, err, wechatqr.ErrNotPermitted)
}

// The same with httpmock, or any other http.RoundTripper.
func TestScreenCodeByHTTPMock(t *testing.T) {
	t.Parallel()
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder("POST", "https://api.weixin.qq.com/cgi-bin/stable_token",
		httpmock.NewStringResponder(200, `{"access_token":"50_token","expires_in":7200}`))
	mock.RegisterResponder("POST", "https://api.weixin.qq.com/cgi-bin/qrcode/create",
		httpmock.NewStringResponder(200,
			`{"ticket":"gQH47joAA==","url":"http://weixin.qq.com/q/02aX"}`))
	client, err := wechatqr.New(wechatqr.Credentials{AppID: "wx1", AppSecret: "secret"},
		wechatqr.WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)

	ticket, err := screenCode(t.Context(), client, "lobby")
	require.NoError(t, err)
	assert.Equal(t, "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH47joAA%3D%3D",
		client.QRCodeURL(ticket.Value))
}

func ExampleWithHTTPClient() {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder("POST", "https://api.weixin.qq.com/cgi-bin/stable_token",
		httpmock.NewStringResponder(200, `{"errcode":40125,"errmsg":"invalid appsecret"}`))

	client, err := wechatqr.New(wechatqr.Credentials{AppID: "wx1", AppSecret: "secret"},
		wechatqr.WithHTTPClient(&http.Client{Transport: mock, Timeout: 5 * time.Second}))
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.CreateTicket(context.Background(), wechatqr.Permanent(wechatqr.SceneID(7)))
	fmt.Println(errors.Is(err, wechatqr.ErrInvalidCredential))
	// Output: true
}

// A token server of your own, here one that answers as WeChat's does. A whole
// one is examples/tokenserver.
func ExampleWithTokenSource() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	creds := srv.Credentials()
	address := srv.URL() + "/cgi-bin/token?grant_type=client_credential&appid=" + creds.AppID +
		"&secret=" + creds.AppSecret
	endpoint := wechatqr.WithEndpoint(srv.Endpoint())

	tokens := wechatqr.TokenSourceFunc(func(ctx context.Context, _ string) (wechatqr.Token, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return wechatqr.Token{}, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return wechatqr.Token{}, err
		}
		defer resp.Body.Close()
		var ans struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int    `json:"expires_in"`
		}
		err = json.NewDecoder(resp.Body).Decode(&ans)
		return wechatqr.Token{Value: ans.AccessToken,
			Expiry: time.Now().Add(time.Duration(ans.ExpiresIn) * time.Second)}, err
	})
	client, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithTokenSource(tokens), endpoint)
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		if _, err := client.CreateTicket(context.Background(),
			wechatqr.Permanent(wechatqr.SceneID(7))); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(srv.Count("/cgi-bin/qrcode/create"), "codes,", srv.Count("/cgi-bin/token"), "token")
	// Output: 3 codes, 1 token
}

// A third-party platform (第三方平台) makes codes for an account that authorised
// it, with that account's authorizer_access_token.
func ExampleWithTokenSource_thirdParty() {
	mock := httpmock.NewMockTransport()
	mock.RegisterMatcherResponder("POST",
		"https://api.weixin.qq.com/cgi-bin/component/api_authorizer_token?component_access_token=50_component",
		httpmock.BodyContainsString(`"authorizer_appid":"wx0123456789abcdef"`),
		httpmock.NewStringResponder(200,
			`{"authorizer_access_token":"50_authorizer","expires_in":7200,"authorizer_refresh_token":"refreshtoken@@@2"}`))
	mock.RegisterResponder("POST",
		"https://api.weixin.qq.com/cgi-bin/qrcode/create?access_token=50_authorizer",
		httpmock.NewStringResponder(200,
			`{"ticket":"gQH47joAA==","url":"http://weixin.qq.com/q/02aX"}`))
	transport := wechatqr.WithHTTPClient(&http.Client{Transport: mock})
	componentToken := func(context.Context) (string, error) { return "50_component", nil }
	refreshToken := "refreshtoken@@@1"
	ctx := context.Background()

	platform, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting(),
		wechatqr.WithBaseURL("https://api.weixin.qq.com"), transport)
	if err != nil {
		log.Fatal(err)
	}
	authorizer := wechatqr.TokenSourceFunc(func(ctx context.Context, _ string) (wechatqr.Token,
		error) {
		component, err := componentToken(ctx)
		if err != nil {
			return wechatqr.Token{}, err
		}
		in := map[string]string{
			"component_appid": "wxplatform", "authorizer_appid": "wx0123456789abcdef",
			"authorizer_refresh_token": refreshToken,
		}
		var out struct {
			Value        string `json:"authorizer_access_token"`
			ExpiresIn    int    `json:"expires_in"`
			RefreshToken string `json:"authorizer_refresh_token"`
		}
		err = platform.Do(ctx, wechatqr.Request{
			Method: http.MethodPost, Path: "/cgi-bin/component/api_authorizer_token",
			Query: url.Values{"component_access_token": {component}}, Body: in,
		}, &out)
		if err != nil {
			return wechatqr.Token{}, err
		}
		refreshToken = cmp.Or(out.RefreshToken, refreshToken) // keep it in your database
		return wechatqr.Token{Value: out.Value,
			Expiry: time.Now().Add(time.Duration(out.ExpiresIn) * time.Second)}, nil
	})
	client, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithTokenSource(authorizer),
		transport)
	if err != nil {
		log.Fatal(err)
	}

	ticket, err := client.CreateTicket(ctx, wechatqr.Permanent(wechatqr.SceneID(7)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Content, refreshToken)
	// Output: http://weixin.qq.com/q/02aX refreshtoken@@@2
}

// A client of the sandbox, which is cmd/sandbox.
func ExampleWithBaseURL() {
	creds := wechatqr.Credentials{AppID: "wx0123456789abcdef",
		AppSecret: "0123456789abcdef0123456789abcdef"}

	client, err := wechatqr.New(creds, wechatqr.WithBaseURL("http://127.0.0.1:8900"))
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(client.QRCodeURL("gQH47joAA=="))
	// Output: http://127.0.0.1:8900/cgi-bin/showqrcode?ticket=gQH47joAA%3D%3D
}

// Inside WeChat cloud hosting (微信云托管) the network adds the token.
func ExampleWithCloudHosting() {
	client, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithCloudHosting())
	fmt.Println(client, err)
	// Output: wechatqr.Client <nil>
}

// table is a TokenStore: think of a table in a database, one row a key.
type table struct {
	mu   sync.Mutex
	rows map[string]wechatqr.Token
}

func (t *table) Load(_ context.Context, key string) (wechatqr.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tok, ok := t.rows[key]
	if !ok || !tok.Expiry.IsZero() && !time.Now().Before(tok.Expiry) {
		return wechatqr.Token{}, wechatqr.ErrTokenNotFound
	}
	return tok, nil
}

func (t *table) Save(_ context.Context, key string, tok wechatqr.Token, _ string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.rows[key]; ok && !tok.Expiry.IsZero() && tok.Expiry.Before(old.Expiry) {
		return nil
	}
	t.rows[key] = tok
	return nil
}

func (t *table) Discard(_ context.Context, key, rejected string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[key].Value == rejected {
		delete(t.rows, key)
	}
	return nil
}

// A store of your own passes the test that redisstore passes.
func TestTable(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTokenStore(t, func(*testing.T) wechatqr.TokenStore {
		return &table{rows: map[string]wechatqr.Token{}}
	})
}

// A source of your own is shared by a store as WeChat's are: memory in front
// of the store in front of the source.
func ExampleStoredTokenSource() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()
	endpoint := wechatqr.WithEndpoint(srv.Endpoint())
	issuer := srv.Client(wechatqr.WithClassicToken()).TokenSource()
	store := &table{rows: map[string]wechatqr.Token{}}

	for range 4 { // processes
		tokens := wechatqr.StoredTokenSource(store, "wx0123456789abcdef", issuer, nil)
		client, err := wechatqr.New(wechatqr.Credentials{}, wechatqr.WithTokenSource(tokens),
			endpoint)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := client.CreateTicket(context.Background(),
			wechatqr.Permanent(wechatqr.SceneID(7))); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(srv.Count("/cgi-bin/token"), "token")
	// Output: 1 token
}

// An observer feeds metrics and traces.
func ExampleWithObserver() {
	srv := wechatqrtest.NewServer()
	defer srv.Close()

	var calls expvar.Map
	client := srv.Client(wechatqr.WithObserver(func(_ context.Context, call wechatqr.Call) {
		// call.Duration goes into a histogram.
		calls.Add(fmt.Sprintf("%s %d", call.Op, call.Code), 1)
	}))

	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/qrcode/create", Code: -1, Times: 1})
	_, err := client.CreateTicket(context.Background(),
		wechatqr.Temporary(wechatqr.SceneID(7), time.Hour))
	fmt.Println(err, calls.String())
	// Output: <nil> {"create ticket -1": 1, "create ticket 0": 1, "get token 0": 1}
}
