package channels

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/wechatqr/wechatqr"
)

// encoded is the text as different programs write it.
func encoded(t *testing.T, text string) map[string]string {
	t.Helper()
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(text)
	require.NoError(t, err)
	files := map[string]string{"UTF-8": text, "UTF-8 with a mark": "\ufeff" + text, "GBK": gbk}
	for name, order := range map[string]unicode.Endianness{
		"UTF-16 LE": unicode.LittleEndian, "UTF-16 BE": unicode.BigEndian,
	} {
		files[name], err = unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(text)
		require.NoError(t, err)
	}
	return files
}

// However a spreadsheet writes the list, it is the same channels.
func TestPlanReadsSpreadsheets(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	want := []PlanLine{
		{Channel: Channel{Key: "sh-7", Name: "上海七店", Group: "华东/门店"}, Status: LineNew},
		{Channel: Channel{Key: "bj-1", Name: "北京,一店"}, Scene: "old 1", Status: LineNew},
	}
	for name, text := range map[string]string{
		"English":       "key,name,group,scene\nsh-7,上海七店,华东/门店,\nbj-1,\"北京,一店\",,old 1\n",
		"Chinese":       "编号;名称;分组;场景值\r\nsh-7;上海七店;华东/门店;\r\nbj-1;北京,一店;;old 1\r\n",
		"tabs":          "Key\tNAME\tGroup\tscene\n\nsh-7\t 上海七店\t华东/门店\t\nbj-1\t北京,一店\t\told 1",
		"other order":   "场景值,备注,分组,渠道 名称,编号\n,好,华东/门店,上海七店,sh-7\nold 1,,,\"北京,一店\",bj-1\n,,,,\n",
		"no names":      "sh-7,上海七店,华东/门店\nbj-1,\"北京,一店\",,old 1\n",
		"Chinese comma": "编号，名称，分组，场景值\nsh-7，上海七店，华东/门店，\nbj-1，北京,一店，，old 1\n",
		"a report":      "start,channel,name,group,origin,scene\n,sh-7,上海七店,华东/门店,,\n,bj-1,\"北京,一店\",,,old 1\n,,,,total,\n",
	} {
		for encoding, file := range encoded(t, text) {
			t.Run(name+" "+encoding, func(t *testing.T) {
				t.Parallel()
				p, err := l.Plan(t.Context(), strings.NewReader(file))
				require.NoError(t, err)
				for i := range p.Lines {
					assert.GreaterOrEqual(t, p.Lines[i].Line, 1+i)
					p.Lines[i].Line = 0
				}
				assert.Equal(t, want, p.Lines)
				assert.Equal(t, []int{1, MaxCodes - 1}, []int{p.Codes, p.Left})
				if name == "other order" {
					assert.Equal(t, []string{"备注"}, p.Ignored)
				}
			})
		}
	}
}

func TestPlanRefusesFiles(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	for name, tt := range map[string]struct{ file, want, wantZH string }{
		"empty":      {"", "has no channel", "没有渠道"},
		"names only": {"key,name\n", "has no channel", "没有渠道"},
		"no key": {
			"名称,分组\n上海七店,华东\n", "line 1: no column is named key (编号)", "没有“编号”列",
		},
		"two keys":       {"key,编号\na,b\n", "two columns are named key", "有两列都是 key"},
		"a workbook":     {"PK\x03\x04rest", "save it as CSV UTF-8", "另存为 CSV UTF-8"},
		"other bytes":    {"key\n\xff\xff\xff", "neither UTF-8 nor GBK", "也不是 GBK"},
		"an open quote":  {"key,name\na,\"b\n", "line 2", "第 2 行：引号没有成对"},
		"too large":      {strings.Repeat("x", 16<<20+1), "larger than 16 MiB", "超过 16 MiB"},
		"too many lines": {strings.Repeat("a\n", MaxCodes+1), "line 100001", "第 100001 行"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Plan(t.Context(), strings.NewReader(tt.file))
			assert.ErrorIs(t, err, wechatqr.ErrInvalidArgument)
			assert.ErrorContains(t, err, tt.want)
			text, textZH := Explain(err)
			assert.Contains(t, text, tt.want)
			assert.Contains(t, textZH, tt.wantZH)
			assert.NotContains(t, text, "invalid argument")
		})
	}
}

// What is wrong with a line is said in both languages without a word of Go, all of it.
func TestExplain(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	ctx := t.Context()
	require.NoError(t, l.Put(ctx, Channel{Key: "old"}))
	require.NoError(t, l.Put(ctx, Channel{Key: "other"}))
	require.NoError(t, l.Merge(ctx, "old", "other"))
	require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("theirs"), Channel{Key: "adopted"}))
	for name, tt := range map[string]struct{ line, text, textZH string }{
		"a key that is missing": {
			",name,,", "key is empty: use 1 to 64 bytes", "编号为空：须为 1 到 64 字节",
		},
		"a long name": {
			"a," + strings.Repeat("n", 201) + ",,", "name has 201 bytes: use 0 to 200",
			"名称有 201 字节：须为 0 到 200 字节",
		},
		"a control character": {
			"a,,\"b\tc\",", `group "b\tc" has control characters or is no UTF-8`,
			`分组"b\tc" 含控制字符或不是 UTF-8`,
		},
		"merged": {
			"old,,,", `"old" was merged into another channel: use its key`,
			"“old”已并入另一渠道：请用那个渠道的编号",
		},
		"another's code": {
			"a,,,theirs", `the code "theirs" belongs to "adopted": give it away there, or leave it out`,
			"码“theirs”属于渠道“adopted”：请先在那里改归，或不填",
		},
		"no scene": {
			"a,,,\"b\tc\"", `"b\tc" is no scene that WeChat takes: use 1 to 64 visible bytes`,
			"“b\tc”不能作场景值：须为 1 到 64 字节的可见字符",
		},
		"twice, and merged": {
			"x,,\nold,,\nold,,", `"old" is in line 3 too: leave one of them; ` +
				`"old" was merged into another channel: use its key`,
			"“old”在第 3 行已有：请只留一行；“old”已并入另一渠道：请用那个渠道的编号",
		},
	} {
		p, err := l.Plan(ctx, strings.NewReader("key,name,group,scene\n"+tt.line+"\n"))
		require.NoError(t, err, name)
		text, textZH := Explain(p.Lines[len(p.Lines)-1].Err)
		assert.Equal(t, tt.text, text, name)
		assert.Equal(t, tt.textZH, textZH, name)
	}
	text, textZH := Explain(ErrWrongKey)
	assert.Equal(t, []string{ErrWrongKey.Error(), ""}, []string{text, textZH})
	text, textZH = Explain(nil)
	assert.Empty(t, text+textZH)
}

func TestPlanAndApply(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, c := newLedger(t, d, testConfig)
		ctx := t.Context()
		require.NoError(t, l.Put(ctx, Channel{Key: "same", Name: "一", Group: "华东"}))
		require.NoError(t, l.Put(ctx, Channel{Key: "other", Name: "二", Group: "华东"}))
		require.NoError(t, l.Put(ctx, Channel{Key: "old"}))
		require.NoError(t, l.Merge(ctx, "old", "other"))
		adopted := Channel{Key: "adopted"}
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString("theirs"), adopted))
		c.Time = monday.Add(time.Hour)
		_, err := l.RecordEvent(ctx, newPush("ann", c.Time, wechatqr.EventSubscribe, "s7"))
		require.NoError(t, err)

		p, err := l.Plan(ctx, strings.NewReader("key,name,scene\n"+
			"same,一,\nother,二店,\nnew,三,s7\nadopted,,theirs\n"+
			strings.Repeat("k", 65)+",,\nnew,,\n,no key,\nold,,\nmine,,theirs\nmore,,s7\nlong,,"+
			strings.Repeat("s", 65)+"\n"))
		require.NoError(t, err)
		want := []struct {
			status LineStatus
			err    string
		}{
			{LineSame, ""}, {LineChanged, ""}, {LineNew, ""}, {LineSame, ""},
			{LineConflict, "line 6, column key"},
			{LineConflict, `line 7, column key: invalid argument: "new"`},
			{LineConflict, "use 1 to 64"}, {LineConflict, "use its key"},
			{LineConflict, `"theirs" belongs to "adopted": use Reassign`},
			{LineConflict, `"s7" is in line 4 too`}, {LineConflict, "line 12, column scene"},
		}
		require.Len(t, p.Lines, len(want))
		for i, w := range want {
			one := &p.Lines[i]
			assert.Equal(t, w.status, one.Status, "%+v", one)
			assert.Equal(t, i+2, one.Line)
			if w.err != "" {
				assert.ErrorContains(t, one.Err, w.err)
			}
		}
		assert.Equal(t, Channel{Key: "other", Name: "二店", Group: "华东"}, p.Lines[1].Channel)
		assert.Equal(t, Channel{Key: "other", Name: "二", Group: "华东"}, p.Lines[1].Was)
		require.ErrorIs(t, p.Lines[8].Err, ErrSceneInUse)
		before, err := l.Channels(ctx)
		require.NoError(t, err)
		require.Error(t, l.Apply(ctx, p), "there are conflicts")
		after, err := l.Channels(ctx)
		require.NoError(t, err)
		assert.Equal(t, before, after)

		p.Lines = p.Lines[:4]
		require.NoError(t, l.Apply(ctx, p))
		require.NoError(t, l.Apply(ctx, p), "again")
		r, err := l.Report(ctx, Query{From: monday, To: monday.Add(24 * time.Hour), Channel: "new"})
		require.NoError(t, err)
		assert.Equal(t, int64(1), r.Total.New, "what came by s7 before is theirs")
		var keys []string
		for channel := range p.Channels() {
			keys = append(keys, channel.Key)
		}
		assert.Equal(t, []string{"same", "other"}, keys)
	})
}

// More channels than one block of numbers has, in one transaction.
func TestApplyManyChannels(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		l, _ := newLedger(t, d, testConfig)
		var file bytes.Buffer
		for n := range 2*numbersABlock + 1 {
			fmt.Fprintf(&file, "c%d,渠道%d,华东,s%d\n", n, n, n)
		}
		p, err := l.Plan(t.Context(), bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		require.Equal(t, len(p.Lines), p.Count(LineNew))
		require.NoError(t, l.Apply(t.Context(), p))
		p, err = l.Plan(t.Context(), &file)
		require.NoError(t, err)
		assert.Equal(t, 2*numbersABlock+1, p.Count(LineSame))
	})
}

// A list that takes thousands of codes over takes a few statements, and what their scenes
// brought before is their channels'.
func TestApplyTakesFewStatements(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		const codes = 3000
		var statements atomic.Int32
		count := func(context.Context, string) error { statements.Add(1); return nil }
		nothing := func(context.Context, string) error { return nil }
		driver, dsn := source(t, d)
		c := &clock{monday}
		l, err := openAt(t.Context(), watch(t, driver, dsn, count, nothing), d, testConfig, c.now)
		require.NoError(t, err)
		for _, n := range []int{0, codes / 2, codes - 1} {
			who, scene := fmt.Sprint("person", n), fmt.Sprint("s", n)
			recordPush(t, l, who, monday, wechatqr.EventSubscribe, scene)
		}
		var file bytes.Buffer
		for n := range codes {
			fmt.Fprintf(&file, "c%d,,,s%d\n", n, n)
		}
		p, err := l.Plan(t.Context(), &file)
		require.NoError(t, err)

		statements.Store(0)
		require.NoError(t, l.Apply(t.Context(), p))
		assert.Less(t, int(statements.Load()), 100)
		report, err := l.Report(t.Context(), Query{
			From: monday, To: monday.AddDate(0, 0, 1), By: ByChannel, Active: true,
		})
		require.NoError(t, err)
		followers := map[string]int64{}
		for _, row := range report.Rows {
			followers[row.Channel.Key] = row.New
		}
		want := map[string]int64{"c0": 1, "c1500": 1, "c2999": 1}
		assert.Equal(t, want, followers)

		require.NoError(t, l.Retire(t.Context(), "c7", monday))
		for n := range codes {
			fmt.Fprintf(&file, "c%d,new %d\n", n, n)
		}
		p, err = l.Plan(t.Context(), &file)
		require.NoError(t, err)
		require.Equal(t, codes, p.Count(LineChanged))
		statements.Store(0)
		require.NoError(t, l.Apply(t.Context(), p))
		assert.Less(t, int(statements.Load()), 100)
		renamed, err := l.Channels(t.Context())
		require.NoError(t, err)
		require.Len(t, renamed, codes)
		for _, one := range renamed {
			assert.Equal(t, "new "+one.Key[1:], one.Name)
			assert.Equal(t, one.Key == "c7", one.Retired.Equal(monday), one.Key)
		}
	})
}

func TestApplyRefusesAnOutdatedPlan(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(l *Ledger) error{
		"renamed": func(l *Ledger) error {
			return l.Put(t.Context(), Channel{Key: "a", Name: "theirs"})
		},
		"made": func(l *Ledger) error { return l.Put(t.Context(), Channel{Key: "b"}) },
		"a scene taken": func(l *Ledger) error {
			return l.Adopt(t.Context(), wechatqr.SceneString("s"), Channel{Key: "c"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newLedger(t, SQLite, testConfig)
			require.NoError(t, l.Put(t.Context(), Channel{Key: "a"}))
			file := "a,mine\nb,mine,,s\n"
			p, err := l.Plan(t.Context(), strings.NewReader(file))
			require.NoError(t, err)
			require.NoError(t, change(l))
			before, err := l.Channels(t.Context())
			require.NoError(t, err)
			err = l.Apply(t.Context(), p)
			require.ErrorIs(t, err, ErrPlanOutdated)
			assert.ErrorContains(t, err, "make a new plan")
			after, err := l.Channels(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}

// What WriteCSV writes goes in again, also what a spreadsheet would take for a formula.
func TestPlanReadsReports(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t, SQLite, testConfig)
	ctx := t.Context()
	all := []Channel{
		{Key: "=1+1", Name: "＝A1", Group: "@shops"}, {Key: "'a", Name: `a"b,c`, Group: "-"},
		{Key: "''b", Name: "'=x", Group: "华东/门店"}, {Key: "plain", Name: "上海七店"},
	}
	for i, channel := range all {
		require.NoError(t, l.Adopt(ctx, wechatqr.SceneString(fmt.Sprint("s", i)), channel))
		c.Time = monday.Add(time.Hour)
		_, err := l.RecordEvent(ctx,
			newPush(fmt.Sprint(i), c.Time, wechatqr.EventSubscribe, fmt.Sprint("s", i)))
		require.NoError(t, err)
	}
	_, err := l.RecordEvent(ctx, newPush("nobody", c.Time, wechatqr.EventSubscribe, ""))
	require.NoError(t, err)
	r, err := l.Report(ctx, Query{From: monday, To: monday.Add(24 * time.Hour), By: ByChannel})
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, r.WriteCSV(&file))

	p, err := l.Plan(ctx, bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	assert.Equal(t, len(all), p.Count(LineSame))
	assert.Len(t, p.Lines, len(all))
	blank, _ := newLedger(t, SQLite, testConfig)
	p, err = blank.Plan(ctx, &file)
	require.NoError(t, err)
	require.NoError(t, blank.Apply(ctx, p))
	got, err := blank.Channels(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, all, slices.Clip(got))
}

// A code that was given to another channel is that one's: a list that says so, or that was
// written before, changes nothing. For a third channel the error names whose it is.
func TestPlanOfACodeThatWasGivenAway(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, SQLite, testConfig)
	ctx, scene := t.Context(), wechatqr.SceneString("s")
	require.NoError(t, l.Adopt(ctx, scene, Channel{Key: "a"}))
	for _, key := range []string{"b", "c"} {
		require.NoError(t, l.Put(ctx, Channel{Key: key}))
	}
	require.NoError(t, l.Reassign(ctx, scene, "b", monday))

	for _, key := range []string{"a", "b"} {
		p, err := l.Plan(ctx, strings.NewReader(key+",,,s\n"))
		require.NoError(t, err)
		assert.Equal(t, LineSame, p.Lines[0].Status, key)
		require.NoError(t, l.Apply(ctx, p), key)
		require.NoError(t, l.Adopt(ctx, scene, Channel{Key: key}), key)
	}
	p, err := l.Plan(ctx, strings.NewReader("c,,,s\n"))
	require.NoError(t, err)
	assert.ErrorIs(t, p.Lines[0].Err, ErrSceneInUse)
	assert.ErrorContains(t, p.Lines[0].Err, `belongs to "b"`)
	assert.ErrorIs(t, l.Adopt(ctx, scene, Channel{Key: "c"}), ErrSceneInUse)
}
