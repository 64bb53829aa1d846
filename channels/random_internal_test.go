package channels

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/account"
)

// histories is how many random histories each database is tried with. Ten thousand, in a
// quarter of an hour on two cores:
//
//	CHANNELS_HISTORIES=10000 go test -run TestRandomHistories -timeout 0 .
func histories(t *testing.T) int { return fromEnv(t, "CHANNELS_HISTORIES", 12) }

// fromEnv is the number in the environment variable.
func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// Whatever happens, in whatever order and how often it arrives, the report is
// what the oracle counts.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d Dialect) {
		base := uint64(1)
		if text := os.Getenv("CHANNELS_SEED"); text != "" {
			var err error
			base, err = strconv.ParseUint(text, 10, 64)
			require.NoError(t, err)
		}
		db := newDB(t, d)
		for i := range histories(t) {
			seed := base + uint64(i)
			try := func(t *testing.T) { tryHistory(t, newHistory(t, d, db, seed)) }
			if !t.Run(fmt.Sprintf("CHANNELS_SEED=%d", seed), try) {
				return
			}
			empty(t, db)
		}
	})
}

// empty deletes what is in the tables, which is faster than to make new ones. The
// counters go on from where they are.
func empty(t *testing.T, db *sql.DB) {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	for _, file := range files {
		script, err := migrations.ReadFile(file)
		require.NoError(t, err)
		for _, made := range regexp.MustCompile(`CREATE TABLE (\w+)`).FindAllSubmatch(script, -1) {
			if table := string(made[1]); table != "channels_counters" {
				_, err := db.ExecContext(t.Context(), "DELETE FROM "+table)
				require.NoError(t, err)
			}
		}
	}
}

// history is random: what happens, and when the ledger hears of it.
type history struct {
	*rand.Rand
	t      *testing.T
	ledger *Ledger
	others []*Ledger // on the same database, each of which may get a call too
	clock  *clock
	oracle oracle
	scenes []string
	names  []string // of channels
	days   int
	acts   int
}

// ledgerCall is a call of the ledger at a time.
type ledgerCall struct {
	at   int64
	call func(ctx context.Context) error
}

// newHistory opens the ledger in db with random settings, and makes channels. The same
// seed makes the same history.
func newHistory(t *testing.T, d Dialect, db *sql.DB, seed uint64) *history {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	settings := testConfig
	keeps := []time.Duration{0, time.Hour, 36 * time.Hour, 30 * 24 * time.Hour}
	settings.KeepAfterUnfollow = keeps[r.IntN(4)]
	zones := []string{"Asia/Shanghai", "Europe/Berlin", "UTC"}
	var err error
	settings.Location, err = time.LoadLocation(zones[r.IntN(len(zones))])
	require.NoError(t, err)
	c := &clock{monday}
	l, err := openAt(t.Context(), db, d, settings, c.now)
	require.NoError(t, err)

	h := &history{Rand: r, t: t, ledger: l, clock: c, days: 1 + r.IntN(12)}
	h.oracle = oracle{
		keep:  int64(settings.KeepAfterUnfollow / time.Second),
		first: monday.Unix(), zone: settings.Location,
		merged: map[string]string{}, groups: map[string]string{},
	}
	h.makeChannels()
	return h
}

// people makes what some persons do, in the order in which the ledger hears of it.
func (h *history) people() []ledgerCall {
	var steps []ledgerCall
	for n := range 1 + h.IntN(25) {
		steps = append(steps, h.person(fmt.Sprint("person", n))...)
	}
	sortCalls(steps)
	return steps
}

func sortCalls(steps []ledgerCall) {
	slices.SortStableFunc(steps, func(a, b ledgerCall) int { return cmp.Compare(a.at, b.at) })
}

func tryHistory(t *testing.T, h *history) {
	steps := h.people()
	for range h.IntN(4) {
		steps = append(steps, h.changeOwner())
	}
	for n := range h.IntN(6) {
		steps = append(steps, h.listedLate(fmt.Sprint("listed", n))...)
	}
	sortCalls(steps)
	for _, s := range steps {
		h.clock.Time = time.Unix(s.at, 0)
		if len(h.others) > 0 {
			h.ledger = h.others[h.IntN(len(h.others))]
		}
		err := s.call(t.Context())
		for errors.Is(err, context.DeadlineExceeded) { // of a starved machine
			err = s.call(t.Context())
		}
		require.NoError(t, err)
	}

	h.clock.Time = h.clock.Add(time.Duration(h.IntN(3*86400)) * time.Second)
	require.NoError(t, h.ledger.DeleteExpired(t.Context()))
	h.compareAll()
}

// compareAll asks a dozen random questions.
func (h *history) compareAll() {
	h.oracle.asOf = h.clock.Unix()
	h.oracle.settle()
	for range 12 {
		h.compare()
	}
	for range 4 {
		h.compareConversions()
	}
	h.compareRetention()
	for range 4 {
		h.compareLossAges()
	}
}

// makeChannels has some scenes adopted; others belong to nobody.
func (h *history) makeChannels() {
	groups := []string{"", "华东", "华东/门店", "华东/门店%", "华东门店"}
	for i := range 1 + h.IntN(5) {
		c := Channel{Key: fmt.Sprint("c", i), Group: groups[h.IntN(len(groups))]}
		h.names, h.oracle.groups[c.Key] = append(h.names, c.Key), c.Group
		for j := range 1 + h.IntN(2) {
			scene := fmt.Sprintf("s%d-%d", i, j)
			h.scenes = append(h.scenes, scene)
			require.NoError(h.t, h.ledger.Adopt(h.t.Context(), wechatqr.SceneString(scene), c))
			h.oracle.owners = append(h.oracle.owners, ownership{scene, c.Key, 0})
		}
	}
	h.scenes = append(h.scenes, "nobody's")
}

// person makes what somebody does: bursts within seconds, and days between.
func (h *history) person(who string) (steps []ledgerCall) {
	at := monday.Unix() + h.Int64N(3600) - 1800
	for range 1 + h.IntN(9) {
		switch h.IntN(4) {
		case 0:
			at += h.Int64N(3)
		case 1:
			at += h.Int64N(200)
		default:
			at += h.Int64N(int64(h.days) * 86400 / 4)
		}
		steps = append(steps, h.act(who, at)...)
	}
	return steps
}

func (h *history) act(who string, at int64) []ledgerCall {
	switch n := h.IntN(24); {
	case n < 16:
		return h.push(h.randomPush(who, at))
	case n > 19:
		return h.convert(who, at)
	case n > 16:
		return h.list(happening{who: who, at: at}, h.scenes[h.IntN(len(h.scenes))])
	}
	return []ledgerCall{h.forget(who, at)}
}

func (h *history) randomPush(who string, at int64) happening {
	what := happening{who: who, at: at}
	switch n := h.IntN(16); {
	case n < 7:
		what.what = "subscribe"
		if h.IntN(4) > 0 {
			what.scene = h.scenes[h.IntN(len(h.scenes))]
		}
	case n < 11:
		what.what, what.scene = "SCAN", h.scenes[h.IntN(len(h.scenes))]
	default:
		what.what = "unsubscribe"
	}
	if what.scene != "" {
		what.ticket = "ticket of " + what.scene
	}
	return what
}

// push has what happened arrive up to three times, up to a day later.
func (h *history) push(what happening) []ledgerCall {
	h.oracle.happened = append(h.oracle.happened, what)
	ev := newPush(what.who, time.Unix(what.at, 0), wechatqr.EventType(what.what), what.scene)
	var steps []ledgerCall
	for range 1 + h.IntN(3) {
		delay := h.Int64N(10)
		if h.IntN(3) == 0 {
			delay = h.Int64N(86400 + 1)
		}
		steps = append(steps, ledgerCall{what.at + delay, func(ctx context.Context) error {
			_, err := h.ledger.RecordEvent(ctx, ev)
			return err
		}})
	}
	return steps
}

// convert has a conversion reported up to three times, up to a day later.
func (h *history) convert(who string, at int64) []ledgerCall {
	h.acts++
	c := Conversion{
		ID: fmt.Sprint("act ", h.acts), OpenID: who, At: time.Unix(at, 0),
		Name: []string{"", "order"}[h.IntN(2)], Value: h.Int64N(1000) - 100,
	}
	h.oracle.happened = append(h.oracle.happened, happening{
		who: who, what: "convert", at: at, ticket: c.ID, act: c.Name, value: c.Value,
	})
	var steps []ledgerCall
	for range 1 + h.IntN(3) {
		delay := h.IntN(2) * h.IntN(86400+1)
		steps = append(steps, ledgerCall{at + int64(delay), func(ctx context.Context) error {
			return h.ledger.Convert(ctx, c)
		}})
	}
	return steps
}

// list has WeChat's list of followers tell of a follow, some of the day before.
func (h *history) list(what happening, scene string) []ledgerCall {
	at := what.at
	f := account.UserInfo{OpenID: what.who, Follows: true}
	what.what = "listed"
	switch h.IntN(3) {
	case 0:
		what.scene, f.Scene = scene, scene
	case 1:
		what.what, f.Source = "listed by code", "ADD_SCENE_QR_CODE"
	}
	if h.IntN(3) == 0 {
		what.at -= h.Int64N(86400 + 1)
	}
	f.FollowedAt, what.heard = time.Unix(what.at, 0), at
	h.oracle.happened = append(h.oracle.happened, what)
	return []ledgerCall{{at, func(ctx context.Context) error {
		return h.ledger.ImportFollowers(ctx, usersOf(f))
	}}}
}

// listedLate has somebody follow whose push may be lost, scan, and be forgotten if it was
// not. WeChat's list tells of them up to some days later, twice; then they may leave.
func (h *history) listedLate(who string) []ledgerCall {
	scene := h.scenes[h.IntN(len(h.scenes))]
	subscribed := happening{who: who, what: "subscribe", scene: scene, ticket: "ticket of " + scene}
	subscribed.at = monday.Unix() + h.Int64N(int64(h.days)*86400)
	at := subscribed.at
	later := func(most int64) int64 { at += 100 + h.Int64N(most); return at }
	var steps []ledgerCall
	pushed := h.IntN(2) == 0
	if pushed {
		steps = h.push(subscribed)
	}
	if h.IntN(2) == 0 {
		scanned := subscribed
		scanned.what, scanned.at = "SCAN", later(86400)
		steps = append(steps, h.push(scanned)...)
	}
	if pushed && h.IntN(2) == 0 {
		steps = append(steps, h.forget(who, later(86400)))
	}
	for range 2 {
		steps = append(steps, h.listed(subscribed, later(3*86400)))
	}
	if h.IntN(2) == 0 {
		steps = append(steps, h.push(happening{who: who, what: "unsubscribe", at: later(86400)})...)
	}
	return steps
}

func (h *history) forget(who string, at int64) ledgerCall {
	h.oracle.happened = append(h.oracle.happened, happening{who: who, at: at, what: "forget"})
	return ledgerCall{at, func(ctx context.Context) error { return h.ledger.Forget(ctx, who) }}
}

// listed has WeChat's list tell of the what.
func (h *history) listed(what happening, at int64) ledgerCall {
	what.what, what.heard, what.ticket = "listed", at, ""
	h.oracle.happened = append(h.oracle.happened, what)
	user := account.UserInfo{OpenID: what.who, Follows: true, Scene: what.scene}
	user.FollowedAt = time.Unix(what.at, 0)
	return ledgerCall{at, func(ctx context.Context) error {
		return h.ledger.ImportFollowers(ctx, usersOf(user))
	}}
}

func usersOf(users ...account.UserInfo) iter.Seq2[account.UserInfo, error] {
	return func(yield func(account.UserInfo, error) bool) {
		for _, user := range users {
			if !yield(user, nil) {
				return
			}
		}
	}
}

// changeOwner reassigns a scene, also from the past on, or merges channels. In
// the oracle they take effect in the order of the calls.
func (h *history) changeOwner() ledgerCall {
	at := monday.Unix() + h.Int64N(int64(h.days)*86400)
	scene, name := h.scenes[h.IntN(len(h.scenes)-1)], h.names[h.IntN(len(h.names))]
	from := max(at-h.Int64N(5*86400), 0)
	other := h.names[h.IntN(len(h.names))]
	if h.IntN(4) > 0 || other == name || h.oracle.merged[other] != "" {
		return ledgerCall{at, func(ctx context.Context) error {
			h.oracle.owners = append(h.oracle.owners, ownership{scene, name, from})
			return h.ledger.Reassign(ctx, wechatqr.SceneString(scene), name, time.Unix(from, 0))
		}}
	}
	return ledgerCall{at, func(ctx context.Context) error {
		a, b := h.final(name), h.final(other)
		if a == b {
			return nil
		}
		h.oracle.merged[a] = b
		return h.ledger.Merge(ctx, a, b)
	}}
}

func (h *history) final(name string) string {
	for h.oracle.merged[name] != "" {
		name = h.oracle.merged[name]
	}
	return name
}

// randomQuery asks for a period, dimensions and a selection.
func (h *history) randomQuery() Query {
	local := monday.In(h.oracle.zone)
	start := time.Date(
		local.Year(), local.Month(), local.Day()-2+h.IntN(h.days+2), 0, 0, 0, 0, h.oracle.zone,
	)
	start = start.Add(time.Duration(h.IntN(2)*h.IntN(24)) * time.Hour)
	q := Query{From: start, To: start.Add(time.Duration(1+h.IntN(24*(h.days+4))) * time.Hour)}
	q.By = []By{0, ByDay, ByHour, ByWeekday}[h.IntN(4)] | []By{0, ByChannel, ByGroup}[h.IntN(3)]
	switch h.IntN(4) {
	case 0:
		q.Group = "华东"
	case 1:
		q.Channel = h.final(h.names[h.IntN(len(h.names))])
	}
	return q
}

// compareConversions asks a random question of each model.
func (h *history) compareConversions() {
	t := h.t
	for _, model := range []Model{ModelFollow, ModelFirst, ModelLast} {
		q := ConversionQuery{Query: h.randomQuery(), Model: model}
		q.Name = []string{"", "order"}[h.IntN(2)]
		if model == ModelLast {
			q.Window = time.Duration(1+h.IntN(2*86400)) * time.Second
		}
		want, wantTotal := h.oracle.conversions(q)
		r, err := h.ledger.Conversions(t.Context(), q)
		require.NoError(t, err)
		got := map[string]ConversionCounts{}
		sum := ConversionCounts{}
		for i := range r.Rows {
			row := &r.Rows[i]
			key := nameOf(q.By, &row.Cell)
			assert.NotContains(t, got, key)
			got[key] = row.ConversionCounts
			assert.LessOrEqual(t, row.Converted, min(row.Followers, row.Converters))
			sum.Conversions += row.Conversions
			sum.Value += row.Value
		}
		assert.Equal(t, want, got, "%+v keeping %v", q, r.KeepAfterUnfollow)
		assert.Equal(t, wantTotal, r.Total, "total of %+v", q)
		assert.Equal(t, []int64{sum.Conversions, sum.Value}, []int64{
			r.Total.Conversions, r.Total.Value,
		}, "rows add up")
	}
}

// compare asks a random question, and looks at what must hold of every answer.
func (h *history) compare() {
	t, q := h.t, h.randomQuery()
	want, wantTotal := h.oracle.report(q)
	r, err := h.ledger.Report(t.Context(), q)
	require.NoError(t, err)
	got := map[string]Counts{}
	for i := range r.Rows {
		row := &r.Rows[i]
		key := nameOf(q.By, &row.Cell)
		assert.NotContains(t, got, key)
		got[key] = row.Counts
		if q.By&ByWeekday == 0 {
			held := row.HeldStart + row.Net() + row.Imported - row.Forgotten
			assert.Equal(t, row.HeldEnd, held, "conservation")
		}
	}
	assert.Equal(t, want, got, "%+v keeping %v", q, r.KeepAfterUnfollow)
	assert.Equal(t, wantTotal, r.Total, "total of %+v keeping %v", q, r.KeepAfterUnfollow)
	h.compareActive(q, r)
	assert.Equal(t, q.To.Unix() > h.oracle.asOf, r.Open)
}

// compareActive asks for the rows in which something happened.
func (h *history) compareActive(q Query, all *Report) {
	q.Active = true
	active, err := h.ledger.Report(h.t.Context(), q)
	require.NoError(h.t, err)
	want := slices.DeleteFunc(slices.Clone(all.Rows), func(row Row) bool {
		return row.Counts == Counts{HeldStart: row.HeldStart, HeldEnd: row.HeldStart}
	})
	assert.ElementsMatch(h.t, want, active.Rows, "%+v", q)
	assert.Equal(h.t, all.Total, active.Total, "%+v", q)
	h.compareSums(q, active)
	if q.By == ByChannel {
		h.compareTop(q, active)
	}
}

// compareSums asks for the numbers that add up alone.
func (h *history) compareSums(q Query, active *Report) {
	q.Active, q.Sums = h.IntN(2) == 0, true
	sums, err := h.ledger.Report(h.t.Context(), q)
	require.NoError(h.t, err)
	only := func(c Counts) Counts {
		c.Scanners, c.HeldStart, c.HeldEnd, c.QuickLost, c.QuickOf = 0, 0, 0, 0, 0
		return c
	}
	want := slices.Clone(active.Rows)
	for i := range want {
		want[i].Counts = only(want[i].Counts)
	}
	assert.Equal(h.t, want, sums.Rows, "%+v", q)
	assert.Equal(h.t, only(active.Total), sums.Total, "%+v", q)
}

// compareTop asks for the best and the worst channels of those in which something happened.
func (h *history) compareTop(q Query, active *Report) {
	q.Active, q.Top = h.IntN(2) == 0, 1+h.IntN(3)
	top, err := h.ledger.Report(h.t.Context(), q)
	require.NoError(h.t, err)
	isChannel := func(row Row) bool { return row.Origin == OfChannel }
	order := func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Net(), a.Net()), cmp.Compare(a.Lost, b.Lost))
	}
	ordered := func(rows []Row) (counts [][2]int64) {
		all := slices.DeleteFunc(slices.Clone(rows), func(row Row) bool { return !isChannel(row) })
		slices.SortStableFunc(all, order)
		for i := range all {
			counts = append(counts, [2]int64{all[i].Net(), all[i].Lost})
		}
		return counts
	}
	want := ordered(active.Rows)
	if len(want) > 2*q.Top {
		want = slices.Delete(want, q.Top, len(want)-q.Top)
	}
	got := ordered(top.Rows)
	assert.Equal(h.t, want, got, "%+v", q)
	assert.Subset(h.t, active.Rows, top.Rows, "%+v", q)
	assert.Equal(h.t, slices.DeleteFunc(slices.Clone(active.Rows), isChannel),
		slices.DeleteFunc(slices.Clone(top.Rows), isChannel), "%+v", q)
	assert.Equal(h.t, active.Total, top.Total, "%+v", q)
}

// compareRetention asks of each day, and of all days together.
func (h *history) compareRetention() {
	local := monday.In(h.oracle.zone)
	first := time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, h.oracle.zone)
	days := []int{0, 1, 3}
	q := Query{From: first, To: first.AddDate(0, 0, h.days+2)}
	if h.IntN(2) == 0 {
		q.Channel = h.final(h.names[h.IntN(len(h.names))])
	}
	var want, pooled []Retained
	for _, n := range days {
		sum := Retained{Days: n, From: first}
		for day := first; day.Before(q.To); day = day.AddDate(0, 0, 1) {
			all, stayed, over := h.oracle.retained(q, day, n)
			if !over {
				continue
			}
			to := day.AddDate(0, 0, 1)
			want = append(want, Retained{From: day, To: to, Days: n, Follows: all, Stayed: stayed})
			sum.To = to
			sum.Follows += all
			sum.Stayed += stayed
		}
		if !sum.To.IsZero() {
			pooled = append(pooled, sum)
		}
	}

	got, err := h.ledger.Retention(h.t.Context(), q, days...)
	require.NoError(h.t, err)
	assert.Equal(h.t, pooled, got.Rows, "%+v", q)
	q.By = ByDay
	got, err = h.ledger.Retention(h.t.Context(), q, days...)
	require.NoError(h.t, err)
	assert.Equal(h.t, want, got.Rows, "%+v", q)
	h.compareRetentionByChannel(q.From, q.To, days)
}

// compareLossAges asks a random question.
func (h *history) compareLossAges() {
	q := h.randomQuery()
	q.By = 0
	upTo := []time.Duration{time.Second, time.Hour, 24 * time.Hour, 3 * 24 * time.Hour}
	upTo = upTo[h.IntN(2) : 2+h.IntN(3)]
	got, err := h.ledger.LossAges(h.t.Context(), q, upTo...)
	require.NoError(h.t, err)
	var rows []LossAge
	sum := got.AgeUnknown
	for i, age := range append(slices.Clone(upTo), 0) {
		over := int64(-1)
		if i > 0 {
			over = int64(upTo[i-1] / time.Second)
		}
		rows = append(rows, LossAge{age, h.oracle.lostAtAge(q, over, int64(age/time.Second))})
		sum += rows[i].Lost
	}
	assert.Equal(h.t, rows, got.Rows, "%+v", q)
	_, counts := h.oracle.report(q)
	assert.Equal(h.t, counts.Lost, sum, "%+v", q)
}

// compareRetentionByChannel asks of all channels at once, and of each.
func (h *history) compareRetentionByChannel(from, to time.Time, days []int) {
	q := Query{From: from, To: to, By: ByChannel}
	got, err := h.ledger.Retention(h.t.Context(), q, days...)
	require.NoError(h.t, err)
	follows := map[int]int64{}
	for _, one := range got.Rows {
		follows[one.Days] += one.Follows
		if one.Origin != OfChannel {
			continue
		}
		q := Query{From: from, To: to, Channel: one.Channel.Key}
		alone, err := h.ledger.Retention(h.t.Context(), q, one.Days)
		require.NoError(h.t, err)
		require.Len(h.t, alone.Rows, 1)
		one.Channel = Channel{}
		assert.Equal(h.t, alone.Rows[0], one)
	}
	all, err := h.ledger.Retention(h.t.Context(), Query{From: from, To: to}, days...)
	require.NoError(h.t, err)
	for _, one := range all.Rows {
		assert.Equal(h.t, one.Follows, follows[one.Days], "the channels are the account")
	}
}

// nameOf is the oracle's name of the row.
func nameOf(dims By, row *Cell) string {
	var parts []string
	switch {
	case dims&ByWeekday != 0:
		parts = append(parts, fmt.Sprintf("%v %d", row.Weekday, row.Hour))
	case dims&(ByDay|ByHour) != 0:
		parts = append(parts, row.Start.UTC().Format(time.RFC3339))
	}
	switch {
	case row.Origin != OfChannel:
		parts = append(parts, string(row.Origin))
	case dims&ByChannel != 0:
		parts = append(parts, "channel "+row.Channel.Key)
	case dims&ByGroup != 0:
		parts = append(parts, strings.TrimSpace("group "+row.Group))
	}
	return strings.Join(parts, " ")
}
