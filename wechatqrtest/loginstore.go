package wechatqrtest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatqr/wechatqr/scanlogin"
)

// TestLoginStore checks that a store keeps the promises of [scanlogin.Store]. Each
// part of the test has a store of its own from newStore; they may share their data,
// for the keys are random.
func TestLoginStore(t *testing.T, newStore func(t *testing.T) scanlogin.Store) {
	run := func(name string, fn func(*testing.T, loginTest)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), partTimeout)
			defer cancel()
			fn(t, loginTest{ctx, newStore(t), "login/" + random(22)})
		})
	}
	first, second := []byte(`{"first":1}`), []byte(`{"second":2}`)
	run("unknown key", func(t *testing.T, s loginTest) {
		s.holds(t, nil)
		s.swap(t, false, first, second)
		s.holds(t, nil)
	})
	run("swap and load", func(t *testing.T, s loginTest) {
		s.swap(t, true, nil, first)
		s.holds(t, first)
		s.swap(t, true, first, second)
		s.holds(t, second)
	})
	run("another value stays", func(t *testing.T, s loginTest) {
		s.swap(t, true, nil, first)
		for _, old := range [][]byte{nil, second, first[:5], bytes.ToUpper(first), append(first, ' ')} {
			s.swap(t, false, old, second)
		}
		s.holds(t, first)
	})
	run("values are kept byte by byte", func(t *testing.T, s loginTest) {
		for _, value := range [][]byte{
			[]byte("\x00\xff\r\n'\"\\号 "), bytes.Repeat([]byte("k"), 8<<10), []byte("0"), []byte("1.0"),
			{' '},
		} {
			other := s
			other.key += random(8)
			other.swap(t, true, nil, value)
			other.holds(t, value)
			other.swap(t, true, value, first)
			other.holds(t, first)
		}
	})
	run("the caller's bytes are its own", func(t *testing.T, s loginTest) {
		value := bytes.Clone(first)
		s.swap(t, true, nil, value)
		value[0] = 'x'
		s.holds(t, first)
		got, err := s.LoadLogin(s.ctx, s.key)
		if err == nil && len(got) > 0 {
			got[0] = 'y'
		}
		s.holds(t, first)
	})
	run("keys are separate", func(t *testing.T, s loginTest) {
		long := s.key + strings.Repeat("k", 60)
		keys := []string{s.key, s.key + "-", "day/" + s.key, strings.ToUpper(s.key), long + "1",
			long + "2"}
		for _, key := range keys {
			other := loginTest{s.ctx, s.Store, key}
			other.holds(t, nil)
			other.swap(t, true, nil, []byte(key))
			other.counts(t, 1, time.Hour)
			other.counts(t, 2, time.Hour)
		}
		for _, key := range keys {
			loginTest{s.ctx, s.Store, key}.holds(t, []byte(key))
		}
	})
	run("a value ends", func(t *testing.T, s loginTest) {
		s.swapFor(t, 100*time.Millisecond, true, nil, first)
		eventually(t, "the value ends", func() bool {
			got, err := s.LoadLogin(s.ctx, s.key)
			return err == nil && got == nil
		})
		s.swap(t, false, first, second)
		s.swap(t, true, nil, second)
		s.holds(t, second)
	})
	run("a swap prolongs", func(t *testing.T, s loginTest) {
		s.swapFor(t, 200*time.Millisecond, true, nil, first)
		if ok, _ := s.SwapLogin(s.ctx, s.key, first, second, time.Hour); !ok {
			s.swap(t, true, nil, second) // the machine was late
		}
		time.Sleep(400 * time.Millisecond)
		s.holds(t, second)
	})
	run("a count ends", func(t *testing.T, s loginTest) {
		s.counts(t, 1, 150*time.Millisecond)
		eventually(t, "the number ends, though it is counted on", func() bool {
			n, err := s.CountLogin(s.ctx, s.key, 150*time.Millisecond)
			return err == nil && n == 1
		})
	})
	run("many at once", func(t *testing.T, s loginTest) {
		var won, sum atomic.Int32
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				ok, err := s.SwapLogin(s.ctx, s.key, nil, []byte(random(16)), time.Hour)
				if err != nil {
					t.Errorf("SwapLogin: %v", err)
				}
				if ok {
					won.Add(1)
				}
				n, err := s.CountLogin(s.ctx, s.key+"n", time.Hour)
				if err != nil {
					t.Errorf("CountLogin: %v", err)
				}
				sum.Add(int32(n))
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("SwapLogin: %d of 32 at once did it, want 1", n)
		}
		if n := sum.Load(); n != 32*33/2 {
			t.Errorf("CountLogin: 32 at once return numbers of the sum %d, want %d", n, 32*33/2)
		}
	})
	run("context", func(t *testing.T, s loginTest) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		returns(t, "LoadLogin", func() { _, _ = s.LoadLogin(ctx, s.key) })
		returns(t, "SwapLogin", func() { _, _ = s.SwapLogin(ctx, s.key, nil, first, time.Hour) })
		returns(t, "CountLogin", func() { _, _ = s.CountLogin(ctx, s.key, time.Hour) })
	})
}

// loginTest is a store and the key under which a test uses it.
type loginTest struct {
	ctx context.Context
	scanlogin.Store
	key string
}

func (s loginTest) swap(t *testing.T, want bool, old, new []byte) {
	t.Helper()
	s.swapFor(t, time.Hour, want, old, new)
}

func (s loginTest) swapFor(t *testing.T, ttl time.Duration, want bool, old, new []byte) {
	t.Helper()
	ok, err := s.SwapLogin(s.ctx, s.key, old, new, ttl)
	if ok != want || err != nil {
		t.Errorf("SwapLogin of %.20q by %.20q: got %t and error %v, want %t", old, new, ok, err, want)
	}
}

func (s loginTest) holds(t *testing.T, want []byte) {
	t.Helper()
	got, err := s.LoadLogin(s.ctx, s.key)
	if !bytes.Equal(got, want) || (got == nil) != (want == nil) || err != nil {
		t.Errorf("LoadLogin: got %.20q and error %v, want %.20q", got, err, want)
	}
}

func (s loginTest) counts(t *testing.T, want int, ttl time.Duration) {
	t.Helper()
	if got, err := s.CountLogin(s.ctx, s.key, ttl); got != want || err != nil {
		t.Errorf("CountLogin: got %d and error %v, want %d", got, err, want)
	}
}
