package account

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Day is what WeChat counted on one day in China. It has no figures of single
// codes.
type Day struct {
	Date      time.Time // 0:00 in China
	New       int       // who followed, from all sources
	Lost      int       // who unfollowed
	Followers int       // at the end of the day
	Sources   []SourceCount

	Raw []json.RawMessage // WeChat's rows of this day: of getusercumulate, then of getusersummary
}

// SourceCount is a day's count by where the followers came from.
type SourceCount struct {
	Source Source
	New    int
	Lost   int
}

// Source is WeChat's user_source. There are more than those named here.
type Source int

// Sources of followers.
const (
	SourceOther   Source = 0 // the rest, not the sum
	SourceSearch  Source = 1
	SourceCard    Source = 17  // a contact card that was shared
	SourceQRCode  Source = 30  // any code of the account
	SourceArticle Source = 57  // the name of the account in an article
	SourceAd      Source = 100 // an advertisement
)

const summaryDays = 7 // of one call

// DailySummary lists the days from first to last, both included and the latest
// of them yesterday. WeChat has a day's figures from about 8:00 of the next; a day
// that it has none of yet is left out. Of both times the date in China counts, and
// if first is after last the list is empty. An error is the last element: a span
// that ends later than yesterday is [wechatqr.ErrInvalidArgument] (61501).
//
// Seven days take two calls.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/wedata/user/api_getusersummary
func DailySummary(
	ctx context.Context, c *wechatqr.Client, first, last time.Time,
) iter.Seq2[Day, error] {
	return func(yield func(Day, error) bool) {
		end := midnight(last)
		for begin := midnight(first); !begin.After(end); begin = begin.AddDate(0, 0, summaryDays) {
			until := begin.AddDate(0, 0, summaryDays-1)
			if until.After(end) {
				until = end
			}
			days, err := summaryWeek(ctx, c, begin, until)
			if err != nil {
				yield(Day{}, err)
				return
			}
			for _, day := range days {
				if !yield(day, nil) {
					return
				}
			}
		}
	}
}

// china has one offset all year since 1991.
var china = time.FixedZone("Asia/Shanghai", 8*60*60)

func midnight(t time.Time) time.Time {
	year, month, day := t.In(china).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, china)
}

// summaryRow is a row of getusersummary or of getusercumulate.
type summaryRow struct {
	Date      string `json:"ref_date"`
	Source    Source `json:"user_source"`
	New       int    `json:"new_user"`
	Lost      int    `json:"cancel_user"`
	Followers int    `json:"cumulate_user"`
}

func summaryRows(
	ctx context.Context, c *wechatqr.Client, path string, begin, until time.Time,
) ([]withRaw[summaryRow], error) {
	body := map[string]string{
		"begin_date": begin.Format(time.DateOnly), "end_date": until.Format(time.DateOnly),
	}
	var out struct {
		List []withRaw[summaryRow] `json:"list"`
	}
	err := post(ctx, c, path, body, &having{"list", &out})
	return out.List, err
}

// summaryWeek asks for at most seven days.
func summaryWeek(ctx context.Context, c *wechatqr.Client, begin, until time.Time) ([]Day, error) {
	cumulate, err := summaryRows(ctx, c, "/datacube/getusercumulate", begin, until)
	if err != nil {
		return nil, err
	}
	summary, err := summaryRows(ctx, c, "/datacube/getusersummary", begin, until)
	if err != nil {
		return nil, err
	}

	days := map[string]*Day{} // by date; cumulate alone has a row of every day
	for _, r := range cumulate {
		days[r.fields.Date] = &Day{Followers: r.fields.Followers, Raw: []json.RawMessage{r.raw}}
	}
	for _, r := range summary {
		if day, f := days[r.fields.Date], r.fields; day != nil {
			day.New, day.Lost = day.New+f.New, day.Lost+f.Lost
			day.Sources = append(day.Sources, SourceCount{f.Source, f.New, f.Lost})
			day.Raw = append(day.Raw, r.raw)
		}
	}

	var ordered []Day
	for date := begin; !date.After(until); date = date.AddDate(0, 0, 1) {
		if day := days[date.Format(time.DateOnly)]; day != nil {
			day.Date = date
			ordered = append(ordered, *day)
		}
	}
	return ordered, nil
}
