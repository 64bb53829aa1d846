//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// A start that fails says why, and what to do in both languages.
func TestFaultsAtTheStartSayWhatToDo(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.NewServer()
	t.Cleanup(wx.Close)
	ready := t.TempDir()
	first := start(t, wx, ready, "-listen", "127.0.0.1:0")
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-first.ended)
	halfKey := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(halfKey, "desk.key"), []byte("00ff"), 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })

	for name, c := range map[string]struct {
		dir    string
		flags  []string
		env    string
		zh, en string
	}{
		"another key": {
			dir: ready, env: "PERSON_KEY=" + strings.Repeat("0", 64),
			zh: "人员密钥文件", en: "Use the person key",
		},
		"a dash of a text editor": {
			dir: ready, flags: []string{"–demo"}, zh: "半角减号", en: "a plain hyphen",
		},
		"a part of the account": {
			dir: ready, env: "WECHAT_TOKEN=", zh: "全部设好", en: "Set all of WECHAT_",
		},
		"a taken port": {
			dir: ready, flags: []string{"-listen", taken.Addr().String()},
			zh: "端口已被占用", en: "The port is taken",
		},
		"no address": {
			dir: ready, flags: []string{"-listen", "8080"},
			zh: "不能监听这个地址", en: "It cannot listen there",
		},
		"a folder that cannot be written to": {
			dir: "/sys", zh: "可以写入的文件夹", en: "a folder that it may write to",
		},
		"a folder that is not there": {
			dir: filepath.Join(ready, "none"), zh: "要先建好", en: "There is no such file or folder",
		},
		"half a key": {
			dir: halfKey, zh: "请换回备份", en: "put your copy of it back",
		},
		"no database": {
			dir: ready, flags: []string{"-db", "postgres://desk@127.0.0.1:1/desk"},
			zh: "数据库连不上", en: "The database does not answer",
		},
		"no database of the other kind": {
			dir: ready, flags: []string{"-db", "mysql://desk@127.0.0.1:1/desk"},
			zh: "数据库连不上", en: "The database does not answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := program(t, wx, c.dir)
			p.cmd.Args = append(append(p.cmd.Args, "-listen", "127.0.0.1:0"), c.flags...)
			p.cmd.Env = append(p.cmd.Env, c.env)
			p.cmd.Dir = t.TempDir()
			out, err := p.cmd.CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(out), c.zh)
			assert.Contains(t, string(out), c.en)
			assert.NotContains(t, string(out), "goroutine")
		})
	}
}

// sqliteError is an error of SQLite.
type sqliteError int

func (e sqliteError) Error() string { return "sqlite" }
func (e sqliteError) Code() int     { return int(e) }

func TestAFullDiskSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, err := range []error{sqliteError(13), fmt.Errorf("write: %w", syscall.ENOSPC)} {
		assert.Contains(t, advice(fmt.Errorf("channeld: %w", err)), "The disk is full")
	}
	assert.Empty(t, advice(sqliteError(1)))
}

// What ends a first start while it writes the person key leaves none: the next one makes it.
func TestAKeyIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	p := program(t, wx, dir, "-listen", "127.0.0.1:0")
	full := exec.Command("sh", "-c", `ulimit -f 0; exec "$@"`, "sh", p.cmd.Args[0])
	full.Args = append(full.Args, p.cmd.Args[1:]...)
	full.Env = p.cmd.Env
	out, err := full.CombinedOutput()
	require.Error(t, err, string(out))
	assert.NoFileExists(t, filepath.Join(dir, "desk.key"), string(out))

	start(t, wx, dir, "-listen", "127.0.0.1:0")
	assert.FileExists(t, filepath.Join(dir, "desk.key"))
}

// Who lets everybody read the key learns it from the log.
func TestAKeyThatEverybodyCanReadIsWarnedOf(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	key := filepath.Join(dir, "desk.key")
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat("0", 64)), 0o600))
	p := start(t, wx, dir, "-listen", "127.0.0.1:0")
	assert.NotContains(t, p.stderr.String(), "chmod 600")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-p.ended)
	require.NoError(t, os.Chmod(key, 0o644))
	p = start(t, wx, dir, "-listen", "127.0.0.1:0")
	assert.Contains(t, p.stderr.String(), "chmod 600")
	assert.Contains(t, p.stderr.String(), key)
}

// First starts at once in one folder have one key: what one records another can read.
func TestFirstStartsOfProcessesAtOnce(t *testing.T) {
	t.Parallel()
	wx, dir := wechatqrtest.Start(t), t.TempDir()
	var all []*process
	for range 6 {
		p := program(t, wx, dir, "-listen", "127.0.0.1:0")
		p.launch(t)
		all = append(all, p)
	}
	for _, p := range all {
		callback := wx.Callback()
		callback.URL = p.await(t)
		require.NoError(t, wx.SetCallback(callback))
		_, err := wx.Follow(t.Context(), "o-ann")
		require.NoError(t, err)
	}
	for _, p := range all {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, <-p.ended, p.stderr.String())
	}
	assert.EqualValues(t, 1, counted(t, wx, dir))
}

// Who sits at the machine gets the link in a browser.
func TestTheBrowserOpens(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.NewServer()
	t.Cleanup(wx.Close)
	for name, c := range map[string]struct {
		env   string
		opens bool
	}{
		"at a desktop":      {"DISPLAY=:0", true},
		"over the network":  {"SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22", false},
		"without a desktop": {"DISPLAY=", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			opened := filepath.Join(dir, "opened")
			browser := "#!/bin/sh\nprintf %s \"$1\" >" + opened + ".new; mv " + opened +
				".new " + opened
			require.NoError(t, os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(browser), 0o700))
			p := program(t, wx, dir, "-listen", "127.0.0.1:0")
			// exec: a shell that waits dies of Ctrl-C itself, whatever the program returns.
			terminal := exec.Command("script", "-qefc", "exec "+strings.Join(p.cmd.Args, " "),
				"/dev/null")
			terminal.Env = append(p.cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "WAYLAND_DISPLAY=",
				"DISPLAY=:0", "SSH_CONNECTION=", c.env)
			terminal.Stdout = &p.stdout
			stdin, err := terminal.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, terminal.Start())
			link := regexp.MustCompile(`http://\S+/invite/\w+`)
			waitFor(t, "the end of the greeting", func() bool {
				return strings.Contains(p.stdout.String(), "or by Ctrl-C")
			})
			_, err = stdin.Write([]byte{3}) // Ctrl-C
			require.NoError(t, err)
			require.NoError(t, terminal.Wait())
			if !c.opens {
				assert.NoFileExists(t, opened)
				return
			}
			waitFor(t, "the browser", func() bool { _, err := os.Stat(opened); return err == nil })
			address, err := os.ReadFile(opened)
			require.NoError(t, err)
			assert.Equal(t, link.FindString(p.stdout.String()), string(address))
		})
	}
}

// Who closes the terminal ends the demo, of which nothing remains.
func TestTheDemoEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	file, err := os.Executable()
	require.NoError(t, err)
	var stdout output
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), file, "-demo", "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "CHANNELD_CHILD=1", "TMPDIR="+dir)
	cmd.Stdout = &stdout
	_, err = cmd.StdinPipe() // see TestMain
	require.NoError(t, err)
	hangups := make(chan os.Signal, 1)
	// Who starts the tests by nohup ignores the signal, and so would the program.
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	require.NoError(t, cmd.Start())
	waitFor(t, "the beginning", func() bool {
		return strings.Contains(stdout.String(), "some seconds")
	})
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	assert.NoError(t, cmd.Wait())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
