package tickets_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/tickets"
)

func shopRequests(n int) []wechatqr.TicketRequest {
	var list []wechatqr.TicketRequest
	for i := range n {
		list = append(list, wechatqr.Permanent(wechatqr.SceneID(uint32(i+1))))
	}
	return list
}

// all returns the scenes of the tickets, and the errors.
func all(
	ctx context.Context, k *tickets.Keeper, reqs []wechatqr.TicketRequest,
) (got []string, errs []error) {
	for ticket, err := range k.All(ctx, slices.Values(reqs)) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got = append(got, ticket.Scene.Key())
	}
	return got, errs
}

func TestAllIsPacedAndResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, s := &wechat{}, tickets.NewMemory()
		k := newKeeper(t, w, s, tickets.WithPace(time.Second))

		for ticket, err := range k.All(t.Context(), slices.Values(shopRequests(5))) {
			require.NoError(t, err)
			if ticket.Scene.Key() == "2" {
				break
			}
		}
		assert.Len(t, w.requests(), 2, "nothing is created that nobody takes")

		start := time.Now()
		got, errs := all(t.Context(), k, append(shopRequests(5), shopRequests(1)...))
		assert.Empty(t, errs)
		assert.Equal(t, []string{"1", "2", "3", "4", "5", "1"}, got)
		assert.Equal(t, shopRequests(5), w.requests())
		assert.Equal(t, 2*time.Second, time.Since(start), "between the three that are created")
	})
}

func TestAllStops(t *testing.T) {
	t.Parallel()
	gone := errors.New("no route to host")
	for name, test := range map[string]struct {
		err  error
		want error
		opts []tickets.Option
	}{
		"45009":  {&wechatqr.Error{Code: 45009}, wechatqr.ErrQuota, nil},
		"45029":  {&wechatqr.Error{Code: 45029}, wechatqr.ErrPermanentLimit, nil},
		"away":   {gone, gone, nil},
		"budget": {nil, tickets.ErrBudget, []tickets.Option{tickets.WithBudget(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &wechat{fail: func(n int) error {
				if n > 2 {
					return test.err
				}
				return nil
			}}
			s := tickets.NewMemory()
			k := newKeeper(t, w, s, append(test.opts, tickets.WithPace(0))...)
			got, errs := all(t.Context(), k, shopRequests(5))
			assert.Equal(t, []string{"1", "2"}, got)
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], test.want)
			var stopped *tickets.StoppedError
			require.ErrorAs(t, errs[0], &stopped)
			assert.Equal(t, shopRequests(5)[2:], stopped.Left)
			assert.Equal(t, 2, stopped.Done)
			assert.ErrorContains(t, errs[0], "stopped after 2 codes with 3 left")

			w.set(nil)
			got, errs = all(t.Context(), newKeeper(t, w, s, tickets.WithPace(0)), stopped.Left)
			assert.Empty(t, errs)
			assert.Equal(t, []string{"3", "4", "5"}, got)
		})
	}
}

func TestAllWaitsForTheNextMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := &wechatqr.Error{Code: 45011}
		w := &wechat{fail: func(n int) error {
			if n == 2 || n == 3 {
				return limited
			}
			return nil
		}}
		var log strings.Builder
		k := newKeeper(t, w, tickets.NewMemory(), tickets.WithPace(0),
			tickets.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		start := time.Now()
		got, errs := all(t.Context(), k, shopRequests(3))
		assert.Empty(t, errs)
		assert.Equal(t, []string{"1", "2", "3"}, got)
		assert.Equal(t, 2*time.Minute, time.Since(start))
		assert.Equal(t, 2, strings.Count(log.String(), "waiting for the next"))

		w.set(always(limited))
		_, errs = all(t.Context(), k, shopRequests(5))
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], wechatqr.ErrRateLimited)
		assert.Len(t, w.requests(), 8, "three times")
	})
}

func TestAllRefusesAnInvalidRequestBeforeItBegins(t *testing.T) {
	t.Parallel()
	reqs := append(shopRequests(1), wechatqr.Permanent(wechatqr.SceneID(100_001)))
	w := &wechat{}
	got, errs := all(t.Context(), newKeeper(t, w, tickets.NewMemory()), reqs)
	assert.Empty(t, got)
	assert.Empty(t, w.requests())
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], wechatqr.ErrInvalidScene)
	require.ErrorContains(t, errs[0], "request 2")
	var stopped *tickets.StoppedError
	require.ErrorAs(t, errs[0], &stopped)
	assert.Equal(t, reqs, stopped.Left)
}

func TestAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{}
		k := newKeeper(t, w, tickets.NewMemory(), tickets.WithPace(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		got, errs := all(ctx, k, shopRequests(4))
		assert.Equal(t, []string{"1", "2"}, got)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		var stopped *tickets.StoppedError
		require.ErrorAs(t, errs[0], &stopped)
		assert.Equal(t, shopRequests(4)[2:], stopped.Left)
		assert.Len(t, w.requests(), 2)
	})
}
