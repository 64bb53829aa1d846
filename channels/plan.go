package channels

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Plan says what a list of channels would change: see [Ledger.Plan].
type Plan struct {
	Lines   []PlanLine `json:"lines"`
	Ignored []string   `json:"ignored,omitempty"` // names of columns that are not read

	Codes int `json:"codes"` // that [Ledger.EnsureAll] will have WeChat make for Channels
	Left  int `json:"left"`  // of [MaxCodes] after that, of those that the ledger knows; below 0 it is too many
}

// PlanLine is what a line of the list would change.
type PlanLine struct {
	Line    int        `json:"line"`            // in the file, from 1
	Channel Channel    `json:"channel"`         // as it will be
	Was     Channel    `json:"was,omitzero"`    // as it is, the zero Channel if it is new
	Scene   string     `json:"scene,omitempty"` // of the code to adopt, empty to have one made
	Status  LineStatus `json:"status"`
	Err     error      `json:"-"` // of a conflict: what is wrong and what to do
}

// LineStatus says what a line changes.
type LineStatus string

// The statuses of a line.
const (
	LineNew      LineStatus = "new"      // the channel will be made
	LineSame     LineStatus = "same"     // nothing changes
	LineChanged  LineStatus = "changed"  // a new name, group or code
	LineConflict LineStatus = "conflict" // Err says why
)

// Count is how many lines have the status.
func (p *Plan) Count(status LineStatus) (n int) {
	for i := range p.Lines {
		if p.Lines[i].Status == status {
			n++
		}
	}
	return n
}

// Channels are those without a code to adopt: give them to [Ledger.EnsureAll] after
// [Ledger.Apply].
func (p *Plan) Channels() iter.Seq[Channel] {
	return func(yield func(Channel) bool) {
		for i := range p.Lines {
			l := &p.Lines[i]
			if l.Scene == "" && l.Status != LineConflict && !yield(l.Channel) {
				return
			}
		}
	}
}

// Plan reads a list of channels from a CSV file of a spreadsheet, and says what
// [Ledger.Apply] would change. It changes nothing.
//
// The first line names the columns: key, name, group and scene, or 编号, 名称, 分组 and
// 场景值; other columns are ignored. If none of its cells is such a word it is a channel,
// and the columns are in this order. Where there is no column of names or of groups, or
// the line ends before it, what a channel has stays. scene is that of a code that was made
// elsewhere. A file of [Report.WriteCSV] with ByChannel is such a list.
//
// Columns are separated by commas, semicolons or tabs. The text is UTF-8, GBK, or UTF-16
// with a byte order mark; GBK is what is not UTF-8. 16 MiB and [MaxCodes] channels are
// the limits.
//
// A line that cannot be applied is a conflict in the plan. Errors are those of the file:
// wechatqr.ErrInvalidArgument, with the line. [Explain] says them to who wrote the list.
func (l *Ledger) Plan(ctx context.Context, r io.Reader) (*Plan, error) {
	if r == nil {
		return nil, invalid("plan: there is no file: the reader is nil")
	}
	s, err := readSheet(r)
	if err != nil {
		return nil, failed("plan", err)
	}
	p := &Plan{Ignored: s.ignored}
	err = l.read(ctx, func(t *tx) error { return t.plan(ctx, p, s) })
	return p, failed("plan", err)
}

// inventory is what the tables say of channels and codes.
type inventory struct {
	channels map[string]Channel // by key
	ids      map[string]int64
	merged   map[string]bool
	made     map[int64]bool // channels that have a code of Ensure
	owners   map[int64]owners
}

// owners are the keys of the first channel of a scene and of the last.
type owners struct{ first, last string }

func (o owners) has(key string) bool { return key == o.first || key == o.last }

func (t *tx) readInventory(ctx context.Context) (*inventory, error) {
	k := &inventory{
		map[string]Channel{}, map[string]int64{}, map[string]bool{}, map[int64]bool{},
		map[int64]owners{},
	}
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var id, retired, merged int64
		var c Channel
		err := rows.Scan(&id, &c.Key, &c.Name, &c.Group, &retired, &merged)
		if retired != 0 {
			c.Retired = time.Unix(retired, 0)
		}
		k.channels[c.Key], k.ids[c.Key], k.merged[c.Key] = c, id, merged != 0
		return err
	}, "SELECT id, channel, title, grp, retired, merged FROM channels_channels")
	if err != nil {
		return nil, err
	}
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		k.made[id] = true
		return err
	}, "SELECT made_for FROM channels_codes WHERE made_for IS NOT NULL")
	if err != nil {
		return nil, err
	}
	return k, t.rows(ctx, func(rows *sql.Rows) error {
		var scene int64
		var key string
		err := rows.Scan(&scene, &key)
		k.owners[scene] = owners{cmp.Or(k.owners[scene].first, key), key}
		return err
	}, "SELECT a.scene, c.channel FROM channels_assignments a JOIN channels_channels c"+
		" ON c.id = a.channel ORDER BY a.scene, a.since")
}

// plan says what each line would change.
func (t *tx) plan(ctx context.Context, p *Plan, s *sheet) error {
	k, err := t.readInventory(ctx)
	if err != nil {
		return err
	}
	keys, scenes := map[string]int{}, map[string]int{}
	for i := range s.lines {
		line := &s.lines[i]
		one := k.line(line)
		if one.Err == nil {
			one.Err = errors.Join(
				line.once(keyColumn, keys), line.once(sceneColumn, scenes), k.conflict(line, &one),
			)
		}
		one.Status = k.status(&one)
		if one.Status != LineConflict && one.Scene == "" && !k.made[k.ids[one.Channel.Key]] {
			p.Codes++
		}
		p.Lines = append(p.Lines, one)
	}
	p.Left = MaxCodes - len(k.made) - p.Codes
	return nil
}

// line is the line with what the channel has where the file says nothing.
func (k *inventory) line(line *sheetLine) PlanLine {
	was := k.channels[line.cells[keyColumn]]
	one := PlanLine{Line: line.number, Was: was, Channel: was, Scene: line.cells[sceneColumn]}
	one.Channel.Key = line.cells[keyColumn]
	if line.has[nameColumn] {
		one.Channel.Name = line.cells[nameColumn]
	}
	if line.has[groupColumn] {
		one.Channel.Group = line.cells[groupColumn]
	}
	return one
}

// once finds what stands in a line before.
func (l *sheetLine) once(col int, before map[string]int) error {
	text := l.cells[col]
	if text == "" {
		return nil
	}
	if first := before[text]; first != 0 {
		textZH := fmt.Sprintf("“%s”在第 %d 行已有：请只留一行", text, first)
		return l.in(col, badList(textZH, "%q is in line %d too: leave one of them", text, first))
	}
	before[text] = l.number
	return nil
}

func (k *inventory) conflict(line *sheetLine, one *PlanLine) error {
	if field, err := one.Channel.wrongField(); err != nil {
		col := strings.ToLower(field)
		text, textZH := Explain(err)
		err = fmt.Errorf("line %d, column %s: %w", line.number, col, badInput("%w", err))
		return &listError{err, col + " " + text, fieldsZH[field] + textZH}
	}
	if k.merged[one.Channel.Key] {
		textZH := fmt.Sprintf("“%s”已并入另一渠道：请用那个渠道的编号", one.Channel.Key)
		return line.in(keyColumn, badList(
			textZH, "%q was merged into another channel: use its key", one.Channel.Key,
		))
	}
	if one.Scene == "" {
		return nil
	}
	scene := wechatqr.SceneString(one.Scene)
	if err := wechatqr.Temporary(scene, time.Minute).Validate(); err != nil {
		return line.in(sceneColumn, &listError{
			err, fmt.Sprintf("%q is no scene that WeChat takes: use 1 to 64 visible bytes", one.Scene),
			fmt.Sprintf("“%s”不能作场景值：须为 1 到 64 字节的可见字符", one.Scene),
		})
	}
	of, owned := k.owners[textID(one.Scene)]
	if owned && !of.has(one.Channel.Key) {
		owner := of.last
		err := fmt.Errorf(
			"%w: %q belongs to %q: use Reassign, or leave it out", ErrSceneInUse, one.Scene, owner,
		)
		return line.in(sceneColumn, &listError{
			err, fmt.Sprintf(
				"the code %q belongs to %q: give it away there, or leave it out", one.Scene, owner,
			),
			fmt.Sprintf("码“%s”属于渠道“%s”：请先在那里改归，或不填", one.Scene, owner),
		})
	}
	return nil
}

var fieldsZH = map[string]string{"Key": "编号", "Name": "名称", "Group": "分组"}

func (k *inventory) status(one *PlanLine) LineStatus {
	_, adopted := k.owners[textID(one.Scene)]
	switch {
	case one.Err != nil:
		return LineConflict
	case one.Was.Key == "":
		return LineNew
	case one.Was != one.Channel, one.Scene != "" && !adopted:
		return LineChanged
	}
	return LineSame
}

// Apply makes and changes the channels of the plan and adopts their codes, all or
// nothing; it is no Ensure. Applying a plan again changes nothing.
//
// Errors: that of the first conflict, which matches [ErrSceneInUse] or
// wechatqr.ErrInvalidArgument; [ErrPlanOutdated] if a channel or code of the plan has
// been changed since.
func (l *Ledger) Apply(ctx context.Context, p *Plan) error {
	if p == nil {
		return invalid("apply: there is no plan: make one with Plan")
	}
	var ids []int64
	for range p.Count(LineNew) {
		id, err := l.number(ctx)
		if err != nil {
			return failed("apply", err)
		}
		ids = append(ids, id)
	}
	err := l.changeRules(ctx, func(t *tx) error { return t.applyPlan(ctx, p, ids) })
	return failed("apply", err)
}

// number is one from a new block if the last is used up. It is not for a transaction.
func (l *Ledger) number(ctx context.Context) (int64, error) {
	for {
		id, err := l.numbers.take()
		if !errors.Is(err, errNoNumbers) {
			return id, err
		}
		if err := l.reserve(ctx); err != nil {
			return 0, err
		}
	}
}

// applyPlan writes what the lines change. ids are numbers for the new channels.
func (t *tx) applyPlan(ctx context.Context, p *Plan, ids []int64) error {
	k, err := t.readInventory(ctx)
	if err != nil {
		return err
	}
	var made, changed, codes, assigned []any
	var scenes []int64
	for i := range p.Lines {
		one := p.Lines[i]
		status, err := k.check(&one)
		if err != nil {
			return err
		}
		c := &one.Channel
		switch status {
		case LineSame:
			continue
		case LineNew:
			k.ids[c.Key], ids = ids[0], ids[1:]
			made = append(made, k.ids[c.Key], c.Key, c.Name, c.Group, 0, 0)
		case LineChanged:
			changed = append(changed, k.ids[c.Key], c.Key, c.Name, c.Group, 0, 0)
		}
		scene := textID(one.Scene)
		if _, adopted := k.owners[scene]; scene != 0 && !adopted {
			scenes = append(scenes, scene)
			codes = append(codes, scene, one.Scene, "", "", nil)
			assigned = append(assigned, scene, 0, k.ids[c.Key])
		}
	}

	// The rows of changed channels are there, and keep their other columns.
	texts := relation{channelsTable.name, channelsTable.key, []string{"title", "grp"}}
	for _, one := range []struct {
		relation
		rows   []any
		suffix string
	}{
		{channelsTable, made, ""}, {channelsTable, changed, t.dialect.replaces(texts)},
		{codesTable, codes, ""}, {assignmentsTable, assigned, ""},
	} {
		if err := t.insert(ctx, one.relation, one.rows, one.suffix); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(scenes, rowsAStatement) {
		if err := t.markStale(ctx, some, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// check returns what the line changes now, if that is what the plan says.
func (k *inventory) check(one *PlanLine) (LineStatus, error) {
	if err := cmp.Or(one.Err, one.Channel.check()); err != nil {
		return "", err
	}
	planned, was := one.Status, one.Was
	one.Was = k.channels[one.Channel.Key]
	of, owned := k.owners[textID(one.Scene)]
	status := k.status(one)
	stolen := k.merged[one.Channel.Key] || one.Scene != "" && owned && !of.has(one.Channel.Key)
	if stolen || status != LineSame && (status != planned || was != one.Was) {
		return "", fmt.Errorf(
			"%w: line %d, channel %q: make a new plan", ErrPlanOutdated, one.Line, one.Channel.Key,
		)
	}
	return status, nil
}
