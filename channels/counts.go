package channels

// hourColumns are the numbers of channels_hours, in the order of Counts.summed.
var hourColumns = []string{
	"scans", "follower_scans", "begun", "returning_", "lost", "imported", "forgotten",
}

// summed are the numbers that can be added up over hours and channels.
func (c *Counts) summed() []*int64 {
	return []*int64{
		&c.Scans, &c.FollowerScans, &c.New, &c.Returning, &c.Lost, &c.Imported, &c.Forgotten,
	}
}

// add adds the summed numbers of o.
func (c *Counts) add(o *Counts) {
	sums := c.summed()
	for i, n := range o.summed() {
		*sums[i] += *n
	}
}

// cell is where numbers are kept: those of one row in one hour.
type cell struct {
	row  int64
	hour int64 // Unix hours
}

const hourSeconds = 3600

// rollup is the numbers of some persons by row and hour, or a difference of such.
type rollup map[cell]Counts

// count adds what the life amounts to, sign times.
func (r rollup) count(l *life, sign int64) {
	add := func(row, at int64, c Counts) {
		at -= (at%hourSeconds + hourSeconds) % hourSeconds
		sum := r[cell{row, at / hourSeconds}]
		sum.add(&c)
		r[cell{row, at / hourSeconds}] = sum
	}
	for i := range l.events {
		e := &l.events[i]
		if e.isScan() {
			add(e.row, e.at, Counts{Scans: sign})
		}
		if e.follower {
			add(e.row, e.at, Counts{FollowerScans: sign})
		}
	}
	for i := range l.follows {
		f := &l.follows[i]
		switch f.began {
		case asNew:
			add(f.row, f.start, Counts{New: sign})
		case asReturning:
			add(f.row, f.start, Counts{Returning: sign})
		case asImported:
			add(f.row, f.start, Counts{Imported: sign})
		}
		switch f.ended {
		case asLost, asGone:
			add(f.row, f.end, Counts{Lost: sign})
		case forgotten:
			add(f.row, f.end, Counts{Forgotten: sign})
		}
	}
}
