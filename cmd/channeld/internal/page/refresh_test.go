package page

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// slowReads is a driver.Connector whose reports take their time after they have read: a
// transaction that only reads ends by ROLLBACK.
type slowReads struct {
	*sql.DB // which says how to connect
	dsn     string
	takes   time.Duration
	reports atomic.Int64 // that have been read
}

func (s *slowReads) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.Driver().Open(s.dsn)
	return slowConn{conn, s}, err
}

type slowConn struct {
	driver.Conn
	reads *slowReads
}

func (c slowConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Result, error) {
	if query == "ROLLBACK" {
		c.reads.reports.Add(1)
		time.Sleep(c.reads.takes)
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// readSlowly has each report take so long.
func (d *desk) readSlowly(takes time.Duration) *slowReads {
	d.t.Helper()
	var index, name, path string
	list := d.Store.DB().QueryRowContext(d.t.Context(), "PRAGMA database_list")
	require.NoError(d.t, list.Scan(&index, &name, &path))
	reads := &slowReads{
		DB: d.Store.DB(), dsn: path + "?_pragma=busy_timeout(5000)", takes: takes,
	}
	db := sql.OpenDB(reads)
	d.t.Cleanup(func() { assert.NoError(d.t, db.Close()) })
	ledger, err := channels.Open(d.t.Context(), db, d.Store.Dialect(), channels.Config{
		AppID: "wx0123456789abcdef", PersonKey: []byte("0123456789abcdef"), Location: shanghai,
		KeepAfterUnfollow: 30 * 24 * time.Hour,
	})
	require.NoError(d.t, err)
	d.Ledger = ledger
	reads.reports.Store(0)
	return reads
}

var newFollowers = regexp.MustCompile(`<dd>(\d+)</dd>`)

// refresh is what an open page asks for, and how many new followers it shows then.
func (d *desk) refresh(ctx context.Context, v web.Visitor, language string) int {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", language)
	r.Header.Set("X-Refresh", "1")
	w := httptest.NewRecorder()
	d.handler(v).ServeHTTP(w, r)
	match := newFollowers.FindStringSubmatch(w.Body.String())
	if !assert.Equal(d.t, http.StatusOK, w.Code) || !assert.NotNil(d.t, match) {
		return -1
	}
	n, err := strconv.Atoi(match[1])
	assert.NoError(d.t, err)
	return n
}

// reportsOfToday are those that one reading of the page takes.
const reportsOfToday = 4

// On a busy day the numbers are read once a second, however many look at them, and every page
// moves each second.
func TestOneReadingServesAllViewers(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-7", "", "华东")
		const viewers, seconds = 20, 5
		reads := d.readSlowly(40 * time.Millisecond)
		ends := time.Now().Add(seconds * time.Second)
		var all sync.WaitGroup
		for i := range viewers {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 43 * time.Millisecond)
				language := []string{"zh", "en"}[i%2]
				seen := 0
				for n := 0; time.Now().Before(ends); n++ {
					now := d.refresh(t.Context(), viewer, language)
					assert.True(t, now > seen || n == 0, "a page moves at each refresh")
					seen = now
				}
				assert.GreaterOrEqual(t, seen, 9*seconds, "the page tells of the last second")
			})
		}
		for n := range 10 * seconds {
			d.follow(fmt.Sprint("o-", n), "sh-7", time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		readings := int(reads.reports.Load()) / reportsOfToday
		assert.GreaterOrEqual(t, readings, seconds)
		assert.LessOrEqual(t, readings, seconds+2)
	})
}

// A refresh tells of each push that was answered before it was asked for, also if others
// wait for a reading that began before that push.
func TestARefreshIsNeverOlderThanItsRequest(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-7", "", "")
		reads := d.readSlowly(400 * time.Millisecond)
		var all sync.WaitGroup
		for i := range 30 { // every 0.1 s a push, and then somebody who asks
			d.follow(fmt.Sprint("o-", i), "sh-7", time.Now())
			all.Go(func() {
				assert.Greater(t, d.refresh(t.Context(), viewer, "en"), i)
			})
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		assert.LessOrEqual(t, int(reads.reports.Load()), 5*reportsOfToday)
	})
}

// The first refresh after a second without one, and a page that is opened, wait for nobody.
func TestARefreshAloneIsAtOnce(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		const takes = 40 * time.Millisecond
		d.readSlowly(takes)
		lasts := func(ask func()) time.Duration {
			began := time.Now()
			ask()
			return time.Since(began)
		}
		refresh := func() { d.refresh(t.Context(), viewer, "en") }
		open := func() { d.get(viewer, "/", "en") }
		assert.Equal(t, takes, lasts(refresh), "the first")
		assert.Equal(t, takes, lasts(open), "a page that is opened")
		assert.Equal(t, time.Second-takes, lasts(refresh), "the next, a second after the first")
		time.Sleep(time.Second)
		assert.Equal(t, takes, lasts(refresh), "one after a while")
	})
}

// Who sees one group gets its numbers, and waits for nobody else; who goes away takes the
// numbers from nobody.
func TestARefreshIsOfWhatTheVisitorSees(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-7", "", "华东")
		d.channel("gz-1", "", "华南")
		for i, key := range []string{"sh-7", "sh-7", "gz-1"} {
			d.follow(fmt.Sprint("o-", i), key, time.Now())
		}
		reads := d.readSlowly(40 * time.Millisecond)
		var log bytes.Buffer
		d.Logger = slog.New(slog.NewTextHandler(&log, nil))
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		ask := func(v web.Visitor, want int) {
			all.Go(func() { assert.Equal(t, want, d.refresh(t.Context(), v, "en")) })
		}
		all.Go(func() {
			r := httptest.NewRequestWithContext(gone, http.MethodGet, "/", nil)
			r.Header.Set("X-Refresh", "1")
			d.handler(viewer).ServeHTTP(httptest.NewRecorder(), r)
		})
		time.Sleep(10 * time.Millisecond) // its reading has begun
		ask(viewer, 3)
		ask(admin, 3)
		for group, want := range map[string]int{"华东": 2, "华南": 1} {
			ask(web.Visitor{Role: web.Guest, Scope: web.Scope{Group: group}}, want)
		}
		leave()
		all.Wait()
		assert.Equal(t, int64(4*reportsOfToday), reads.reports.Load())
		assert.Empty(t, log.String(), "a page that was closed is no fault")
	})
}
