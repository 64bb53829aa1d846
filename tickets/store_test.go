package tickets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTicketStore(t, func(*testing.T) tickets.Store { return tickets.NewMemory() })
}

func openFile(t *testing.T, path string) *tickets.File {
	t.Helper()
	f, err := tickets.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestFile(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTicketStore(t, func(t *testing.T) tickets.Store {
		return openFile(t, filepath.Join(t.TempDir(), "tickets.json"))
	})
}

const appID = "wx0123456789abcdef"

var shop = tickets.Key{Account: appID, Scene: wechatqr.SceneString("shop-7 <&>\"号")}

func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path, ctx := filepath.Join(t.TempDir(), "tickets.json"), t.Context()
	f := openFile(t, path)
	permanent := wechatqr.Ticket{Value: "p", Content: "http://weixin.qq.com/q/p", Scene: shop.Scene}
	screen := tickets.Key{Account: appID, Scene: wechatqr.SceneID(4294967295), TTL: time.Hour}
	temporary := wechatqr.Ticket{
		Value: "t", Content: "c", Scene: screen.Scene,
		ExpiresAt: time.Now().Add(time.Hour).Round(0),
	}
	begun := tickets.Key{Account: appID, Scene: wechatqr.SceneID(7)}
	for key, ticket := range map[tickets.Key]wechatqr.Ticket{shop: permanent, screen: temporary} {
		_, err := f.SaveTicket(ctx, key, ticket)
		require.NoError(t, err)
	}
	got, err := f.ClaimTicket(ctx, begun, "owner", time.Hour, 2)
	require.NoError(t, err)
	require.Equal(t, tickets.ClaimGranted, got)
	require.NoError(t, f.Close())
	_, err = f.ClaimTicket(ctx, begun, "owner", time.Hour, 2)
	require.ErrorIs(t, err, os.ErrClosed)

	f = openFile(t, path)
	kept, err := f.LoadTicket(ctx, shop)
	require.NoError(t, err)
	assert.Equal(t, permanent, kept)
	kept, err = f.LoadTicket(ctx, screen)
	require.NoError(t, err)
	assert.True(t, temporary.ExpiresAt.Equal(kept.ExpiresAt))
	known, err := f.CountPermanent(ctx, appID)
	require.NoError(t, err)
	assert.Equal(t, 2, known, "the one that was only claimed too")
	got, err = f.ClaimTicket(ctx, begun, "another", time.Hour, 2)
	require.NoError(t, err)
	assert.Equal(t, tickets.ClaimGranted, got, "the claim ended with its process")
}

func TestFileIsInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.json")
	f := openFile(t, path)
	_, err := tickets.OpenFile(path)
	require.ErrorIs(t, err, tickets.ErrInUse)
	require.ErrorContains(t, err, path)
	require.NoError(t, f.Close())
	openFile(t, path)
}

func TestFileIsBehindALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "data", "tickets.json"), filepath.Join(dir, "tickets.json")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	if err := os.Symlink(filepath.Join("data", "tickets.json"), link); err != nil {
		t.Skip(err) // Windows wants a right for it
	}
	f := openFile(t, link)
	_, err := f.SaveTicket(t.Context(), shop, wechatqr.Ticket{Value: "p", Scene: shop.Scene})
	require.NoError(t, err)
	_, err = tickets.OpenFile(path)
	require.ErrorIs(t, err, tickets.ErrInUse)
	require.NoError(t, f.Close())
	kept, err := openFile(t, path).LoadTicket(t.Context(), shop)
	require.NoError(t, err)
	assert.Equal(t, "p", kept.Value)
}

func TestFileIsCorrupt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.json")
	f := openFile(t, path)
	_, err := f.SaveTicket(t.Context(), shop,
		wechatqr.Ticket{Value: "value", Content: "content", Scene: shop.Scene})
	require.NoError(t, err)
	require.NoError(t, f.Close())
	good, err := os.ReadFile(path)
	require.NoError(t, err)

	entry := `{"account":"wx1","scene":{"scene_id":7}}`
	list := func(entries string) string { return `{"version":1,"tickets":[` + entries + `]}` }
	for name, content := range map[string]string{
		"empty":             "",
		"cut off":           string(good[:len(good)-3]),
		"more after it":     string(good) + "{}",
		"a later version":   strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
		"no version":        `{"tickets":[]}`,
		"another program's": `{"shop-7":{"ticket":"gQ"}}`,
		"no UTF-8":          strings.Replace(string(good), "号", "\xff", 1),
		"no account":        list(`{"scene":{"scene_id":7}}`),
		"no scene":          list(`{"account":"wx1"}`),
		"twice":             list(entry + "," + entry),
		"life too long": list(
			`{"account":"wx1","scene":{"scene_id":7},"ttl_seconds":9300000000}`),
		"temporary, empty": list(`{"account":"wx1","scene":{"scene_id":7},"ttl_seconds":60}`),
		"another's ticket": strings.Replace(string(good), `shop-7`, `shop-8`, 1),
		"ticket with an end": list(
			`{"account":"wx1","scene":{"scene_id":7},"ticket":{"ticket":"t","url":"u",` +
				`"scene":{"scene_id":7},"expires_at":"2030-01-01T00:00:00Z"}}`),
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := tickets.OpenFile(path)
		assert.ErrorIs(t, err, tickets.ErrCorrupt, name)
		assert.ErrorContains(t, err, path, name)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, content, string(after), name)
	}
	require.NoError(t, os.WriteFile(path, []byte(list(entry)), 0o600))
	openFile(t, path)
}

func TestFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	path, ctx := filepath.Join(t.TempDir(), "tickets.json"), t.Context()
	f := openFile(t, path)
	require.NoError(t, os.Mkdir(path+".tmp", 0o700)) // in the way

	_, err := f.ClaimTicket(ctx, shop, "owner", time.Hour, 1)
	require.Error(t, err)
	known, err := f.CountPermanent(ctx, appID)
	require.NoError(t, err)
	assert.Zero(t, known, "what is not on disk is not known")
	_, err = f.SaveTicket(ctx, shop, wechatqr.Ticket{Value: "value", Scene: shop.Scene})
	require.Error(t, err)
	_, err = f.LoadTicket(ctx, shop)
	require.ErrorIs(t, err, tickets.ErrNotFound)

	require.NoError(t, os.Remove(path+".tmp"))
	got, err := f.ClaimTicket(ctx, shop, "another", time.Hour, 1)
	require.NoError(t, err)
	assert.Equal(t, tickets.ClaimGranted, got)
}
