//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/testdb"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// balancer passes requests on to the processes in turn, also to one that is dead.
type balancer struct {
	*httptest.Server
	mu      sync.Mutex
	targets []string // host:port
	next    int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	b.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", b.target()
		},
		ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(b.Close)
	return b
}

func (b *balancer) target() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return b.targets[b.next%len(b.targets)]
}

func (b *balancer) setTargets(targets []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = targets
}

// cluster is processes on one database behind a balancer.
type cluster struct {
	wx       *wechatqrtest.Server
	balancer *balancer
	db       string
	members  []*member
	made     atomic.Int64 // calls that make a code
	answered atomic.Int64 // pushes
}

// member is a process of the cluster.
type member struct {
	*process
	listen string
	made   atomic.Int64 // calls of this process that make a code
}

const (
	sharedKey  = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	createPath = "/cgi-bin/qrcode/create"
	firstCodes = 5 // that are made before anybody scans
)

func newCluster(t *testing.T, server *testdb.Server) *cluster {
	t.Helper()
	c := &cluster{
		wx: wechatqrtest.Start(t), balancer: newBalancer(t), db: server.NewDatabase(t).URL,
	}
	callback := c.wx.Callback()
	callback.URL = c.balancer.URL + callbackPath
	require.NoError(t, c.wx.SetCallback(callback))
	return c
}

// launch starts another process, which is not among the balancer's yet.
func (c *cluster) launch(t *testing.T) *member {
	t.Helper()
	m := &member{listen: freeAddress(t)}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == createPath {
			m.made.Add(1)
			c.pace(r.Context(), c.made.Add(1))
		}
		c.wx.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	m.process = program(t, c.wx, t.TempDir(), "-listen", m.listen, "-origin", c.balancer.URL,
		"-db", c.db, "-api", api.URL, "-keep", "720h")
	m.cmd.Env = append(m.cmd.Env, "PERSON_KEY="+sharedKey)
	m.process.launch(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.stderr.String())
		}
	})
	c.members = append(c.members, m)
	return m
}

// pace makes codes no faster than pushes are answered, so that both are half done when a
// process is killed.
func (c *cluster) pace(ctx context.Context, made int64) {
	for made > firstCodes && c.answered.Load() < made && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
}

// serve has the balancer know the processes, once they listen, and no other.
func (c *cluster) serve(t *testing.T) {
	t.Helper()
	var targets []string
	for _, m := range c.members {
		m.await(t)
		targets = append(targets, m.listen)
	}
	c.balancer.setTargets(targets)
}

// killMaker kills the process that makes the codes.
func (c *cluster) killMaker(t *testing.T) {
	t.Helper()
	i := slices.IndexFunc(c.members, func(m *member) bool { return m.made.Load() > 0 })
	require.GreaterOrEqual(t, i, 0)
	require.NoError(t, c.members[i].cmd.Process.Kill())
	<-c.members[i].ended
	c.members = slices.Delete(c.members, i, i+1)
}

// compare opens a page at each process for which it asks WeChat.
func (c *cluster) compare(t *testing.T, browser *http.Client) {
	t.Helper()
	for _, m := range c.members {
		status, _ := get(t, browser, "http://"+m.listen+"/reconcile")
		assert.Equal(t, http.StatusOK, status, "who signed in at one is signed in at all")
	}
}

// push delivers an event until it is answered with success, as often as that takes, and
// then once more if WeChat is to repeat itself.
func (c *cluster) push(t *testing.T, repeat bool, push wechatqrtest.Push, err error) {
	for n := 0; ; n++ {
		for err != nil && t.Context().Err() == nil {
			push, err = c.wx.Push(t.Context(), push.Event)
		}
		assert.NoError(t, err)
		if n > 0 || !repeat {
			break
		}
		_, err = c.wx.Push(t.Context(), push.Event)
	}
	c.answered.Add(1)
}

// visit has somebody follow; every second one scans again, every third one leaves, and half
// of those return. It returns what is to be counted.
func (c *cluster) visit(t *testing.T, i int, ticket string) channels.Counts {
	who, n := fmt.Sprint("o-visitor-", i), channels.Counts{Scanners: 1}
	scan := func(what *int64) {
		push, err := c.wx.Scan(t.Context(), ticket, who)
		c.push(t, i%4 == 0, push, err)
		n.Scans++
		*what++
	}
	scan(&n.New)
	if i%2 == 0 {
		scan(&n.FollowerScans)
	}
	if i%3 == 0 {
		push, err := c.wx.Unfollow(t.Context(), who)
		c.push(t, i%5 == 0, push, err)
		n.Lost++
	}
	if i%6 == 0 {
		scan(&n.Returning)
	}
	n.HeldEnd = n.Net()
	return n
}

// visitAll has everybody come, half of them after killed is closed, and returns what is to
// be counted of each ticket.
func (c *cluster) visitAll(
	t *testing.T, persons int, tickets []string, killed <-chan struct{},
) map[string]channels.Counts {
	var mu sync.Mutex
	want := map[string]channels.Counts{}
	next := make(chan int)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range next {
				ticket := tickets[i%len(tickets)]
				n := c.visit(t, i, ticket)
				mu.Lock()
				want[ticket] = plus(want[ticket], n)
				mu.Unlock()
			}
		})
	}
	for i := range persons {
		if i == persons/2 {
			select {
			case <-killed:
			case <-t.Context().Done():
			}
		}
		next <- i
	}
	close(next)
	all.Wait()
	return want
}

func plus(a, b channels.Counts) channels.Counts {
	a.Scans += b.Scans
	a.Scanners += b.Scanners
	a.FollowerScans += b.FollowerScans
	a.New += b.New
	a.Returning += b.Returning
	a.Lost += b.Lost
	a.HeldEnd += b.HeldEnd
	return a
}

// exported is what the process exports, by the channel's key, and the account's by "".
func exported(t *testing.T, browser *http.Client, m *member) map[string]channels.Counts {
	t.Helper()
	now := time.Now()
	dayFrom := func(n int) string { return now.AddDate(0, 0, n).Format("2006-01-02") }
	status, body := get(t, browser, "http://"+m.listen+"/export/channels.json?from="+dayFrom(-1)+
		"&to="+dayFrom(1))
	require.Equal(t, http.StatusOK, status)
	var report struct {
		Rows  []channels.Row
		Total channels.Counts
	}
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	counts := map[string]channels.Counts{"": report.Total}
	for _, row := range report.Rows {
		counts[row.Channel.Key] = row.Counts
	}
	return counts
}

// makeCodes has the codes of a list made, and returns the address of the job.
func (c *cluster) makeCodes(t *testing.T, browser *http.Client, number int) (job string) {
	t.Helper()
	var list strings.Builder
	for n := range number {
		fmt.Fprintf(&list, "k-%d,店 %d,批量\n", n, n)
	}
	status, _, draft := upload(t, browser, c.balancer.URL+"/make", "file", "list.csv",
		[]byte(list.String()))
	require.Equal(t, http.StatusSeeOther, status)
	status, job = post(t, browser, c.balancer.URL+draft+"/start", nil)
	require.Equal(t, http.StatusSeeOther, status)
	return job
}

// Processes on one database serve callback and pages together. One of them is killed while
// pushes come and while it makes codes: nothing is lost or counted twice, the others finish
// its list, and they share the access token and who is signed in.
func TestServersShareADatabase(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*testdb.Server{
		"PostgreSQL": testdb.PostgreSQL, "MariaDB": testdb.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			testCluster(t, newCluster(t, server))
		})
	}
}

func testCluster(t *testing.T, c *cluster) {
	const persons, codes, servers = 300, 300, 3
	for range servers { // at the same moment, on an empty database
		c.launch(t)
	}
	c.serve(t)
	browser := c.members[0].firstVisit(t)
	c.compare(t, browser)
	job := c.makeCodes(t, browser, codes)
	tickets, keys := c.firstTickets(t)

	killed, sent := make(chan struct{}), map[string]channels.Counts{}
	var pushing sync.WaitGroup
	t.Cleanup(pushing.Wait)
	pushing.Go(func() { sent = c.visitAll(t, persons, tickets, killed) })
	waitFor(t, "pushes", func() bool { return c.answered.Load() >= persons/3 })
	c.killMaker(t)
	require.Less(t, len(c.wx.QRCodes()), codes, "it was killed on the way")
	c.launch(t)
	c.serve(t)
	close(killed)
	pushing.Wait()

	waitFor(t, "the rest of the list", func() bool {
		_, body := get(t, browser, c.balancer.URL+job)
		return strings.Contains(body, "已完成")
	})
	scenes := map[string]bool{}
	for _, code := range c.wx.QRCodes() {
		scenes[code.SceneStr] = true
	}
	assert.Len(t, scenes, codes)
	assert.LessOrEqual(t, len(c.wx.QRCodes()), codes+1, "one may have been in the air")

	want := map[string]channels.Counts{}
	for ticket, n := range sent {
		want[keys[ticket]] = n
		want[""] = plus(want[""], n)
	}
	assert.EqualValues(t, persons, want[""].New)
	for _, m := range c.members {
		assert.Equal(t, want, exported(t, browser, m))
	}
	c.compare(t, browser)
	assert.True(t, c.sharesTheToken(t, browser))
}

// sharesTheToken reports whether a process takes the token of the others from the database.
// Each that begins while there is none may ask WeChat, and so does one that has to wait for
// the database for too long.
func (c *cluster) sharesTheToken(t *testing.T, browser *http.Client) (shared bool) {
	t.Helper()
	for n := 0; n < 5 && !shared; n++ {
		before := c.wx.Count("/cgi-bin/stable_token")
		c.launch(t)
		c.serve(t)
		c.compare(t, browser)
		shared = c.wx.Count("/cgi-bin/stable_token") == before
	}
	return shared
}

// firstTickets waits for the first codes, which are made in the order of the list, and
// returns their tickets with the channels' keys.
func (c *cluster) firstTickets(t *testing.T) (tickets []string, keys map[string]string) {
	t.Helper()
	waitFor(t, "the first codes", func() bool { return len(c.wx.QRCodes()) >= firstCodes })
	keys = map[string]string{}
	for i, code := range c.wx.QRCodes()[:firstCodes] {
		tickets = append(tickets, code.Ticket)
		keys[code.Ticket] = fmt.Sprint("k-", i)
	}
	return tickets, keys
}
