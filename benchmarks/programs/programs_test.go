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

// TestPrograms has each program, whose size the table gives, do its work.
func TestPrograms(t *testing.T) {
	bin := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./...").CombinedOutput()
	require.NoError(t, err, string(out))
	built, err := os.ReadDir(bin)
	require.NoError(t, err)
	require.Len(t, built, 6)
	for _, program := range built {
		t.Run(program.Name(), func(t *testing.T) {
			srv := wechatqrtest.Start(t)
			creds, home := srv.Credentials(), t.TempDir()
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program.Name()), srv.URL(), creds.AppID, creds.AppSecret) //nolint:gosec // built above
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
