package channels

import (
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"time"
)

var rowSeed = maphash.MakeSeed()

// rowSum is the same for the same rows in any order.
type rowSum struct {
	rows int64
	sum  uint64
}

func (s *rowSum) add(values []any) {
	var h maphash.Hash
	h.SetSeed(rowSeed)
	for _, value := range values {
		if bytes, ok := value.([]byte); ok {
			value = string(bytes)
		}
		maphash.WriteComparable(&h, value)
	}
	s.rows++
	s.sum += h.Sum64()
}

// compareTables reads all tables of the copy.
func (c *copier) compareTables(ctx context.Context, copied *tx) error {
	for _, table := range c.tables {
		sum := rowSum{}
		err := copied.eachRow(ctx, table, func(_ []string, values []any) error {
			sum.add(values)
			return nil
		})
		want := c.sums[table]
		switch {
		case err != nil:
			return err
		case sum.rows != want.rows:
			return fmt.Errorf(
				"%w: table %s has %d rows, not %d", ErrCopyDiffers, table, sum.rows, want.rows,
			)
		case sum != want:
			return fmt.Errorf("%w: table %s has other values", ErrCopyDiffers, table)
		}
	}
	return nil
}

// daysAReport bounds the memory that reports by day and channel take.
const daysAReport = 7

// compareReports asks both databases the same of each week in which something happened.
func (c *copier) compareReports(ctx context.Context, copied *tx) error {
	var first, last sql.NullInt64
	bounds := "SELECT MIN(hour), MAX(hour) FROM channels_hours"
	if err := c.source.row(ctx, []any{&first, &last}, bounds); err != nil || !first.Valid {
		return err
	}
	end := time.Unix(last.Int64*hourSeconds, 0)
	day := startOfDay(time.Unix(first.Int64*hourSeconds, 0).In(c.from.config.Location))
	for !day.After(end) {
		next := DaysLater(day, daysAReport)
		q := Query{From: day, To: next}
		if err := c.compareWeek(ctx, copied, q); err != nil {
			return err
		}
		day = next
	}
	return nil
}

func (c *copier) compareWeek(ctx context.Context, copied *tx, q Query) error {
	for _, q.By = range []By{ByDay | ByChannel, ByWeekday | ByGroup} {
		want, err := c.from.report(ctx, c.source, q)
		if err != nil {
			return err
		}
		got, err := c.to.report(ctx, copied, q)
		if err != nil {
			return err
		}
		want.Rows = append(want.Rows, Row{Cell{Origin: "total"}, want.Total})
		got.Rows = append(got.Rows, Row{Cell{Origin: "total"}, got.Total})
		if err := sameRows(want.Rows, got.Rows); err != nil {
			return err
		}
	}

	q.By = ByDay
	days := []int{0, 1, 7, 30}
	want, err := c.from.retention(ctx, c.source, q, days)
	if err != nil {
		return err
	}
	got, err := c.to.retention(ctx, copied, q, days)
	if err != nil {
		return err
	}
	return sameRows(want.Rows, got.Rows)
}

// sameRows returns the first difference.
func sameRows[T comparable](want, got []T) error {
	for i, row := range want {
		if i == len(got) || got[i] != row {
			return fmt.Errorf("%w: its report lacks %+v", ErrCopyDiffers, row)
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("%w: its report has %+v too", ErrCopyDiffers, got[len(want)])
	}
	return nil
}
