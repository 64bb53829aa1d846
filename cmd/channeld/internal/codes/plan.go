package codes

import (
	"context"
	"unicode/utf8"

	"github.com/wechatqr/wechatqr/channels"
)

// plan is what will happen to a list.
type plan struct {
	New      []channels.Channel // have no code yet: a code is made
	Same     []channels.Channel // have one, and nothing changes
	Conflict []conflict         // are left out
	Over     []channels.Channel // new ones beyond what the account may have

	Left int // codes that the account may still have, before the new ones
}

// conflict is a row that cannot be taken as it is.
type conflict struct {
	Channel channels.Channel
	There   channels.Channel // the channel that has its key; zero if the row is wrong
	Why     string           // "another", "twice" or "invalid"
}

func newPlan(
	ctx context.Context, ledger *channels.Ledger, rows []channels.Channel,
) (*plan, error) {
	all, err := ledger.Channels(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := ledger.Codes(ctx, channels.Query{})
	if err != nil {
		return nil, err
	}
	budget, err := ledger.Budget(ctx)
	if err != nil {
		return nil, err
	}
	there, coded := map[string]channels.Channel{}, map[string]bool{}
	for _, c := range all {
		there[c.Key] = c
	}
	for i := range codes {
		coded[codes[i].Channel.Key] = true
	}
	p := &plan{Left: max(channels.MaxCodes-budget.Made-budget.Pending, 0)}
	p.sort(rows, there, coded)
	return p, nil
}

// sort puts each row where it belongs.
func (p *plan) sort(
	rows []channels.Channel, there map[string]channels.Channel, coded map[string]bool,
) {
	seen := map[string]bool{}
	for _, c := range rows {
		old, known := there[c.Key]
		switch {
		case !valid(&c):
			p.Conflict = append(p.Conflict, conflict{c, channels.Channel{}, "invalid"})
		case seen[c.Key]:
			p.Conflict = append(p.Conflict, conflict{c, channels.Channel{}, "twice"})
		case known && (old.Name != c.Name || old.Group != c.Group):
			p.Conflict = append(p.Conflict, conflict{c, old, "another"})
		case coded[c.Key]:
			p.Same = append(p.Same, c)
		case len(p.New) == p.Left:
			p.Over = append(p.Over, c)
		default:
			p.New = append(p.New, c)
		}
		seen[c.Key] = true
	}
}

// valid reports whether the ledger will take the channel.
func valid(c *channels.Channel) bool {
	return c.Key != "" && len(c.Key) <= 64 && len(c.Name) <= 200 && len(c.Group) <= 200 &&
		clean(c.Key) && clean(c.Name) && clean(c.Group)
}

func clean(text string) bool {
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return false
		}
	}
	return true
}
