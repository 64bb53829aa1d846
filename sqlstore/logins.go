package sqlstore

import (
	"context"
	"strconv"
	"time"
)

func loginID(key string) string { return rowID("login", key) }

// LoadLogin returns the value under key, nil if there is none.
func (s *Store) LoadLogin(ctx context.Context, key string) ([]byte, error) {
	r, err := s.load(ctx, "load login", loginID(key))
	if err != nil || r.data == "" {
		return nil, err
	}
	return []byte(r.data), nil
}

// SwapLogin has new under key for the time ttl, 1 ms at least, if what is there is old.
// After an error the database may have done so all the same.
func (s *Store) SwapLogin(
	ctx context.Context, key string, old, new []byte, ttl time.Duration,
) (bool, error) {
	r, err := s.change(ctx, "swap login", loginID(key), func(r *row) bool {
		if r.data != string(old) {
			return false
		}
		r.data, r.ends = string(new), r.now+atLeast1(ttl)
		return true
	})
	return r.written, err
}

// CountLogin adds one to the number under key, which ends ttl, 1 ms at least, after
// the first.
func (s *Store) CountLogin(ctx context.Context, key string, ttl time.Duration) (int, error) {
	r, err := s.change(ctx, "count login", rowID("count", key), func(r *row) bool {
		if r.data == "" {
			r.ends = r.now + atLeast1(ttl)
		}
		n, _ := strconv.Atoi(r.data)
		r.data = strconv.Itoa(n + 1)
		return true
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(r.data)
}
