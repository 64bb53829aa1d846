package channels

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// senders is how many pushes are under way at once where the load is what can be had.
const senders = 64

var callback = events.Config{
	AppID: "wx1", Token: "spamtest", EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
}

// recorder answers a push after the ledger has committed it.
func (s *scale) recorder() http.Handler {
	done := func(context.Context, *wechatqr.Event) (events.Reply, error) { return nil, nil }
	handler, err := events.NewHandler(callback, s.ledger.Record(done))
	require.NoError(s.t, err)
	return handler
}

// bare answers after it has committed the rows of a new follower, which it inserts without
// reading anything: the floor. What comes meanwhile shares a commit, as in the ledger.
type bare struct {
	scale    *scale
	channels []int64 // ids
	random   *rand.Rand

	mu      sync.Mutex
	waiting []chan error
	running bool
	next    int64 // number of a person
}

func (b *bare) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	done := make(chan error, 1)
	b.mu.Lock()
	b.waiting = append(b.waiting, done)
	if !b.running {
		b.running = true
		go b.commitAll()
	}
	b.mu.Unlock()
	if err := <-done; err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (b *bare) commitAll() {
	for {
		b.mu.Lock()
		batch := b.waiting[:min(len(b.waiting), maxGroup)]
		b.waiting = b.waiting[len(batch):]
		b.running = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := b.insert(len(batch))
		for _, done := range batch {
			done <- err
		}
	}
}

func (b *bare) insert(n int) error {
	w, now := newWriter(nil), time.Now().Unix()
	for range n {
		b.next++
		row := b.channels[b.scale.anyChannel(b.random)]
		e := event{at: now, kind: subscribe, scene: textID(fmt.Sprint(row)),
			ticket: 1 << 30, row: row}
		l := life{
			events: []event{e}, follows: []follow{{start: now, began: asNew, row: row}},
		}
		p := personRow{person{id: b.next}, b.scale.ledger.hash(fmt.Sprint("bare", b.next))}
		compareRows(&w.people, nil, []personRow{p})
		compareRows(&w.events, nil, l.eventRows(p.id))
		compareRows(&w.follows, nil, l.followRows(p.id))
		compareRows(&w.hours, nil, hourRows(p.id, l.tally()))
		w.totals.count(l.tally(), 1)
	}
	return b.scale.ledger.transact(b.scale.t.Context(), func(t *tx) error {
		w.subjects = &subjects{t: t}
		return w.write(b.scale.t.Context())
	})
}

// newBare inserts persons beyond those of the ledger.
func (s *scale) newBare() *bare {
	highest := s.count("SELECT COALESCE(MAX(person), 0) FROM channels_events")
	b := &bare{
		scale: s, next: max(highest, 1<<40), random: rand.New(rand.NewPCG(uint64(s.started), 3)),
	}
	read := &tx{&s.ledger.dialect, s.ledger.db}
	require.NoError(s.t, read.rows(s.t.Context(), func(rows *sql.Rows) error {
		b.channels = append(b.channels, 0)
		return rows.Scan(&b.channels[len(b.channels)-1])
	}, "SELECT id FROM channels_channels ORDER BY id"))
	return b
}

// follows are signed pushes of n new followers.
func (s *scale) follows(n int) (requests []*http.Request) {
	r := rand.New(rand.NewPCG(uint64(s.started), uint64(s.followers)))
	for range n {
		s.followers++
		requests = append(requests, wechatqrtest.NewRequest(callback, wechatqr.Event{
			FromUserName: fmt.Sprintf("new-%d-%d", s.started, s.followers),
			Type:         wechatqr.EventSubscribe, EventKey: "qrscene_" + s.scene(s.anyChannel(r)),
			Ticket: "ticket", CreateTime: time.Now(),
		}))
	}
	return requests
}

// answer has the handler answer the request.
func answer(t testing.TB, h http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// throughput has so many senders send the requests, each the next when one is answered.
func throughput(t testing.TB, h http.Handler, requests []*http.Request) time.Duration {
	next := make(chan *http.Request, len(requests))
	for _, r := range requests {
		next <- r
	}
	close(next)
	start := time.Now()
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for r := range next {
				answer(t, h, r)
			}
		})
	}
	all.Wait()
	return time.Since(start) / time.Duration(len(requests))
}

// latencies sends the requests at a steady rate, whether earlier ones are answered or
// not, and counts from when each was due.
func latencies(t testing.TB, h http.Handler, requests []*http.Request, rate int) []time.Duration {
	all := make([]time.Duration, len(requests))
	start := time.Now()
	var sent sync.WaitGroup
	for i, r := range requests {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		sent.Go(func() {
			answer(t, h, r)
			all[i] = time.Since(due)
		})
	}
	sent.Wait()
	slices.Sort(all)
	return all
}

// measureRecording compares the handler with the floor, in turns.
func (s *scale) measureRecording() {
	n, rate := min(s.events/100, 3_000), min(s.events/200, 1_000)
	s.ledger.now = time.Now
	recorder, floor := s.recorder(), s.newBare()
	var ratios, each, floors, processor []float64
	for range min(1+s.events/500_000, 9) {
		floor := throughput(s.t, floor, s.follows(n)).Seconds()
		requests, used := s.follows(n), processorTime(s.t)
		recorded := throughput(s.t, recorder, requests).Seconds()
		processor = append(processor, (processorTime(s.t)-used).Seconds()/float64(n))
		ratios = append(ratios, floor/recorded)
		each, floors = append(each, recorded), append(floors, floor)
	}
	s.line("recorded, 64 at once", fmt.Sprintf("%.0f/s, CPU %.0f µs each",
		1/median(each), 1e6*median(processor)))
	s.line("bare inserts, likewise", fmt.Sprintf("%.0f/s", 1/median(floors)))
	s.line("recorded of bare", fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios),
		slices.Min(ratios), slices.Max(ratios)))

	for _, h := range []struct {
		name string
		http.Handler
	}{{"bare inserts", floor}, {"recorded", recorder}} {
		all := latencies(s.t, h.Handler, s.follows(rate*min(1+s.events/1_000_000, 10)), rate)
		s.line(fmt.Sprintf("%s, %d/s: p50, p99", h.name, rate), fmt.Sprintf("%v, %v",
			all[len(all)/2].Round(10*time.Microsecond),
			all[len(all)*99/100].Round(10*time.Microsecond)))
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
