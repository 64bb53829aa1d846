package wechatqr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// With this variable set, TestDocs writes the tables between the marks.
const writeTables = "WECHATQR_WRITE_TABLES"

// checkTables compares what stands between the marks with the code, or writes it.
func checkTables(t *testing.T, name string, zh bool) {
	t.Helper()
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	text := string(file)
	for mark, content := range map[string]func(*testing.T, bool) string{
		"codes":           func(t *testing.T, zh bool) string { return markdown(codeRows(t, zh)) },
		"limits":          func(t *testing.T, zh bool) string { return markdown(limitRows(t, zh)) },
		"sdks by proxy":   func(t *testing.T, _ bool) string { return sdkSettings(t).proxy },
		"sdks by address": func(t *testing.T, _ bool) string { return sdkSettings(t).address },
	} {
		begin, end := "<!-- begin "+mark+" -->\n", "<!-- end "+mark+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		require.Equal(t, found, closed, "%s: %s", name, begin)
		if found {
			text = before + begin + content(t, zh) + end + after
		}
	}
	if os.Getenv(writeTables) != "" {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		return
	}
	assert.True(t, text == string(file), "tables of %s differ from the code: run make tables", name)
}

func markdown(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// choose is en or zh.
func choose(zh bool, inEnglish, inChinese string) string {
	if zh {
		return inChinese
	}
	return inEnglish
}

// codeRows are the errcodes. Some mean something else where a token is fetched.
func codeRows(t *testing.T, zh bool) [][]string {
	t.Helper()
	rows := [][]string{{"Code", "Kind", "What to do"}}
	if zh {
		rows = [][]string{{"错误码", "类别", "处理办法"}}
	}
	add := func(name string, e *wechatqr.Error) {
		hint := strings.ReplaceAll(choose(zh, e.Hint(), e.HintZH()), hintIP, "{ip}")
		rows = append(rows, []string{name, "`" + kindOf(t, e) + "`", hint})
	}
	for _, code := range wechatqr.KnownCodes() {
		add(strconv.Itoa(int(code)), &wechatqr.Error{Code: code, Message: "invalid ip " + hintIP})
		switch code {
		case 40001:
			e := fetchError(t, "/cgi-bin/stable_token", code)
			add("40001"+choose(zh, " when fetching a token", "（获取 token 时）"), e)
		case 45009:
			e := fetchError(t, "/cgi-bin/token", code, wechatqr.WithClassicToken())
			where := choose(zh, " when fetching a classic token", "（获取普通 access_token 时）")
			add("45009"+where, e)
		}
	}
	return rows
}

const hintIP = "203.0.113.9"

// fetchError is the error of a call whose token could not be fetched.
func fetchError(
	t *testing.T, path string, code wechatqr.ErrorCode, opts ...wechatqr.Option,
) *wechatqr.Error {
	t.Helper()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Path: path, Code: code})
	req := wechatqr.Temporary(wechatqr.SceneID(1), time.Hour)
	_, err := srv.Client(opts...).CreateTicket(t.Context(), req)
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	return e
}

// kindOf names the Err value that the error of an errcode matches.
func kindOf(t *testing.T, err error) string {
	t.Helper()
	for name, kind := range map[string]error{
		"ErrInvalidArgument":   wechatqr.ErrInvalidArgument,
		"ErrInvalidCredential": wechatqr.ErrInvalidCredential,
		"ErrIPNotAllowed":      wechatqr.ErrIPNotAllowed,
		"ErrTokenRejected":     wechatqr.ErrTokenRejected,
		"ErrQuota":             wechatqr.ErrQuota,
		"ErrRateLimited":       wechatqr.ErrRateLimited,
		"ErrPermanentLimit":    wechatqr.ErrPermanentLimit,
		"ErrNotPermitted":      wechatqr.ErrNotPermitted,
		"ErrBusy":              wechatqr.ErrBusy,
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	t.Fatalf("no kind: %v", err)
	return ""
}

// limitRows are the limits that are constants.
func limitRows(_ *testing.T, zh bool) [][]string {
	first, last := int(wechatqr.MinTTL/time.Second), int(wechatqr.MaxTTL/time.Second)
	days := int(wechatqr.MaxTTL / (24 * time.Hour))
	rows := [][]string{{"What", "Limit", "Constant"}}
	if zh {
		rows = [][]string{{"项目", "限制", "常量"}}
	}
	for _, limit := range []struct {
		en, zh         string
		limit, limitZH string
		numbers        []any
		constants      string
	}{
		{
			"number of a temporary code", "临时二维码的整数场景值",
			"1 to %d", "1 到 %d", []any{uint32(math.MaxUint32)}, "",
		},
		{
			"number of a permanent code", "永久二维码的整数场景值",
			"1 to %d", "1 到 %d", []any{wechatqr.MaxPermanentID}, "`wechatqr.MaxPermanentID`",
		},
		{
			"text", "字符串场景值",
			"1 to %d bytes of UTF-8", "1 到 %d 字节（UTF-8）", []any{wechatqr.MaxSceneBytes},
			"`wechatqr.MaxSceneBytes`",
		},
		{
			"life of a temporary code", "临时二维码的有效期",
			"%d to %d s (%d days)", "%d 到 %d 秒（%d 天）", []any{first, last, days},
			"`wechatqr.MinTTL`, `wechatqr.MaxTTL`",
		},
		{
			"body of a push", "推送的正文",
			"%d KiB", "%d KiB", []any{events.MaxBodyBytes >> 10}, "`events.MaxBodyBytes`",
		},
	} {
		text := fmt.Sprintf(choose(zh, limit.limit, limit.limitZH), limit.numbers...)
		rows = append(rows, []string{choose(zh, limit.en, limit.zh), text, limit.constants})
	}
	return rows
}

// sdkSettings are the settings that the sandbox's page shows, as blocks of code.
func sdkSettings(t *testing.T) (out struct{ proxy, address string }) {
	t.Helper()
	data, err := os.ReadFile("cmd/sandbox/sdks.json")
	require.NoError(t, err)
	type sdk struct{ SDK, Code string }
	var all struct {
		Proxy   []sdk
		BaseURL []sdk `json:"base_url"`
	}
	require.NoError(t, json.Unmarshal(data, &all))
	fill := strings.NewReplacer("{origin}", "http://127.0.0.1:8900", "{host}",
		"127.0.0.1", "{port}",
		"8900",
		"{ca}", "/path/to/sandbox-ca.pem")
	blocks := func(list []sdk, lang string) string {
		var b strings.Builder
		for _, s := range list {
			fmt.Fprintf(&b, "\n%s\n```%s\n%s\n```\n", s.SDK, lang, fill.Replace(s.Code))
		}
		return b.String() + "\n"
	}
	out.proxy, out.address = blocks(all.Proxy, "sh"), blocks(all.BaseURL, "")
	return out
}
