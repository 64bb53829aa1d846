package wechatqr_test

import (
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
	for mark, rows := range map[string]func(*testing.T, bool) [][]string{"codes": codeRows, "limits": limitRows} {
		begin, end := "<!-- begin "+mark+" -->\n", "<!-- end "+mark+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		require.Equal(t, found, closed, "%s: %s", name, begin)
		if found {
			text = before + begin + markdown(rows(t, zh)) + end + after
		}
	}
	if os.Getenv(writeTables) != "" {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		return
	}
	assert.True(t, text == string(file), "the tables of %s are not what the code says: run make tables", name)
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
	rows := [][]string{{choose(zh, "Code", "错误码"), choose(zh, "Kind", "类别"), choose(zh, "What to do", "处理办法")}}
	add := func(name string, err error, e *wechatqr.Error) {
		hint := strings.ReplaceAll(choose(zh, e.Hint(), e.HintZH()), hintIP, "{ip}")
		rows = append(rows, []string{name, "`" + kindOf(t, err) + "`", hint})
	}
	for _, code := range wechatqr.KnownCodes() {
		e := &wechatqr.Error{Code: code, Message: "invalid ip " + hintIP}
		add(strconv.Itoa(int(code)), e, e)
		switch code {
		case 40001:
			err, e := fetchError(t, "/cgi-bin/stable_token", 40001)
			add(choose(zh, "40001 when fetching a token", "40001（获取 token 时）"), err, e)
		case 45009:
			err, e := fetchError(t, "/cgi-bin/token", 45009, wechatqr.WithClassicToken())
			add(choose(zh, "45009 when fetching a classic token", "45009（获取普通 access_token 时）"), err, e)
		}
	}
	return rows
}

const hintIP = "203.0.113.9"

// fetchError is the error of a call whose token could not be fetched.
func fetchError(t *testing.T, path string, code int, opts ...wechatqr.Option) (error, *wechatqr.Error) {
	t.Helper()
	srv := wechatqrtest.Start(t)
	srv.Inject(wechatqrtest.Fault{Path: path, Code: code})
	_, err := srv.Client(opts...).CreateTicket(t.Context(), wechatqr.Permanent(wechatqr.SceneID(1)))
	var e *wechatqr.Error
	require.ErrorAs(t, err, &e)
	return err, e
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
	seconds := func(d time.Duration) int { return int(d / time.Second) }
	to := choose(zh, "%d to %d", "%d 到 %d")
	return [][]string{
		{choose(zh, "What", "项目"), choose(zh, "Limit", "限制"), choose(zh, "Constant", "常量")},
		{choose(zh, "number of a temporary code", "临时二维码的整数场景值"), fmt.Sprintf(to, 1, uint32(math.MaxUint32)), ""},
		{choose(zh, "number of a permanent code", "永久二维码的整数场景值"), fmt.Sprintf(to, 1, wechatqr.MaxPermanentID), "`wechatqr.MaxPermanentID`"},
		{choose(zh, "text", "字符串场景值"), fmt.Sprintf(to+choose(zh, " bytes of UTF-8", " 字节（UTF-8）"), 1, wechatqr.MaxSceneBytes), "`wechatqr.MaxSceneBytes`"},
		{
			choose(zh, "life of a temporary code", "临时二维码的有效期"),
			fmt.Sprintf(to+choose(zh, " s (%d days)", " 秒（%d 天）"), seconds(wechatqr.MinTTL), seconds(wechatqr.MaxTTL), wechatqr.MaxTTL/(24*time.Hour)),
			"`wechatqr.MinTTL`, `wechatqr.MaxTTL`",
		},
		{choose(zh, "body of a push", "推送的正文"), fmt.Sprintf("%d KiB", events.MaxBodyBytes>>10), "`events.MaxBodyBytes`"},
	}
}
