package channels

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
)

// Go, JSON and CSV say the same of a week.
func TestReportAsJSONAndCSV(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t, SQLite, testConfig)
	ctx := t.Context()
	shops := []Channel{
		{Key: "=1+1", Name: "＝A1", Group: " @shops"}, {Key: "sh-7", Name: "上海,七店", Group: "华东/门店"},
	}
	require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s0"), shops[0]))
	require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("s1"), shops[1]))
	for i, scene := range []string{"s0", "s1", "s1", "", "nobody's"} {
		c.Time = monday.Add(time.Duration(i) * 20 * time.Hour)
		who := strconv.Itoa(i)
		for _, what := range []wechatqr.EventType{wechatqr.EventSubscribe,
			wechatqr.EventUnsubscribe} {
			_, err := l.RecordEvent(ctx, newPush(who, c.Time, what, scene))
			require.NoError(t, err)
			scene = ""
			c.Time = c.Add(time.Hour)
		}
	}

	for _, dims := range []By{0, ByDay | ByChannel, ByHour, ByWeekday | ByGroup, ByGroup} {
		report, err := l.Report(ctx, Query{From: monday, To: monday.AddDate(0, 0, 7), By: dims})
		require.NoError(t, err)
		text, err := json.Marshal(report)
		require.NoError(t, err)
		var decoded Report
		require.NoError(t, json.Unmarshal(text, &decoded))
		require.Len(t, decoded.Rows, len(report.Rows))
		for i := range report.Rows {
			assert.Equal(t, report.Rows[i].Counts, decoded.Rows[i].Counts)
		}
		assert.Equal(t, report.Total, decoded.Total)
		assert.Equal(t, []any{report.By, true}, []any{decoded.By, decoded.Open})

		lines := linesOf(t, report.WriteCSV)
		all := 1 + len(report.Rows)
		assertLine(t, lines[0], lines[all], report.Total)
		assertNotes(t, lines[all+1:], report)
		for i := range report.Rows {
			assertLine(t, lines[0], lines[1+i], report.Rows[i].Counts)
		}
	}
}

// assertNotes looks for the definition of each number beneath the numbers.
func assertNotes(t *testing.T, lines [][]string, report *Report) {
	t.Helper()
	notes := assertDefined(t, lines, report.Definitions())
	for name, want := range map[string]string{
		"from": "2026-03-02 00:00", "to": "2026-03-09 00:00", "open": "true", "zone": "UTC+8",
		"keep_after_unfollow": "720h0m0s", "as_of": report.AsOf.Format(csvTime),
	} {
		assert.Equal(t, want, notes["setting "+name][0], name)
	}
}

// assertDefined returns the lines beneath the numbers, by their kind and name.
func assertDefined(t *testing.T, lines [][]string, of Definitions) map[string][]string {
	t.Helper()
	assert.Empty(t, strings.Join(lines[0], ""), "an empty line")
	notes := map[string][]string{}
	for _, line := range lines[1:] {
		assert.Empty(t, line[0], "it has no start")
		notes[line[1]+" "+line[2]] = line[3:]
	}
	for _, d := range of.Columns {
		assert.Equal(t, []string{d.Term, d.TermZH, d.Text, d.TextZH}, notes["column "+d.Name][:4])
	}
	for _, d := range of.Origins {
		assert.Equal(t, []string{d.Term, d.TermZH, d.Text, d.TextZH}, notes["origin "+d.Name][:4])
	}
	return notes
}

// JSON carries what each of its numbers is.
func TestJSONCarriesDefinitions(t *testing.T) {
	t.Parallel()
	l, _ := newShops(t, SQLite)
	week := Query{From: monday, To: monday.AddDate(0, 0, 7), By: ByChannel}
	report, err := l.Report(t.Context(), week)
	require.NoError(t, err)
	conversions, err := l.Conversions(t.Context(), ConversionQuery{Query: week})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		report  any
		extra   string // a column that the total does not have
		origins int
		model   string
	}{
		"report": {report, "net", 3, ""}, "conversions": {conversions, "", 4, "follow"},
	} {
		text, err := json.Marshal(test.report)
		require.NoError(t, err)
		var got struct {
			Zone        string
			AsOf        time.Time `json:"as_of"`
			Definitions Definitions
			Total       map[string]int64
		}
		require.NoError(t, json.Unmarshal(text, &got), name)
		assert.Equal(t, "UTC+8", got.Zone)
		assert.True(t, got.AsOf.Equal(monday))
		want := append(strings.Fields(test.extra), retiredDefinition.Name)
		for col := range got.Total {
			want = append(want, col)
		}
		var defined []string
		for _, d := range got.Definitions.Columns {
			defined = append(defined, d.Name)
			assert.NotContains(t, []string{d.Term, d.TermZH, d.Text, d.TextZH}, "", d.Name)
		}
		assert.ElementsMatch(t, want, defined, "%s: each number, and retired", name)
		assert.Len(t, got.Definitions.Origins, test.origins)
		if test.model != "" {
			require.NotNil(t, got.Definitions.Model)
			assert.Equal(t, test.model, got.Definitions.Model.Name)
		}
	}
}

// assertLine compares the numbers of a line with those of JSON, by their names.
func assertLine(t *testing.T, names, line []string, want Counts) {
	t.Helper()
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var read map[string]int64
	require.NoError(t, json.Unmarshal(text, &read))
	read["net"] = want.Net()
	for i, name := range names {
		number, known := read[name]
		if known {
			assert.Equal(t, strconv.FormatInt(number, 10), line[i], name)
			delete(read, name)
		}
	}
	assert.Empty(t, read, "in JSON and not in CSV")
}

// Go, JSON and CSV say the same of who stayed.
func TestRetentionAsJSONAndCSV(t *testing.T) {
	t.Parallel()
	l, c := newShops(t, SQLite)
	for i, scene := range []string{"s0", "s1", ""} {
		at := monday.Add(time.Duration(i) * 30 * time.Hour)
		recordPush(t, l, strconv.Itoa(i), at, wechatqr.EventSubscribe, scene)
	}
	c.Time = monday.AddDate(0, 0, 8)
	week := Query{From: startOfDay(monday.In(china)), By: ByDay | ByChannel}
	week.To = week.From.AddDate(0, 0, 7)
	report, err := l.Retention(t.Context(), week, 0, 3)
	require.NoError(t, err)
	require.NotEmpty(t, report.Rows)

	text, err := json.Marshal(report)
	require.NoError(t, err)
	var decoded RetentionReport
	require.NoError(t, json.Unmarshal(text, &decoded))
	require.Len(t, decoded.Rows, len(report.Rows))
	lines := linesOf(t, report.WriteCSV)
	assertDefined(t, lines[1+len(report.Rows):], report.Definitions())
	for i := range report.Rows {
		want, got := &report.Rows[i], &decoded.Rows[i]
		assert.True(t, want.From.Equal(got.From) && want.To.Equal(got.To))
		assert.Equal(t, [3]any{want.Channel, want.Origin, numbersOf(RetentionColumns(), want)},
			[3]any{got.Channel, got.Origin, numbersOf(RetentionColumns(), got)})
		line := strings.Join(lines[1+i], ",")
		assert.Equal(t, fmt.Sprintf("%s,%s,%s,%s,%s,%s,,%d,%d,%d,%s,%v",
			want.From.Format(csvTime), want.To.Format(csvTime), want.Channel.Key,
			want.Channel.Name, want.Channel.Group, want.Origin, want.Days, want.Follows,
			want.Stayed, report.AsOf.Format(csvTime), report.Open), line)
	}
}

// linesOf are those of a file, of which each has as many cells as the first.
func linesOf(t *testing.T, writeCSV func(io.Writer) error) [][]string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, writeCSV(&out))
	plain, hasMark := strings.CutPrefix(out.String(), "\ufeff")
	assert.True(t, hasMark)
	lines, err := csv.NewReader(strings.NewReader(plain)).ReadAll()
	require.NoError(t, err)
	return lines
}

// The losses by age add up to a total, also those whose age nobody knows.
func TestLossAgesAsCSV(t *testing.T) {
	t.Parallel()
	ages := LossAges{
		Query: Query{From: monday, To: monday.AddDate(0, 0, 7), Group: "=华东"},
		AsOf:  time.Date(2026, 3, 9, 10, 20, 0, 0, china), AgeUnknown: 4,
		Rows: []LossAge{{time.Hour, 2}, {24 * time.Hour, 0}, {0, 3}},
	}
	lines := linesOf(t, ages.WriteCSV)
	const end = "2026-03-09 10:20 false"
	for i, want := range []string{
		"up_to channel name group origin lost as_of open",
		"1h0m0s   '=华东  2 " + end, "24h0m0s   '=华东  0 " + end, "0s   '=华东  3 " + end,
		"unknown   '=华东 age_unknown 4 " + end, "total   '=华东 total 9 " + end,
	} {
		assert.Equal(t, want, strings.Join(lines[i], " "))
	}
	notes := assertDefined(t, lines[6:], Definitions{
		Columns: lossAgeDefinitions[:1], Origins: lossAgeDefinitions[1:],
	})
	assert.Equal(t, "2026-03-02 00:00", notes["setting from"][0])
	assert.Equal(t, "UTC+8", notes["setting zone"][0])
}

// A day has WeChat's figures, the ledger's and the difference, and a line for each reason;
// one without WeChat's has no difference.
func TestComparisonAsCSV(t *testing.T) {
	t.Parallel()
	wechat := Figures{New: 9, Lost: 2, Followers: 40, ScannedNew: 7, ScannedLost: 1}
	ours := Figures{New: 8, Lost: 3, Followers: 38, ScannedNew: 7, ScannedLost: 1}
	comparison := Comparison{AsOf: time.Date(2026, 3, 3, 10, 20, 0, 0, china)}
	comparison.Days = []ComparedDay{
		{
			Date: monday, WeChat: &wechat, Ours: ours, Diff: wechat.minus(ours),
			Reasons: []DiffReason{{EndsFound, 1}, {Kind: PushesLost}},
		},
		{
			Date: monday.AddDate(0, 0, 1), Ours: Figures{Followers: 38},
			Reasons: []DiffReason{{Kind: DayOpen}},
		},
	}
	lines := linesOf(t, comparison.WriteCSV)
	const asOf = "2026-03-03 10:20"
	for i, want := range []string{
		"date,origin,new,lost,followers,scanned_new,scanned_lost,count,as_of,open",
		"2026-03-02,wechat,9,2,40,7,1,," + asOf + ",false",
		"2026-03-02,ours,8,3,38,7,1,," + asOf + ",false",
		"2026-03-02,diff,1,-1,2,0,0,," + asOf + ",false",
		"2026-03-02,ends found,,,,,,1," + asOf + ",false",
		"2026-03-02,pushes lost,,,,,,," + asOf + ",false",
		"2026-03-03,wechat,,,,,,," + asOf + ",true",
		"2026-03-03,ours,0,0,38,0,0,," + asOf + ",true",
		"2026-03-03,diff,,,,,,," + asOf + ",true",
		"2026-03-03,day open,,,,,,," + asOf + ",true",
	} {
		assert.Equal(t, want, strings.Join(lines[i], ","))
	}
	notes := assertDefined(t, lines[10:], Definitions{
		Columns: comparisonDefinitions,
		Origins: append(sideDefinitions[:3:3], reasonDefinitions...),
	})
	assert.Equal(t, "UTC+8", notes["setting zone"][0])
	assert.Equal(t, DiffReason{Kind: PushesLost}.Hint(), notes["origin pushes lost"][2])
}

// The columns that a program adds are in the CSV, in JSON and among the definitions.
func TestExtraColumns(t *testing.T) {
	t.Parallel()
	report := Report{
		Query: Query{From: monday, To: monday.AddDate(0, 0, 7), By: ByChannel}, AsOf: monday,
		Rows: []Row{{Cell: Cell{Channel: Channel{Key: "a"}}}, {Cell: Cell{Origin: NoCode}}},
		Extra: []ExtraColumn{
			{Definition{"spent", "spent", "花费", "what", "何"}, []json.Number{"12.50", "", "12.50"}},
			{Definition: Definition{"cost", "cost", "成本", "what", "何"}},
		},
	}
	lines := linesOf(t, report.WriteCSV)
	place := len(placeNames) + 1 + len(Columns())
	for i, want := range []string{"spent cost as_of", "12.50  ", "  ", "12.50  "} {
		got := strings.Join(lines[i][place:place+3], " ")
		assert.True(t, strings.HasPrefix(got, want), got)
	}
	assertDefined(t, lines[4:], report.Definitions())
	assert.Equal(t, "cost", report.Definitions().Columns[len(Columns())+2].Name)

	text, err := json.Marshal(&report)
	require.NoError(t, err)
	type object = map[string]any
	var got struct {
		Rows        []object
		Total       object
		Definitions Definitions
	}
	require.NoError(t, json.Unmarshal(text, &got))
	assert.Equal(t, []any{12.5, nil, 12.5},
		[]any{got.Rows[0]["spent"], got.Rows[1]["spent"], got.Total["spent"]})
	assert.NotContains(t, got.Total, "cost")
	assert.Equal(t, report.Definitions(), got.Definitions)
	report.Extra[0].Numbers[0] = "=1+1"
	_, err = json.Marshal(&report)
	assert.Error(t, err)
	assert.ErrorIs(t, report.WriteCSV(io.Discard), wechatqr.ErrInvalidArgument)
}

// Texts are no formulas, and the time at which a channel is retired is local.
func TestCSVCells(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 9, 10, 20, 0, 0, china)
	retired := time.Date(2026, 3, 8, 16, 30, 0, 0, time.UTC)
	report := Report{
		Query: Query{From: monday, By: ByWeekday | ByChannel}, AsOf: at, Open: true,
		Rows: []Row{
			{Cell: Cell{Weekday: time.Tuesday, Hour: 9,
				Channel: Channel{Key: "=1+1", Name: " @x", Group: "＝A1", Retired: retired}}},
			{Cell: Cell{Weekday: time.Sunday,
				Channel: Channel{Key: "'a", Name: `a"b,c`, Group: "华东"}}},
			{Cell: Cell{Origin: NoCode}, Counts: Counts{Lost: 3, Returning: 1}},
		},
	}
	var out bytes.Buffer
	require.NoError(t, report.WriteCSV(&out))
	const end = ",2026-03-09 10:20,true\r\n"
	zeros := strings.Repeat(",0", len(Columns()))
	table, _, _ := strings.Cut(out.String(), "\r\n,,")
	assert.Equal(t, "\ufeff"+
		"start,channel,name,group,origin,retired,scans,scanners,follower_scans,new,returning,lost,"+
		"net,imported,forgotten,held_start,held_end,quick_lost,quick_of,as_of,open\r\n"+
		"Tuesday 09:00,'=1+1,' @x,'＝A1,,2026-03-09 00:30"+zeros+end+
		`Sunday 00:00,''a,"a""b,c",华东,,`+zeros+end+
		"Sunday 00:00,,,,no code,,0,0,0,0,1,3,-2,0,0,0,0,0,0"+end+
		"2026-03-02 00:00,,,,total,"+zeros+strings.TrimSuffix(end, "\r\n"), table)
}
