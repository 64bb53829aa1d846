//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tickets_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/tickets"
)

// Between fork and exec a child has every open file of its parent's, the lock too.
func TestClosedFileIsFreeWhileProcessesStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.json")
	ctx, stop := context.WithCancel(t.Context())
	var children atomic.Int32
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if exec.CommandContext(ctx, os.Args[0], "-test.list=^$").Run() == nil {
				children.Add(1)
			}
		}
	})
	defer wg.Wait()
	defer stop()

	for children.Load() < 3 {
		f, err := tickets.OpenFile(path)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
}
