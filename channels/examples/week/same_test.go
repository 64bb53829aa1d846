package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// table is the numbers of a report by the name of the row, and of the column.
type table map[string]map[string]int64

// outputs read back what each form of a report says: by Go it is what the others must be.
var outputs = map[string]func(*testing.T, *channels.Report) table{
	"Go": goTable, "JSON": jsonTable, "CSV": csvTable, "text": textTable,
}

// The same question has the same answer in each form. What the text has no room for is
// left out of the comparison with it, and of nothing else.
func TestSameNumbersInEachForm(t *testing.T) {
	t.Parallel()
	report := weekReport(t)
	want := outputs["Go"](t, report)
	require.Greater(t, len(want), shops)
	require.Positive(t, want["total"]["returning"])
	require.Positive(t, want["total"]["quick_lost"])
	for name, output := range outputs {
		got := output(t, report)
		require.Len(t, got, len(want), name)
		for row, figures := range got {
			columns := len(channels.Columns())
			if name == "text" {
				columns -= len([]string{"follower_scans", "forgotten", "held_start"})
			}
			assert.Len(t, figures, columns, "%s: columns of %s", name, row)
			for column, n := range figures {
				assert.Equal(t, want[row][column], n, "%s: %s of %s", name, column, row)
			}
		}
	}
}

func weekReport(t *testing.T) *channels.Report {
	t.Helper()
	ctx := t.Context()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	ledger, err := channels.Open(ctx, db, channels.SQLite, channels.Config{
		AppID: "wx0123456789abcdef", PersonKey: make([]byte, 32), KeepAfterUnfollow: 1e18,
	})
	require.NoError(t, err)
	tickets, err := makeCodes(ctx, ledger, wechatqrtest.Start(t).Client())
	require.NoError(t, err)
	for _, ev := range weekOf(200, tickets) {
		_, err := ledger.Backfill(ctx, &ev)
		require.NoError(t, err)
	}
	report, err := ledger.Report(ctx, channels.Query{
		From: monday, To: monday.AddDate(0, 0, 7), By: channels.ByChannel,
	})
	require.NoError(t, err)
	return report
}

func goTable(_ *testing.T, r *channels.Report) table {
	figures := func(c *channels.Counts) map[string]int64 {
		return map[string]int64{
			"scans": c.Scans, "scanners": c.Scanners, "follower_scans": c.FollowerScans,
			"new": c.New, "returning": c.Returning, "lost": c.Lost, "net": c.Net(),
			"imported": c.Imported, "forgotten": c.Forgotten, "held_start": c.HeldStart,
			"held_end": c.HeldEnd, "quick_lost": c.QuickLost, "quick_of": c.QuickOf,
		}
	}
	all := table{"total": figures(&r.Total)}
	for _, row := range r.Rows {
		all[row.Channel.Key+string(row.Origin)] = figures(&row.Counts)
	}
	return all
}

// jsonTable reads the names of the columns from the definitions, and adds net.
func jsonTable(t *testing.T, r *channels.Report) table {
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var decoded struct {
		Rows        []map[string]any
		Total       map[string]any
		Definitions struct{ Columns []struct{ Name string } }
	}
	require.NoError(t, json.Unmarshal(text, &decoded))
	all := table{}
	add := func(name string, row map[string]any) {
		n := map[string]int64{}
		for _, column := range decoded.Definitions.Columns {
			if value, is := row[column.Name].(float64); is {
				n[column.Name] = int64(value)
			}
		}
		n["net"] = n["new"] + n["returning"] - n["lost"]
		all[name] = n
	}
	add("total", decoded.Total)
	for _, row := range decoded.Rows {
		channel, _ := row["channel"].(map[string]any)
		key, _ := channel["key"].(string)
		origin, _ := row["origin"].(string)
		add(key+origin, row)
	}
	return all
}

func csvTable(t *testing.T, r *channels.Report) table {
	var out bytes.Buffer
	require.NoError(t, r.WriteCSV(&out))
	lines, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	require.NoError(t, err)
	all := table{}
	for _, line := range lines[1:] {
		if line[0] == "" {
			break // the definitions
		}
		n := map[string]int64{}
		for i := 6; i < len(line)-2; i++ {
			n[lines[0][i]], err = strconv.ParseInt(line[i], 10, 64)
			require.NoError(t, err)
		}
		all[line[1]+line[4]] = n
	}
	return all
}

func textTable(t *testing.T, r *channels.Report) table {
	var out bytes.Buffer
	printTable(&out, r)
	all := table{}
	for line := range strings.Lines(out.String()) {
		columns := []string{
			"scans", "scanners", "new", "returning", "lost", "net", "imported", "held_end",
			"quick_lost", "quick_of",
		}
		values := make([]int64, len(columns))
		var to []any
		for i := range values {
			to = append(to, &values[i])
		}
		var name string
		n, err := fmt.Sscanf(line, "%d %d %d %d %d %d %d %d %d/%d %s", append(to, &name)...)
		if n == 0 {
			continue // the head
		}
		require.NoError(t, err, line)
		_, label, _ := strings.Cut(line, fmt.Sprintf("/%-3d ", values[9]))
		label = strings.TrimSpace(label)
		switch {
		case label == "account":
			label = "total"
		case strings.HasPrefix(label, "shop-"):
			label = name
		}
		all[label] = map[string]int64{}
		for i, column := range columns {
			all[label][column] = values[i]
		}
	}
	return all
}
