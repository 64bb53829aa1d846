package page

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// spentByFill is what fill has on notes, in the smallest unit.
var spentByFill = map[string]int64{"sh-1": 1234567, "gz-1": 5, "none": 700}

// fill has people come and leave, by channels and without.
func (d *desk) fill() {
	d.channel("sh-1", "=HYPERLINK(1)", "华东/门店")
	d.channel("sh-2", "上海二店", "华东/门店")
	d.channel("gz-1", "<b>广州</b>", "华南")
	d.channel("none", "没有人的店", "华南")
	for key, n := range spentByFill {
		d.note(key, "2026-11-25", "print", decimal(n))
	}
	for i := range 40 {
		key := []string{"sh-1", "sh-2", "gz-1", ""}[i%4]
		who := fmt.Sprint("o-", i)
		d.follow(who, key, noon.Add(-time.Duration(23*60-30*i)*time.Minute))
		if i%5 == 0 {
			d.leave(who, noon.Add(-time.Duration(i)*time.Second))
		}
	}
}

// numbersOf are the numbers of a report's row by the names of its CSV's columns, each
// found by its JSON.
func numbersOf(t *testing.T, c channels.Counts) map[string]int64 {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	numbers := map[string]int64{}
	require.NoError(t, json.Unmarshal(text, &numbers))
	numbers["net"] = c.Net()
	return numbers
}

// numbersIn are those of a record of a table.
func numbersIn(t *testing.T, heads, record []string) map[string]int64 {
	t.Helper()
	numbers := map[string]int64{}
	for i, head := range heads {
		if textColumns(heads)[i] {
			continue
		}
		isCost := head == "spent" || head == "cost_per_held"
		if isCost && record[i] != "" {
			n, err := strconv.ParseFloat(record[i], 64)
			require.NoError(t, err, head)
			numbers[head] = int64(math.Round(100 * n))
		} else if !isCost {
			n, err := strconv.ParseInt(record[i], 10, 64)
			require.NoError(t, err, head)
			numbers[head] = n
		}
	}
	return numbers
}

// The same question by Go, the page, JSON, CSV and XLSX has the same answer.
func TestTheSameNumbersEverywhere(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		q := defaultQuestion
		q.Period.Name = "7d"
		query := q.query(time.Now(), shanghai, channels.ByChannel)
		report, err := d.Ledger.Report(t.Context(), query)
		require.NoError(t, err)
		report.Rows = slices.Insert(report.Rows, 1, channels.Row{Cell: channels.Cell{
			Channel: channels.Channel{Key: "none", Name: "没有人的店", Group: "华南"},
		}}) // on which something was spent
		var want []map[string]int64
		costedHeld := int64(0)
		for i := range report.Rows {
			row := &report.Rows[i]
			numbers := numbersOf(t, row.Counts)
			if n := spentByFill[row.Channel.Key]; n > 0 {
				costedHeld += row.HeldEnd
				withCosts(numbers, n, row.HeldEnd)
			}
			want = append(want, numbers)
		}
		total := numbersOf(t, report.Total)
		withCosts(total, 1234567+5+700, costedHeld)
		want = append(want, total)
		require.Len(t, want, 6, "four channels, no code and the total")

		var parsed struct{ Rows, Total json.RawMessage }
		w := d.get(viewer, "/export/channels.json"+q.String(), "en")
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &parsed))
		assert.Equal(t, want, jsonNumbers(t, parsed.Rows, parsed.Total), "JSON")

		w = d.get(viewer, "/export/channels.csv"+q.String(), "en")
		file, marked := strings.CutPrefix(w.Body.String(), bom)
		assert.True(t, marked)
		records, err := csv.NewReader(strings.NewReader(file)).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, want, tableNumbers(t, records), "CSV")

		w = d.get(viewer, "/export/channels.xlsx"+q.String(), "en")
		book, err := excelize.OpenReader(bytes.NewReader(w.Body.Bytes()))
		require.NoError(t, err)
		defer book.Close()
		records, err = book.GetRows("Sheet1")
		require.NoError(t, err)
		assert.Equal(t, want, tableNumbers(t, records), "XLSX")
		formula, err := book.GetCellFormula("Sheet1", "C3")
		require.NoError(t, err)
		assert.Empty(t, formula)

		page := textOf(d.get(viewer, "/channels"+q.String(), webui.Chinese))
		for i := range report.Rows {
			row := &report.Rows[i]
			name := channelName(row.Channel)
			if row.Origin != channels.OfChannel {
				name = wordOf(originWords[row.Origin]).zh
			}
			start := strings.TrimSpace(name+" "+row.Channel.Group) + " " + shown(&row.Counts)
			assert.Regexp(t, regexp.QuoteMeta(start)+` \S+ \S+ `+shownCost(want[i]), page)
		}
		start := regexp.QuoteMeta("合计 " + shown(&report.Total))
		assert.Regexp(t, start+` \S+ \S+ `+shownCost(total), page)
		has(t, page, "没有人的店 华南 0 0 0 0 0 – – –")
	})
}

// withCosts adds what the files have of a row on which something was spent.
func withCosts(numbers map[string]int64, spent, held int64) {
	numbers["spent"] = spent
	if held > 0 {
		numbers["cost_per_held"] = int64(math.Round(float64(spent) / float64(held)))
	}
}

// shownCost is the cell of the table of channels.
func shownCost(numbers map[string]int64) string {
	if cost, ok := numbers["cost_per_held"]; ok {
		return strings.ReplaceAll(money(cost), "\u202f", " ") + `\b`
	}
	return "–"
}

// jsonNumbers are those of the rows of a report's JSON and of its total.
func jsonNumbers(t *testing.T, rows, total json.RawMessage) (all []map[string]int64) {
	t.Helper()
	var objects []json.RawMessage
	require.NoError(t, json.Unmarshal(rows, &objects))
	for _, object := range append(objects, total) {
		var counts channels.Counts
		var read struct {
			Spent float64  `json:"spent"`
			Cost  *float64 `json:"cost_per_held"`
		}
		require.NoError(t, json.Unmarshal(object, &counts))
		require.NoError(t, json.Unmarshal(object, &read))
		numbers := numbersOf(t, counts)
		if read.Spent > 0 {
			numbers["spent"] = int64(math.Round(100 * read.Spent))
		}
		if read.Cost != nil {
			numbers["cost_per_held"] = int64(math.Round(100 * *read.Cost))
		}
		all = append(all, numbers)
	}
	return all
}

func tableNumbers(t *testing.T, records [][]string) (all []map[string]int64) {
	t.Helper()
	for _, record := range tableOf(records)[1:] {
		all = append(all, numbersIn(t, records[0], record))
	}
	return all
}

// shown is how the table of channels has the counts.
func shown(c *channels.Counts) string {
	return fmt.Sprintf("%s %s %s %s %s", signed(c.Net()), number(c.New), number(c.Returning),
		number(c.Lost), number(c.HeldEnd))
}

var plainNumber = strings.NewReplacer("\u202f", "", "−", "-", "&#43;", "")

var cells = regexp.MustCompile(`<t[dh][^>]*>([^<]*)</t[dh]>`)

// The table adds up on every page of it, and with a search.
func TestTheTableAddsUp(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		for i := range 120 {
			d.channel(fmt.Sprintf("more-%03d", i), "", "更多")
			d.follow(fmt.Sprint("o-more-", i), fmt.Sprintf("more-%03d", i), noon.Add(-time.Hour))
		}
		for _, address := range []string{
			"/channels", "/channels?page=2", "/channels?page=3", "/channels?page=99",
			"/channels?q=sh", "/channels?q=nothing", "/channels?sort=up-retention",
			"/channels?sort=quick", "/channels?sort=up-name", "/channels?group=%E5%8D%8E%E4%B8%9C",
		} {
			w := d.get(viewer, address, "en")
			require.Equal(t, http.StatusOK, w.Code, address)
			body := w.Body.String()
			assert.Less(t, len(body), 120<<10)
			var sums [5]int64
			rows := strings.Split(body[strings.Index(body, "<tbody>"):], "<tr")[1:]
			for i, row := range rows {
				var numbers []int64
				for _, cell := range cells.FindAllStringSubmatch(row, -1) {
					n, err := strconv.ParseInt(plainNumber.Replace(cell[1]), 10, 64)
					if err == nil {
						numbers = append(numbers, n)
					}
				}
				require.Len(t, numbers, 5, "%s %s", address, row)
				for j, n := range numbers {
					if i == len(rows)-1 {
						n = -n
					}
					sums[j] += n
				}
			}
			assert.Equal(t, [5]int64{}, sums, address)
		}
	})
}

// A retired channel is flagged in the preview and in each file, with what that means beside it.
func TestRetiredChannelsAreFlagged(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		require.NoError(t, d.Ledger.Retire(t.Context(), "sh-2", noon.Add(-time.Hour)))
		const retired = "2026-11-25 11:00"

		page := d.get(viewer, "/export?period=7d", webui.Chinese).Body.String()
		has(t, page, "<td>"+retired+"</td>")
		has(t, page, "<code>retired</code> 停用时间")
		file := d.get(viewer, "/export/channels.csv?period=7d", "en").Body.String()
		has(t, file, ",,"+retired+",")

		w := d.get(viewer, "/export/channels.xlsx?period=7d", "en")
		book, err := excelize.OpenReader(bytes.NewReader(w.Body.Bytes()))
		require.NoError(t, err)
		defer book.Close()
		records, err := book.GetRows("Sheet1")
		require.NoError(t, err)
		at, found := slices.Index(records[0], "retired"), map[string]string{}
		for _, record := range tableOf(records)[1:] {
			found[record[1]+record[4]] = record[at]
		}
		assert.Equal(t, map[string]string{
			"sh-1": "", "sh-2": retired, "gz-1": "", "none": "", "no code": "", "total": "",
		}, found)
	})
}

func TestExportsOfEachKind(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		for _, by := range slices.Sorted(maps.Keys(dimensions)) {
			w := d.get(viewer, "/export?by="+by, webui.Chinese)
			assert.Equal(t, http.StatusOK, w.Code, by)
		}
		assert.Equal(t, http.StatusNotFound, d.get(viewer, "/export/passwords.txt", "en").Code)
		assert.Equal(t, http.StatusNotFound, d.get(viewer, "/export?channel=nobody", "en").Code)
		assert.Equal(t, http.StatusBadRequest, d.get(viewer, "/export?by=nobody", "en").Code)
	})
}
