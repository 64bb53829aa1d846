package wechatqrtest_test

import (
	"bytes"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// zbarimg is the path of a scanner that was not written here.
func zbarimg(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("zbarimg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("zbarimg is not installed: apt-get install zbar-tools")
		}
		t.Skip("zbarimg is missing: install zbar-tools to have another decoder read the pictures")
	}
	return path
}

func TestPictureReadsAsURL(t *testing.T) {
	t.Parallel()
	scanner := zbarimg(t)
	srv := wechatqrtest.Start(t)
	c := srv.Client()
	dir := t.TempDir()
	args, want := []string{"--quiet", "--raw"}, ""
	for i := range 20 {
		ticket, err := c.CreateTicket(t.Context(),
			wechatqr.Temporary(wechatqr.SceneID(7), time.Hour))
		require.NoError(t, err)
		picture, err := c.FetchQRCode(t.Context(), ticket.Value)
		require.NoError(t, err)
		size, err := jpeg.DecodeConfig(bytes.NewReader(picture.Data))
		require.NoError(t, err)
		assert.Equal(t, []int{430, 430}, []int{size.Width, size.Height})
		file := filepath.Join(dir, strconv.Itoa(i)+".jpg")
		require.NoError(t, os.WriteFile(file, picture.Data, 0o600))
		args = append(args, file)
		want += ticket.Content + "\n"
	}
	out, err := exec.CommandContext(t.Context(), scanner, args...).Output()
	require.NoError(t, err)
	assert.Equal(t, strings.Split(want, "\n"), strings.Split(string(out), "\n"))
}

func TestPictureIsOfTheCodeAndNoCall(t *testing.T) {
	t.Parallel()
	wx := wechatqrtest.Start(t)
	client := wx.Client()
	ticket, err := client.CreateTicket(t.Context(),
		wechatqr.Temporary(wechatqr.SceneString("shop-42"), time.Minute))
	require.NoError(t, err)
	shown, err := client.FetchQRCode(t.Context(), ticket.Value)
	require.NoError(t, err)

	wx.Inject(wechatqrtest.Fault{Status: 502})
	wx.Advance(time.Hour)
	calls := wx.Count("")
	data, err := wx.Picture(ticket.Value)
	require.NoError(t, err)
	assert.Equal(t, shown.Data, data)
	assert.Equal(t, calls, wx.Count(""))
	assert.Len(t, wx.Faults(), 1)

	_, err = wx.Picture("unknown")
	assert.ErrorIs(t, err, wechatqrtest.ErrUnknownTicket)
}
