package main

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of several first starts in one folder one makes the key, and all have it.
func TestFirstStartsAtOnceHaveOneKey(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := config{keyFile: filepath.Join(t.TempDir(), "desk.key")}
		keys := make([]personKey, 16)
		errs := make([]error, len(keys))
		begin := make(chan struct{})
		var starts sync.WaitGroup
		for i := range keys {
			starts.Go(func() {
				<-begin
				keys[i], errs[i] = c.loadPersonKey()
			})
		}
		close(begin)
		starts.Wait()

		made := 0
		for i, key := range keys {
			require.NoError(t, errs[i])
			require.Equal(t, keys[0].value, key.value)
			if key.file != "" {
				made++
			}
		}
		require.Equal(t, 1, made)
		left, err := os.ReadDir(filepath.Dir(c.keyFile))
		require.NoError(t, err)
		require.Len(t, left, 1, "the key alone")
		info, err := left[0].Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

// A key that is there is never replaced, also if it cannot be used.
func TestAKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "00ff", "no key": "key"} {
		c := config{keyFile: filepath.Join(t.TempDir(), "desk.key")}
		require.NoError(t, os.WriteFile(c.keyFile, []byte(text), 0o600))
		_, err := c.loadPersonKey()
		require.ErrorContains(t, err, c.keyFile, name)
		assert.NotEmpty(t, advice(err), name)
		kept, err := os.ReadFile(c.keyFile)
		require.NoError(t, err)
		assert.Equal(t, text, string(kept), name)
	}
}
