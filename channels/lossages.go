package channels

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LossAges says how old the follows were that a period lost (取关). As JSON it has the same
// numbers, and what [LossAges.MarshalJSON] adds. The numbers of Rows and AgeUnknown are
// together what the [Report] of the period has as Lost.
type LossAges struct {
	Query
	AsOf time.Time `json:"as_of"` // when it was made
	Open bool      `json:"open"`  // the period was not over then

	Rows []LossAge `json:"rows"` // the youngest first, also those without a loss

	// AgeUnknown are the losses that [Ledger.Reconcile] found: when they happened is
	// known to the day only, or less.
	AgeUnknown int64 `json:"age_unknown"`
}

// LossAge is the losses of one row of LossAges.
type LossAge struct {
	// UpTo is the greatest age that counts here, and the row before has those up to its
	// own. Of the last row it is 0: that has whatever is older.
	UpTo time.Duration `json:"up_to_ns"`
	Lost int64         `json:"lost"`
}

// LossAges counts the follows that were lost in the period by their age: the time from
// their start to their end. upTo are the greatest ages of the rows in ascending order, in
// whole seconds above 0; one more row has whatever is older. Query.By is 0.
//
// Imported follows are as old as WeChat's list says, or since they were taken over if that
// was after a Forget. Follows that Forget ended are no losses. Losses of up to 24 hours are
// not the quick losses of a [Report]: those belong to the period in which the follow began,
// and leave imported follows out.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) LossAges(
	ctx context.Context, q Query, upTo ...time.Duration,
) (*LossAges, error) {
	if err := checkLossAges(q, upTo); err != nil {
		return nil, err
	}
	var ages *LossAges
	err := l.readSettled(ctx, func(t *tx) (err error) {
		ages, err = l.lossAges(ctx, t, q, upTo)
		return err
	})
	return ages, failed("loss ages", err)
}

func checkLossAges(q Query, upTo []time.Duration) error {
	last := time.Duration(0)
	for _, age := range upTo {
		if age <= last || age%time.Second != 0 {
			return invalid("loss ages: %v are not whole seconds above 0 in ascending order", upTo)
		}
		last = age
	}
	if q.By != 0 {
		return invalid("loss ages: By is not 0")
	}
	return q.check()
}

func (l *Ledger) lossAges(
	ctx context.Context, t *tx, q Query, upTo []time.Duration,
) (*LossAges, error) {
	r := l.newReader(t, q)
	if err := r.selectChannels(ctx); err != nil {
		return nil, err
	}
	ages := &LossAges{
		Query: q, AsOf: r.madeAt(), Open: r.asOf < r.to,
	}
	for _, age := range append(slices.Clone(upTo), 0) {
		ages.Rows = append(ages.Rows, LossAge{UpTo: age})
	}
	return ages, r.readLossAges(ctx, ages)
}

// unknownAge is the row of the query for AgeUnknown.
const unknownAge = -1

func (r *reader) readLossAges(ctx context.Context, ages *LossAges) error {
	var row strings.Builder
	row.WriteString("CASE WHEN f.ending = 2 THEN " + strconv.Itoa(unknownAge))
	last := len(ages.Rows) - 1
	for i, one := range ages.Rows[:last] {
		row.WriteString(" WHEN f.ended - f.began <= " + strconv.Itoa(int(one.UpTo/time.Second)) +
			" THEN " + strconv.Itoa(i))
	}
	row.WriteString(" ELSE " + strconv.Itoa(last) + " END")
	return r.t.rows(ctx, func(rows *sql.Rows) error {
		var i int
		var lost int64
		err := rows.Scan(&i, &lost)
		if err == nil && i == unknownAge {
			ages.AgeUnknown = lost
		} else if err == nil {
			ages.Rows[i].Lost = lost
		}
		return err
	}, "SELECT "+row.String()+", COUNT(*)"+r.losses()+" GROUP BY 1",
		append(r.hours(), r.args...)...)
}
