//go:build unix

package tickets_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

// fullEnv makes TestFullDisk save a ticket to the file it is given, on a disk that
// takes not a byte more.
const fullEnv = "WECHATQR_TEST_FULL"

func TestFullDisk(t *testing.T) {
	if path := os.Getenv(fullEnv); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		f := openFile(t, path)
		err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{})
		_, saved := f.SaveTicket(t.Context(), tickets.Key{Account: appID, Scene: door},
			wechatqr.Ticket{Value: "new", Scene: door})
		fmt.Println(errors.Join(err, saved))
		return
	}

	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.json")
	f := openFile(t, path)
	_, err := f.SaveTicket(t.Context(), shop, wechatqr.Ticket{Value: "old", Scene: shop.Scene})
	require.NoError(t, err)
	require.NoError(t, f.Close())
	old, err := os.ReadFile(path)
	require.NoError(t, err)

	save := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$")
	save.Env = append(os.Environ(), fullEnv+"="+path)
	out, err := save.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "write file: write "+path+".tmp: "+syscall.EFBIG.Error())
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(old), string(after))
	kept, err := openFile(t, path).LoadTicket(t.Context(), shop)
	require.NoError(t, err)
	assert.Equal(t, "old", kept.Value)
}
