package channels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Adopt takes a code that was made elsewhere into the channel, by its scene, for
// all of its past and future; the channel is made, or renamed, as by
// [Ledger.Put]. Adopting it again changes nothing, also after [Ledger.Reassign]; if it is
// another channel's the error is [ErrSceneInUse].
func (l *Ledger) Adopt(ctx context.Context, scene wechatqr.Scene, c Channel) error {
	if err := wechatqr.Temporary(scene, time.Minute).Validate(); err != nil {
		return failed("adopt", err)
	}
	if err := c.check(); err != nil {
		return err
	}
	id := textID(scene.Key())
	err := l.changeRules(ctx, func(t *tx) error {
		channel, err := l.putChannel(ctx, t, &c)
		if err != nil {
			return err
		}
		read, err := t.readAssignments(ctx, []int64{id})
		if err != nil {
			return err
		}
		if of := read[id]; len(of) > 0 {
			if of[0].channel != channel && of[len(of)-1].channel != channel {
				return fmt.Errorf(
					"%w: %q belongs to another channel: use Reassign", ErrSceneInUse, scene.Key(),
				)
			}
			return nil
		}
		if err := t.addCode(ctx, scene.Key(), nil); err != nil {
			return err
		}
		if err := t.assign(ctx, id, 0, channel); err != nil {
			return err
		}
		return t.markStale(ctx, []int64{id}, 0, nil)
	})
	return failed("adopt", err)
}

func (t *tx) addCode(ctx context.Context, sceneKey string, madeFor any) error {
	return t.exec(ctx, "INSERT INTO channels_codes (scene, content, ticket, picture, made_for)"+
		" VALUES (?, ?, '', '', ?)", textID(sceneKey), sceneKey, madeFor)
}

// Reassign gives a code to another channel from an instant on, which may lie in
// the past: the follows and scans since then, up to a later assignment, move to
// it, with what became of them. Reports show that at once. A channel that has given
// away its code gets another one by the next [Ledger.Ensure].
func (l *Ledger) Reassign(
	ctx context.Context, scene wechatqr.Scene, key string, from time.Time,
) error {
	id := textID(scene.Key())
	err := l.changeRules(ctx, func(t *tx) error {
		channel, err := t.channelID(ctx, key)
		if err != nil {
			return err
		}
		read, err := t.readAssignments(ctx, []int64{id})
		if err != nil {
			return err
		}
		if len(read[id]) == 0 {
			return fmt.Errorf(
				"%w %q: make it with Ensure or take it with Adopt", ErrUnknownScene, scene.Key(),
			)
		}
		since := max(from.Unix(), 0)
		if err := t.assign(ctx, id, since, channel); err != nil {
			return err
		}
		if last := read[id][len(read[id])-1]; last.since <= since {
			if err := t.handOver(ctx, id, channel); err != nil {
				return err
			}
		}
		return t.markStale(ctx, []int64{id}, since, read[id])
	})
	return failed("reassign", err)
}

// Merge moves the channel's codes with all of their past to another channel, and
// what stays behind is a key for it. It cannot be undone.
func (l *Ledger) Merge(ctx context.Context, key, into string) error {
	err := l.changeRules(ctx, func(t *tx) error {
		old, err := t.channelID(ctx, key)
		if err != nil {
			return err
		}
		target, err := t.channelID(ctx, into)
		if err != nil {
			return err
		}
		if old == target {
			return badInput("%q and %q are one channel", key, into)
		}
		return t.merge(ctx, old, target)
	})
	return failed("merge", err)
}

func (t *tx) merge(ctx context.Context, old, target int64) error {
	var scene int64
	made := "SELECT scene FROM channels_codes WHERE made_for = ?"
	err := t.row(ctx, []any{&scene}, made, old)
	if err == nil {
		err = t.handOver(ctx, scene, target)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	codes := "UPDATE channels_assignments SET channel = ? WHERE channel = ?"
	if err := t.exec(ctx, codes, target, old); err != nil {
		return err
	}
	keys := "UPDATE channels_channels SET merged = ? WHERE id = ? OR merged = ?"
	if err := t.exec(ctx, keys, target, old, old); err != nil {
		return err
	}
	return t.exec(ctx, "INSERT INTO channels_stale (person) SELECT DISTINCT h.person"+
		" FROM channels_hours h LEFT JOIN channels_stale s ON s.person = h.person"+
		" WHERE h.channel = ? AND s.person IS NULL", old)
}

// handOver makes a code of Ensure the one that it returns for the channel. If the channel has
// one already, it is returned for none: a negative number is no channel's.
func (t *tx) handOver(ctx context.Context, scene, to int64) error {
	var others int
	count := "SELECT COUNT(*) FROM channels_codes WHERE made_for = ? AND scene <> ?"
	if err := t.row(ctx, []any{&others}, count, to, scene); err != nil {
		return err
	}
	if others > 0 {
		to = -scene
	}
	const update = "UPDATE channels_codes SET made_for = ?" +
		" WHERE scene = ? AND made_for IS NOT NULL"
	return t.exec(ctx, update, to, scene)
}

// assign writes the assignment, instead of one of the same instant.
func (t *tx) assign(ctx context.Context, scene, since, channel int64) error {
	err := t.exec(
		ctx, "DELETE FROM channels_assignments WHERE scene = ? AND since = ?", scene, since,
	)
	if err != nil {
		return err
	}
	return t.exec(
		ctx, "INSERT INTO channels_assignments (scene, since, channel) VALUES (?, ?, ?)", scene,
		since, channel,
	)
}

// markStale notes the persons with an event of the scenes since then. The numbers that
// such an event has made are in the rows of those who had the scenes, or in the rows of
// nobody's; an event of WeChat's list may tell of a push some seconds older.
func (t *tx) markStale(
	ctx context.Context, scenes []int64, since int64, had []assignment,
) error {
	args := []any{codeUnknown, importedRow}
	for _, a := range had {
		args = append(args, a.channel)
	}
	rows := marks(len(args))
	args = append(args, max(since-sameFollow, 0)/hourSeconds, since)
	args = append(args, anys(scenes)...)
	return t.exec(ctx, "INSERT INTO channels_stale (person) SELECT DISTINCT h.person"+
		" FROM channels_hours h JOIN channels_events e ON e.person = h.person"+
		" LEFT JOIN channels_stale s ON s.person = h.person WHERE h.channel IN "+rows+
		" AND h.hour >= ? AND e.happened >= ? AND s.person IS NULL AND e.scene IN "+
		marks(len(scenes)), args...)
}

// changeRules changes assignments while nobody records, and then folds the
// persons concerned. If it is cut off there, the next report does it.
func (l *Ledger) changeRules(ctx context.Context, change func(*tx) error) error {
	err := l.transact(ctx, func(t *tx) error {
		if err := t.lockRules(ctx); err != nil {
			return err
		}
		return change(t)
	})
	if err != nil {
		return err
	}
	return l.refoldStale(ctx)
}

const staleAtOnce = 100

// refoldStale folds the persons whom a changed assignment concerns, in short
// transactions.
func (l *Ledger) refoldStale(ctx context.Context) error {
	for {
		var ids []int64
		t := &tx{&l.dialect, l.db}
		err := t.rows(ctx, func(rows *sql.Rows) error {
			ids = append(ids, 0)
			return rows.Scan(&ids[len(ids)-1])
		}, "SELECT person FROM channels_stale ORDER BY person LIMIT ?", staleAtOnce)
		if err != nil || len(ids) == 0 {
			return err
		}
		err = l.transact(ctx, func(t *tx) error { return l.refoldPeople(ctx, t, ids) })
		if err != nil {
			return err
		}
	}
}

func (l *Ledger) refoldPeople(ctx context.Context, t *tx, ids []int64) error {
	var hashes []string
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var hash []byte
		err := rows.Scan(&hash)
		hashes = append(hashes, string(hash))
		return err
	}, "SELECT hash FROM channels_people WHERE hash IS NOT NULL AND id IN "+marks(len(ids)), anys(ids)...)
	if err != nil {
		return err
	}
	now := l.now().Unix()
	if len(hashes) > 0 {
		s, err := t.load(ctx, hashes, now)
		if err != nil {
			return err
		}
		s.all = slices.DeleteFunc(s.all, func(one *subject) bool { return len(one.people) == 0 })
		if err := l.refold(ctx, s); err != nil {
			return err
		}
	}
	s, err := t.loadForgotten(ctx, ids, now)
	if err != nil {
		return err
	}
	if err := l.refold(ctx, s); err != nil {
		return err
	}
	return t.exec(ctx, "DELETE FROM channels_stale WHERE person IN "+marks(len(ids)), anys(ids)...)
}
