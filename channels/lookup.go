package channels

import (
	"context"
	"database/sql"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Channel returns the channel with the key. Of one that was merged away it is the channel
// that has its history, with that one's key.
//
// Errors: [ErrUnknownChannel].
func (l *Ledger) Channel(ctx context.Context, key string) (Channel, error) {
	t := &tx{&l.dialect, l.db}
	id, err := t.channelID(ctx, key)
	if err != nil {
		return Channel{}, failed("channel", err)
	}
	all, err := t.channels(ctx, "id = ?", id)
	return all[id], failed("channel", err)
}

// Assigned says whose a code is from an instant on, until its next one.
type Assigned struct {
	Scene   wechatqr.Scene `json:"scene"`
	Since   time.Time      `json:"since,omitzero"` // zero: from the beginning
	Channel Channel        `json:"channel"`
}

// Assignments returns to whom the codes belonged that are, or were, the channel's, in
// order of scene and time. Assignments in the future are among them.
//
// Errors: [ErrUnknownChannel].
func (l *Ledger) Assignments(ctx context.Context, key string) ([]Assigned, error) {
	var all []Assigned
	err := l.read(ctx, func(t *tx) error {
		id, err := t.channelID(ctx, key)
		if err != nil {
			return err
		}
		var ids []int64
		err = t.rows(ctx, func(rows *sql.Rows) error {
			var scene string
			var since, channel int64
			err := rows.Scan(&scene, &since, &channel)
			one := Assigned{Scene: wechatqr.SceneString(scene)}
			if since > 0 {
				one.Since = time.Unix(since, 0).In(l.config.Location)
			}
			all, ids = append(all, one), append(ids, channel)
			return err
		}, "SELECT c.content, a.since, a.channel FROM channels_assignments a"+
			" JOIN channels_codes c ON c.scene = a.scene WHERE a.scene IN"+
			" (SELECT scene FROM channels_assignments WHERE channel = ?)"+
			" ORDER BY c.content, a.since", id)
		if err != nil {
			return err
		}
		known, err := t.channelsByID(ctx, ids)
		for i := range all {
			all[i].Channel = known[ids[i]]
		}
		return err
	})
	return all, failed("assignments", err)
}
