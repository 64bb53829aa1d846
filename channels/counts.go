package channels

// counts are the numbers of a row of a report that can be added up.
type counts struct {
	scans, followerScans                        int64
	begun, returning, lost, imported, forgotten int64
}

func (c *counts) add(o counts) {
	c.scans += o.scans
	c.followerScans += o.followerScans
	c.begun += o.begun
	c.returning += o.returning
	c.lost += o.lost
	c.imported += o.imported
	c.forgotten += o.forgotten
}

// cell is where numbers are kept: those of one row in one hour.
type cell struct {
	row  int64
	hour int64 // Unix hours
}

const hourSeconds = 3600

// rollup is the numbers of some persons by row and hour, or a difference of such.
type rollup map[cell]counts

// count adds what the life amounts to, sign times.
func (r rollup) count(l *life, sign int64) {
	add := func(row, at int64, c counts) {
		at -= (at%hourSeconds + hourSeconds) % hourSeconds
		sum := r[cell{row, at / hourSeconds}]
		sum.add(c)
		r[cell{row, at / hourSeconds}] = sum
	}
	for i := range l.events {
		e := &l.events[i]
		if e.isScan() {
			add(e.row, e.at, counts{scans: sign})
		}
		if e.follower {
			add(e.row, e.at, counts{followerScans: sign})
		}
	}
	for i := range l.follows {
		f := &l.follows[i]
		switch f.began {
		case asNew:
			add(f.row, f.start, counts{begun: sign})
		case asReturning:
			add(f.row, f.start, counts{returning: sign})
		case asImported:
			add(f.row, f.start, counts{imported: sign})
		}
		switch f.ended {
		case asLost, asGone:
			add(f.row, f.end, counts{lost: sign})
		case forgotten:
			add(f.row, f.end, counts{forgotten: sign})
		}
	}
}
