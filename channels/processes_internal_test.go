package channels

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/internal/sqltx"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// recorderJob has a process of its own record a history. It is a value of the
// environment variable recorderEnv.
type recorderJob struct {
	Dialect, Driver, DSN string

	Seed   uint64
	From   int   // the call to begin with
	Order  int   // of the calls: 0 is that of the history
	KillAt int64 // the statement with which the process kills itself, 0 for none

	// Redeliver repeats a call that failed, as WeChat does. A collision with other
	// transactions is no reason to fail before the time is over.
	Redeliver bool
	reached   func(call int) // is told of each call that has returned

	BaseURL string // of the WeChat that is to make codes instead
}

const recorderEnv = "CHANNELS_RECORDER"

// TestRecorderProcess is what the processes of the tests below do. It prints the number
// of each call that has returned.
func TestRecorderProcess(t *testing.T) {
	text := os.Getenv(recorderEnv)
	if text == "" {
		return // this is not such a process
	}
	var job recorderJob
	require.NoError(t, json.Unmarshal([]byte(text), &job))
	var d Dialect
	for _, known := range databases {
		if known.name == job.Dialect {
			d = known
		}
	}
	k := killer{killAt: job.KillAt}
	db := watch(t, job.Driver, job.DSN, k.count, k.count)

	if job.BaseURL != "" {
		ensureCodes(t, d, db, job.BaseURL)
		return
	}
	h := newHistory(t, d, db, job.Seed)
	calls := h.callsIn(job.Order)
	for n := job.From; n < len(calls); n++ {
		if job.Order == 0 {
			h.clock.Time = time.Unix(calls[n].at, 0)
		}
		err := calls[n].call(t.Context())
		for ; err != nil && job.Redeliver; err = calls[n].call(t.Context()) {
			if !errors.Is(err, context.DeadlineExceeded) {
				number := sqltx.ErrorCode(err)
				require.NotContains(t, []string{"1213", "1205", "1020", "1062"}, number, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(t, err)
		fmt.Println("call", n)
	}
}

// callsIn returns the calls of the history. In an order other than its own they are
// pushes within a day, at the end of which all arrive, and codes that change hands at
// different instants: then the order does not matter.
func (h *history) callsIn(order int) []ledgerCall {
	if order == 0 {
		return h.people()
	}
	h.clock.Time = monday.Add(23 * time.Hour)
	var calls []ledgerCall
	for range 60 {
		at := monday.Unix() + h.Int64N(20*3600)
		calls = append(calls, h.push(h.randomPush(fmt.Sprint("person", h.IntN(6)), at))...)
	}
	for n := range int64(6) {
		calls = append(calls, h.reassign(monday.Unix()+n*3*3600+h.Int64N(3600)))
	}
	random := rand.New(rand.NewPCG(uint64(order), 0))
	random.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	return calls
}

// reassign gives a code to another channel from an instant on.
func (h *history) reassign(from int64) ledgerCall {
	scene, name := h.scenes[h.IntN(len(h.scenes)-1)], h.names[h.IntN(len(h.names))]
	h.oracle.owners = append(h.oracle.owners, ownership{scene, name, from})
	return ledgerCall{from, func(ctx context.Context) error {
		return h.ledger.Reassign(ctx, wechatqr.SceneString(scene), name, time.Unix(from, 0))
	}}
}

// run runs the process and returns the call to go on with, and whether it was killed.
func (j recorderJob) run(t *testing.T) (next int, killed bool) {
	t.Helper()
	text, err := json.Marshal(j)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRecorderProcess$")
	cmd.Env = append(os.Environ(), recorderEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	next = j.From
	var rest string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "call %d", &n); err == nil {
			next = n + 1
			if j.reached != nil {
				j.reached(n)
			}
			continue
		}
		rest += lines.Text() + "\n"
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		assert.Equal(t, syscall.SIGKILL, status.Signal(), rest)
		return next, true
	}
	assert.NoError(t, err, rest)
	return next, false
}

// killer kills the process at a statement, before or after it is run.
type killer struct {
	killAt int64
	ran    atomic.Int64
}

// count is called before and after each statement.
func (k *killer) count(context.Context, string) error {
	if k.ran.Add(1) == k.killAt {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}

// A process is killed at random statements, and the next one records what was not
// acknowledged: nothing is lost, counted twice or half done.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		kills := 0
		for kills < 20 {
			kills += killedHistory(t, d)
		}
	})
}

// killedHistory records a history with kills on the way, and returns their number.
func killedHistory(t *testing.T, d Dialect) (kills int) {
	job := recorderJob{Dialect: d.name, Seed: rand.Uint64()}
	job.Driver, job.DSN = source(t, d)
	t.Logf("seed %d", job.Seed)
	h := newHistory(t, d, connect(t, job.Driver, job.DSN), job.Seed)
	calls := h.callsIn(0)

	for killed := true; killed; {
		job.KillAt = 1 + rand.Int64N(300)
		if kills >= 15 {
			job.KillAt = 0
		}
		job.From, killed = job.run(t)
		if killed {
			kills++
		}
	}
	require.Equal(t, len(calls), job.From)
	h.clock.Time = time.Unix(calls[len(calls)-1].at, 0)
	h.compareAll()
	return kills
}

// Each statement that records a short history is the last one of a process once, of which
// CHANNELS_KILL_STEP=1 tries all; else some of them are tried.
func TestKilledAtEachStatement(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		step := int64(fromEnv(t, "CHANNELS_KILL_STEP", 100))
		const seed = 167 // of 21 calls
		killed := true
		for at := 1 + rand.Int64N(step); killed; at += step {
			t.Run(fmt.Sprint(at), func(t *testing.T) { killed = killedAt(t, d, seed, at) })
		}
	})
}

// killedAt records a history by a process that is killed there, unless it is done before,
// and a second one.
func killedAt(t *testing.T, d Dialect, seed uint64, at int64) (killed bool) {
	job := recorderJob{Dialect: d.name, Seed: seed, KillAt: at}
	job.Driver, job.DSN = source(t, d)
	h := newHistory(t, d, connect(t, job.Driver, job.DSN), seed)
	calls := h.callsIn(0)

	job.From, killed = job.run(t)
	if killed {
		job.KillAt = 0
		job.From, _ = job.run(t)
	}
	require.Equal(t, len(calls), job.From)
	h.clock.Time = time.Unix(calls[len(calls)-1].at, 0)
	h.compareAll()
	return killed
}

// Processes record the same and different persons at once, one of two is killed now and
// then: no update is lost, and no collision reaches a caller.
func TestProcessesAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		for _, processes := range []int{2, 4} {
			t.Run(fmt.Sprint(processes), func(t *testing.T) {
				job := recorderJob{Dialect: d.name, Seed: rand.Uint64()}
				job.Driver, job.DSN = source(t, d)
				t.Logf("seed %d", job.Seed)
				h := newHistory(t, d, connect(t, job.Driver, job.DSN), job.Seed)
				calls := h.callsIn(1)

				var all sync.WaitGroup
				for n := range processes {
					all.Go(func() {
						mine := job
						mine.Order = n + 1
						if n%2 == 1 {
							mine.KillAt = 100 + rand.Int64N(400)
							mine.From, _ = mine.run(t)
							mine.KillAt = 0
						}
						next, _ := mine.run(t)
						assert.Equal(t, len(calls), next)
					})
				}
				all.Wait()
				h.compareAll()
			})
		}
	})
}

// codesToMake is how many channels TestKilledEnsureAllMakesEachCodeOnce ensures. All that
// an account can have, in some minutes:
//
//	CHANNELS_CODES=100000 go test -run TestKilledEnsureAll -timeout 0 .
func codesToMake(t *testing.T) int { return fromEnv(t, "CHANNELS_CODES", 100) }

var testCredentials = wechatqr.Credentials{
	AppID: "wx0123456789abcdef", AppSecret: "0123456789abcdef0123456789abcdef",
}

func ensureCodes(t *testing.T, d Dialect, db *sql.DB, baseURL string) {
	client, err := wechatqr.New(testCredentials, wechatqr.WithBaseURL(baseURL))
	require.NoError(t, err)
	l, err := Open(t.Context(), db, d, testConfig)
	require.NoError(t, err)
	all := func(yield func(Channel) bool) {
		for n := range codesToMake(t) {
			if !yield(Channel{Key: fmt.Sprint("shop", n)}) {
				return
			}
		}
	}
	for _, err := range l.EnsureAll(t.Context(), client, all) {
		require.NoError(t, err)
	}
}

// maxKills is how often the process is killed that makes codes. A creation that was cut off
// may have succeeded: it is repeated with the same scene, and WeChat counts it again.
const maxKills = 10

// Whatever kills the process on the way, each channel has one scene at WeChat, and when
// all have theirs WeChat is asked for none.
func TestKilledEnsureAllMakesEachCodeOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		codes := codesToMake(t)
		wx := wechatqrtest.Start(t, wechatqrtest.WithCredentials(testCredentials),
			wechatqrtest.WithPermanentLimit(codes+maxKills))
		job := recorderJob{Dialect: d.name, BaseURL: wx.URL()}
		job.Driver, job.DSN = source(t, d)
		const create = "/cgi-bin/qrcode/create"
		wx.SetQuota(wechatqrtest.Quota{Path: create, Daily: codes + maxKills})
		kills := 0
		for killed := true; killed; {
			job.KillAt = int64(2*codes + rand.IntN(8*codes))
			if kills == maxKills {
				job.KillAt = 0
			}
			if _, killed = job.run(t); killed {
				kills++
			}
		}
		assert.Positive(t, kills)

		scenes := map[string]bool{}
		for _, code := range wx.QRCodes() {
			scenes[code.Scene()] = true
		}
		assert.Len(t, scenes, codes)
		asked := wx.Count(create)
		assert.LessOrEqual(t, asked, codes+kills)
		job.KillAt = 0
		_, killed := job.run(t)
		assert.False(t, killed)
		assert.Equal(t, asked, wx.Count(create))
	})
}
