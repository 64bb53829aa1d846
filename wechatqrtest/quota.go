package wechatqrtest

import (
	"slices"
	"time"
)

// Quota is how often one API may be called.
type Quota struct {
	Path      string `json:"path"`       // "/cgi-bin/qrcode/create"
	Daily     int    `json:"daily"`      // calls a day, by China's clock; 0: any number
	PerMinute int    `json:"per_minute"` // calls a minute; 0: any number
	Used      int    `json:"used"`       // calls counted today

	day         string
	minute      int64
	minuteCount int
}

type quotas []*Quota

// newQuotas are the limits of a service account as WeChat documents them.
func newQuotas() quotas {
	return quotas{
		{Path: "/cgi-bin/token", Daily: 2000},
		{Path: "/cgi-bin/stable_token", Daily: 500_000, PerMinute: 10_000},
		{Path: "/cgi-bin/qrcode/create", Daily: 100_000},
	}
}

func (qs quotas) find(path string) *Quota {
	for _, q := range qs {
		if q.Path == path {
			return q
		}
	}
	return nil
}

// roll starts a new day or minute.
func (q *Quota) roll(now time.Time) {
	if day := chinaDay(now); q.day != day {
		if q.day != "" {
			q.Used = 0
		}
		q.day = day
	}
	if m := now.Unix() / 60; q.minute != m {
		q.minute, q.minuteCount = m, 0
	}
}

// count takes one call from the quota of path.
func (s *Server) count(path string, now time.Time) *refusal {
	q := s.st.Quotas.find(path)
	if q == nil {
		return nil
	}
	q.roll(now)
	switch {
	case q.Daily > 0 && q.Used >= q.Daily:
		if path == "/cgi-bin/token" {
			return refuse(45009, "could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r")
		}
		return refuse(45009, "")
	case q.PerMinute > 0 && q.minuteCount >= q.PerMinute:
		return refuse(45011, "")
	}
	q.Used++
	q.minuteCount++
	return nil
}

// Quotas are the limits in force, with what is used of them today.
func (s *Server) Quotas() []Quota {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := make([]Quota, len(s.st.Quotas))
	for i, q := range s.st.Quotas {
		q.roll(now)
		out[i] = *q
	}
	return out
}

// SetQuota replaces the limit of q.Path. Used == Daily exhausts it for today,
// so that the next call answers 45009.
func (s *Server) SetQuota(q Quota) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q = Quota{Path: q.Path, Daily: q.Daily, PerMinute: q.PerMinute, Used: q.Used, day: chinaDay(s.now())}
	i := slices.IndexFunc(s.st.Quotas, func(old *Quota) bool { return old.Path == q.Path })
	if i < 0 {
		s.st.Quotas = append(s.st.Quotas, &q)
	} else {
		s.st.Quotas[i] = &q
	}
	s.notify()
}

// chinaDay is the date in China, where WeChat's day ends.
func chinaDay(t time.Time) string {
	return t.In(time.FixedZone("CST", 8*60*60)).Format(time.DateOnly)
}
