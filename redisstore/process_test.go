package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/redisstore"
)

// childEnv tells this program to be one of the servers of a test.
const childEnv = "REDISSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // of Redis' failures
	redis.SetLogger(silent{})
	if child := os.Getenv(childEnv); child != "" {
		if err := runChild([]byte(child)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// role is what a child process is to be.
type role struct {
	Redis   string
	WeChat  string
	Classic bool
	Workers int           // goroutines that call the API
	Pace    time.Duration // between the calls of each
	Timeout time.Duration // of a call, if it has one of its own
	Handle  string        // set for a server of pushes: where it does what there is to do with one
	Name    string        // its User-Agent
}

// seen is what a process noticed since the last time it was asked.
type seen struct {
	Calls, Failed int
	Error         string        // of the first call that failed
	Longest       time.Duration // of the calls
	StoreFailures int           // which cost sharing: the process may fetch for itself
	Stalls        int           // for which the machine kept it from renewing a lease
	Addr          string        // where it listens, if it does
}

func (s *seen) add(o seen) {
	s.Calls += o.Calls
	s.Failed += o.Failed
	if s.Error == "" {
		s.Error = o.Error
	}
	s.Longest = max(s.Longest, o.Longest)
	s.StoreFailures += o.StoreFailures
	s.Stalls += o.Stalls
}

// fetches is how often a token may be asked for where it need be n times. A
// machine that is late may let operations of the store fail, of 200 ms each, or
// a lease end: that costs a fetch, and no call.
func (s *seen) fetches(n int) int { return n + s.StoreFailures + s.Stalls }

func runChild(config []byte) error {
	var r role
	if err := json.Unmarshal(config, &r); err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: r.Redis})
	defer rdb.Close()
	store, err := redisstore.New(rdb)
	if err != nil {
		return err
	}
	if r.Handle != "" {
		return servePushes(r, store)
	}
	w, err := newWorker(r, store)
	if err != nil {
		return err
	}
	return w.serve(os.Stdin, os.Stdout)
}

// worker is a server that calls WeChat's API.
type worker struct {
	role   role
	client *wechatqr.Client

	mu   sync.Mutex
	seen seen
}

func newWorker(r role, store *redisstore.Store) (*worker, error) {
	w := &worker{role: r}
	var err error
	w.client, err = newClient(store, r.WeChat, r.Classic,
		wechatqr.WithUserAgent(r.Name), wechatqr.WithLogger(slog.New(w)))
	return w, err
}

// Enabled, Handle, WithAttrs and WithGroup make a worker the handler of its
// client's log: it counts the store's failures.
func (w *worker) Enabled(context.Context, slog.Level) bool { return true }

func (w *worker) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "wechatqr: the token store failed") {
		w.note(seen{StoreFailures: 1})
	}
	return nil
}

func (w *worker) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *worker) WithGroup(string) slog.Handler      { return w }

func (w *worker) note(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.add(s)
}

// call is one of the goroutine's calls, by whose number the fake tells it from others.
func (w *worker) call(goroutine int) {
	ctx := context.Background()
	if w.role.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.role.Timeout)
		defer cancel()
	}
	start := time.Now()
	err := w.client.Do(ctx, wechatqr.Request{
		Method: http.MethodGet, Path: "/cgi-bin/getcallbackip",
		Query: url.Values{"goroutine": {strconv.Itoa(goroutine)}},
	}, nil)
	s := seen{Calls: 1, Longest: time.Since(start)}
	if err != nil {
		s.Failed, s.Error = 1, err.Error()
	}
	w.note(s)
}

// serve obeys the test: "burst" calls once from each goroutine, "load" goes on
// calling, and what was seen is the response to each line.
func (w *worker) serve(in io.Reader, out io.Writer) error {
	go watchStalls(w.note)
	enc := json.NewEncoder(out)
	_ = enc.Encode(seen{}) // ready
	r := w.role
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case "burst":
			var wg sync.WaitGroup
			for i := range r.Workers {
				wg.Go(func() { w.call(i) })
			}
			wg.Wait()
		case "load":
			for i := range r.Workers {
				go func() {
					for {
						w.call(i)
						time.Sleep(r.Pace/2 + rand.N(r.Pace))
					}
				}()
			}
		}
		w.mu.Lock()
		s := w.seen
		w.seen = seen{}
		w.mu.Unlock()
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

// watchStalls counts how often this process gets the processor too late for a
// lease of a second, which is renewed a few times within it.
func watchStalls(note func(seen)) {
	const nap, late = 5 * time.Millisecond, 500 * time.Millisecond
	for {
		start := time.Now()
		time.Sleep(nap)
		if time.Since(start) > late {
			note(seen{Stalls: 1})
		}
	}
}

// process is a child of the test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	addr   string
	stderr bytes.Buffer
	killed bool
}

func startProcess(t *testing.T, r role) *process {
	t.Helper()
	config, err := json.Marshal(r)
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewScanner(out)
	require.NoError(t, p.cmd.Start())
	return p
}

// startProcesses starts n of a role, named 0, 1, …, and waits until they are ready.
func startProcesses(t *testing.T, n int, r role) []*process {
	t.Helper()
	ps := make([]*process, n)
	for i := range ps {
		r.Name = strconv.Itoa(i)
		ps[i] = startProcess(t, r)
	}
	t.Cleanup(func() { end(ps) })
	for _, p := range ps {
		p.addr = p.read().Addr
	}
	return ps
}

// end lets the processes end, and sees that they do so without a complaint:
// the race detector's counts.
func end(ps []*process) {
	for _, p := range ps {
		_ = p.in.Close()
	}
	for _, p := range ps {
		timer := time.AfterFunc(settles, func() { _ = p.cmd.Process.Kill() })
		if err := p.cmd.Wait(); err != nil && !p.killed {
			p.t.Errorf("a server of the test: %v\n%s", err, p.stderr.String())
		}
		timer.Stop()
	}
}

func (p *process) kill() {
	p.killed = true
	p.signal(syscall.SIGKILL)
}

func (p *process) signal(sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Error(err)
	}
}

func (p *process) tell(line string) {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Error(err)
	}
}

func (p *process) read() (s seen) {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("a server of the test ended\n%s", p.stderr.String())
	}
	if err := json.Unmarshal(p.out.Bytes(), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// ask tells all of them to do something, at once, and adds up what they saw.
func ask(ps []*process, line string) (total seen) {
	for _, p := range ps {
		p.tell(line)
	}
	for _, p := range ps {
		total.add(p.read())
	}
	return total
}
