package channels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Channel is where codes hang: a shop, a poster, an employee. Its numbers are
// those of the codes that are its own. Texts are one line of UTF-8 that does not end with a
// space.
type Channel struct {
	Key   string `json:"key"`   // chosen by the caller, 1 to 64 bytes, never changed
	Name  string `json:"name"`  // for people, at most 200 bytes
	Group string `json:"group"` // a path such as 华东/门店, at most 200 bytes; may be empty

	// Retired is when the channel was given up, zero if it was not. What its
	// codes still bring is its own.
	Retired time.Time `json:"retired,omitzero"`
}

func (c *Channel) check() error {
	if field, err := c.wrongField(); err != nil {
		return invalid("Channel.%s %w", field, err)
	}
	return nil
}

// wrongField returns the first that is wrong, and what it does.
func (c *Channel) wrongField() (field string, err error) {
	for _, f := range []struct {
		name, text string
		least, max int
	}{{"Key", c.Key, 1, 64}, {"Name", c.Name, 0, 200}, {"Group", c.Group, 0, 200}} {
		if err := wrongText(f.text, f.least, f.max); err != nil {
			return f.name, err
		}
	}
	if c.Key == "." || c.Key == ".." {
		textZH := fmt.Sprintf("%q 不能用作编号", c.Key)
		return "Key", newListError(textZH, "%q cannot stand in an address: use another", c.Key)
	}
	return "", nil
}

// checkText refuses a text that is too short, too long, not one line of UTF-8, or that ends
// with a space.
func checkText(name, text string, least, most int) error {
	if err := wrongText(text, least, most); err != nil {
		return invalid("%s %w", name, err)
	}
	return nil
}

// wrongText says what is wrong, without the name.
func wrongText(text string, least, most int) error {
	limits := fmt.Sprintf("须为 %d 到 %d 字节", least, most)
	switch n := len(text); {
	case n == 0 && least > 0:
		return newListError("为空："+limits, "is empty: use %d to %d bytes", least, most)
	case n < least || n > most:
		textZH := fmt.Sprintf("有 %d 字节：%s", n, limits)
		return newListError(textZH, "has %d bytes: use %d to %d", n, least, most)
	case slices.ContainsFunc([]rune(text), unicode.IsControl) || !utf8.ValidString(text):
		textZH := fmt.Sprintf("%q 含控制字符或不是 UTF-8", text)
		return newListError(textZH, "%q has control characters or is no UTF-8", text)
	case strings.HasSuffix(text, " "): // MariaDB takes "a " for "a"
		textZH := fmt.Sprintf("%q 以空格结尾：请删去空格", text)
		return newListError(textZH, "%q ends with a space: leave it out", text)
	}
	return nil
}

// Put makes the channel, or changes the name and the group of the one with its
// key. Retired is not looked at: see [Ledger.Retire]. Of one that was merged into another
// nothing changes.
func (l *Ledger) Put(ctx context.Context, c Channel) error {
	if err := c.check(); err != nil {
		return err
	}
	err := l.transact(ctx, func(t *tx) error {
		_, err := l.putChannel(ctx, t, &c)
		return err
	})
	return failed("put channel", err)
}

// putChannel returns the channel's number. Of one that was merged the channel
// that has its history is what counts.
func (l *Ledger) putChannel(ctx context.Context, t *tx, c *Channel) (int64, error) {
	id, err := t.channelID(ctx, c.Key)
	if errors.Is(err, ErrUnknownChannel) {
		if id, err = l.numbers.take(); err != nil {
			return 0, err
		}
		return id, t.exec(
			ctx, "INSERT INTO channels_channels (id, channel, title, grp, retired, merged)"+
				" VALUES (?, ?, ?, ?, 0, 0)", id, c.Key, c.Name, c.Group,
		)
	}
	if err != nil {
		return 0, err
	}
	return id, t.exec(
		ctx, "UPDATE channels_channels SET title = ?, grp = ? WHERE channel = ?", c.Name, c.Group,
		c.Key,
	)
}

// channelID follows merges.
func (t *tx) channelID(ctx context.Context, key string) (int64, error) {
	var id, merged int64
	err := t.row(
		ctx, []any{&id, &merged}, "SELECT id, merged FROM channels_channels WHERE channel = ?", key,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("%w %q: make it with Put", ErrUnknownChannel, key)
	}
	if merged != 0 {
		id = merged
	}
	return id, err
}

// Retire says that the channel is given up from an instant on. Its codes stay its
// own, and so does what they bring. The zero time takes it back into use.
func (l *Ledger) Retire(ctx context.Context, key string, at time.Time) error {
	retired := int64(0)
	if !at.IsZero() {
		retired = at.Unix()
	}
	err := l.transact(ctx, func(t *tx) error {
		id, err := t.channelID(ctx, key)
		if err != nil {
			return err
		}
		return t.exec(ctx, "UPDATE channels_channels SET retired = ? WHERE id = ?", retired, id)
	})
	return failed("retire", err)
}

// Channels returns all channels by key, those that were merged away left out.
func (l *Ledger) Channels(ctx context.Context) ([]Channel, error) {
	t := &tx{&l.dialect, l.db}
	all, err := t.channels(ctx, "merged = 0")
	return byKey(all), failed("channels", err)
}

func byKey(all map[int64]Channel) []Channel {
	return slices.SortedFunc(maps.Values(all), func(a, b Channel) int {
		return strings.Compare(a.Key, b.Key)
	})
}

// FindChannels returns at most n channels whose key, name or group contains the text, by
// key. ASCII letters match in upper and lower case; whether others do depends on the
// database. Those that were merged away are left out.
//
// Errors: wechatqr.ErrInvalidArgument if n is below 1.
func (l *Ledger) FindChannels(ctx context.Context, text string, n int) ([]Channel, error) {
	if n < 1 {
		return nil, invalid("find channels: n is %d: use 1 or more", n)
	}
	const like = "LIKE LOWER(?) ESCAPE '!'"
	pattern := "%" + escapeLike(text) + "%"
	t := &tx{&l.dialect, l.db}
	all, err := t.channels(
		ctx, "merged = 0 AND (LOWER(channel) "+like+" OR LOWER(title) "+like+" OR LOWER(grp) "+
			like+") ORDER BY channel LIMIT "+strconv.Itoa(n), pattern, pattern, pattern,
	)
	return byKey(all), failed("find channels", err)
}

// escapeLike keeps the text from being a pattern of LIKE … ESCAPE '!'.
func escapeLike(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}

// channelsByID returns those of the ids that are channels'.
func (t *tx) channelsByID(ctx context.Context, ids []int64) (map[int64]Channel, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	ids = slices.DeleteFunc(ids, func(id int64) bool { return id <= 0 })
	all := map[int64]Channel{}
	for chunk := range slices.Chunk(ids, rowsAStatement) {
		some, err := t.channels(ctx, "id IN "+marks(len(chunk)), anys(chunk)...)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, some)
	}
	return all, nil
}

func (t *tx) channels(ctx context.Context, where string, args ...any) (map[int64]Channel, error) {
	all := map[int64]Channel{}
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var id, retired int64
		var c Channel
		err := rows.Scan(&id, &c.Key, &c.Name, &c.Group, &retired)
		if retired != 0 {
			c.Retired = time.Unix(retired, 0)
		}
		all[id] = c
		return err
	}, "SELECT id, channel, title, grp, retired FROM channels_channels WHERE "+where, args...)
	return all, err
}
