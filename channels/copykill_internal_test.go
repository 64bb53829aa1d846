package channels

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// copierJob has a process of its own copy a ledger. It is a value of the environment
// variable copierEnv.
type copierJob struct {
	From                 string // a SQLite file
	Dialect, Driver, DSN string
	KillAt               int64 // as of recorderJob
}

const copierEnv = "CHANNELS_COPIER"

// TestCopierProcess is what the processes of the test below do.
func TestCopierProcess(t *testing.T) {
	text := os.Getenv(copierEnv)
	if text == "" {
		return // this is not such a process
	}
	var job copierJob
	require.NoError(t, json.Unmarshal([]byte(text), &job))
	l, err := Open(t.Context(), connect(t, "sqlite", job.From), SQLite, testConfig)
	require.NoError(t, err)
	for _, d := range databases {
		if d.name == job.Dialect {
			k := killer{killAt: job.KillAt}
			db := watch(t, job.Driver, job.DSN, k.count, k.count)
			require.NoError(t, l.CopyTo(t.Context(), db, d, nil))
		}
	}
}

// run reports whether the process was killed on the way.
func (j copierJob) run(t *testing.T) (killed bool) {
	t.Helper()
	text, err := json.Marshal(j)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCopierProcess$")
	cmd.Env = append(os.Environ(), copierEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		assert.Equal(t, syscall.SIGKILL, status.Signal(), string(out))
		return true
	}
	require.NoError(t, err, string(out))
	return false
}

// A process that copies is killed, again and again: what it leaves is no ledger, until one
// copy is whole.
func TestKilledCopies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		job := copierJob{From: filepath.Join(t.TempDir(), "from.db"), Dialect: d.name}
		job.Driver, job.DSN = source(t, d)
		from := connect(t, "sqlite", job.From)
		want := reportText(t, fixtureLedger(t, from))
		into := connect(t, job.Driver, job.DSN)
		require.NoError(t, d.prepare(t.Context(), into))

		for job.KillAt = 1 + rand.Int64N(30); job.run(t); job.KillAt += 1 + rand.Int64N(40) {
			if finished(t, into, d) {
				break // killed after its last commit
			}
			if countRows(t, into, d)["channels_schema"] == unfinishedCopy {
				_, err := Open(t.Context(), into, d, testConfig)
				require.ErrorIs(t, err, ErrUnfinishedCopy)
			}
		}
		copied, err := openAt(t.Context(), into, d, testConfig, fixtureClock)
		require.NoError(t, err)
		assert.Equal(t, want, reportText(t, copied))
		require.NoError(t, from.Close())
	})
}
