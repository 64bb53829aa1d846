package channels

import "slices"

// hourColumns are the numbers of channels_hours, in the order of Counts.summed.
var hourColumns = []string{
	"scans", "follower_scans", "begun", "returning_", "lost", "imported", "forgotten", "quick_lost",
}

// summed are the numbers that are stored and can be added up over hours and channels.
func (c *Counts) summed() []*int64 {
	return []*int64{
		&c.Scans, &c.FollowerScans, &c.New, &c.Returning, &c.Lost, &c.Imported, &c.Forgotten,
		&c.QuickLost,
	}
}

// add adds the summed numbers of o, sign times.
func (c *Counts) add(o *Counts, sign int64) {
	sums := c.summed()
	for i, n := range o.summed() {
		*sums[i] += sign * *n
	}
}

// change is by how much these numbers change the open follows.
func (c *Counts) change() int64 { return c.Net() + c.Imported - c.Forgotten }

// cell is where a person's numbers are kept: those of one row in one hour.
type cell struct {
	hour int64 // Unix hours
	row  int64
}

const hourSeconds = 3600

// tally is what the life amounts to, by row and hour.
func (l *life) tally() map[cell]Counts {
	all := map[cell]Counts{}
	add := func(row, at int64, c Counts) {
		at -= (at%hourSeconds + hourSeconds) % hourSeconds
		sum := all[cell{at / hourSeconds, row}]
		sum.add(&c, 1)
		all[cell{at / hourSeconds, row}] = sum
	}
	for i := range l.events {
		e := &l.events[i]
		if e.isScan() {
			add(e.row, e.at, Counts{Scans: 1})
		}
		if e.follower {
			add(e.row, e.at, Counts{FollowerScans: 1})
		}
	}
	for i := range l.follows {
		f := &l.follows[i]
		add(f.row, f.start, f.beginning())
		switch f.ended {
		case asLost, asGone:
			add(f.row, f.end, Counts{Lost: 1})
		case forgotten:
			add(f.row, f.end, Counts{Forgotten: 1})
		}
	}
	return all
}

// beginning is what counts at the start of the follow.
func (f *follow) beginning() (c Counts) {
	switch f.began {
	case asNew:
		c.New = 1
	case asReturning:
		c.Returning = 1
	case asImported:
		c.Imported = 1
	}
	if f.quick() {
		c.QuickLost = 1
	}
	return c
}

// totals are the numbers of some persons by row, over all time, or differences of such.
type totals map[int64]total

// totalColumns are the numbers of channels_totals, in the order of total.numbers.
var totalColumns = append(slices.Clone(hourColumns), "scanners", "account_scanners")

// total is the numbers of a row.
type total struct {
	Counts
	accountScanners int64 // those of the scanners who have no scan in a lower row
}

func (t *total) numbers() []*int64 {
	return append(t.summed(), &t.Scanners, &t.accountScanners)
}

// count adds a person's numbers, sign times.
func (t totals) count(who map[cell]Counts, sign int64) {
	var scanned []int64
	for at, c := range who {
		sum := t[at.row]
		sum.add(&c, sign)
		if c.Scans > 0 && !slices.Contains(scanned, at.row) {
			scanned = append(scanned, at.row)
			sum.Scanners += sign
		}
		t[at.row] = sum
	}
	if len(scanned) > 0 {
		lowest := t[slices.Min(scanned)]
		lowest.accountScanners += sign
		t[slices.Min(scanned)] = lowest
	}
}
