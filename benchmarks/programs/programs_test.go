package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// Each program whose size the table compares creates a code.
func TestPrograms(t *testing.T) {
	bin := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./...",
		"github.com/wechatqr/wechatqr/testdata/size/plain",
		"github.com/wechatqr/wechatqr/testdata/size/library").CombinedOutput()
	require.NoError(t, err, string(out))
	built, err := os.ReadDir(bin)
	require.NoError(t, err)
	require.Len(t, built, 6)
	for _, program := range built {
		t.Run(program.Name(), func(t *testing.T) {
			srv := wechatqrtest.Start(t)
			creds, home := srv.Credentials(), t.TempDir()
			//nolint:gosec // built above
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program.Name()),
				srv.URL(), creds.AppID, creds.AppSecret)
			cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			ticket, url, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
			code, ok := srv.QRCode(ticket)
			require.True(t, ok, string(out))
			require.Equal(t, code.Content, url)
			require.Equal(t, "shop-7", code.SceneStr)
		})
	}
}
