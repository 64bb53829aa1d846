package redisstore_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/scanlogin"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}

// flat is code without its indentation and empty lines.
func flat(code string) string {
	return regexp.MustCompile(`\n\s*`).ReplaceAllString("\n"+code, "\n")
}

func TestReadmeCodeCompiles(t *testing.T) {
	var compiled string
	for _, file := range []string{"example_test.go", "../examples/tokenserver/example_test.go"} {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		compiled += flat(string(code))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		assert.Contains(t, compiled, flat(block[1]))
	}
}

// The user that the README shows may do all that a Store does, and on a Cluster
// with what is to be added there.
func TestReadmeUserSuffices(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`(?m)^ACL (SETUSER .*)$`).FindStringSubmatch(readme(t))
	require.NotNil(t, line)
	added := regexp.MustCompile("For a Cluster add `(.*?)`").FindStringSubmatch(readme(t))
	require.NotNil(t, added)
	setUser := func(t *testing.T, s *redisServer, rights string) {
		args := []any{"ACL"}
		for _, word := range strings.Fields(rights) {
			args = append(args, word)
		}
		require.NoError(t, connect(t, s.addr).Do(t.Context(), args...).Err())
	}
	suffices := func(t *testing.T, c redis.UniversalClient) {
		t.Cleanup(func() { _ = c.Close() })
		require.ErrorContains(t, c.Set(t.Context(), "other", 1, 0).Err(), "NOPERM")
		require.ErrorContains(t, c.Do(t.Context(), "HGETALL", "wechatqr:x").Err(), "NOPERM")
		wechatqrtest.TestTokenStore(t,
			func(t *testing.T) wechatqr.TokenStore { return newStore(t, c) })
		wechatqrtest.TestDeduper(t, func(t *testing.T) events.Deduper { return newStore(t, c) })
		wechatqrtest.TestTicketStore(t, func(t *testing.T) tickets.Store { return newStore(t, c) })
		wechatqrtest.TestLoginStore(t, func(t *testing.T) scanlogin.Store { return newStore(t, c) })
	}

	t.Run("server", func(t *testing.T) {
		t.Parallel()
		rs := startServer(t)
		setUser(t, rs, line[1])
		suffices(t, redis.NewClient(&redis.Options{
			Addr: rs.addr, Username: "wechatqr", Password: "PASSWORD",
		}))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		var addrs []string
		for _, s := range startCluster(t, 0).masters {
			setUser(t, s, line[1]+" "+added[1])
			addrs = append(addrs, s.addr)
		}
		suffices(t, redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: addrs, Username: "wechatqr", Password: "PASSWORD",
		}))
	})
}
