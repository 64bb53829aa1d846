//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// memory is what a process uses: of the heap, what lives after a collection.
type memory struct{ rss, heap, objects, goroutines int64 }

const memoryForm = "memory: %d bytes in %d objects, %d goroutines\n"

var memoryLine = regexp.MustCompile(`memory: (\d+) bytes in (\d+) objects, (\d+) goroutines\n`)

// reportMemory has the process tell of its memory at each SIGUSR1.
func reportMemory() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for range asked {
		runtime.GC()
		runtime.GC() // what sync.Pool keeps through one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(os.Stderr, memoryForm, m.HeapAlloc, m.HeapObjects, runtime.NumGoroutine())
	}
}

func (p *process) memory(t *testing.T) (m memory) {
	t.Helper()
	told := len(memoryLine.FindAllString(p.stderr.String(), -1))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGUSR1))
	var found [][]string
	waitFor(t, "the memory", func() bool {
		found = memoryLine.FindAllStringSubmatch(p.stderr.String(), -1)
		return len(found) > told
	})
	last := found[len(found)-1]
	for i, to := range []*int64{&m.heap, &m.objects, &m.goroutines} {
		var err error
		*to, err = strconv.ParseInt(last[i+1], 10, 64)
		require.NoError(t, err)
	}
	m.rss = residentKB(p.cmd.Process.Pid) << 10
	return m
}

// residentKB is 0 where there is no /proc.
func residentKB(pid int) (kb int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, text, _ := strings.Cut(string(status), "VmRSS:")
	_, _ = fmt.Sscan(text, &kb)
	return kb
}

// pushesOfTheDay is how many pushes TestMemoryOfADay sends. Those of a day on which one
// comes each second, in some minutes:
//
//	CHANNELD_PUSHES=86400 go test -run TestMemoryOfADay -v -timeout 0 .
func pushesOfTheDay(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CHANNELD_PUSHES")
	if text == "" {
		return 3200
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// A day's pushes, with people who look on, a webhook for alerts, tags and a welcome text,
// leave no objects behind in memory: not one for two pushes. How many bytes depends on the
// machine's speed: the IDs of the pushes of eleven minutes are remembered, in few objects.
func TestMemoryOfADay(t *testing.T) {
	t.Parallel()
	d := newDay(t)
	const intervals = 8
	number := pushesOfTheDay(t) / intervals
	fmt.Println("| pushes | RSS, MB | heap, MB | objects | goroutines |")
	var half memory
	for n := range intervals {
		d.pushes(t, n*number, number)
		d.lookOn(t)
		m := d.process.memory(t)
		fmt.Printf("| %6d | %7.1f | %8.1f | %7d | %10d |\n", (n+1)*number,
			float64(m.rss)/(1<<20), float64(m.heap)/(1<<20), m.objects, m.goroutines)
		if n == intervals/2-1 {
			half = m
		}
	}
	afternoon := int64(number * intervals / 2)
	waitFor(t, "as many objects and goroutines as at noon", func() bool {
		m := d.process.memory(t)
		return m.objects < half.objects+afternoon/2 && m.goroutines < half.goroutines+10
	})
}

// day is a process that pushes are sent to, and who is signed in to it.
type day struct {
	wx      *wechatqrtest.Server
	process *process
	browser *http.Client
	tickets []string
}

func newDay(t *testing.T) *day {
	t.Helper()
	d := &day{wx: wechatqrtest.Start(t, wechatqrtest.WithPushTimeout(time.Minute))}
	d.process = start(t, d.wx, t.TempDir(), "-listen", freeAddress(t))
	d.browser = d.process.firstVisit(t)
	status, _, draft := upload(t, d.browser, d.process.origin+"/make", "file", "list.csv",
		[]byte("k-0,店,\nk-1,店,\nk-2,店,\n"))
	require.Equal(t, http.StatusSeeOther, status)
	_, _ = post(t, d.browser, d.process.origin+draft+"/start", nil)
	waitFor(t, "the codes", func() bool { return len(d.wx.QRCodes()) == 3 })
	for _, code := range d.wx.QRCodes() {
		d.tickets = append(d.tickets, code.Ticket)
	}

	robot := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(robot.Close)
	for path, form := range map[string]url.Values{
		"/channels/k-0/tag":      {"tag": {"来客"}},
		"/channels/k-0/welcome":  {"text": {"欢迎"}},
		"/settings/webhooks/add": {"title": {"群"}, "kind": {"json"}, "address": {robot.URL}},
	} {
		status, _ = post(t, d.browser, d.process.origin+path, form)
		require.Equal(t, http.StatusSeeOther, status, path)
	}
	for range 5 {
		d.watch(t)
	}
	return d
}

// watch opens a live stream and reads it until the test ends.
func (d *day) watch(t *testing.T) {
	t.Helper()
	resp := d.stream(t, t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, resp.Body) })
	t.Cleanup(func() {
		_ = resp.Body.Close()
		reading.Wait()
	})
}

func (d *day) stream(t *testing.T, ctx context.Context) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.process.origin+"/live", nil)
	require.NoError(t, err)
	client := &http.Client{Jar: d.browser.Jar} // without the timeout
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp
}

// lookOn opens pages, and streams that it closes again.
func (d *day) lookOn(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/", "/channels", "/channels/k-0", "/reconcile", "/settings"} {
		status, _ := get(t, d.browser, d.process.origin+path)
		assert.Equal(t, http.StatusOK, status, path)
	}
	for range 10 {
		_ = d.stream(t, t.Context()).Body.Close()
	}
}

// pushes sends a number of them, from the first on: of four persons one leaves, and every
// fourth push is a repetition.
func (d *day) pushes(t *testing.T, first, number int) {
	t.Helper()
	next := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range next {
				d.person(t, n)
			}
		})
	}
	for n := first; n < first+number; n += 4 {
		next <- n
	}
	close(next)
	all.Wait()
}

// person makes four pushes.
func (d *day) person(t *testing.T, n int) {
	ctx, who := t.Context(), fmt.Sprint("o-somebody-", n)
	ticket := d.tickets[n/4%len(d.tickets)]
	_, err := d.wx.Scan(ctx, ticket, who)
	assert.NoError(t, err)
	push, err := d.wx.Scan(ctx, ticket, who)
	assert.NoError(t, err)
	_, err = d.wx.Push(ctx, push.Event)
	assert.NoError(t, err)
	if n%16 == 0 {
		_, err = d.wx.Unfollow(ctx, who)
	} else {
		_, err = d.wx.Scan(ctx, ticket, who)
	}
	assert.NoError(t, err)
}
