package benchmarks

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// sandboxEnv is the sandbox's address, in the process that uses its proxy.
const sandboxEnv = "WECHATQR_TEST_SANDBOX"

var sandboxAccount = wechatqr.Credentials{
	AppID: "wx7c1f0e5a9b2d4836", AppSecret: "4f6c9a1be27d83051f6c9a1be27d8305",
}

// Every library calls WeChat by its own names, and is led to the sandbox by the
// environment alone: a token, a code, its picture, and a token that is refused.
func TestEveryLibraryThroughTheProxy(t *testing.T) {
	if base := os.Getenv(sandboxEnv); base != "" {
		useProxy(t, base)
		return
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("SSL_CERT_FILE is not read here")
	}
	dir := t.TempDir()
	sandbox := filepath.Join(dir, "sandbox")
	build := exec.Command("go", "build", "-o", sandbox, "./cmd/sandbox")
	build.Dir = ".." // its own module
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	base := startSandbox(t, sandbox, filepath.Join(dir, "state.json"))

	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(self, "-test.run=^TestEveryLibraryThroughTheProxy$", "-test.v")
	child.Env = append(os.Environ(), sandboxEnv+"="+base, "HTTPS_PROXY="+base,
		"SSL_CERT_FILE="+filepath.Join(dir, "state-ca.pem"), "NO_PROXY=", "no_proxy=")
	out, err = child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, a := range adapters() {
		assert.Contains(t, string(out), "PASS: TestEveryLibraryThroughTheProxy/"+a.name)
	}
}

func startSandbox(t *testing.T, program, state string) string {
	t.Helper()
	cmd := exec.Command(program, "-addr", "127.0.0.1:0", "-proxy", "-state", state,
		"-appid", sandboxAccount.AppID, "-secret", sandboxAccount.AppSecret)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		assert.NoError(t, cmd.Wait())
	})
	lines := bufio.NewScanner(stdout)
	address := regexp.MustCompile(`base URL +(http://\S+)`)
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return m[1]
		}
	}
	t.Fatal("the sandbox prints no address")
	return ""
}

func useProxy(t *testing.T, sandbox string) {
	t.Helper()
	for _, a := range adapters() {
		t.Run(a.name, func(t *testing.T) {
			acct := account{creds: sandboxAccount, base: "https://api.weixin.qq.com"}
			token, err := a.tokens(t, acct)()
			require.NoError(t, err)
			assert.NotEmpty(t, token)
			create := a.creator(t, acct)
			got, err := create("shop-7")
			require.NoError(t, err)

			resp, err := http.Get("https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=" +
				url.QueryEscape(got.ticket))
			require.NoError(t, err)
			_ = resp.Body.Close()
			assert.Equal(t, "image/jpg", resp.Header.Get("Content-Type"))

			resp, err = http.Post(sandbox+"/_sandbox/revoke", "", nil)
			require.NoError(t, err)
			_ = resp.Body.Close()
			if _, err = create("shop-8"); err != nil {
				assert.ErrorContains(t, err, "40001", "it does not renew its token by itself")
			}
		})
	}
}
