package channels

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// slowCommits is a database whose commits wait first. It has the clock of its bubble.
type slowCommits struct {
	mu    sync.Mutex
	pause time.Duration
}

func (s *slowCommits) set(pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = pause
}

func (s *slowCommits) wait(ctx context.Context, statement string) error {
	s.mu.Lock()
	pause := s.pause
	s.mu.Unlock()
	if statement != "COMMIT" {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

func (s *slowCommits) open(t *testing.T) *sql.DB {
	t.Helper()
	nothing := func(context.Context, string) error { return nil }
	return watch(t, "sqlite", filepath.Join(t.TempDir(), "ledger.db"), s.wait, nothing)
}

// slowRecording is a recording in a bubble, on a database whose commits wait.
func slowRecording(t *testing.T) (*recording, *slowCommits) {
	t.Helper()
	s := &slowCommits{}
	wx := wechatqrtest.Start(t, wechatqrtest.WithoutNetwork())
	return newRecordingOn(t, SQLite, s.open(t), wx), s
}

// scanAt has somebody scan and follow after a while, and returns what became of the push.
func (r *recording) scanAt(t *testing.T, after time.Duration, who string) wechatqrtest.Push {
	t.Helper()
	time.Sleep(after)
	push, err := r.wx.Scan(t.Context(), r.code.Ticket.Value, who)
	assert.NoError(t, err)
	return push
}

// While each commit takes 3 s every response leaves within WeChat's 5 s, and every push
// counts once.
func TestSlowDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, database := slowRecording(t)
		database.set(3 * time.Second)
		const people = 60
		var all sync.WaitGroup
		for n := range people {
			all.Go(func() {
				after := time.Duration(rand.Int64N(int64(30 * time.Second)))
				push := r.scanAt(t, after, fmt.Sprint("person", n))
				for _, attempt := range push.Attempts {
					assert.NotZero(t, attempt.Status, "a response in time")
				}
			})
		}
		all.Wait()
		database.set(0)
		want := Counts{Scans: people, Scanners: people, New: people, HeldEnd: people}
		assert.Equal(t, want, r.total(t))
	})
}

// A pause of 3 s, while the database fails over perhaps, fails no delivery.
func TestPauseOfTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, database := slowRecording(t)
		database.set(3 * time.Second)
		time.AfterFunc(time.Second, func() { database.set(0) })
		const people = 60
		var all sync.WaitGroup
		for n := range people {
			all.Go(func() {
				after := time.Duration(rand.Int64N(int64(3 * time.Second)))
				push := r.scanAt(t, after, fmt.Sprint("person", n))
				assert.Len(t, push.Attempts, 1)
			})
		}
		all.Wait()
		want := Counts{Scans: people, Scanners: people, New: people, HeldEnd: people}
		assert.Equal(t, want, r.total(t))
	})
}

// While commits end in a timeout no delivery is answered with success, so that each push
// counts when it is delivered again.
func TestStalledDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, database := slowRecording(t)
		database.set(time.Hour)
		time.AfterFunc(10*time.Second, func() { database.set(0) })
		const people = 20
		var all sync.WaitGroup
		for n := range people {
			all.Go(func() {
				after := time.Duration(rand.Int64N(int64(3 * time.Second)))
				push := r.scanAt(t, after, fmt.Sprint("person", n))
				last := push.Attempts[len(push.Attempts)-1]
				assert.Equal(t, http.StatusOK, last.Status)
			})
		}
		all.Wait()
		want := Counts{Scans: people, Scanners: people, New: people, HeldEnd: people}
		assert.Equal(t, want, r.total(t))
	})
}

// What nobody waits for any longer is not kept until the database is back.
func TestAbandonedEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, database := slowRecording(t)
		database.set(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		next := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				push := newPush(fmt.Sprint("person", n), time.Now(), wechatqr.EventSubscribe, "")
				_, err := r.Record(next)(ctx, push)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		all.Wait()
		database.set(0)
		time.Sleep(time.Minute)
		assert.Zero(t, r.total(t))
	})
}
