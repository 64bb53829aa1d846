package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/redisstore"
)

// childEnv tells this program to be one of the servers of a test.
const childEnv = "REDISSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		if err := runChild([]byte(role)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// role is what a child process is to be.
type role struct {
	Redis   string
	WeChat  string
	Classic bool
	Workers int           // goroutines that call the API
	Pace    time.Duration // between the calls of each
	Handle  string        // set for a server of pushes: where it does what there is to do with one
	Name    string        // its User-Agent
}

// seen is what a process noticed since the last time it was asked.
type seen struct {
	Calls, Failed int
	Error         string        // of the first call that failed
	Wait          time.Duration // the longest for a token
	Stall         time.Duration // the longest by which the machine was late
	Addr          string        // where it listens, if it does
}

func (s *seen) add(o seen) {
	s.Calls += o.Calls
	s.Failed += o.Failed
	if s.Error == "" {
		s.Error = o.Error
	}
	s.Wait = max(s.Wait, o.Wait)
	s.Stall = max(s.Stall, o.Stall)
}

// findings are the failed assertions of one attempt.
type findings struct{ list []string }

func (f *findings) Errorf(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

// onTime runs a scenario that needs the machine to be on time: the library
// gives up on Redis after 200 ms, and on a machine that is later than that
// several processes fetch a token, as they should. Then it is run once more.
func onTime(t *testing.T, scenario func(t *testing.T, check assert.TestingT) seen) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		var f findings
		var mu sync.Mutex
		var own seen
		stop := make(chan struct{})
		go watchStalls(stop, func(s seen) { mu.Lock(); own.add(s); mu.Unlock() })
		s := scenario(t, &f)
		close(stop)
		mu.Lock()
		s.add(own)
		mu.Unlock()
		t.Logf("%d calls; waited %v at most for a token; the machine was late by %v", s.Calls, s.Wait, s.Stall)
		if len(f.list) > 0 && s.Stall > 50*time.Millisecond && attempt < 5 {
			continue
		}
		for _, e := range f.list {
			t.Error(e)
		}
		return
	}
}

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
	tokens wechatqr.TokenSource

	mu   sync.Mutex
	seen seen
}

func newWorker(r role, store *redisstore.Store) (*worker, error) {
	opts := []wechatqr.Option{
		wechatqr.WithEndpoint(wechatqr.Endpoint{API: []string{r.WeChat}}), wechatqr.WithUserAgent(r.Name),
	}
	upstream, err := wechatqr.StableToken(creds, opts...)
	if r.Classic {
		upstream, err = wechatqr.ClassicToken(creds, opts...)
	}
	if err != nil {
		return nil, err
	}
	w := &worker{role: r}
	w.tokens = wechatqr.ReuseTokenSource(wechatqr.StoredTokenSource(store, creds.AppID, upstream))
	w.client, err = wechatqr.New(creds, append(opts, wechatqr.WithTokenSource(w))...)
	return w, err
}

// Token is the process' source with a stop-watch.
func (w *worker) Token(ctx context.Context) (wechatqr.Token, error) {
	start := time.Now()
	tok, err := w.tokens.Token(ctx)
	w.note(seen{Wait: time.Since(start)})
	return tok, err
}

func (w *worker) Invalidate(ctx context.Context, rejected string) error {
	return w.tokens.(wechatqr.Invalidator).Invalidate(ctx, rejected)
}

func (w *worker) note(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.add(s)
}

func (w *worker) call() {
	s := seen{Calls: 1}
	if err := w.client.Do(context.Background(), wechatqr.Request{Method: http.MethodGet, Path: "/cgi-bin/getcallbackip"}, nil); err != nil {
		s.Failed, s.Error = 1, err.Error()
	}
	w.note(s)
}

// serve obeys the test: "burst" calls once from each goroutine, "load" goes on
// calling, and what was seen is the answer to each line.
func (w *worker) serve(in io.Reader, out io.Writer) error {
	go watchStalls(nil, w.note)
	enc := json.NewEncoder(out)
	_ = enc.Encode(seen{}) // ready
	r := w.role
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case "burst":
			var wg sync.WaitGroup
			for range r.Workers {
				wg.Go(w.call)
			}
			wg.Wait()
		case "load":
			for range r.Workers {
				go func() {
					for {
						w.call()
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

// watchStalls measures how late this process gets the processor.
func watchStalls(stop <-chan struct{}, note func(seen)) {
	const nap = 5 * time.Millisecond
	for {
		select {
		case <-stop:
			return
		default:
		}
		start := time.Now()
		time.Sleep(nap)
		note(seen{Stall: time.Since(start) - nap})
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
		timer := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
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
