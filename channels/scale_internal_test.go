package channels

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scaleEvents is how many events the ledger of TestScale has: CHANNELS_EVENTS, which
// make bench-channels sets.
func scaleEvents(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CHANNELS_EVENTS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// TestScale prints how large a ledger of two years is and how long it takes to answer.
// It asserts nothing of times.
func TestScale(t *testing.T) {
	for _, d := range databases {
		t.Run(d.String(), func(t *testing.T) {
			s := newScale(t, d, scaleEvents(t))
			for _, part := range []struct {
				name    string
				measure func()
			}{
				{"size", s.measureSize}, {"reports", s.measureReports},
				{"recording", s.measureRecording},
			} {
				t.Run(part.name, func(t *testing.T) {
					s.t = t
					part.measure()
				})
			}
		})
	}
}

// scale is a loaded ledger and what was measured of it.
type scale struct {
	population
	t      *testing.T
	ledger *Ledger

	started   int64 // when, so that the followers are new
	followers int
}

// newScale loads a ledger, or opens the one in CHANNELS_SCALE_DIR that an earlier run
// has loaded.
func newScale(t *testing.T, d Dialect, events int) *scale {
	t.Helper()
	s := &scale{population: twoYears(events, max(events/100, 1)), t: t}
	s.started = time.Now().UnixNano()
	driver, dsn := source(t, d)
	if d.name == "MySQL" {
		dsn += "?interpolateParams=true" // as README.md advises
	}
	if dir := os.Getenv("CHANNELS_SCALE_DIR"); dir != "" && d.name == "SQLite" {
		dsn = filepath.Join(dir, fmt.Sprintf("%d.db", events))
	}
	s.ledger, _ = s.openAtEnd(t, d, connect(t, driver, dsn))
	if s.count("SELECT COUNT(*) FROM channels_totals") > 0 {
		return s
	}
	start := time.Now()
	n, err := (&bulk{population: &s.population, ledger: s.ledger}).load(t.Context())
	require.NoError(t, err)
	s.analyze()
	s.line("loaded in bulk", fmt.Sprintf("%d in %v", n, time.Since(start).Round(time.Second)))
	return s
}

// line prints a line of the table.
func (s *scale) line(what, figure string) {
	fmt.Printf("| %-10v | %-31s | %-26s |\n", s.ledger.dialect, what, figure)
}

// count reads one number.
func (s *scale) count(query string) (n int64) {
	s.t.Helper()
	t := &tx{&s.ledger.dialect, s.ledger.db}
	require.NoError(s.t, t.row(s.t.Context(), []any{&n}, query))
	return n
}

// sizes are the queries for the bytes that the tables have on the disk.
var sizes = map[string]string{
	"SQLite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
	"PostgreSQL": "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class" +
		" WHERE relkind = 'r' AND relname LIKE 'channels_%'",
	"MySQL": "SELECT SUM(data_length + index_length) FROM information_schema.tables" +
		" WHERE table_schema = DATABASE()",
}

// analyze does at once what the servers do by themselves some time after a load.
func (s *scale) analyze() {
	t := &tx{&s.ledger.dialect, s.ledger.db}
	for _, of := range []relation{peopleTable, eventsTable, followsTable, hoursTable, totalsTable} {
		switch s.ledger.dialect.name {
		case "PostgreSQL":
			require.NoError(s.t, t.exec(s.t.Context(), "ANALYZE "+of.name))
		case "MySQL":
			require.NoError(s.t, t.exec(s.t.Context(), "ANALYZE TABLE "+of.name))
		}
	}
}

func (s *scale) measureSize() {
	bytes := s.count(sizes[s.ledger.dialect.name])
	events := s.count("SELECT COUNT(*) FROM channels_events")
	s.line("bytes an event", fmt.Sprint(bytes/events))
}

// measureReports asks what pages ask.
func (s *scale) measureReports() {
	end := time.Unix(s.to, 0)
	days := func(n int) time.Time { return end.AddDate(0, 0, -n) }
	allTime := days(800)
	middle, busiest := s.channel(s.channels/2).Key, s.channel(0).Key
	town, region := s.channel(11%s.channels).Group, "region-1"
	for _, m := range []struct {
		what string
		Query
	}{
		{"today by hour", Query{From: days(1), To: end, By: ByHour}},
		{"today by channel, active ones",
			Query{From: days(1), To: end, By: ByChannel, Active: true}},
		{"today by channel, the best and worst five",
			Query{From: days(1), To: end, By: ByChannel, Top: 5}},
		{"today by channel, all", Query{From: days(1), To: end, By: ByChannel}},
		{"today by hour, a region", Query{From: days(1), To: end, By: ByHour, Group: region}},
		{"a channel by day, 90 days", Query{From: days(90), To: end, By: ByDay, Channel: middle}},
		{"a channel by day, all time", Query{From: allTime, To: end, By: ByDay, Channel: middle}},
		{"the busiest by day, 90 days",
			Query{From: days(90), To: end, By: ByDay, Channel: busiest}},
		{"the busiest by day, all time",
			Query{From: allTime, To: end, By: ByDay, Channel: busiest}},
		{"all time, the account", Query{From: allTime, To: end}},
		{"all time by channel", Query{From: allTime, To: end, By: ByChannel}},
		{"all time, a town", Query{From: allTime, To: end, Group: town}},
		{"all time, a region", Query{From: allTime, To: end, Group: region}},
		{"the last 90 days", Query{From: days(90), To: end}},
		{"the last 90 days by day", Query{From: days(90), To: end, By: ByDay}},
		{"a month a year ago by day", Query{From: days(365), To: days(335), By: ByDay}},
		{"heat map, 90 days", Query{From: days(90), To: end, By: ByWeekday}},
		{"heat map, a channel, all time",
			Query{From: allTime, To: end, By: ByWeekday, Channel: middle}},
	} {
		s.measure(m.what, func(ctx context.Context) error {
			_, err := s.ledger.Report(ctx, m.Query)
			return err
		})
	}
	for _, m := range []struct {
		what string
		Query
	}{
		{"retention, 30 days", Query{From: days(30), To: end, By: ByDay}},
		{"retention, 90 days", Query{From: days(90), To: end, By: ByDay}},
		{"retention, a channel, all time", Query{From: days(730), To: end, Channel: middle}},
	} {
		s.measure(m.what, func(ctx context.Context) error {
			_, err := s.ledger.Retention(ctx, m.Query, 1, 7, 30)
			return err
		})
	}
}

// measure prints the median of five runs, or of fewer if they are long. The time of the
// processor is this program's: with SQLite all of the work, whatever else the machine does.
func (s *scale) measure(what string, fn func(context.Context) error) {
	s.t.Helper()
	var times, processor []time.Duration
	for begin := time.Now(); len(times) < 5 && time.Since(begin) < 5*time.Second; {
		start, used := time.Now(), processorTime(s.t)
		require.NoError(s.t, fn(s.t.Context()))
		times = append(times, time.Since(start))
		processor = append(processor, processorTime(s.t)-used)
	}
	slices.Sort(times)
	slices.Sort(processor)
	figure := times[len(times)/2].Round(100 * time.Microsecond).String()
	if s.ledger.dialect.name == "SQLite" {
		figure += fmt.Sprintf(", CPU %v", processor[len(times)/2].Round(100*time.Microsecond))
	}
	s.line(what, figure)
}

func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
