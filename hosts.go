package wechatqr

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// hostCooldown is how long a host that was down is left alone.
const hostCooldown = time.Minute

// hosts are base addresses that serve alike, and which of them to use first.
type hosts struct {
	urls           []*url.URL
	preferred      atomic.Int32
	preferredUntil atomic.Int64 // Unix nanoseconds; from then on one call may try urls[0] again
}

func newHosts(addresses ...string) (*hosts, error) {
	h := &hosts{}
	for _, address := range addresses {
		u, err := parseBase(address)
		if err != nil {
			return nil, err
		}
		h.urls = append(h.urls, u)
	}
	return h, nil
}

// pick returns the host for a first attempt. After the cooldown one call a
// minute, if it may probe, gets the first host, and only its success brings the
// other calls back.
func (h *hosts) pick(mayProbe bool) (host int, probe bool) {
	host = int(h.preferred.Load())
	if host == 0 || !mayProbe {
		return host, false
	}
	until, now := h.preferredUntil.Load(), time.Now()
	if now.UnixNano() > until &&
		h.preferredUntil.CompareAndSwap(until, now.Add(hostCooldown).UnixNano()) {
		return 0, true
	}
	return host, false
}

// markUp has all calls begin with the first host again, which a probe reached.
func (h *hosts) markUp() { h.preferred.Store(0) }

// markDown has the next calls begin with another host than this one.
func (h *hosts) markDown(host int) {
	if h.preferred.CompareAndSwap(int32(host), int32(h.next(host))) {
		h.preferredUntil.Store(time.Now().Add(hostCooldown).UnixNano())
	}
}

func (h *hosts) next(host int) int { return (host + 1) % len(h.urls) }

// parseBase reads a base address.
func parseBase(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	usable := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	switch {
	case !usable && strings.Contains(address, "@"): // behind a password perhaps
		return nil, errors.New("a base address cannot be read: use one like https://api.weixin.qq.com, without a user")
	case err != nil:
		return nil, fmt.Errorf("base address: %w: use one like https://api.weixin.qq.com", clean(err))
	case !usable:
		return nil, fmt.Errorf("base address %q: use one like https://api.weixin.qq.com", cutQuery(address))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("base address %q: leave user, query and fragment out", u.Scheme+"://"+u.Host+u.Path)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}
