package channels

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/wechatqr/wechatqr"
)

// Codes returns the codes that WeChat has made, each with the channel whose it is now, in
// order of the channels' keys. Group and Channel of the query narrow them as in a report;
// the rest of it is not looked at. Codes that were adopted are left out: their tickets
// are not known.
//
// Errors: wechatqr.ErrInvalidArgument; [ErrUnknownChannel].
func (l *Ledger) Codes(ctx context.Context, q Query) ([]Code, error) {
	if q.Group != "" && q.Channel != "" {
		return nil, invalid("codes: Group and Channel are set: use one")
	}
	var codes []Code
	err := l.read(ctx, func(t *tx) (err error) {
		codes, err = l.codes(ctx, t, q)
		return err
	})
	slices.SortFunc(codes, func(a, b Code) int {
		return cmp.Or(
			cmp.Compare(a.Channel.Key, b.Channel.Key),
			cmp.Compare(a.Ticket.Scene.Key(), b.Ticket.Scene.Key()),
		)
	})
	return codes, failed("codes", err)
}

func (l *Ledger) codes(ctx context.Context, t *tx, q Query) (codes []Code, err error) {
	r := l.newReader(t, Query{By: ByChannel, Group: q.Group, Channel: q.Channel})
	if err := r.selectChannels(ctx); err != nil {
		return nil, err
	}
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var channel int64
		var scene string
		var code Code
		err := rows.Scan(&channel, &scene, &code.Ticket.Value, &code.Ticket.Content)
		code.Channel, code.Ticket.Scene = r.channels[channel], wechatqr.SceneString(scene)
		codes = append(codes, code)
		return err
	}, "SELECT a.channel, c.content, c.ticket, c.picture FROM channels_codes c"+
		" JOIN channels_assignments a ON a.scene = c.scene"+
		" WHERE c.ticket <> '' AND a.since = (SELECT MAX(since) FROM channels_assignments b"+
		" WHERE b.scene = c.scene AND b.since <= ?)"+r.where,
		append([]any{r.asOf}, r.args...)...)
	return codes, err
}
