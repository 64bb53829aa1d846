package channels

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
)

// assignment says whose a scene is from an instant on.
type assignment struct{ since, channel int64 }

// rowAt is the row of the scene's events at that time.
func rowAt(all []assignment, at int64) int64 {
	row := codeUnknown
	for _, a := range all { // in order
		if a.since <= at {
			row = a.channel
		}
	}
	return row
}

// assignments remembers what the table says of scenes, for one version of it.
type assignments struct {
	mu      sync.Mutex
	version int64
	scenes  map[int64][]assignment
}

// maxScenes is how many scenes are remembered: beyond that they are read anew.
const maxScenes = 200_000

// rulesRows is the number of rows, rules0 and so on, of which a process that locks by
// writing has one to itself, as a rule, so that it does not wait for another one.
const rulesRows = 16

// shareRules keeps the assignments as they are until the transaction ends, with a lock
// that others may share, and reads their version.
func (l *Ledger) shareRules(ctx context.Context, t *tx) (version int64, err error) {
	if t.dialect.locksByWriting {
		const write = "UPDATE channels_counters SET value = value + 1 WHERE name = ?"
		if err := t.exec(ctx, write, fmt.Sprint("rules", l.rulesRow)); err != nil {
			return 0, err
		}
	}
	read := "SELECT value FROM channels_counters WHERE name = 'rules'" + t.dialect.forShare
	err = t.row(ctx, []any{&version}, read)
	return version, err
}

// lockRules has the assignments to itself until the transaction ends, and makes a new
// version of them.
func (t *tx) lockRules(ctx context.Context) error {
	return t.exec(
		ctx, "UPDATE channels_counters SET value = value + 1 WHERE name LIKE 'rules%'",
	)
}

// assigned returns the assignments of the scenes.
func (l *Ledger) assigned(
	ctx context.Context, t *tx, scenes []int64,
) (map[int64][]assignment, error) {
	version, err := l.shareRules(ctx, t)
	if err != nil {
		return nil, err
	}
	all, missing := l.assignments.get(version, scenes)
	for chunk := range slices.Chunk(missing, rowsAStatement) {
		read, err := t.readAssignments(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, scene := range chunk {
			all[scene] = read[scene]
		}
	}
	l.assignments.put(version, all)
	return all, nil
}

func (t *tx) readAssignments(ctx context.Context, scenes []int64) (map[int64][]assignment, error) {
	all := map[int64][]assignment{}
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var scene int64
		var a assignment
		err := rows.Scan(&scene, &a.since, &a.channel)
		all[scene] = append(all[scene], a)
		return err
	}, "SELECT scene, since, channel FROM channels_assignments WHERE scene IN "+marks(len(scenes))+
		" ORDER BY scene, since", anys(scenes)...)
	return all, err
}

// get returns what is known of the scenes in this version, and the others.
func (a *assignments) get(
	version int64, scenes []int64,
) (known map[int64][]assignment, missing []int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known = map[int64][]assignment{}
	for _, scene := range scenes {
		of, ok := a.scenes[scene]
		switch {
		case ok && a.version == version:
			known[scene] = of
		case !slices.Contains(missing, scene):
			missing = append(missing, scene)
		}
	}
	return known, missing
}

func (a *assignments) put(version int64, read map[int64][]assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scenes == nil || a.version != version || len(a.scenes) > maxScenes {
		a.version, a.scenes = version, map[int64][]assignment{}
	}
	for scene, of := range read {
		a.scenes[scene] = of
	}
}

func anys[T any](all []T) []any {
	out := make([]any, len(all))
	for i, one := range all {
		out[i] = one
	}
	return out
}
