package alert

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr/channels"
)

func TestHours(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		came, lost int64
		before     []int64 // follows in the hours of other weeks
		raised     Rule
		want       []Rule
	}{
		"as usual":                 {30, 0, []int64{28, 30, 35, 31}, "", nil},
		"small numbers":            {19, 0, []int64{0, 0, 0, 0}, "", nil},
		"a spike from nothing":     {20, 0, []int64{0, 0, 0, 0}, "", []Rule{Spike}},
		"not yet a spike":          {89, 0, []int64{30, 30, 30, 30}, "", nil},
		"a spike":                  {90, 0, []int64{30, 30, 30, 30}, "", []Rule{Spike}},
		"a spike goes on":          {60, 0, []int64{30, 30, 30, 30}, Spike, []Rule{Spike}},
		"a spike is over":          {59, 0, []int64{30, 30, 30, 30}, Spike, nil},
		"one odd week":             {30, 0, []int64{900, 30, 0, 31}, "", nil},
		"not yet a drop":           {11, 0, []int64{30, 30, 30, 30}, "", nil},
		"a drop":                   {10, 0, []int64{30, 30, 30, 30}, "", []Rule{Drop}},
		"a drop goes on":           {20, 0, []int64{30, 30, 30, 30}, Drop, []Rule{Drop}},
		"a drop is over":           {21, 0, []int64{30, 30, 30, 30}, Drop, nil},
		"few follows cannot drop":  {0, 0, []int64{19, 19, 19, 19}, "", nil},
		"many leave":               {5, 20, []int64{5, 5, 5, 5}, "", []Rule{Drop}},
		"two weeks":                {90, 0, []int64{30, 30}, "", []Rule{Spike}},
		"many come and many leave": {90, 90, []int64{30, 30, 30, 30}, "", []Rule{Spike, Drop}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := channels.Channel{Key: "sh-7"}
			var before []channels.Counts
			for _, n := range tt.before {
				before = append(before, channels.Counts{New: n})
			}
			raised := map[key]bool{{tt.raised, "sh-7"}: true}
			var got []Rule
			for _, f := range judgeHour(c, &channels.Counts{New: tt.came, Lost: tt.lost},
				before, raised) {
				got = append(got, f.rule)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestQuickLoss(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost, of int64
		raised   bool
		want     bool
	}{
		"few follows":   {29, 29, false, false},
		"below":         {39, 100, false, false},
		"at the limit":  {12, 30, false, true},
		"it goes on":    {30, 100, true, true},
		"it is over":    {29, 100, true, false},
		"no follows":    {0, 0, true, false},
		"all are lost":  {30, 30, false, true},
		"a small share": {1, 1000, false, false},
	} {
		row := channels.Row{Cell: channels.Cell{Channel: channels.Channel{Key: "a"}}}
		row.QuickLost, row.QuickOf = tt.lost, tt.of
		got := judgeQuickLoss([]channels.Row{row}, map[key]bool{{QuickLoss, "a"}: tt.raised})
		assert.Equal(t, tt.want, len(got) == 1, name)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		since   time.Duration
		perHour float64
		want    bool
	}{
		"busy, quiet for a while": {4*time.Minute - time.Second, 600, false},
		"busy, silent":            {4 * time.Minute, 600, true},
		"a push in six minutes":   {time.Hour - time.Second, 10, false},
		"ten intervals":           {time.Hour, 10, true},
		"night":                   {24*time.Hour - time.Second, 0, false},
		"a day":                   {24 * time.Hour, 0, true},
		"few pushes":              {24 * time.Hour, 0.01, true},
	} {
		assert.Equal(t, tt.want, len(judgeSilence(tt.since, tt.perHour)) == 1, name)
	}
}

func TestBudgetAndEnding(t *testing.T) {
	t.Parallel()
	left := func(n int) channels.Budget {
		return channels.Budget{Made: channels.MaxCodes - n - 1, Pending: 1}
	}
	assert.Empty(t, judgeBudget(left(minBudget)))
	assert.Len(t, judgeBudget(left(minBudget-1)), 1)

	now := time.Unix(1_700_000_000, 0)
	found := judgeEnding([]channels.Channel{
		{Key: "used"}, {Key: "now", Retired: now}, {Key: "later", Retired: now.Add(endsWithin)},
		{Key: "soon", Retired: now.Add(endsWithin - 1)},
	}, now)
	assert.Len(t, found, 1)
	assert.Equal(t, "soon", found[0].channel.Key)
}

// Every rule has words in both languages for both states, with the channel's name.
func TestWords(t *testing.T) {
	t.Parallel()
	w := &Worker{Origin: "https://desk.example.com", Location: time.UTC}
	c := channels.Channel{Key: "上海/7", Name: "<at user_id=\"all\"></at>七店"}
	for _, rule := range append(often, seldom...) {
		for _, state := range []string{raisedState, overState} {
			got := w.told(&finding{rule: rule, channel: c, number: 12, expected: 34},
				state, time.Now())
			assert.Greater(t, len(got.TextZH), len("渠道“＜at user_id=\"all\"＞＜/at＞七店”"), "%s", rule)
			assert.Contains(t, got.TextEN, "＜/at＞七店” ", rule)
			assert.NotContains(t, got.TextZH+got.TextEN, "<")
			assert.Equal(t, "https://desk.example.com/channels/%E4%B8%8A%E6%B5%B7%2F7", got.Link)
			if state == raisedState && rule != Ending {
				assert.Contains(t, got.TextZH, "12")
				assert.Contains(t, got.TextEN, "34")
			}
		}
	}
}
