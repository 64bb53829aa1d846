package wechatqrtest

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// WeChat's published examples, and those of other implementations.
const (
	keyA  = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	keyK  = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	demo  = "wxba5fad812f8e6fb9"
	spam  = "wx2c2769f8efd9abc2"
	demoE = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxL" +
		"KJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfM" +
		"ZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb" +
		"3VIYnSeOBrebufAlr7F9mFUPAJGj04="
	demoM = `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY",` +
		`"CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`
	spamE = "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM" +
		"4x6F8PGHQHFVAFmOD2LdJF9FrXpbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332" +
		"jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ" +
		"6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD1DlD+C0CR8e6OewpusjZ4uBl9" +
		"FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
)

func TestSignVectors(t *testing.T) {
	t.Parallel()
	for want, parts := range map[string][]string{
		"f464b24fc39322e44b38aa78f5edd27bd1441696": {"AAAAA", "1714036504", "1514711492"},
		"899cf89e464efb63f54ddac96b0a0a235f53aa78": {"AAAAA", "1714037059", "486452656"},
		"6c5c811b55cc85e0e1b54100749188c20beb3f5d": {"AAAAA", "1714112445", "415670741"},
		"046e02f8204d34f8ba5fa3b1db94908f3df2e9b3": {"AAAAA", "1714112445", "415670741", demoE},
		"1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1": {"AAAAA", "1713424427", "415670741",
			"ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="},
		"5d197aaffba7e9b25a30732f161a50dee96bd5fa": {"spamtest", "1409735669", "1320562132", spamE},
		"16120ec1b8dbb870f510d87ce6bc2463eae6ca1a": {"spamtest", "1409735669", "1320562132"},
		"f7c3bc1d808e04732adf679965ccc34ca7ae3441": {"789", "456", "123"},
		"c181f86196a54f1813399ddb4c36ae34af043415": {"weixin", "1366032735", "136587223"},
	} {
		assert.Equal(t, want, sign(parts...))
	}
}

func TestEncryptVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, prefix, key, appID, message, want string }{
		{"published push", "a8eedb185eb2fecf", keyA, demo, demoM, demoE},
		{"published reply", "707722b803182950", keyA, demo, `{"demo_resp":"good luck"}`,
			"ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="},
		{"multibyte", "aaaabbbbccccdddd", keyK, "wxb11529c136998cb6", "我是中文abcd123",
			"jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg=="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := aesKey(tt.key)
			require.NoError(t, err)
			assert.Equal(t, tt.want, encryptWith([16]byte([]byte(tt.prefix)), key, tt.appID,
				[]byte(tt.message)))
			plain, err := decrypt(key, tt.appID, tt.want)
			require.NoError(t, err)
			assert.Equal(t, tt.message, string(plain))
		})
	}
	key, err := aesKey(keyK)
	require.NoError(t, err)
	plain, err := decrypt(key, spam, spamE)
	require.NoError(t, err)
	assert.Len(t, plain, 280)
	assert.Contains(t, string(plain), "abcdteT")
	assert.Contains(t, string(plain), "6054768590064713728")
}

func TestEncryptEveryPadding(t *testing.T) {
	t.Parallel()
	key, err := aesKey(keyK)
	require.NoError(t, err)
	for n := range 65 {
		plain := strings.Repeat("m", n)
		got, err := decrypt(key, spam, encrypt(key, spam, []byte(plain)))
		require.NoError(t, err)
		require.Equal(t, plain, string(got))
	}
}

func TestDecryptRefuses(t *testing.T) {
	t.Parallel()
	key, err := aesKey(keyK)
	require.NoError(t, err)
	other, err := aesKey(keyA)
	require.NoError(t, err)
	whole, err := base64.StdEncoding.DecodeString(spamE)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		key               []byte
		appID, ciphertext string
	}{
		"other key":     {other, spam, spamE},
		"other account": {key, demo, spamE},
		"no base64":     {key, spam, "***"},
		"empty":         {key, spam, ""},
		"one block":     {key, spam, base64.StdEncoding.EncodeToString(whole[:16])},
		"cut":           {key, spam, base64.StdEncoding.EncodeToString(whole[:len(whole)-16])},
		"half a block":  {key, spam, base64.StdEncoding.EncodeToString(whole[:40])},
	} {
		_, err := decrypt(tt.key, tt.appID, tt.ciphertext)
		assert.Error(t, err, name)
	}
	_, err = aesKey(keyK[1:])
	assert.Error(t, err)
	_, err = aesKey(strings.Repeat("*", 43))
	assert.Error(t, err)
}
