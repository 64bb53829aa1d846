package wechatqrtest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func FuzzParseReply(f *testing.F) {
	f.Add([]byte("success"))
	f.Add([]byte(`<xml><ToUserName>a</ToUserName><CreateTime>1</CreateTime><MsgType>news</MsgType>` +
		`<ArticleCount>1</ArticleCount><Articles><item><Title>t</Title></item></Articles></xml>`))
	f.Add([]byte(`<xml><Encrypt>ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm4` +
		`8Y4hyRbtzve1L32tmxSQ==</Encrypt><MsgSignature>1</MsgSignature><TimeStamp>1</TimeStamp>` +
		`<Nonce>1</Nonce></xml>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, cfg := range configs() {
			r, err := wechatqrtest.ParseReply(cfg, body)
			if err != nil {
				assert.Zero(t, r)
				continue
			}
			_ = r.Text()
		}
	})
}
