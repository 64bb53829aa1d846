package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// npmDir is where installNPM has put them.
var npmDir string

// installNPM installs the clients once for all tests.
var installNPM = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "npm")
	if err != nil {
		return "", err
	}
	npmDir = dir
	if err := os.CopyFS(dir, os.DirFS("npm")); err != nil {
		return dir, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
		"--loglevel=error")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w: %s", err, out)
	}
	return dir, nil
})

// npmClients is the directory with the clients of npm.
func npmClients(t *testing.T) string {
	t.Helper()
	need(t, "npm")
	dir, err := installNPM()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("npm cannot install the clients, is there a network? %v", err)
	}
	require.NoError(t, err)
	return dir
}

func TestClientsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	node, dir := need(t, "node"), npmClients(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	box := startSandbox(t)
	run := exec.CommandContext(ctx, node, "--no-deprecation", "client.js", box.url,
		appID, appSecret,
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
		Method: "GET", Path: "/cgi-bin/user/info",
		Query: map[string][]string{"openid": {"unknown"}},
	}, nil)
	assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
}
