package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

const programEnv = "WECHATQR_TEST_PROGRAM"

// TestMain is the program itself in the child process of TestProgram.
func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The program makes a code for a while and says where its picture is. Its port may
// be taken, so that nothing is scanned here: callback's test does.
func TestProgram(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), programEnv+"=1", "WECHAT_BASE_URL="+wx.URL(),
		"WECHAT_APP_ID="+wx.Credentials().AppID, "WECHAT_APP_SECRET="+wx.Credentials().AppSecret,
		"WECHAT_TOKEN=token", "WECHAT_PLAINTEXT=1", "WECHAT_AES_KEY=")
	log, err := program.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	line, err := bufio.NewReader(log).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, program.Process.Kill())
	_ = program.Wait() // killed

	_, picture, found := strings.Cut(strings.TrimSpace(line), "scan this: ")
	require.True(t, found, line)
	resp, err := http.Get(picture)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, wx.QRCodes(), 1)
	assert.Equal(t, "shop-7", wx.QRCodes()[0].Scene())
	assert.False(t, wx.QRCodes()[0].Permanent(), "each start makes one")
}
