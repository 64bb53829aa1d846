package channels

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	oneHour = int64(3600)
	oneDay  = 24 * oneHour
)

// show writes lives as "1: new of 7 10-20 lost; 2: …".
func show(lives []life) string {
	var all []string
	names := map[int64]string{noCode: "no code", codeUnknown: "unknown", importedRow: "imported"}
	for i, l := range lives {
		var follows []string
		for _, f := range l.follows {
			row, special := names[f.row]
			if !special {
				row = fmt.Sprint(f.row)
			}
			text := fmt.Sprintf(
				"%s of %s %d", []string{"", "new", "returning", "imported"}[f.began], row, f.start,
			)
			if f.ended != stillOpen {
				text += fmt.Sprintf(
					"-%d %s", f.end, []string{"", "lost", "gone", "forgotten"}[f.ended],
				)
			}
			follows = append(follows, text)
		}
		all = append(all, fmt.Sprintf("%d: %s", i+1, strings.Join(follows, ", ")))
	}
	return strings.Join(all, "; ")
}

func by(at int64, k kind, row int64) event {
	e := event{at: at, kind: k, row: row}
	switch {
	case row > 0:
		e.scene = row
	case row == codeUnknown:
		e.scene = 99
	}
	return e
}

// The sentences of docs/counting.md, one or more cases each.
func TestFold(t *testing.T) {
	t.Parallel()
	keeps := rules{keep: 30 * oneDay}
	for name, tt := range map[string]struct {
		rules  rules
		events []event
		want   string
	}{
		"a follow by a code": {keeps, []event{by(10, subscribe, 7)}, "1: new of 7 10"},
		"a loss is its channel's, whatever was scanned since": {
			keeps, []event{by(10, subscribe, 7), by(20, scan, 8), by(30, unsubscribe, 0)},
			"1: new of 7 10-30 lost",
		},
		"the next follow returns": {
			keeps, []event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(30, subscribe, 8)},
			"1: new of 7 10-20 lost, returning of 8 30",
		},
		"a subscribe without a code": {keeps, []event{by(10, subscribe, noCode)},
			"1: new of no code 10"},
		"a code without a channel": {keeps, []event{by(10, subscribe, codeUnknown)},
			"1: new of unknown 10"},
		"the lost unsubscribe": {
			keeps, []event{by(10, subscribe, 7), by(20, subscribe, 8)},
			"1: new of 7 10-20 lost, returning of 8 20",
		},
		"a scan of somebody not known to follow": {keeps, []event{by(10, scan, 7)}, "1: "},
		"an unsubscribe of somebody unknown":     {keeps, []event{by(10, unsubscribe, 0)}, "1: "},

		"one second, not following: subscribe, unsubscribe": {
			keeps, []event{by(10, unsubscribe, 0), by(10, scan, 8), by(10, subscribe, 7)},
			"1: new of 7 10-10 lost",
		},
		"one second, following: unsubscribe, subscribe": {
			keeps, []event{by(5, subscribe, 7), by(10, unsubscribe, 0), by(10, subscribe, 8)},
			"1: new of 7 5-10 lost, returning of 8 10",
		},
		"two subscribes in one second: a scene beats none": {
			keeps, []event{by(10, subscribe, noCode), by(10, subscribe, 7)}, "1: new of 7 10",
		},
		"a push beats WeChat's list": {
			keeps, []event{by(10, subscribe, 8), by(10, found, 7)}, "1: new of 8 10",
		},
		"a scene on WeChat's list beats none": {
			keeps, []event{by(10, subscribe, noCode), by(10, found, 7)}, "1: new of 7 10",
		},

		"a stranger at the last second of KeepAfterUnfollow": {
			rules{keep: 100},
			[]event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(119, subscribe, 8)},
			"1: new of 7 10-20 lost, returning of 8 119",
		},
		"a stranger exactly at its end": {
			rules{keep: 100},
			[]event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(120, subscribe, 8)},
			"1: new of 7 10-20 lost; 2: new of 8 120",
		},
		"nothing kept": {
			rules{}, []event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(20, subscribe, 8)},
			"1: new of 7 10-20 lost; 2: new of 8 20",
		},
		"nothing kept, and nobody unfollowed": {
			rules{}, []event{by(10, subscribe, 7), by(20, subscribe, 8)},
			"1: new of 7 10-20 lost, returning of 8 20",
		},
		"a later unsubscribe prolongs": {
			rules{keep: 100}, []event{
				by(10, subscribe, 7), by(20, unsubscribe, 0), by(90, unsubscribe, 0),
				by(150, subscribe, 8),
			}, "1: new of 7 10-20 lost, returning of 8 150",
		},
		"forgotten while following": {
			keeps, []event{by(10, subscribe, 7), by(20, forget, 0)}, "1: new of 7 10-20 forgotten",
		},
		"an event of the second of Forget": {
			keeps, []event{by(20, subscribe, 7), by(20, forget, 0)}, "1: new of 7 20-20 forgotten",
		},
		"the second after Forget": {
			keeps, []event{by(10, subscribe, 7), by(20, forget, 0), by(21, subscribe, 8)},
			"1: new of 7 10-20 forgotten; 2: new of 8 21",
		},
		"forgotten when a stranger": {
			rules{}, []event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(99, forget, 0)},
			"1: new of 7 10-20 lost",
		},

		"imported, by an adopted code": {rules{first: 100}, []event{by(99, found, 7)},
			"1: imported of 7 99"},
		"imported, by no code": {rules{first: 100}, []event{by(99, found, noCode)},
			"1: imported of imported 99"},
		"imported, by a code unknown": {
			rules{first: 100}, []event{by(99, found, codeUnknown)}, "1: imported of imported 99",
		},
		"found at the ledger's first instant": {rules{first: 100}, []event{by(100, found, 7)},
			"1: new of 7 100"},
		"after an import all is returning": {
			rules{first: 100, keep: oneDay},
			[]event{by(50, found, 7), by(200, unsubscribe, 0), by(300, subscribe, 8)},
			"1: imported of 7 50-200 lost, returning of 8 300",
		},
		"a push from before the ledger is new": {rules{first: 100}, []event{by(50, subscribe, 7)},
			"1: new of 7 50"},
		"found 60 s from the push": {
			keeps, []event{by(100, found, 7), by(160, subscribe, 7)}, "1: new of 7 160",
		},
		"found 61 s from the push": {
			keeps, []event{by(100, found, 7), by(161, subscribe, 7)},
			"1: new of 7 100-161 lost, returning of 7 161",
		},
		"found with another scene": {
			keeps, []event{by(100, found, 8), by(130, subscribe, 7)},
			"1: new of 8 100-130 lost, returning of 7 130",
		},
		"a late follow, asked": {
			keeps, []event{by(100, subscribe, noCode), by(100, foundByCode, noCode)},
			"1: new of unknown 100",
		},
		"found twice, once by a code": {
			keeps, []event{by(100, found, noCode), by(100, foundByCode, noCode)},
			"1: new of unknown 100",
		},
		"found by a code that WeChat does not know": {
			keeps, []event{by(100, foundByCode, noCode)}, "1: new of unknown 100",
		},
		"retaken": {
			keeps, []event{by(100, retaken, 7), by(200, unsubscribe, 0), by(300, subscribe, 8)},
			"1: imported of 7 100-200 lost, returning of 8 300",
		},
		"retaken, by no code": {keeps, []event{by(100, retaken, noCode)},
			"1: imported of imported 100"},
		"retaken twice, and known to follow before": {
			keeps, []event{by(50, subscribe, 7), by(100, retaken, 7), by(200, retaken, 7)},
			"1: new of 7 50",
		},
		"gone": {keeps, []event{by(10, subscribe, 7), by(20, gone, 0)}, "1: new of 7 10-20 gone"},
		"gone, and the push comes after all": {
			keeps, []event{by(10, subscribe, 7), by(15, unsubscribe, 0), by(20, gone, 0)},
			"1: new of 7 10-15 lost",
		},

		"too late to be a follow": {
			keeps, []event{{at: 10, kind: subscribe, scene: 7, row: 7, late: true}}, "1: ",
		},
		"too late to be a loss": {
			keeps, []event{by(10, subscribe, 7), {at: 20, kind: unsubscribe, late: true}},
			"1: new of 7 10",
		},
		"what is too late hides nothing found": {
			keeps,
			[]event{{at: 10, kind: subscribe, scene: 7, row: 7, late: true}, by(10, found, 7)},
			"1: new of 7 10",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, show(fold(tt.events, tt.rules)))
		})
	}
}

func TestFollowerScans(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		events []event
		want   bool
	}{
		"follows":      {[]event{by(10, subscribe, 7), by(20, scan, 8)}, true},
		"same second":  {[]event{by(20, subscribe, 7), by(20, scan, 8)}, true},
		"is not known": {[]event{by(20, scan, 8)}, false},
		"left": {
			[]event{by(10, subscribe, 7), by(19, unsubscribe, 0), by(20, scan, 8)}, false},
		"leaves that second": {
			[]event{by(10, subscribe, 7), by(20, unsubscribe, 0), by(20, scan, 8)}, true},
		"follows a second on": {[]event{by(21, subscribe, 7), by(20, scan, 8)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sum Counts
			for _, l := range fold(tt.events, rules{keep: oneDay}) {
				inRow8 := l.tally()[cell{0, 8}]
				sum.add(&inRow8, 1)
			}
			assert.Equal(t, tt.want, sum.FollowerScans == 1)
			assert.EqualValues(t, 1, sum.Scans)
		})
	}
}
