package e2e_test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recipes are the shell commands by which the page and docs/testing.md lead programs
// to the proxy, by SDK.
func recipes(t *testing.T, origin, authority string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../cmd/sandbox/sdks.json")
	require.NoError(t, err)
	var all struct {
		Proxy []struct{ SDK, Code string }
	}
	require.NoError(t, json.Unmarshal(data, &all))
	u, err := url.Parse(origin)
	require.NoError(t, err)
	fill := strings.NewReplacer("{origin}", origin, "{host}", u.Hostname(), "{port}", u.Port(),
		"{ca}", authority)
	out := map[string]string{}
	for _, r := range all.Proxy {
		out[r.SDK] = fill.Replace(r.Code)
	}
	return out
}

// outcome of a program: all but Ticket are empty if it does not do that.
type clientResult struct {
	Ticket  string
	Type    string // of the picture
	Refused int    // the errcode of a token that is none
	Again   string // the ticket after a token was refused
	Token   string
	Outside string // what became of a request to another host
}

// Programs that call WeChat by its own names reach the sandbox by the proxy, with
// nothing but the commands of the recipe before them, and nothing else by it.
func TestRecipesOfTheProxy(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.json")
	box := startSandbox(t, "-proxy", "-state", state)
	all := recipes(t, box.url, strings.TrimSuffix(state, ".json")+"-ca.pem")
	quickstart := filepath.Join(t.TempDir(), "quickstart")
	build := exec.Command("go", "build", "-o", quickstart, "./examples/quickstart")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	clients, err := filepath.Abs("clients")
	require.NoError(t, err)

	seen := map[string]bool{}
	for _, tt := range []struct {
		sdk     string
		needs   string // a command that succeeds if the program is installed; empty: npm's clients
		command string
		check   func(*testing.T, clientResult)
	}{
		{"Go, on Linux", "go version", quickstart + ` >&2 && echo '{"Ticket":"printed"}'`, nil},
		{"curl", "curl --version", "sh " + clients + "/client.sh $ACCOUNT", everything},
		{"Python · requests", `python3 -c "import requests"`, "python3 " + clients +
			"/client.py $ACCOUNT", everything},
		{"PHP", `php -r "curl_init();"`, "php " + clients + "/client.php $ACCOUNT", everything},
		{"Java", "java -version", "java " + clients + "/Client.java $ACCOUNT", everything},
		{"Node.js · SDKs that use axios", "", "node sdks.js node-easywechat $ACCOUNT",
			func(t *testing.T,
				got clientResult) {
				t.Helper()
				assert.Equal(t, "image/jpg", got.Type)
				assert.Equal(t, 40001, got.Refused)
			}},
		{"Node.js · other SDKs", "", "node --no-deprecation sdks.js co-wechat-api $ACCOUNT",
			func(t *testing.T, got clientResult) {
				t.Helper()
				assert.Equal(t, "image/jpg", got.Type)
				assert.NotEmpty(t, got.Again, "it has renewed its token")
			}},
		{"Node.js · other SDKs", "", "node --no-deprecation sdks.js wechat-jssdk $ACCOUNT",
			func(t *testing.T, got clientResult) {
				t.Helper()
				assert.NotEmpty(t, got.Token)
			}},
	} {
		seen[tt.sdk] = true
		t.Run(tt.command, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, all[tt.sdk], "the recipe is there")
			dir := t.TempDir()
			if tt.needs == "" {
				dir = npmClients(t)
			} else if out, err := exec.Command("sh", "-c", tt.needs).CombinedOutput(); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatalf("CI is set and %s fails: %s", tt.needs, out)
				}
				t.Skipf("not installed: %s: %s", tt.needs, out)
			}
			got := runClient(t, dir, all[tt.sdk]+"\n"+tt.command)
			if tt.check != nil {
				tt.check(t, got)
			}
			if got.Ticket != "" && got.Ticket != "printed" {
				_, err := box.client(t).FetchQRCode(t.Context(), got.Ticket)
				require.NoError(t, err, "both see one account")
			}
		})
	}
	for sdk := range all {
		assert.True(t, seen[sdk], "no test runs the recipe of %s", sdk)
	}
}

func everything(t *testing.T, got clientResult) {
	t.Helper()
	assert.NotEmpty(t, got.Ticket)
	assert.Equal(t, "image/jpg", got.Type)
	assert.Equal(t, 40001, got.Refused)
	assert.Equal(t, "refused", got.Outside)
}

// runClient runs shell commands and reads the last line that they print.
func runClient(t *testing.T, dir, commands string) clientResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", commands)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(v), "=")
		return strings.HasSuffix(name, "_PROXY") || strings.HasPrefix(name, "WECHAT_")
	})
	cmd.Env = append(cmd.Env, "ACCOUNT="+appID+" "+appSecret, "WECHAT_APP_ID="+appID,
		"WECHAT_APP_SECRET="+appSecret)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		t.Fatalf("%v: %s%s", err, out, exit.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got clientResult
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &got), "%s", out)
	return got
}
