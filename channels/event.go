package channels

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
)

// kind is what an event tells. The numbers are stored.
type kind int

const (
	subscribe   kind = 1
	scan        kind = 2
	unsubscribe kind = 3

	// What WeChat's list of followers tells: who follows since when, with the
	// scene if WeChat knows it; byCode says that it was a code of unknown scene.
	found       kind = 4
	foundByCode kind = 5
	gone        kind = 6 // no longer on that list

	forget kind = 7

	conversion kind = 8 // its ticket is the number of the act's id

	// retaken is what WeChat's list tells of somebody unknown who follows since before
	// somebody was forgotten: it may be the same person. Its time is when the list told it.
	retaken kind = 9
)

// Rows of a report that are no channel. The numbers are stored.
const (
	noRow       int64 = 0 // of an event without a code
	noCode      int64 = -1
	codeUnknown int64 = -2
	importedRow int64 = -3
	noFollow    int64 = -4 // of a conversion that no model finds anything for
)

// event is one event of a person. WeChat gives events no identity: time, kind,
// scene and ticket are it.
type event struct {
	at     int64 // Unix seconds
	kind   kind
	scene  int64 // textID, 0 for none
	ticket int64 // ticketID, 0 for none

	// late marks an event that came after the repair window, of somebody who
	// was not known: it may be a scan, but begins and ends no follow.
	late bool

	row      int64 // of its scene at its time
	follower bool  // a SCAN by somebody who followed
}

// isScan reports whether the event counts as one.
func (e *event) isScan() bool {
	return e.kind == scan || e.kind == subscribe && e.scene != 0
}

// begins reports whether the event says that somebody follows.
func (e *event) begins() bool {
	return e.kind == subscribe || e.kind == found || e.kind == foundByCode || e.kind == retaken
}

// tells reports whether the event says that somebody is known to the account: not a
// conversion, which anybody may have, nor a late event.
func (e *event) tells() bool { return !e.late && e.kind != conversion }

// compareEvents orders events by time. Within one second the order depends on
// who follows: see folder.second.
func compareEvents(a, b event) int {
	return cmp.Or(
		cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.scene, b.scene), cmp.Compare(a.ticket, b.ticket),
	)
}

// textID is the number that stands for a scene in the tables: 62 bits of its
// SHA-256, so that none has to be looked up. The empty text is 0.
func textID(text string) int64 {
	if text == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(text))
	return int64(binary.BigEndian.Uint64(sum[:8])>>2) + 1
}

// ticketID is the number that stands for a ticket: 31 bits of its SHA-256, which tell
// two events of one person, second and scene apart. The empty text is 0.
func ticketID(text string) int64 {
	if text == "" {
		return 0
	}
	return textID(text)>>31 + 1
}
