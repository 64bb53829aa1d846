package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

func TestClientsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	node, npm := need(t, "node"), need(t, "npm")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "client.js"} {
		data, err := os.ReadFile(filepath.Join("npm", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	install := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund",
		"--loglevel=error")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("npm ci: %v: %s", err, out)
		}
		t.Skipf("npm cannot install the clients, is there a network? %v: %s", err, out)
	}

	box := startSandbox(t)
	run := exec.CommandContext(ctx, node, "--no-deprecation", "client.js", box.url, appID, appSecret,
		token, aesKey)
	run.Dir = dir
	out, err := run.Output()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		t.Fatalf("client.js: %v: %s", err, exit.Stderr)
	}
	var seen struct {
		Callback struct{ OK bool }
		Expire   int
		Picture  []any
		UserSees []string `json:"user_sees"`
		User     struct {
			Subscribe  int
			OpenID     string
			QRSceneStr string `json:"qr_scene_str"`
		}
		After  string
		Ticket string
	}
	require.NoError(t, json.Unmarshal(out, &seen), "%s", out)
	assert.True(t, seen.Callback.OK)
	assert.Equal(t, 1800, seen.Expire)
	require.Len(t, seen.Picture, 3)
	assert.Equal(t, []any{200.0, "image/jpg"}, seen.Picture[:2])
	assert.Greater(t, seen.Picture[2], 1000.0)
	assert.Equal(t, []string{"subscribe qrscene_门店-7 of " + appID,
		"SCAN 99 of " + appID}, seen.UserSees)
	assert.Equal(t, 1, seen.User.Subscribe)
	assert.Equal(t, "门店-7", seen.User.QRSceneStr)
	assert.NotEmpty(t, seen.After)

	// Both see one account: this library shows the code that the other made.
	pic, err := box.client(t).FetchQRCode(t.Context(), seen.Ticket)
	require.NoError(t, err)
	assert.NotEmpty(t, pic.Data)
	err = box.client(t).Do(t.Context(), wechatqr.Request{
		Method: "GET", Path: "/cgi-bin/user/info", Query: map[string][]string{"openid": {"unknown"}},
	}, nil)
	assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}
