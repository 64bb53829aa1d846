package channels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Conversion is an act that the host reports: an order, a registration, a visit.
type Conversion struct {
	// ID tells the act from all others: an order number, say. 1 to 200 bytes. Only its
	// hash is stored.
	ID string

	OpenID string    // who did it
	At     time.Time // when, in whole seconds

	// Name says what was done, for [ConversionQuery.Name]: order, say. At most 64 bytes.
	Name string

	// Value is an amount in the currency's smallest unit, such as fen; less than 0 takes
	// back. A report adds up what it is given: use one currency, or a name for each.
	Value int64
}

func (c *Conversion) check() error {
	switch {
	case len(c.ID) == 0 || len(c.ID) > 200:
		return invalid("convert: ID has %d bytes: use 1 to 200", len(c.ID))
	case c.OpenID == "" || c.At.Unix() <= 0:
		return invalid("convert %q: OpenID or At is missing", c.ID)
	}
	return checkText("Conversion.Name", c.Name, 0, 64)
}

func (c *Conversion) event() event {
	return event{at: c.At.Unix(), kind: conversion, ticket: textID(c.ID)}
}

// Convert records conversions, in any order and before or after the pushes that they
// belong with. A conversion whose ID is known changes nothing; with another OpenID, At,
// Name or Value the error is [ErrConversionDiffers]. Once the person is forgotten, the
// OpenID is not compared.
//
// Up to 200 conversions are recorded together or not at all. Of more, those before the
// error may be recorded: Convert may be called again with the same ones.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrConversionDiffers].
func (l *Ledger) Convert(ctx context.Context, conversions ...Conversion) error {
	for i := range conversions {
		if err := conversions[i].check(); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(conversions, maxGroup) {
		err := l.transact(ctx, func(t *tx) error { return l.convert(ctx, t, some) })
		if err != nil {
			return failed("convert", err)
		}
	}
	return nil
}

func (l *Ledger) convert(ctx context.Context, t *tx, conversions []Conversion) error {
	now := l.now().Unix()
	var hashes []string
	for i := range conversions {
		hashes = append(hashes, l.hash(conversions[i].OpenID))
	}
	s, err := t.load(ctx, hashes, now)
	if err != nil {
		return err
	}
	recorded := acts{subjects: s}
	if err := recorded.read(ctx, conversions); err != nil {
		return err
	}
	for i := range conversions {
		if err := recorded.add(ctx, &conversions[i], hashes[i]); err != nil {
			return err
		}
	}
	if err := recorded.write(ctx); err != nil {
		return err
	}
	return l.refold(ctx, s)
}

// act is what the table has of a conversion.
type act struct {
	at    int64
	name  string
	value int64
}

// acts are the conversions of one transaction.
type acts struct {
	*subjects
	known map[int64]act // by number
	rows  []any         // to write
}

func (a *acts) read(ctx context.Context, conversions []Conversion) error {
	a.known = map[int64]act{}
	var ids []any
	for i := range conversions {
		ids = append(ids, textID(conversions[i].ID))
	}
	return a.t.rows(ctx, func(rows *sql.Rows) error {
		var id int64
		var one act
		err := rows.Scan(&id, &one.at, &one.name, &one.value)
		a.known[id] = one
		return err
	}, "SELECT act, happened, name, value FROM channels_conversions WHERE act IN "+marks(len(ids)),
		ids...)
}

// add adds the conversion to what its subject did, unless it is there.
func (a *acts) add(ctx context.Context, c *Conversion, hash string) error {
	e, one := c.event(), act{c.At.Unix(), c.Name, c.Value}
	who := a.of(hash)
	known, there := a.known[e.ticket]
	switch {
	case !there:
		a.known[e.ticket] = one
		a.rows = append(a.rows, e.ticket, one.at, 0, one.name, one.value) // refold says whose
		who.add(e, a.now, false)
		return nil
	case known != one:
		return differs(c.ID)
	case who.did(e):
		return nil
	}
	return a.checkPerson(ctx, c.ID, e, hash)
}

func differs(id string) error {
	return fmt.Errorf(
		"%w %q: give each act an ID of its own, and repeat one as it was", ErrConversionDiffers, id,
	)
}

// did reports whether the event is known of the subject.
func (s *subject) did(e event) bool {
	_, known := slices.BinarySearchFunc(s.events, e, compareEvents)
	return known
}

// checkPerson refuses the event if it is of somebody else who is known. It may be of the
// same person, whom another transaction has added since they were looked for.
func (a *acts) checkPerson(ctx context.Context, id string, e event, hash string) error {
	var of []byte
	err := a.t.row(
		ctx, []any{&of}, "SELECT p.hash FROM channels_conversions c JOIN channels_people p"+
			" ON p.id = c.person WHERE c.act = ?", e.ticket,
	)
	addedJustNow := errors.Is(err, sql.ErrNoRows) // to another one
	if addedJustNow || of != nil && string(of) != hash {
		return differs(id)
	}
	return err
}

func (a *acts) write(ctx context.Context) error {
	return a.t.insert(ctx, conversionsTable, a.rows, "")
}
