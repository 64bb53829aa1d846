// Package frameworks_test mounts the callback in the web frameworks in use.
package frameworks_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/ut"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v5"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

var config = events.Config{
	AppID: "wx0123456789abcdef", Token: "token",
	EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
}

func newHandler() *events.Handler {
	handler, err := events.NewHandler(config,
		func(_ context.Context, ev *wechatqr.Event) (events.Reply, error) {
			scan, _ := ev.Scan()
			return events.Text("Welcome to " + scan.SceneKey), nil
		})
	if err != nil {
		log.Fatal(err)
	}
	return handler
}

// try has the console check the callback and somebody scan, and prints what
// the callback answers.
func try(do func(*http.Request) (status int, contentType string, body []byte)) {
	check := wechatqrtest.NewEchoRequest(config, "4375120948345356249")
	scan := wechatqrtest.NewRequest(config,
		wechatqr.Event{Type: wechatqr.EventScan, EventKey: "shop-7"})
	for _, req := range []*http.Request{check, scan} {
		req.URL.Path = "/wechat"
		req.RequestURI = req.URL.RequestURI()
	}
	status, kind, body := do(check)
	fmt.Println(status, kind, string(body))
	status, kind, body = do(scan)
	reply, err := wechatqrtest.ParseReply(config, body)
	fmt.Println(status, kind, reply.Text(), err)
}

// serve is for what is a net/http handler in the end.
func serve(h http.Handler) {
	try(func(req *http.Request) (int, string, []byte) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Code, rec.Header().Get("Content-Type"), rec.Body.Bytes()
	})
}

func Example_netHTTP() {
	handler := newHandler()

	mux := http.NewServeMux()
	mux.Handle("/wechat", handler)

	serve(mux)
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}

func Example_gin() {
	gin.SetMode(gin.ReleaseMode)
	handler := newHandler()

	r := gin.New()
	r.Any("/wechat", gin.WrapH(handler))

	serve(r)
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}

func Example_echo() {
	handler := newHandler()

	e := echo.New()
	e.Any("/wechat", echo.WrapHandler(handler))

	serve(e)
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}

func Example_chi() {
	handler := newHandler()

	r := chi.NewRouter()
	r.Handle("/wechat", handler)

	serve(r)
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}

func Example_hertz() {
	handler := newHandler()

	h := server.New()
	h.Any("/wechat", func(ctx context.Context, c *app.RequestContext) {
		resp := handler.Handle(ctx, events.Request{
			Method:   string(c.Method()),
			RawQuery: string(c.URI().QueryString()),
			Body:     c.Request.Body(),
		})
		c.Data(resp.Status, resp.ContentType, resp.Body)
	})

	try(func(req *http.Request) (int, string, []byte) {
		resp := ut.PerformRequest(h.Engine, req.Method, req.RequestURI,
			&ut.Body{Body: req.Body, Len: int(req.ContentLength)}).Result()
		return resp.StatusCode(), string(resp.Header.ContentType()), resp.Body()
	})
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}

func Example_fasthttp() {
	handler := newHandler()

	serveWeChat := func(c *fasthttp.RequestCtx) {
		resp := handler.Handle(context.Background(), events.Request{
			Method:   string(c.Method()),
			RawQuery: string(c.URI().QueryString()),
			Body:     c.PostBody(),
		})
		c.SetStatusCode(resp.Status)
		c.SetContentType(resp.ContentType)
		c.SetBody(resp.Body)
	}

	l := fasthttputil.NewInmemoryListener()
	defer l.Close()
	go func() { _ = fasthttp.Serve(l, serveWeChat) }()
	hc := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return l.Dial() },
	}}
	try(func(req *http.Request) (int, string, []byte) {
		req.RequestURI = "" // of a request that a server has, not a client
		resp, err := hc.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("Content-Type"), body
	})
	// Output:
	// 200 text/plain; charset=utf-8 4375120948345356249
	// 200 text/xml; charset=utf-8 Welcome to shop-7 <nil>
}
