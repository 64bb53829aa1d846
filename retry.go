package wechatqr

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// requestKind says what a second execution of a request costs.
type requestKind int

const (
	notIdempotent     requestKind = iota // perhaps much
	permanentCreation                    // at most one of the account's permanent codes
	idempotent                           // nothing
)

// outcome is what became of one attempt.
type outcome int

const (
	succeeded   outcome = iota
	failed              // a response of WeChat's that is not repeated
	busy                // an errcode by which WeChat says that it did nothing
	serverError         // HTTP 5xx: may have been carried out
	unreadable          // not WeChat's kind of response: may have been carried out, is not repeated
	noResponse          // none, or half of one: may have been carried out
	notSent             // cannot have arrived
)

// retryState is what the decision about another attempt depends on.
type retryState struct {
	outcome    outcome
	kind       requestKind
	unsure     bool // an attempt before this one may have been carried out
	lastOne    bool // no attempt is left, or ctx has ended
	otherHosts bool // there is a host that has not been tried since the last pause
}

// decision is what follows an attempt.
type decision int

const (
	stop           decision = iota
	stopUnknown             // the request may have been carried out: ErrOutcomeUnknown
	retrySameHost           // after a pause
	retryNextHost           // at once
	retryNextLater          // the next host, after a pause
)

// decide is the retry policy.
func decide(s retryState) decision {
	arrived := s.mayHaveArrived()
	giveUp := stop
	if s.kind != idempotent && s.outcome != succeeded && (arrived || s.unsure) {
		giveUp = stopUnknown
	}

	switch {
	case s.outcome == succeeded || s.outcome == failed || s.outcome == unreadable || s.lastOne:
		return giveUp
	case arrived && s.kind == notIdempotent:
		return giveUp
	case arrived && s.kind == permanentCreation && s.unsure: // repeated once already
		return giveUp
	case s.outcome == busy:
		return retrySameHost
	case s.otherHosts:
		return retryNextHost
	}
	return retryNextLater
}

// mayHaveArrived reports whether the attempt may have been carried out. WeChat's
// word that it was busy is not enough for a request that must not run twice.
func (s retryState) mayHaveArrived() bool {
	switch s.outcome {
	case serverError, unreadable, noResponse:
		return true
	case busy:
		return s.kind == notIdempotent
	}
	return false
}

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoff is the pause after so many attempts: doubling, with jitter.
func backoff(attempts int) time.Duration {
	d := min(firstBackoff<<min(attempts-1, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

// pause waits before the next attempt; false if ctx would end first.
func pause(ctx context.Context, attempts int) bool {
	d := backoff(attempts)
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// outcomeUnknown is the error of a request that must not be carried out twice
// and may have been carried out once.
func outcomeUnknown(x *apiRequest, err error) error {
	switch e := err.(type) {
	case *Error:
		unknown := *e // an observer may still read the other
		e = &unknown
		e.unsure = &adviceUnsure
		if x.kind == permanentCreation {
			e.unsure = &adviceUnsureCreation
		}
		if e.Code == 0 && e.StatusCode >= 500 { // ErrBusy would say that it may be repeated
			e.known = &rowOutcomeUnknown
		}
		return e
	case *opError:
		err = e.err
	}
	return &opError{x.op, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)}
}
