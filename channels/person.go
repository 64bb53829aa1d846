package channels

import (
	"context"
	"database/sql"
	"maps"
	"slices"
)

// person is a row of the people: one life.
type person struct {
	id      int64
	life    int64 // the order of those with one hash
	since   int64
	expires int64 // when the hash goes; 0 for not yet
}

// subject is everything the tables know of one openid: the lives that have its
// hash. Who was forgotten is a subject of one life, without a hash.
type subject struct {
	hash   string // empty for none
	people []person
	stored []life // of each of the people

	events   []event
	backfill bool // an event was added by one: the lives are repaired for a day from now

	lives []life // what the events amount to
}

// add adds an event that arrived now. One that is there already changes nothing, unless it
// came late and is of an archive now.
func (s *subject) add(e event, now int64, backfill bool) {
	isPush := e.kind == subscribe || e.kind == scan || e.kind == unsubscribe
	e.late = isPush && !backfill && now-e.at > repairSeconds && !s.knownAt(e.at)
	i, known := slices.BinarySearchFunc(s.events, e, compareEvents)
	switch {
	case !known:
		s.events = slices.Insert(s.events, i, e)
	case backfill && s.events[i].late:
		s.events[i] = e
	default:
		return
	}
	s.backfill = s.backfill || backfill
}

// knownAt reports whether an event of that time can be told from a stranger's.
func (s *subject) knownAt(at int64) bool {
	known := len(s.people) == 0 || s.people[0].since <= at
	return known && slices.ContainsFunc(s.events, func(e event) bool { return e.tells() })
}

// follows reports whether the subject follows by what the tables say.
func (s *subject) follows() bool {
	return slices.ContainsFunc(s.stored, func(l life) bool { return l.open() != nil })
}

// expires says when the hash of the life goes, given when it would have gone.
func (l *life) expires(keep, previous, now int64) int64 {
	nothing := !slices.ContainsFunc(l.events, func(e event) bool { return e.tells() })
	visitor, _ := l.visitor()
	switch {
	case l.forgotOn != 0:
		return l.forgotOn + repairSeconds
	case l.open() != nil:
		return 0
	case l.unfollowed != 0:
		return max(l.unfollowed+keep+repairSeconds, previous)
	case nothing && previous == 0:
		return max(now, visitor) + repairSeconds
	case nothing:
		return max(previous, visitor+repairSeconds)
	}
	return 0
}

// subjects of one transaction, and what it is to write.
type subjects struct {
	t    *tx
	now  int64
	byID map[int64]*subject // by the id of each of the people
	all  []*subject         // in the order of their locks
}

// load locks and reads the subjects with these hashes. Those unknown are
// subjects without people.
func (t *tx) load(ctx context.Context, hashes []string, now int64) (*subjects, error) {
	s := &subjects{t: t, now: now, byID: map[int64]*subject{}}
	hashes = slices.Compact(slices.Sorted(slices.Values(hashes)))
	args := make([]any, len(hashes))
	for i, hash := range hashes {
		args[i] = hashValue(hash)
	}
	where := "hash IN " + marks(len(hashes))
	if err := s.readPeople(ctx, where, args); err != nil {
		return nil, err
	}

	known := map[string]bool{}
	for _, one := range s.all {
		known[one.hash] = true
	}
	for _, hash := range hashes {
		if !known[hash] {
			s.all = append(s.all, &subject{hash: hash})
		}
	}
	return s, s.readLives(ctx)
}

// loadForgotten is load for people without a hash.
func (t *tx) loadForgotten(ctx context.Context, ids []int64, now int64) (*subjects, error) {
	s := &subjects{t: t, now: now, byID: map[int64]*subject{}}
	if err := s.readPeople(ctx, "hash IS NULL AND id IN "+marks(len(ids)), anys(ids)); err != nil {
		return nil, err
	}
	return s, s.readLives(ctx)
}

// readPeople locks first and reads then: what a locking statement returns may have
// been changed by who had the lock before. People who were added meanwhile are not
// locked, and then it begins again; without anybody there was nothing to wait for.
func (s *subjects) readPeople(ctx context.Context, where string, args []any) error {
	where += " ORDER BY hash, life, id"
	for {
		locked, err := s.t.lockPeople(ctx, where, args)
		if err != nil || locked == 0 && !s.t.dialect.immediate {
			return err
		}
		people, err := s.t.people(ctx, where, args)
		if err != nil {
			return err
		}
		if len(people) <= locked || s.t.dialect.immediate {
			return s.addPeople(ctx, people)
		}
	}
}

// lockPeople keeps the people from other transactions until this one ends, and
// returns their number.
func (t *tx) lockPeople(ctx context.Context, where string, args []any) (n int, err error) {
	if t.dialect.locksByWriting {
		const write = "UPDATE channels_people SET revision = revision + 1 WHERE "
		result, err := t.change(ctx, write+where, args...)
		if err != nil {
			return 0, err
		}
		written, err := result.RowsAffected()
		return int(written), err
	}
	if t.dialect.forUpdate == "" {
		return 0, nil
	}
	count := func(*sql.Rows) error { n++; return nil }
	lock := "SELECT id FROM channels_people WHERE " + where + t.dialect.forUpdate
	err = t.rows(ctx, count, lock, args...)
	return n, err
}

func (t *tx) people(ctx context.Context, where string, args []any) (all []personRow, err error) {
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var hash []byte
		var p personRow
		err := rows.Scan(&p.id, &hash, &p.life, &p.since, &p.expires)
		p.hash = string(hash)
		all = append(all, p)
		return err
	}, "SELECT id, hash, life, since, expires FROM channels_people WHERE "+where, args...)
	return all, err
}

// addPeople deletes the hashes whose time has come and adds the others.
func (s *subjects) addPeople(ctx context.Context, people []personRow) error {
	var expired []int64
	for _, p := range people {
		if p.hash != "" && p.expires != 0 && p.expires <= s.now {
			expired = append(expired, p.id)
			continue
		}
		s.addPerson(p.hash, p.person)
	}
	if len(expired) == 0 {
		return nil
	}
	const expire = "UPDATE channels_people SET hash = NULL WHERE id IN "
	return s.t.exec(ctx, expire+marks(len(expired)), anys(expired)...)
}

func (s *subjects) addPerson(hash string, p person) {
	n := len(s.all)
	if n == 0 || hash == "" || s.all[n-1].hash != hash {
		s.all = append(s.all, &subject{hash: hash})
		n++
	}
	one := s.all[n-1]
	one.people, one.stored = append(one.people, p), append(one.stored, life{})
	s.byID[p.id] = one
}

// stored is the life of the person as it stands in the tables.
func (s *subjects) stored(id int64) *life {
	one := s.byID[id]
	i := slices.IndexFunc(one.people, func(p person) bool { return p.id == id })
	return &one.stored[i]
}

const (
	lateFlag     = 1
	followerFlag = 2
)

func (e *event) flags() (flags int64) {
	if e.late {
		flags |= lateFlag
	}
	if e.follower {
		flags |= followerFlag
	}
	return flags
}

func (s *subjects) readLives(ctx context.Context) error {
	ids := slices.Sorted(maps.Keys(s.byID))
	for chunk := range slices.Chunk(ids, rowsAStatement) {
		in := " WHERE person IN " + marks(len(chunk))
		err := s.t.rows(ctx, func(rows *sql.Rows) error {
			var id, flags int64
			var e event
			err := rows.Scan(&id, &e.at, &e.kind, &e.scene, &e.ticket, &e.row, &flags)
			if err != nil {
				return err
			}
			e.late, e.follower = flags&lateFlag != 0, flags&followerFlag != 0
			l := s.stored(id)
			l.events = append(l.events, e)
			return nil
		}, "SELECT person, happened, kind, scene, ticket, channel, flags FROM channels_events"+in, anys(chunk)...)
		if err != nil {
			return err
		}
		err = s.t.rows(ctx, func(rows *sql.Rows) error {
			var id int64
			var f follow
			err := rows.Scan(&id, &f.start, &f.row, &f.began, &f.end, &f.ended)
			if err != nil {
				return err
			}
			l := s.stored(id)
			l.follows = append(l.follows, f)
			return nil
		}, "SELECT person, began, channel, how, ended, ending FROM channels_follows"+in, anys(chunk)...)
		if err != nil {
			return err
		}
	}
	for _, one := range s.all {
		for i := range one.stored {
			one.events = append(one.events, one.stored[i].events...)
		}
		slices.SortFunc(one.events, compareEvents)
	}
	return nil
}
