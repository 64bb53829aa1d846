// Command chanxuehong makes a code by github.com/chanxuehong/wechat.
package main

import (
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"

	"github.com/chanxuehong/wechat/mp/core"
	"github.com/chanxuehong/wechat/mp/qrcode"
)

func main() {
	base, err := url.Parse(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	hc := &http.Client{Transport: toHost{base}}
	client := core.NewClient(core.NewDefaultAccessTokenServer(os.Args[2], os.Args[3], hc), hc)
	code, err := qrcode.CreateStrSceneTempQrcode(client, "shop-7", 604800)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(code.Ticket, code.URL)
}

// toHost sends every request to another host: the library's is a constant.
type toHost struct{ base *url.URL }

func (t toHost) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = t.base.Scheme, t.base.Host, t.base.Host
	return http.DefaultTransport.RoundTrip(r)
}
