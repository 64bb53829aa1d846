//go:build unix

package main

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
)

// fullEnv makes this program one that saves tickets to the file it is given,
// on a disk that takes not a byte more.
const fullEnv = "CALLBACK_TEST_FULL"

func TestMain(m *testing.M) {
	file := os.Getenv(fullEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	signal.Ignore(syscall.SIGXFSZ)
	err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{})
	fmt.Println(errors.Join(err, saveTickets(file, map[string]*wechatqr.Ticket{"shop-1": {Value: "new"}})))
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	const old = `{"shop-1": {"ticket": "old"}}`
	file := filepath.Join(t.TempDir(), "tickets.json")
	require.NoError(t, os.WriteFile(file, []byte(old), 0o600))
	save := exec.CommandContext(t.Context(), os.Args[0])
	save.Env = append(os.Environ(), fullEnv+"="+file)
	out, err := save.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), syscall.EFBIG.Error())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, old, string(data))
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing else is left")
}
