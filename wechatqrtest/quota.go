package wechatqrtest

import (
	"slices"
	"strings"
	"time"
)

// Quota is how often one API may be called.
type Quota struct {
	Path      string `json:"path"`       // "/cgi-bin/qrcode/create"
	Daily     int    `json:"daily"`      // calls a day in China (UTC+8); 0: unlimited
	PerMinute int    `json:"per_minute"` // calls a minute; 0: unlimited
	Used      int    `json:"used"`       // calls counted today
}

// quotaCounter counts the calls of one Quota.
type quotaCounter struct {
	Quota
	Day string `json:"day"` // that Used counts

	minute     int64 // since 1970
	usedMinute int
}

type quotaCounters []*quotaCounter

// newQuotaCounters have the limits that WeChat documents for a service account.
func newQuotaCounters() quotaCounters {
	var counters quotaCounters
	for _, q := range [...]Quota{
		{Path: "/cgi-bin/token", Daily: 2000},
		{Path: "/cgi-bin/stable_token", Daily: 500_000, PerMinute: 10_000},
		{Path: "/cgi-bin/qrcode/create", Daily: 100_000},
		{Path: "/cgi-bin/user/info", Daily: 5_000_000},
		{Path: "/cgi-bin/user/get", Daily: 500},
		{Path: "/cgi-bin/message/custom/send", Daily: 500_000},
	} {
		counters = append(counters, &quotaCounter{Quota: q})
	}
	return counters
}

func (counters quotaCounters) find(path string) *quotaCounter {
	for _, m := range counters {
		if m.Path == path {
			return m
		}
	}
	return nil
}

// reset zeroes what was counted before the current day or minute.
func (m *quotaCounter) reset(now time.Time) {
	if day := chinaDay(now); m.Day != day {
		m.Day, m.Used = day, 0
	}
	if minute := now.Unix() / 60; m.minute != minute {
		m.minute, m.usedMinute = minute, 0
	}
}

// count counts one call of path against its quota.
func (s *Server) count(path string, now time.Time) *apiError {
	m := s.st.Quotas.find(path)
	if m == nil {
		return nil
	}
	m.reset(now)
	switch {
	case m.Daily > 0 && m.Used >= m.Daily:
		if path == "/cgi-bin/token" {
			return refuse(45009, stableTokenHint)
		}
		return refuse(45009, "")
	case m.PerMinute > 0 && m.usedMinute >= m.PerMinute:
		return refuse(45011, "")
	}
	m.Used++
	m.usedMinute++
	return nil
}

// Quotas are the current limits, with the calls counted today.
func (s *Server) Quotas() []Quota {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quotas()
}

// quotas are copies. The caller holds mu.
func (s *Server) quotas() []Quota {
	now := s.now()
	out := make([]Quota, len(s.st.Quotas))
	for i, m := range s.st.Quotas {
		m.reset(now)
		out[i] = m.Quota
	}
	return out
}

// SetQuota replaces the quota of q.Path. If Used equals Daily, the quota is
// exhausted for today: the next call gets 45009.
func (s *Server) SetQuota(q Quota) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &quotaCounter{Quota: q, Day: chinaDay(s.now())}
	if i := slices.IndexFunc(s.st.Quotas, func(old *quotaCounter) bool { return old.Path == q.Path }); i >= 0 {
		s.st.Quotas[i] = m
	} else {
		s.st.Quotas = append(s.st.Quotas, m)
	}
	s.notify()
}

// chinaDay is the date in China: WeChat's quotas of the day are restored at 0:00 there.
func chinaDay(t time.Time) string { return inChina(t).Format(time.DateOnly) }

func inChina(t time.Time) time.Time { return t.In(time.FixedZone("CST", 8*60*60)) }

const clearsPerMonth = 10

// clearQuota is POST /cgi-bin/clear_quota.
func (s *Server) clearQuota(c *apiRequest) (any, *apiError) {
	var in struct {
		AppID string `json:"appid"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if in.AppID == "" {
		return nil, refuse(41002, "")
	}
	if in.AppID != s.st.AppID {
		return nil, refuse(40013, "")
	}
	return s.clear(c.now)
}

// clearQuotaBySecret is POST /cgi-bin/clear_quota/v2, which requires no token.
func (s *Server) clearQuotaBySecret(c *apiRequest) (any, *apiError) {
	var in struct {
		AppID     string `json:"appid"`
		AppSecret string `json:"appsecret"`
	}
	if len(c.body) > 0 {
		if r := c.decode(&in); r != nil {
			return nil, r
		}
	} else { // as in WeChat's example
		in.AppID, in.AppSecret = c.query.Get("appid"), c.query.Get("appsecret")
	}
	if r := s.checkSecret(in.AppID, in.AppSecret); r != nil {
		return nil, r
	}
	return s.clear(c.now)
}

func (s *Server) clear(now time.Time) (any, *apiError) {
	if month := inChina(now).Format("2006-01"); s.st.ClearMonth != month {
		s.st.ClearMonth, s.st.Clears = month, 0
	}
	if s.st.Clears >= clearsPerMonth {
		return nil, refuse(48006, "")
	}
	s.st.Clears++
	for _, m := range s.st.Quotas {
		if !strings.HasSuffix(m.Path, "token") { // clear_quota does not apply to those
			m.Used, m.usedMinute = 0, 0
		}
	}
	return errorResponse{0, "ok"}, nil
}

type quotaResponse struct {
	errorResponse
	Quota struct {
		DailyLimit int `json:"daily_limit"`
		Used       int `json:"used"`
		Remain     int `json:"remain"`
	} `json:"quota"`
	RateLimit *rateLimit `json:"rate_limit,omitempty"`
}

type rateLimit struct {
	CallCount     int `json:"call_count"`
	RefreshSecond int `json:"refresh_second"`
}

// getQuota is POST /cgi-bin/openapi/quota/get.
func (s *Server) getQuota(c *apiRequest) (any, *apiError) {
	var in struct {
		Path string `json:"cgi_path"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	if _, ok := s.routes[in.Path]; !ok {
		return nil, refuse(76021, "")
	}
	out := quotaResponse{errorResponse: errorResponse{0, "ok"}}
	m := s.st.Quotas.find(in.Path)
	if m == nil {
		return out, nil
	}
	m.reset(c.now)
	out.Quota.DailyLimit, out.Quota.Used, out.Quota.Remain = m.Daily, m.Used, max(m.Daily-m.Used, 0)
	if m.PerMinute > 0 {
		out.RateLimit = &rateLimit{m.PerMinute, 60}
	}
	return out, nil
}
