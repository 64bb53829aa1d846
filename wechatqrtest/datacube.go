package wechatqrtest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// followCounts are the follows and unfollows of a day in China, by user_source.
type followCounts map[string]map[int]followCount

type followCount struct {
	New  int `json:"new"`
	Lost int `json:"lost"`
}

// change counts that a user became what they are now. A follow counts at its own
// time, an unfollow at the time at. A follower who follows anew counts as both.
func (counts followCounts) change(before, now *User, at time.Time) {
	again := before.Follows && now.Follows && !before.FollowedAt.Equal(now.FollowedAt)
	if before.Follows && (again || !now.Follows) {
		counts.add(at, before.source(), followCount{Lost: 1})
	}
	if now.Follows && (again || !before.Follows) {
		counts.add(now.FollowedAt, now.source(), followCount{New: 1})
	}
}

func (counts followCounts) add(at time.Time, source int, c followCount) {
	day := chinaDay(at)
	if counts[day] == nil {
		counts[day] = map[int]followCount{}
	}
	sum := counts[day][source]
	counts[day][source] = followCount{sum.New + c.New, sum.Lost + c.Lost}
}

// source is the user_source of the user's follow.
func (u *User) source() int {
	switch u.SubscribeScene {
	case "ADD_SCENE_SEARCH":
		return 1
	case "ADD_SCENE_QR_CODE":
		return 30
	}
	return 0
}

const (
	maxDatacubeDays = 7
	datacubeHour    = 8 // in China, from which yesterday's figures are there
)

// datacubeDays reads begin_date and end_date and returns the days that have
// figures.
func datacubeDays(c *apiRequest) ([]string, *apiError) {
	var in struct {
		Begin string `json:"begin_date"`
		End   string `json:"end_date"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	begin, err := time.Parse(time.DateOnly, in.Begin)
	end, err2 := time.Parse(time.DateOnly, in.End)
	now := inChina(c.now)
	switch {
	case err != nil || err2 != nil:
		return nil, refuse(61500, "")
	case begin.After(end) || end.Sub(begin) >= maxDatacubeDays*24*time.Hour || in.End >= now.Format(time.DateOnly):
		return nil, refuse(61501, "")
	}

	latest := now.AddDate(0, 0, -1)
	if now.Hour() < datacubeHour {
		latest = now.AddDate(0, 0, -2)
	}
	var days []string
	for ; !begin.After(end); begin = begin.AddDate(0, 0, 1) {
		if day := begin.Format(time.DateOnly); day <= latest.Format(time.DateOnly) {
			days = append(days, day)
		}
	}
	return days, nil
}

// userSummary is POST /datacube/getusersummary.
func (s *Server) userSummary(c *apiRequest) (any, *apiError) {
	days, ref := datacubeDays(c)
	if ref != nil {
		return nil, ref
	}
	type row struct {
		Date   string `json:"ref_date"`
		Source int    `json:"user_source"`
		New    int    `json:"new_user"`
		Lost   int    `json:"cancel_user"`
	}
	list := []row{}
	for _, day := range days {
		counts := s.st.FollowCounts[day]
		list = append(list, row{day, 0, counts[0].New, counts[0].Lost})
		for source, count := range counts {
			if source != 0 {
				list = append(list, row{day, source, count.New, count.Lost})
			}
		}
	}
	slices.SortFunc(list, func(a, b row) int {
		return cmp.Or(strings.Compare(a.Date, b.Date), a.Source-b.Source)
	})
	return map[string]any{"list": list}, nil
}

// userCumulate is POST /datacube/getusercumulate.
func (s *Server) userCumulate(c *apiRequest) (any, *apiError) {
	days, ref := datacubeDays(c)
	if ref != nil {
		return nil, ref
	}
	followers := 0
	for _, u := range s.st.Users {
		if u.Follows {
			followers++
		}
	}
	type row struct {
		Date      string `json:"ref_date"`
		Source    int    `json:"user_source"`
		Followers int    `json:"cumulate_user"`
	}
	list := []row{}
	for _, day := range days {
		then := followers
		for later, counts := range s.st.FollowCounts {
			for _, count := range counts {
				if later > day {
					then -= count.New - count.Lost
				}
			}
		}
		list = append(list, row{day, 0, then})
	}
	return map[string]any{"list": list}, nil
}
