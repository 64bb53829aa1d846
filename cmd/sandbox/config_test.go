package main

import (
	"bytes"
	"flag"
	"io"
	"net"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func noEnv(string) string { return "" }

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	c, err := parseConfig(nil, noEnv, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{addr: "127.0.0.1:8900", pushTimeout: 5 * time.Second}, c)

	c, err = parseConfig(
		[]string{"-addr", ":80", "-origin", "http://wechat.test/", "-mode", "plain",
			"-unverified", "-push-timeout", "1m"}, env(map[string]string{
			"WECHAT_SANDBOX_ADDR":     "ignored",
			"WECHAT_SANDBOX_APPID":    "wx1",
			"WECHAT_SANDBOX_SECRET":   "s",
			"WECHAT_SANDBOX_CALLBACK": "http://b/",
			"WECHAT_SANDBOX_TOKEN":    "tok",
			"WECHAT_SANDBOX_AESKEY":   "key",
			"WECHAT_SANDBOX_STATE":    "f.json",
			"WECHAT_SANDBOX_LENIENT":  "1",
		}), io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{
		addr: ":80", origin: "http://wechat.test", appID: "wx1", appSecret: "s", state: "f.json",
		pushTimeout: time.Minute, lenient: true, unverified: true,
		callback: wechatqrtest.Callback{URL: "http://b/", Token: "tok", EncodingAESKey: "key",
			Mode: wechatqrtest.ModePlain},
	}, c)
}

func TestParseConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"an unknown flag": {[]string{"-port", "80"}, nil, "-port: see -h"},
		"an argument":     {[]string{"8080"}, nil, `"8080" is not a flag`},
		"an address":      {[]string{"-addr", "8080"}, nil, "use host:port"},
		"a mode":          {[]string{"-mode", "aes"}, nil, "use plain, compatible or safe"},
		"a mode of env": {nil, map[string]string{"WECHAT_SANDBOX_MODE": "aes"},
			"use plain, compatible or safe"},
		"a deadline": {[]string{"-push-timeout", "0s"}, nil, "more than 0"},
		"a deadline of env": {nil, map[string]string{"WECHAT_SANDBOX_PUSH_TIMEOUT": "5"},
			"WECHAT_SANDBOX_PUSH_TIMEOUT"},
		"no scheme":  {[]string{"-origin", "wechat.test:8900"}, nil, "-origin"},
		"a path":     {[]string{"-origin", "http://wechat.test/cgi-bin"}, nil, "-origin"},
		"no port":    {[]string{"-tls", "127.0.0.1"}, nil, "-tls"},
		"a port":     {[]string{"-phone", "8901"}, nil, "-phone"},
		"an AppID":   {[]string{"-account", "wx0123456789abcdef"}, nil, "use gh_"},
		"a password": {[]string{"-origin", "http://a:b@wechat.test"}, nil, "-origin"},
	} {
		_, err := parseConfig(tc.args, env(tc.env), io.Discard)
		assert.ErrorContains(t, err, tc.want, name)
	}
}

func TestHelpNamesEveryFlagAndTheEnvironment(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := parseConfig([]string{"-h"}, noEnv, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	flags := regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllString(out.String(), -1)
	assert.Len(t, flags, 16)
	assert.Contains(t, out.String(), "WECHAT_SANDBOX_ADDR for -addr")
}

func TestOriginOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:8900": "http://127.0.0.1:8900",
		"0.0.0.0:8900":   "http://127.0.0.1:8900",
		"[::]:8900":      "http://127.0.0.1:8900",
		"[::1]:8900":     "http://[::1]:8900",
		"10.0.0.7:80":    "http://10.0.0.7:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		require.NoError(t, err)
		assert.Equal(t, want, originOf(a))
	}
}

func TestPhoneOrigin(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "http://192.0.2.7:8901",
		phoneOrigin(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8901}))
	for _, any := range []net.IP{net.IPv4zero, net.IPv6unspecified} {
		u, err := url.Parse(phoneOrigin(&net.TCPAddr{IP: any, Port: 8901}))
		require.NoError(t, err)
		ip := net.ParseIP(u.Hostname())
		require.NotNil(t, ip)
		assert.False(t, ip.IsUnspecified())
		assert.Equal(t, "8901", u.Port())
	}
}
