//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// TestMain is the program itself when a test starts it, and ends with the test.
func TestMain(m *testing.M) {
	if os.Getenv("CHANNELD_CHILD") != "" {
		go endWithParent()
		go reportMemory()
		os.Exit(exitCode())
	}
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

// endWithParent ends this process when the one that started it has ended.
func endWithParent() {
	for parent := os.Getppid(); os.Getppid() == parent; {
		time.Sleep(100 * time.Millisecond)
	}
	os.Exit(3)
}

// process is the program in a process of its own, on the account wx.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	origin         string
	link           string // of the first visit; empty: there was one
	ended          chan error
}

var printed = regexp.MustCompile(`pages     (http://\S+)/\n.*callback  (http://\S+)\n`)

// program is the program on the account, not started yet.
func program(t *testing.T, wx *wechatqrtest.Server, dir string, flags ...string) *process {
	t.Helper()
	file, err := os.Executable()
	require.NoError(t, err)
	flags = append([]string{"-api", wx.URL(), "-db", filepath.Join(dir, "desk.db")}, flags...)
	p := &process{cmd: exec.Command(file, flags...), ended: make(chan error, 1)}
	_, err = p.cmd.StdinPipe() // see TestMain
	require.NoError(t, err)
	events := wx.CallbackConfig()
	p.cmd.Env = append(os.Environ(), "CHANNELD_CHILD=1",
		"WECHAT_APP_ID="+wx.Credentials().AppID, "WECHAT_APP_SECRET="+wx.Credentials().AppSecret,
		"WECHAT_TOKEN="+events.Token, "WECHAT_AES_KEY="+events.EncodingAESKey)
	return p
}

// start runs the program, and has wx push to it.
func start(t *testing.T, wx *wechatqrtest.Server, dir string, flags ...string) *process {
	t.Helper()
	p := program(t, wx, dir, flags...)
	p.launch(t)
	callback := wx.Callback()
	callback.URL = p.await(t)
	require.NoError(t, wx.SetCallback(callback))
	return p
}

func (p *process) launch(t *testing.T) {
	t.Helper()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	require.NoError(t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
}

// await waits until the program listens, and returns the address of its callback.
func (p *process) await(t *testing.T) (callback string) {
	t.Helper()
	waitFor(t, "the addresses", func() bool {
		select {
		case err := <-p.ended:
			require.FailNow(t, "the program has ended", "%v\n%s", err, p.stderr.String())
		default:
		}
		text := p.stdout.String()
		return printed.MatchString(text) && strings.HasSuffix(text, "\n\n")
	})
	found := printed.FindStringSubmatch(p.stdout.String())
	p.origin = found[1]
	p.link = regexp.MustCompile(`http://\S+/invite/\w+`).FindString(p.stdout.String())
	return found[2]
}

// firstVisit chooses the administrator's password, and returns a browser that is signed in.
// It does not follow redirects.
func (p *process) firstVisit(t *testing.T) *http.Client {
	t.Helper()
	browser := newBrowser(t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	status, _ := post(t, browser, p.link, url.Values{"password": {"correct horse"}})
	require.Equal(t, http.StatusSeeOther, status)
	return browser
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// counted is how many new followers the files have.
func counted(t *testing.T, wx *wechatqrtest.Server, dir string) int64 {
	t.Helper()
	path := filepath.Join(dir, "desk.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	defer s.Close()
	c := config{keyFile: filepath.Join(dir, "desk.key")}
	key, err := c.loadPersonKey()
	require.NoError(t, err)
	assert.Empty(t, key.file, "the key was there")
	ledger, err := channels.Open(t.Context(), s.DB(), s.Dialect(), channels.Config{
		AppID: wx.Credentials().AppID, PersonKey: key.value,
	})
	require.NoError(t, err)
	hour := time.Now().Truncate(time.Hour)
	r, err := ledger.Report(t.Context(), channels.Query{
		From: hour.Add(-time.Hour), To: hour.Add(2 * time.Hour),
	})
	require.NoError(t, err)
	return r.Total.New
}

// Every push that was answered is in the files, however the process ends.
func TestNothingAnsweredIsLost(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{
		"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wx, dir := wechatqrtest.Start(t, wechatqrtest.WithPushTimeout(time.Minute)), t.TempDir()
			p := start(t, wx, dir, "-listen", freeAddress(t))
			answered := followWhile(t, wx, func() {
				waitFor(t, "pushes", func() bool { return len(wx.Pushes()) > 100 })
				require.NoError(t, p.cmd.Process.Signal(signal))
				err := <-p.ended
				if signal == syscall.SIGTERM {
					assert.NoError(t, err, p.stderr.String())
				}
			})
			n := counted(t, wx, dir)
			assert.GreaterOrEqual(t, n, answered)
			t.Logf("%d answered, %d counted", answered, n)
			for _, text := range []string{p.stdout.String(), p.stderr.String()} {
				assert.NotContains(t, text, "o-somebody", "no openid")
				assert.NotContains(t, text, wx.Credentials().AppSecret)
				assert.NotContains(t, text, wx.CallbackConfig().EncodingAESKey)
			}
			info, err := os.Stat(filepath.Join(dir, "desk.key"))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

// followWhile has people follow until do is done, and returns how many pushes of theirs
// were answered with success.
func followWhile(t *testing.T, wx *wechatqrtest.Server, do func()) (answered int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var people sync.WaitGroup
	for who := range 8 {
		people.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := wx.Follow(ctx, fmt.Sprintf("o-somebody-%d-%d", who, n))
				if err == nil {
					mu.Lock()
					answered++
					mu.Unlock()
				}
			}
		})
	}
	do()
	cancel()
	people.Wait()
	return answered
}

// A list of codes goes on where a killed process left it, and no code is made twice.
func TestAJobSurvivesAKill(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	address := freeAddress(t)
	p := start(t, wx, dir, "-listen", address)
	browser := p.firstVisit(t)
	var list strings.Builder
	const number = 300
	for n := range number {
		fmt.Fprintf(&list, "k-%d,店 %d,批量\n", n, n)
	}
	status, _, draft := upload(t, browser, p.origin+"/make", "file", "list.csv",
		[]byte(list.String()))
	require.Equal(t, http.StatusSeeOther, status)
	_, job := post(t, browser, p.origin+draft+"/start", nil)
	waitFor(t, "some codes", func() bool { return len(wx.QRCodes()) > 20 })
	require.NoError(t, p.cmd.Process.Kill())
	<-p.ended
	require.Less(t, len(wx.QRCodes()), number, "it was killed on the way")

	p = start(t, wx, dir, "-listen", address)
	assert.Empty(t, p.link, "there is a user")
	waitFor(t, "the rest", func() bool {
		_, body := get(t, browser, p.origin+job) // the session has survived too
		return strings.Contains(body, "已完成")
	})
	scenes := map[string]bool{}
	for _, code := range wx.QRCodes() {
		scenes[code.SceneStr] = true
	}
	assert.Len(t, scenes, number)
	assert.LessOrEqual(t, len(wx.QRCodes()), number+1, "one may have been in the air")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-p.ended, p.stderr.String())
}

// The callback is alone on its port.
func TestCallbackOnAPortOfItsOwn(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	p := start(t, wx, t.TempDir(), "-listen", freeAddress(t), "-callback", freeAddress(t))
	_, err := wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)
	callback := wx.Callback().URL
	status, _ := get(t, newBrowser(t), strings.TrimSuffix(callback, callbackPath)+"/sign-in")
	assert.Equal(t, http.StatusNotFound, status)
	status, _ = get(t, newBrowser(t), p.origin+callbackPath)
	assert.Equal(t, http.StatusNotFound, status)
}

// -copy moves everything to another database, which goes on where the first ended.
func TestCopy(t *testing.T) {
	t.Parallel()
	wx, dir, other := wechatqrtest.Start(t), t.TempDir(), t.TempDir()
	p := start(t, wx, dir, "-listen", freeAddress(t))
	_, err := wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-p.ended)

	copied := program(t, wx, dir, "-copy", filepath.Join(other, "desk.db"))
	out, err := copied.cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "copied and verified")
	again := program(t, wx, dir, "-copy", filepath.Join(other, "desk.db"))
	out, err = again.cmd.CombinedOutput()
	require.Error(t, err, "there is one")
	assert.Contains(t, string(out), "ledger")

	key, err := os.ReadFile(filepath.Join(dir, "desk.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(other, "desk.key"), key, 0o600))
	assert.EqualValues(t, 1, counted(t, wx, other))
}

// -invite prints a link by which who forgot a password chooses another.
func TestInvite(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	address := freeAddress(t)
	p := start(t, wx, dir, "-listen", address)
	browser := p.firstVisit(t)

	out, err := program(t, wx, dir, "-invite", "admin", "-listen", address).cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	link := strings.TrimSpace(string(out))
	require.True(t, strings.HasPrefix(link, p.origin+"/invite/"), link)
	status, _ := get(t, browser, p.origin+"/settings")
	assert.Equal(t, http.StatusOK, status, "the old password is good until then")
	again := newBrowser(t)
	again.CheckRedirect = browser.CheckRedirect
	status, _ = post(t, again, link, url.Values{"password": {"another horse"}})
	assert.Equal(t, http.StatusSeeOther, status)
	status, _ = get(t, browser, p.origin+"/settings")
	assert.Equal(t, http.StatusSeeOther, status, "a new password ends the sessions")

}

// What works on a database makes none.
func TestThereIsNoDatabase(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	for name, flags := range map[string][]string{
		"invite": {"-invite", "admin"}, "copy": {"-copy", filepath.Join(t.TempDir(), "to.db")},
	} {
		dir := t.TempDir()
		out, err := program(t, wx, dir, flags...).cmd.CombinedOutput()
		require.Error(t, err, name)
		assert.Contains(t, string(out), "in the folder of the database", name)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left, name)
	}
}

// What one process receives the pages of another show.
func TestSeveralProcessesShowTheSame(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	first := start(t, wx, dir, "-listen", freeAddress(t))
	second := start(t, wx, dir, "-listen", freeAddress(t)) // gets the pushes
	status, _ := post(t, newBrowser(t), first.link, url.Values{"password": {"correct horse"}})
	require.NotEqual(t, http.StatusUnprocessableEntity, status)
	browser := newBrowser(t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	_, _ = post(t, browser, first.origin+"/sign-in",
		url.Values{"name": {"admin"}, "password": {"correct horse"}})
	_, err := wx.Follow(t.Context(), "o-ann")
	require.NoError(t, err)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, first.origin+"/live", nil)
	require.NoError(t, err)
	resp, err := browser.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text := make([]byte, 0, 4096)
	for !strings.Contains(string(text), `"kind":"new"`) {
		n, err := resp.Body.Read(text[len(text):cap(text)])
		require.NoError(t, err)
		text = text[:len(text)+n]
	}
	require.NoError(t, second.cmd.Process.Kill())
}
