package scanlogin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound how many codes are made. A code counts for five minutes, whatever
// becomes of it; one that is shown again does not count again. Waiting streams need
// no limit of their own: each code has one at the most.
type Limits struct {
	// PerClient is in five minutes to one IPv4 address or IPv6 /64, by this process. Who
	// has many of them is held by InAll and PerDay alone. Default 30.
	PerClient int

	InAll int // in five minutes, by this process. Default 10000.

	// PerDay is how many codes all servers that share the Store make from one
	// midnight in China to the next. An account can make 100000 a day, for all
	// purposes. Default 80000.
	PerDay int
}

var defaultLimits = Limits{PerClient: 30, InAll: 10_000, PerDay: 80_000}

func (n Limits) or(other Limits) Limits {
	pick := func(a, b int) int {
		if a == 0 {
			return b
		}
		return a
	}
	return Limits{
		pick(n.PerClient, other.PerClient), pick(n.InAll, other.InAll), pick(n.PerDay, other.PerDay),
	}
}

// recent is the codes made lately, oldest first. What was refused leaves nothing
// behind, so that it has InAll entries at the most.
type recent struct {
	mu      sync.Mutex
	codes   []made
	clients map[netip.Prefix]int
}

type made struct {
	client netip.Prefix
	at     time.Time
}

// add counts a code for the client unless that is beyond a limit.
func (q *recent) add(asked netip.Prefix, now time.Time, n Limits) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.codes) > 0 && now.Sub(q.codes[0].at) >= life {
		old := q.codes[0].client
		if q.clients[old]--; q.clients[old] == 0 {
			delete(q.clients, old)
		}
		q.codes = q.codes[1:]
	}
	if len(q.codes) >= n.InAll || q.clients[asked] >= n.PerClient {
		return false
	}
	q.codes = append(q.codes, made{asked, now})
	q.clients[asked]++
	return true
}

// allow counts a code for the visitor, or is [ErrTooMany].
func (l *Login) allow(ctx context.Context, address netip.Addr, now time.Time) error {
	if !l.recent.add(client(address), now, l.limits) {
		if address.IsLoopback() || address.IsPrivate() {
			l.log(ctx, slog.LevelWarn, "wechatqr: scan login: too many codes for one private address: "+
				"if it is a proxy's, use WithClientIP", "address", address)
		}
		return ErrTooMany
	}

	day := now.In(time.FixedZone("UTC+8", 8*60*60)).Format(time.DateOnly)
	n, err := l.store.CountLogin(ctx, "day/"+l.hash("day", l.origin())+"/"+day, 25*time.Hour)
	if err == nil && n > l.limits.PerDay {
		l.log(ctx, slog.LevelError, "wechatqr: scan login: the codes of the day are used up: "+
			"see WithLimits", "limit", l.limits.PerDay)
		return ErrTooMany
	}
	return err
}

// client is the address, or of IPv6 the network of one customer.
func client(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // the zero Addr has the zero Prefix
	return prefix
}

func remoteIP(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	address, _ := netip.ParseAddr(host)
	return address
}
