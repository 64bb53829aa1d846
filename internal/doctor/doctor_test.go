package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/internal/doctor"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// A proxy of the environment would answer for hosts that are not there.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		_ = os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// backend answers pushes by cfg.
func backend(t *testing.T, cfg events.Config) http.Handler {
	t.Helper()
	h, err := events.NewHandler(cfg, new(events.Mux).Serve,
		events.WithProblemHandler(func(context.Context, events.Problem) {}))
	require.NoError(t, err)
	return h
}

// healthy is an account with which nothing is wrong.
func healthy(t *testing.T) (*wechatqrtest.Server, *doctor.Config) {
	t.Helper()
	srv := wechatqrtest.Start(t)
	cfg := srv.CallbackConfig()
	return srv, &doctor.Config{
		Credentials: func() (wechatqr.Credentials, error) { return srv.Credentials(), nil },
		Events:      func() (events.Config, error) { return cfg, nil },
		Endpoint:    srv.Endpoint(),
		Callback:    srv.ServeCallback(backend(t, cfg)),
		Tickets:     ticketsFile(t, srv),
	}
}

// ticketsFile has one permanent code.
func ticketsFile(t *testing.T, srv *wechatqrtest.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tickets.json")
	store, err := tickets.OpenFile(name)
	require.NoError(t, err)
	keeper, err := tickets.NewKeeper(srv.Credentials().AppID, srv.Client(), store)
	require.NoError(t, err)
	_, err = keeper.Ticket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	require.NoError(t, err)
	require.NoError(t, store.Close())
	return name
}

// diagnose returns the findings by check and looks for secrets in them.
func diagnose(t *testing.T, srv *wechatqrtest.Server, cfg doctor.Config) map[string]doctor.Finding {
	t.Helper()
	found := map[string]doctor.Finding{}
	callback, creds := srv.Callback(), srv.Credentials()
	for f := range doctor.Run(t.Context(), cfg) {
		all := fmt.Sprint(f)
		for _, secret := range []string{
			creds.AppSecret, callback.Token, callback.EncodingAESKey, "access_token=",
		} {
			assert.NotContains(t, all, secret)
		}
		assert.NotContains(t, all, "%!", "a text with its arguments")
		hasAdvice := f.Advice.EN != "" && f.Advice.ZH != ""
		assert.Equal(t, f.Status == doctor.Wrong, hasAdvice, "advice of %s", f.Check)
		name := f.Check
		if strings.Contains(name, "://") {
			name = "host"
		}
		assert.NotContains(t, found, name)
		found[name] = f
	}
	return found
}

func TestNothingWrong(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	found := diagnose(t, srv, *cfg)
	assert.Len(t, found, 11)
	for _, f := range found {
		assert.Equal(t, doctor.OK, f.Status, "%s: %s", f.Check, f.Text.EN)
	}
	assert.Contains(t, found["permanent"].Text.EN, "1 of 100000")
	assert.Contains(t, found["quota"].Text.EN, "of 100000")

	plain := wechatqrtest.Callback{URL: cfg.Callback, Mode: wechatqrtest.ModePlain}
	require.NoError(t, srv.SetCallback(plain))
	settings := srv.CallbackConfig()
	cfg.Events = func() (events.Config, error) { return settings, nil }
	cfg.Callback = srv.ServeCallback(backend(t, settings))
	for _, f := range diagnose(t, srv, *cfg) {
		assert.Equal(t, doctor.OK, f.Status, "plaintext mode: %s: %s", f.Check, f.Text.EN)
	}
}

// What is not used is not wrong.
func TestNotUsed(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	cfg.Events, cfg.Callback, cfg.Tickets = nil, "", ""
	for name, f := range diagnose(t, srv, *cfg) {
		assert.NotEqual(t, doctor.Wrong, f.Status, "%s: %s", name, f.Text.EN)
	}
}

// causeFunc causes a fault.
type causeFunc func(*testing.T, *wechatqrtest.Server, *doctor.Config)

// Each fault is named, what depends on it is not checked, and all else is.
func TestFaults(t *testing.T) {
	t.Parallel()
	otherKey := strings.Repeat("k", 43)
	api := func(path string, code wechatqr.ErrorCode, message string) causeFunc {
		return func(_ *testing.T, srv *wechatqrtest.Server, _ *doctor.Config) {
			srv.Inject(wechatqrtest.Fault{Path: path, Code: code, Message: message})
		}
	}
	creds := func(id, secret string) causeFunc {
		return func(_ *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
			c := srv.Credentials()
			if id != "" {
				c.AppID = id
			}
			if secret != "" {
				c.AppSecret = secret
			}
			cfg.Credentials = func() (wechatqr.Credentials, error) { return c, nil }
		}
	}
	// other has the backend configured in another way than here.
	other := func(change func(*events.Config)) causeFunc {
		return func(t *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
			c := srv.CallbackConfig()
			change(&c)
			cfg.Callback = srv.ServeCallback(backend(t, c))
		}
	}
	serve := func(wrap func(http.Handler) http.Handler) causeFunc {
		return func(t *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
			cfg.Callback = srv.ServeCallback(wrap(backend(t, srv.CallbackConfig())))
		}
	}
	dated := func(ahead time.Duration) causeFunc {
		return func(t *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
			front := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
					srv.ServeHTTP(w, r)
				}))
			t.Cleanup(front.Close)
			cfg.Endpoint = wechatqr.Endpoint{API: []string{front.URL}, Image: front.URL}
		}
	}
	noHost := []string{"clock", "token", "account", "quota", "reachable"}
	noToken := []string{"account", "quota", "reachable"}
	noCredentials := append([]string{"token", "permanent"}, noToken...)

	for name, tt := range map[string]struct {
		cause      causeFunc
		check      string
		en, zh     string   // parts of the text or the advice
		notChecked []string // besides
	}{
		"no credentials": {
			func(_ *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) {
				cfg.Credentials = func() (wechatqr.Credentials, error) {
					return wechatqr.Credentials{},
						fmt.Errorf("%w: set WECHAT_APP_ID", wechatqr.ErrInvalidArgument)
				}
			},
			"credentials", "set WECHAT_APP_ID", "WECHAT_APP_ID", noCredentials,
		},
		"swapped credentials": {
			creds("0123", "wx0123"), "credentials", "swapped", "后台", noCredentials,
		},
		"DNS": {
			func(_ *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) {
				// No name has a part of more than 63 characters.
				unknown := "http://" + strings.Repeat("x", 64) + ".example"
				cfg.Endpoint = wechatqr.Endpoint{API: []string{unknown}, Image: unknown}
			},
			"host", "DNS", "DNS 解析失败", noHost,
		},
		"closed port": {
			func(t *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) {
				closed := "http://" + closedAddress
				cfg.Endpoint = wechatqr.Endpoint{API: []string{closed}, Image: closed}
			},
			"host", "firewall", "防火墙", noHost,
		},
		"TLS by a proxy": {
			func(t *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
				front := httptest.NewTLSServer(srv)
				t.Cleanup(front.Close)
				cfg.Endpoint = wechatqr.Endpoint{API: []string{front.URL}, Image: front.URL}
			},
			"host", "ca-certificates", "根证书", noHost,
		},
		"TLS expired": {
			func(t *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
				front := httptest.NewUnstartedServer(srv)
				front.TLS = &tls.Config{Certificates: []tls.Certificate{expired(t)}}
				front.StartTLS()
				t.Cleanup(front.Close)
				cfg.Endpoint = wechatqr.Endpoint{API: []string{front.URL}, Image: front.URL}
			},
			"host", "this machine's clock says", "对时", noHost,
		},
		"no TLS": {
			func(_ *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
				base := strings.Replace(srv.URL(), "http:", "https:", 1)
				cfg.Endpoint = wechatqr.Endpoint{API: []string{base}, Image: base}
			},
			"host", "does not speak TLS", "不是 TLS 服务", noHost,
		},
		"clock ahead":  {dated(10 * time.Minute), "clock", "10m0s ahead", "快 10m0s", nil},
		"clock behind": {dated(-10 * time.Minute), "clock", "behind", "慢", nil},

		"unknown AppID":   {creds("wx0", ""), "token", "40013", "后台核对", noToken},
		"wrong AppSecret": {creds("", "0123"), "token", "40125", "AppSecret", noToken},
		"IP not on list": {
			api("/cgi-bin/stable_token", 40164, "invalid ip 203.0.113.9, not in whitelist"),
			"token", "add 203.0.113.9", "将 203.0.113.9 加入", noToken,
		},
		"IP not confirmed": {
			api("/cgi-bin/stable_token", 89503, ""), "token", "administrator must confirm",
			"管理员", noToken,
		},
		"AppSecret frozen": {api("/cgi-bin/stable_token", 40243, ""), "token", "unfreeze",
			"解冻", noToken},
		"account frozen": {api("/cgi-bin/stable_token", 50007, ""), "token", "frozen",
			"冻结", noToken},
		"not verified": {
			api("/cgi-bin/qrcode/create", 48001, ""),
			"account", "verified service account", "服务号", nil,
		},
		"banned": {api("/cgi-bin/qrcode/create", 48004, ""), "account", "banned", "封禁", nil},
		"no calls left": {
			func(_ *testing.T, srv *wechatqrtest.Server, _ *doctor.Config) {
				srv.SetQuota(
					wechatqrtest.Quota{Path: "/cgi-bin/qrcode/create", Daily: 10, Used: 10})
			},
			"quota", "all 10 calls", "10 次调用已用完", []string{"account"},
		},
		"no tickets file": {
			func(_ *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) { cfg.Tickets += "x" },
			"permanent", "-tickets", "-tickets", nil,
		},
		"corrupt tickets file": {
			func(t *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) {
				require.NoError(t, os.WriteFile(cfg.Tickets, []byte("{"), 0o600))
			},
			"permanent", "backup", "备份", nil,
		},

		"malformed key": {
			func(_ *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
				c := srv.CallbackConfig()
				c.EncodingAESKey = "short"
				cfg.Events = func() (events.Config, error) { return c, nil }
			},
			"settings", "EncodingAESKey", "EncodingAESKey", []string{"reachable", "echo", "push"},
		},
		"no URL in the console": {
			func(_ *testing.T, srv *wechatqrtest.Server, _ *doctor.Config) {
				_ = srv.SetCallback(wechatqrtest.Callback{})
			},
			"reachable", "40201", "回调 URL", nil,
		},
		"program not running": {
			func(t *testing.T, _ *wechatqrtest.Server, cfg *doctor.Config) {
				cfg.Callback = "http://" + closedAddress
			},
			"echo", "Is the backend running", "业务服务器启动了吗", []string{"push"},
		},
		"wrong path": {
			serve(func(h http.Handler) http.Handler {
				mux := http.NewServeMux()
				mux.Handle("/wechat", h)
				return mux
			}),
			"echo", "does not serve this path", "没有这个路径", []string{"push"},
		},
		"redirect": {
			serve(func(http.Handler) http.Handler {
				return http.RedirectHandler("https://example.com/", http.StatusFound)
			}),
			"echo", "Set the final URL", "最终地址", []string{"push"},
		},
		"echo as JSON": {
			serve(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = fmt.Fprintf(w, "%q", r.URL.Query().Get("echostr"))
				})
			}),
			"echo", "A JSON encoder adds the quotes", "JSON 序列化", []string{"push"},
		},
		"no echo": {
			serve(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, "hello")
				})
			}),
			"echo", "Respond to GET with the echostr", "原样返回 echostr", []string{"push"},
		},
		"reply that is no XML": {
			serve(func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						_, _ = io.WriteString(w, "{}")
						return
					}
					h.ServeHTTP(w, r)
				})
			}),
			"push", "success", "success", nil,
		},
		"wrong Token": {
			other(func(c *events.Config) { c.Token = "anotherToken" }),
			"echo", "compare Token", "核对 Token", []string{"push"},
		},
		"wrong key": {
			other(func(c *events.Config) { c.EncodingAESKey = otherKey }),
			"push", "Compare EncodingAESKey and AppID", "核对 EncodingAESKey 和 AppID", nil,
		},
		"wrong AppID": {other(func(c *events.Config) { c.AppID = "wx1" }), "push", "AppID",
			"AppID", nil},
		"backend in plaintext mode": {
			other(func(c *events.Config) { c.EncodingAESKey, c.Plaintext = "", true }),
			"push", "The backend expects plaintext", "业务服务器期望明文", nil,
		},
		"backend in safe mode": {
			func(_ *testing.T, srv *wechatqrtest.Server, cfg *doctor.Config) {
				c := srv.CallbackConfig()
				c.EncodingAESKey, c.Plaintext = "", true
				cfg.Events = func() (events.Config, error) { return c, nil }
			},
			"push", "Compare the mode", "核对消息加解密方式", nil,
		},
		"backend fails": {
			serve(func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						http.Error(w, "the database is away", http.StatusInternalServerError)
						return
					}
					h.ServeHTTP(w, r)
				})
			}),
			"push", "see its log", "业务服务器日志", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, cfg := healthy(t)
			tt.cause(t, srv, cfg)
			found := diagnose(t, srv, *cfg)
			for name, f := range found {
				want := doctor.OK
				switch {
				case name == tt.check:
					want = doctor.Wrong
				case slices.Contains(tt.notChecked, name):
					want = doctor.NotChecked
					assert.Contains(t, f.Text.EN, "because", name)
					assert.Contains(t, f.Text.ZH, "因为", name)
				}
				assert.Equal(t, want, f.Status, "%s: %s", name, f.Text.EN)
			}
			f := found[tt.check]
			assert.Contains(t, f.Text.EN+"\n"+f.Advice.EN, tt.en)
			assert.Contains(t, f.Text.ZH+"\n"+f.Advice.ZH, tt.zh)
		})
	}
}

// A host that is down does not keep the others from being used.
func TestOneHostDown(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	cfg.Endpoint.API = append([]string{"http://" + closedAddress}, cfg.Endpoint.API...)
	bad := map[string]bool{}
	for f := range doctor.Run(t.Context(), *cfg) {
		bad[f.Check] = f.Status != doctor.OK
	}
	assert.True(t, bad[cfg.Endpoint.API[0]])
	delete(bad, cfg.Endpoint.API[0])
	for name, isBad := range bad {
		assert.False(t, isBad, name)
	}
	assert.Positive(t, srv.Count("/cgi-bin/qrcode/create"))
}

// An early fault hides none that has nothing to do with it.
func TestSeveralFaults(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	srv.Inject(wechatqrtest.Fault{Path: "/cgi-bin/stable_token", Code: 40164})
	other := srv.CallbackConfig()
	other.EncodingAESKey = strings.Repeat("k", 43)
	cfg.Callback = srv.ServeCallback(backend(t, other))
	require.NoError(t, os.WriteFile(cfg.Tickets, []byte("{"), 0o600))
	found := diagnose(t, srv, *cfg)
	for _, name := range []string{"token", "permanent", "push"} {
		assert.Equal(t, doctor.Wrong, found[name].Status, name)
	}
}

// A program that runs has its tickets file open.
func TestTicketsInUse(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	store, err := tickets.OpenFile(cfg.Tickets)
	require.NoError(t, err)
	defer func() { _ = store.Close() }()
	f := diagnose(t, srv, *cfg)["permanent"]
	assert.Equal(t, doctor.NotChecked, f.Status)
	assert.Contains(t, f.Text.EN, "running program")
}

func TestBreak(t *testing.T) {
	t.Parallel()
	srv, cfg := healthy(t)
	before := srv.Count("")
	for range doctor.Run(t.Context(), *cfg) {
		break
	}
	assert.Equal(t, before, srv.Count(""))
}

// closedAddress is one on which nothing listens: its port is given to no program.
const closedAddress = "127.0.0.1:1"

// expired is a certificate for 127.0.0.1 of the year 2020.
func expired(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2020, 2, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
